"""Structured pruning: a network becomes a smaller dense network of the same kind."""

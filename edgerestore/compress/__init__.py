"""Passes that turn a trained network into what a device runs."""

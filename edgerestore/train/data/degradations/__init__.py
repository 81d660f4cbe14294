"""Degradations that turn a clean picture into a network's input."""

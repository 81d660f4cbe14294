"""Training from scratch: data, degradations and one plain loop. Needs torch."""

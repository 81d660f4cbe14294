"""Post-training INT8: one calibration, and a graph in the dialect of each runtime."""

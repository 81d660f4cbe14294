"""What a bundle costs, loses and replaces, measured: the bench, the gate and their report."""

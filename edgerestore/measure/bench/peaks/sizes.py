"""How large the matrices and the array are."""

from __future__ import annotations

SIDE = 1024
"""Of both matrices: the time of all else around the product is a few per cent of its own."""
MACS = SIDE**3
LARGEST_INT8 = 127

VALUES = 1 << 24
"""Of float32, 64 MiB each way: beyond the last cache of all but the largest servers."""
BYTES = 2 * 4 * VALUES
"""Each value is read once and written once."""

"""What a machine says of itself in small files and through its drivers.

Every reader takes the root of a file system, so that it can be tried on what another machine
said. What is not there is None, empty or left out, never a guess.
"""

MIB = 1 << 20
"""Bytes, the unit of all memory that results name."""

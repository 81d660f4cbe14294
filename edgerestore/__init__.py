"""From a PyTorch image-restoration transformer to a verified artifact on the device."""

__version__ = "0.1.0"

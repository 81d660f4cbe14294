"""From a PyTorch image-restoration transformer to a verified artifact on the device."""

import os

__version__ = "0.1.0"

# ONNX Runtime and NNCF report to their makers, unasked, unless this is set before they are
# imported. Nothing done here is anybody else's business; and NNCF reports from a forked process,
# which a Ctrl-C at the wrong moment leaves waiting for ever.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
os.environ.setdefault("NNCF_CI", "1")

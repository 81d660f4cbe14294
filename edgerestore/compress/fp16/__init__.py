"""FP16: which operators it breaks, graphs in which these stay in FP32, and what they compute.

:func:`analyse` runs the FP32 graph on calibration crops and names the operators whose values,
weights or internal sums leave FP16's range; :func:`fp16_from_fp32` keeps just these.
:func:`rounded` is the graph as a machine without FP16 units can execute it faithfully.
"""

from __future__ import annotations

from edgerestore.compress.fp16.analysis import Analysis, analyse
from edgerestore.compress.fp16.conversion import fp16_from_fp32
from edgerestore.compress.fp16.rounding import rounded

__all__ = ["Analysis", "analyse", "fp16_from_fp32", "rounded"]

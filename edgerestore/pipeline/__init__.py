"""From weights to verified bundles: rewrite, export, quantize, compile, execute, gate."""

from edgerestore.pipeline.job import Job, build_bundles

__all__ = ["Job", "build_bundles"]

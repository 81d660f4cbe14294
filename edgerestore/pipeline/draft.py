"""A bundle's manifest before its outcome is known."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from pathlib import Path

from edgerestore import bundle as bundles
from edgerestore.backends import BACKENDS, find_backend
from edgerestore.bundle import Manifest, PassFacts
from edgerestore.export.onnx import INPUT, OUTPUT
from edgerestore.pipeline.source import Source
from edgerestore.recipe import Target
from edgerestore.recipe.scalars import PrecisionName

TOOLS = ("torch", "onnx", "onnxscript", "nncf")
"""Distributions that take part in a build, beside the runtimes."""


def draft_manifest(
    source: Source,
    target: Target,
    precision: PrecisionName,
    folder: Path,
    files: Sequence[str],
    passes: Sequence[PassFacts],
    weights_sha256: str,
) -> Manifest:
    """What ``files`` in ``folder`` are, as far as is known without running them."""
    spec = source.spec
    return Manifest(
        schema=bundles.SCHEMA,
        model=bundles.ModelFacts(
            name=spec.name,
            task=spec.task,
            scale=spec.scale,
            border=spec.border,
            config=dict(spec.config),
            params=spec.params,
            weights_sha256=weights_sha256,
        ),
        precision=precision,
        target=bundles.TargetFacts(
            name=target.name,
            backend=target.backend,
            device=target.device,
            options=target.options.get(precision, {}),
        ),
        contract=bundles.Contract(
            input_name=INPUT,
            output_name=OUTPUT,
            batch=len(source.probe),
            channels=3,
            tile=source.tile,
            overlap=source.overlap,
            value_range=(0.0, 1.0),
        ),
        files={name: (folder / name).stat().st_size for name in files},
        passes=(source.rewrite, *passes),
        costs=source.costs,
        calibration=None,
        accuracy=None,
        parity=bundles.Parity(status="not compiled, not executed", runtime="none"),
        tools=_tools(),
    )


def _tools() -> dict[str, str]:
    versions = {"edgerestore": importlib.metadata.version("edgerestore")}
    for name in (*TOOLS, *(find_backend(name).distribution for name in BACKENDS)):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions

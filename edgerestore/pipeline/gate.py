"""The accuracy gate: what a precision may lose, and what is said when it loses more."""

from __future__ import annotations

from collections.abc import Sequence

from edgerestore.bundle import Accuracy, DropLimits, ImageScore
from edgerestore.compress.quantization.sensitivity import Sensitivity
from edgerestore.evaluation import Score
from edgerestore.metrics import counted_psnr_db, exceeding
from edgerestore.recipe.scalars import PrecisionName

ALLOWED: dict[PrecisionName, DropLimits] = {
    "fp32": DropLimits(mean_drop_db=0.001, worst_drop_db=0.005),
    "fp16": DropLimits(mean_drop_db=0.005, worst_drop_db=0.005),
    "bf16": DropLimits(mean_drop_db=0.01, worst_drop_db=0.01),
    "int8": DropLimits(mean_drop_db=0.03, worst_drop_db=0.06),
}
"""What each precision may lose against the FP32 network.

FP32 in another runtime rounds differently, and a grey level on the edge may flip.
"""

CURES: dict[PrecisionName, str] = {
    "fp32": "the runtime computes something else: tell its makers, or take another backend",
    "fp16": "its range is enough, its rounding costs this: take FP32, or INT8 with --keep-float",
    "bf16": "keep sensitive modules in FP32 with --keep-float",
    "int8": "keep sensitive modules in float with --keep-float",
}
"""What to do about a gate that was missed."""
MODULES_SHOWN = 8


def judge(
    precision: PrecisionName, data: str, protocol: str, fp32: Sequence[Score], own: Sequence[Score]
) -> Accuracy:
    """Sets a bundle's scores against those of the FP32 network, image by image."""
    images = tuple(
        ImageScore(
            name=a.name,
            fp32_psnr_y_db=counted_psnr_db(a.psnr_y_db),
            psnr_y_db=counted_psnr_db(b.psnr_y_db),
        )
        for a, b in zip(fp32, own, strict=True)
    )
    drops = [image.drop_db for image in images]
    allowed = ALLOWED[precision]
    return Accuracy(
        data=data,
        protocol=protocol,
        images=images,
        mean_drop_db=sum(drops) / len(drops),
        worst_drop_db=max(drops),
        allowed_mean_drop_db=allowed.mean_drop_db,
        allowed_worst_drop_db=allowed.worst_drop_db,
    )


def verdict(name: str, precision: PrecisionName, accuracy: Accuracy) -> str:
    """One line on a missed gate."""
    worst = max(accuracy.images, key=lambda image: image.drop_db)
    mean_drop, mean_limit = exceeding(accuracy.mean_drop_db, accuracy.allowed_mean_drop_db)
    worst_drop, worst_limit = exceeding(accuracy.worst_drop_db, accuracy.allowed_worst_drop_db)
    return (
        f"{name} misses its accuracy gate: mean drop {mean_drop} dB (allowed {mean_limit}), "
        f"worst {worst_drop} dB on '{worst.name}' (allowed {worst_limit}); {CURES[precision]}"
    )


def explanation(name: str, accuracy: Accuracy, modules: Sequence[Sensitivity]) -> str:
    """The per-image table and the modules that hurt most, as text."""
    lines = [
        f"{name}: PSNR-Y in dB, {accuracy.data}",
        f"{'image':24}{'fp32':>9}{'own':>9}{'drop':>9}",
    ]
    for image in sorted(accuracy.images, key=lambda i: -i.drop_db):
        drop = image.drop_db
        lines.append(
            f"{image.name[:23]:24}{image.fp32_psnr_y_db:9.3f}{image.psnr_y_db:9.3f}{drop:9.3f}"
        )
    if modules:
        lines += ["", "modules that hurt most: PSNR to FP32 where each alone is quantized"]
        lines += [f"  {m.module:44}{m.psnr_db:7.2f} dB" for m in modules[:MODULES_SHOWN]]
    return "\n".join(lines)

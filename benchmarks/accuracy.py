"""How well the shipped weights restore the pictures that their recipes hold back.

``python benchmarks/accuracy.py --data DIR`` reads DIR as ``edgerestore train`` does, runs every
network that ships weights in float32 in PyTorch, prints a table with what was to be reached, and
writes a result file; ``--table`` prints the last results for the README.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import msgspec
from arguments import exit_after

from edgerestore.files import sha256_of, write_beside
from edgerestore.networks import MODELS, ModelSpec
from edgerestore.networks.spec import SHIPPED_WEIGHTS

RESULTS = Path(__file__).parent / "results" / "accuracy.json"
RGB = "Kodak24"
"""Denoising is measured over RGB by custom, and all else on luma."""


class Aim(msgspec.Struct, frozen=True, kw_only=True):
    """What weights were to reach, in dB; of a gain over the degraded pictures if ``gain``."""

    least: float
    hoped: float
    """With an hour of one GPU."""
    gain: bool = False


AIMS = {
    "esrt_s_x2": Aim(least=37.1, hoped=37.7),
    "esrt_s_x4": Aim(least=30.9, hoped=31.9),
    "drt_s": Aim(least=33.5, hoped=36.0),
    "drsformer_s": Aim(least=33.5, hoped=36.5),
    "ipt_s_x2": Aim(least=1.5, hoped=3, gain=True),
    "ipt_s_x3": Aim(least=1.5, hoped=3, gain=True),
    "ipt_s_x4": Aim(least=1.5, hoped=3, gain=True),
    "ipt_s_denoise30": Aim(least=9, hoped=11, gain=True),
    "ipt_s_denoise50": Aim(least=9, hoped=11, gain=True),
    "ipt_s_derain": Aim(least=2, hoped=6, gain=True),
}


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One network on one set; PSNR in dB, means over images."""

    model: str
    """The entry that deploys the task."""
    weights_sha256: str
    set: str
    images: int
    border: int
    protocol: str
    input_psnr_y_db: float
    input_psnr_rgb_db: float
    psnr_y_db: float
    psnr_rgb_db: float
    ssim_y: float | None

    @property
    def channels(self) -> str:
        """What counts: "RGB" or "Y"."""
        return "RGB" if RGB in self.set else "Y"

    @property
    def score(self) -> tuple[float, float]:
        """The degraded pictures' PSNR and the restored ones', on the channels that count."""
        if self.channels == "RGB":
            return self.input_psnr_rgb_db, self.psnr_rgb_db
        return self.input_psnr_y_db, self.psnr_y_db

    @property
    def reached(self) -> float:
        """What is held against the aim."""
        before, after = self.score
        return after - before if AIMS[self.model].gain else after


def main() -> int:
    """Measures and writes; returns 1 where weights reach less than they must."""
    given = _arguments()
    if given.table:
        print(table(msgspec.json.decode(given.json.read_bytes(), type=list[Row])))
        return 0
    if given.data is None:
        sys.exit("--data DIR: the folder that holds the recipes' data folders")
    names = given.models or [name for name in MODELS if weights_of(name).is_file()]
    rows = [row for name in names for row in _measure(MODELS[name], given.data)]
    if not given.models:
        write_beside(given.json, msgspec.json.format(msgspec.json.encode(rows), indent=1) + b"\n")
    print(table(rows))
    missed = [row for row in rows if row.reached < AIMS[row.model].least]
    for row in missed:
        print(f"{row.model}: {row.reached:.2f} dB; at least {AIMS[row.model].least} are wanted")
    return int(bool(missed))


def table(rows: list[Row]) -> str:
    """The Markdown table: one line a network and set."""
    lines = [
        "| weights | set | degraded | restored | SSIM-Y | at least | hoped for on a GPU |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        aim, (before, after) = AIMS[row.model], row.score
        sign = "+" if aim.gain else ""
        ssim = "-" if row.ssim_y is None else f"{row.ssim_y:.4f}"
        lines.append(
            f"| `{row.model}` | {row.set.rpartition(' on ')[2]}, {row.images} images "
            f"| {before:.2f} | **{after:.2f}** dB {row.channels} | {ssim} "
            f"| {sign}{aim.least} | {sign}{aim.hoped} |"
        )
    return "\n".join(lines)


def weights_of(name: str) -> Path:
    """Where a network's own shipped weights would lie."""
    return SHIPPED_WEIGHTS / f"{name}.safetensors"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", help="some of the shipped ones; writes no result file")
    parser.add_argument("--data", type=Path, help="as 'edgerestore train --data'")
    parser.add_argument("--json", type=Path, default=RESULTS)
    parser.add_argument("--table", action="store_true", help="print the results that are there")
    return parser.parse_args()


def _measure(spec: ModelSpec, data: Path) -> list[Row]:
    import torch

    from edgerestore.networks.weights import load_network
    from edgerestore.recipe import Recipe, read_toml
    from edgerestore.shipped import shipped_toml
    from edgerestore.train.validation import validation_set

    recipe = read_toml(shipped_toml("recipes", spec.name), Recipe)
    network = load_network(spec)
    sha256 = sha256_of(weights_of(spec.name))
    rows = []
    for wanted in recipe.train.validation if recipe.train else ():
        held_back = validation_set(data, wanted, spec)
        figures: dict[str, Any] = msgspec.to_builtins(
            held_back.measure(network, torch.device("cpu")).figures
        )
        rows.append(
            Row(
                model=held_back.spec.name,
                weights_sha256=sha256,
                set=held_back.name,
                images=len(held_back.pairs),
                border=held_back.spec.border,
                protocol=held_back.protocol(),
                input_psnr_y_db=held_back.input_psnr_y_db,
                input_psnr_rgb_db=held_back.input_psnr_rgb_db,
                **figures,
            )
        )
        print(f"{rows[-1].model}: {rows[-1].reached:.3f} dB", flush=True)
    return rows


if __name__ == "__main__":
    exit_after(main)

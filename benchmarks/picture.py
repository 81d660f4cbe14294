"""The README's picture: a cut of the demo's photograph, enlarged threefold.

``python benchmarks/picture.py demo-report`` reads what ``make demo`` left there.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from edgerestore.evaluation import read_pairs
from edgerestore.shipped import shipped_folder

BOX = (190, 128, 350, 300)
"""Left, top, right and bottom in pixels of the restored photograph."""
ZOOM = 3
GAP = 12
CAPTION = 26
OUT = Path(__file__).parent / "results" / "demo.png"


def main(report: Path) -> None:
    """Writes bicubic, restored and truth side by side."""
    (pair,) = read_pairs(shipped_folder("calibration") / "demo", 2)
    truth = Image.fromarray(pair.high)
    bicubic = Image.fromarray(pair.low).resize(truth.size, Image.Resampling.BICUBIC)
    restored = Image.open(report / f"{pair.name}-x2.png")
    captions = ("bicubic x2", "esrt_s_x2 in INT8, OpenVINO", "ground truth")
    width, height = (BOX[2] - BOX[0]) * ZOOM, (BOX[3] - BOX[1]) * ZOOM
    sheet = Image.new("RGB", (3 * width + 2 * GAP, height + CAPTION), "white")
    draw = ImageDraw.Draw(sheet)
    for place, (image, caption) in enumerate(
        zip((bicubic, restored, truth), captions, strict=True)
    ):
        cut = np.asarray(image.convert("RGB").crop(BOX))
        left = place * (width + GAP)
        sheet.paste(Image.fromarray(cut.repeat(ZOOM, 0).repeat(ZOOM, 1)), (left, CAPTION))
        draw.text((left + 2, 4), caption, fill="black", font_size=15)
    OUT.parent.mkdir(exist_ok=True)
    sheet.save(OUT, optimize=True)
    print(f"written to {OUT}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

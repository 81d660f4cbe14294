"""Image quality, with peak, channel and border always explicit."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgerestore.errors import InputError, MissingPartError

PEAK = 255.0
"""Of 8-bit values: the peak of PSNR, never the data's maximum."""
LARGEST_DB = 300.0
"""What floats of a peak of 1 have that do not differ."""


MOST_PSNR_DB = 100.0
"""PSNR that infinity counts as in means and manifests, so that both stay finite."""

VISIBLE_PSNR_DB = 60.0
"""PSNR above which no drop is counted: rounding to 8 bits alone is 58.9 dB from what was rounded.

A flat picture that FP32 meets exactly, and INT8 but for one grey level in a few pixels, has lost
nothing that anybody sees, and would outweigh every photograph.
"""


def luma(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """ITU-R BT.601 luma in [16, 235], H x W, from RGB uint8, unrounded.

    The Y that super-resolution papers measure on (MATLAB's ``rgb2ycbcr``).
    """
    red, green, blue = np.moveaxis(image.astype(np.float64), -1, 0)
    weighted: NDArray[np.float64] = 65.481 * red + 128.553 * green + 24.966 * blue
    return weighted / 255.0 + 16.0


def psnr_db(
    result: NDArray[np.floating],
    expected: NDArray[np.floating],
    *,
    axis: int | tuple[int, ...] | None = None,
) -> NDArray[np.float64]:
    """PSNR in dB of floats, peak 1, over all axes or those given; 300 dB at most."""
    squares = (result.astype(np.float64) - expected) ** 2
    decibels: NDArray[np.float64] = -10 * np.log10(
        np.maximum(squares.mean(axis=axis), 10 ** (-LARGEST_DB / 10))
    )
    return decibels


def psnr_y_db(result: NDArray[np.uint8], truth: NDArray[np.uint8], *, border: int) -> float:
    """PSNR in dB of luma, ``border`` pixels cut on every side, peak 255.

    Identical images give infinity. Raises InputError where the shapes differ.
    """
    return _psnr_db(*_luma_pair(result, truth, border))


def psnr_rgb_db(result: NDArray[np.uint8], truth: NDArray[np.uint8], *, border: int) -> float:
    """PSNR in dB over red, green and blue together, as denoising papers measure it.

    Border, peak and errors are those of :func:`psnr_y_db`.
    """
    _require_same_shape(result, truth)
    inner = slice(border, -border or None)
    a, b = (image.astype(np.float64)[inner, inner] for image in (result, truth))
    return _psnr_db(a, b)


def ssim_y(result: NDArray[np.uint8], truth: NDArray[np.uint8], *, border: int) -> float:
    """SSIM of luma by scikit-image: Gaussian window of sigma 1.5, data range 255.

    ``border`` pixels are cut on every side first. Population covariance, as in Wang et al.
    """
    try:
        from skimage.metrics import structural_similarity
    except ImportError as error:
        raise MissingPartError(
            "SSIM needs scikit-image: pip install 'edgerestore[evaluate]'"
        ) from error
    a, b = _luma_pair(result, truth, border)
    return float(
        structural_similarity(
            a, b, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=PEAK
        )
    )


def to_uint8(image: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Rounds values in [0, 1] to 8 bits, clipping what lies outside."""
    rounded: NDArray[np.uint8] = np.clip(np.rint(image * PEAK), 0, PEAK).astype(np.uint8)
    return rounded


def _luma_pair(
    result: NDArray[np.uint8], truth: NDArray[np.uint8], border: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    _require_same_shape(result, truth)
    inner = slice(border, -border or None)
    return luma(result)[inner, inner], luma(truth)[inner, inner]


def _psnr_db(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    return float("inf") if np.array_equal(a, b) else float(psnr_db(a / PEAK, b / PEAK))


def _require_same_shape(result: NDArray[np.uint8], truth: NDArray[np.uint8]) -> None:
    if result.shape != truth.shape:
        raise InputError(f"cannot compare images of {result.shape} and {truth.shape}")


def counted_psnr_db(value: float) -> float:
    """A picture's PSNR as means and manifests count it: 100 dB at most, never infinite."""
    return min(value, MOST_PSNR_DB)


def psnr_drop_db(reference: float, value: float) -> float:
    """PSNR drop in dB of a picture against a reference, both counted up to 60 dB."""
    return min(reference, VISIBLE_PSNR_DB) - min(value, VISIBLE_PSNR_DB)


def exceeding(value: float, limit: float, digits: int = 3) -> tuple[str, str]:
    """Both figures with so many digits, or as many more as tell them apart."""
    while digits < 12 and value != limit and f"{value:.{digits}f}" == f"{limit:.{digits}f}":
        digits += 1
    return decibels(value, digits), decibels(limit, digits)


def decibels(value: float, digits: int = 3) -> str:
    """A difference for people; what rounds to nothing has no sign."""
    return f"{round(value, digits) + 0.0:.{digits}f}"

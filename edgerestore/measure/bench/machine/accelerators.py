"""GPUs and NPUs, and the drivers that serve them."""

from __future__ import annotations

import re
from pathlib import Path

from edgerestore.measure.bench.machine import nvidia
from edgerestore.measure.bench.machine.files import ROOT, matching, text

GRAPHICS, ACCELERATOR = "sys/class/drm/card[0-9]*", "sys/class/accel/accel[0-9]*"
NVIDIA = "0x10de"
"""Vendor of GPUs that NVML names better."""

_TEGRA = re.compile(r"# R(\d+) \(release\), REVISION: ([\d.]+)")


def gpus(root: Path = ROOT) -> list[str]:
    """Names of NVIDIA's GPUs with their limits, and driver and PCI number of the others."""
    library = nvidia.nvml()
    found = []
    for handle in nvidia.handles(library):
        limits = nvidia.limits(library, handle)
        found.append(nvidia.name(library, handle) + (f" ({limits})" if limits else ""))
    return found + _devices(root, GRAPHICS)


def gpu_clocks_mhz() -> list[float]:
    """The SM clock of each of NVIDIA's GPUs now, in MHz."""
    library = nvidia.nvml()
    clocks = [nvidia.clock_mhz(library, handle) for handle in nvidia.handles(library)]
    return [clock for clock in clocks if clock is not None]


def npus(root: Path = ROOT) -> list[str]:
    """Driver and PCI number of what the kernel calls compute accelerators."""
    return _devices(root, ACCELERATOR)


def drivers(root: Path = ROOT) -> dict[str, str]:
    """Versions of the drivers that serve GPUs and NPUs, as far as they tell them."""
    found = {}
    version = nvidia.driver_version(nvidia.nvml())
    if version:
        found["nvidia"] = version
    tegra = _TEGRA.search(text(root / "etc/nv_tegra_release") or "")
    if tegra:
        found["Jetson Linux"] = f"{tegra[1]}.{tegra[2]}"
    # What comes with the kernel has no version of its own.
    kernel = text(root / "proc/sys/kernel/osrelease") or ""
    for pattern in (GRAPHICS, ACCELERATOR):
        for device in matching(root, f"{pattern}/device"):
            driver = _driver(device)
            if driver and driver not in found:
                found[driver] = text(root / f"sys/module/{driver}/version") or kernel
    return {name: version for name, version in found.items() if version}


def _devices(root: Path, pattern: str) -> list[str]:
    found = []
    for device in matching(root, f"{pattern}/device"):
        vendor, product = text(device / "vendor"), text(device / "device")
        if vendor and product and vendor != NVIDIA:
            found.append(f"{_driver(device)} {vendor[2:]}:{product[2:]}".strip())
    return found


def _driver(device: Path) -> str:
    """Of the lines of ``uevent``, because a copied tree has no links."""
    for line in (text(device / "uevent") or "").splitlines():
        if line.startswith("DRIVER="):
            return line.removeprefix("DRIVER=")
    return ""

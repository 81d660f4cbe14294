"""Whether two results were taken under the same conditions, so that their times compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgerestore.bench.environment import Environment
from edgerestore.errors import InputError

OWN = ("edgerestore", "numpy")
"""Whose versions may differ: what is compared over time, and what no kernel runs in."""


def key_of(environment: Environment) -> dict[str, str]:
    """What decides how fast a machine is, in words; what it does not tell is "unknown".

    Load, time and present clocks are not in it: they differ between any two runs.
    """
    e = environment
    limits = e.clock_limits_mhz
    versions = {name: version for name, version in e.versions.items() if name not in OWN}
    return {
        "machine": e.machine,
        "CPU": e.cpu,
        "cores": str(e.cores),
        "governor": e.governor or "unknown",
        "clock limits": f"{limits[0]:g} to {limits[1]:g} MHz" if limits else "unknown",
        "boost": {True: "on", False: "off", None: "unknown"}[e.boost],
        "power mode": e.power_mode or "unknown",
        "container's cores": f"{e.container_cores:g}" if e.container_cores else "no limit",
        "container's memory": (
            f"{e.container_memory_mib:.0f} MiB" if e.container_memory_mib else "no limit"
        ),
        "GPUs": ", ".join(e.gpus) or "none",
        "NPUs": ", ".join(e.npus) or "none",
        "drivers": _listed(e.drivers),
        "runtimes": _listed(versions),
    }


def differences(one: Environment, other: Environment) -> list[str]:
    """What differs, such as "governor: powersave, performance"; empty where nothing does."""
    first, second = key_of(one), key_of(other)
    return [
        f"{name}: {first[name]}, {second[name]}" for name in first if first[name] != second[name]
    ]


def check_comparable(taken: Sequence[tuple[str, Environment]], *, across: bool) -> None:
    """Raises InputError, which names two of the results and what differs between them.

    ``taken`` holds a name, such as a file's, and where its numbers were taken. With
    ``across`` nothing is checked.
    """
    if across:
        return
    for name, environment in taken[1:]:
        found = differences(taken[0][1], environment)
        if found:
            raise InputError(
                f"{name} was not measured under the conditions of {taken[0][0]} "
                f"({'; '.join(found)}); give --across to show them together all the same"
            )


def _listed(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in sorted(versions.items())) or "none"

"""Whether two results were taken under the same conditions, so that their times compare."""

from __future__ import annotations

from collections.abc import Sequence

from edgerestore.errors import InputError
from edgerestore.measure.bench.environment import Environment

OWN = ("edgerestore", "numpy")
"""Whose versions may differ: what is compared over time, and what no kernel runs in."""

NONE = "none"
"""Of a driver or runtime that one of two machines lacks."""


def key_of(environment: Environment) -> dict[str, str]:
    """What decides how fast a machine is, in words; what it does not tell is "unknown".

    Load, time and present clocks are not in it: they differ between any two runs.
    """
    e = environment
    limits = e.clock_limits_mhz
    return {
        "machine": e.machine,
        "CPU": e.cpu,
        "CPU's units": ", ".join(e.cpu_units) or "unknown",
        "cores": str(e.cores),
        "governor": e.governor or "unknown",
        "clock limits": f"{limits[0]:g} to {limits[1]:g} MHz" if limits else "unknown",
        "boost": {True: "on", False: "off", None: "unknown"}[e.boost],
        "power mode": e.power_mode or "unknown",
        "container's cores": f"{e.container_cores:g}" if e.container_cores else "no limit",
        "container's memory": (
            f"{e.container_memory_mib:.0f} MiB" if e.container_memory_mib else "no limit"
        ),
        "GPUs": ", ".join(e.gpus) or NONE,
        "NPUs": ", ".join(e.npus) or NONE,
        **{f"driver {name}": version for name, version in sorted(e.drivers.items())},
        **{n: version for n, version in sorted(e.versions.items()) if n not in OWN},
    }


def differences(one: Environment, other: Environment) -> list[str]:
    """What differs, such as "governor: powersave, performance"; empty where nothing does."""
    first, second = key_of(one), key_of(other)
    names = dict.fromkeys([*first, *second])
    pairs = [(name, first.get(name, NONE), second.get(name, NONE)) for name in names]
    return [f"{name}: {mine}, {theirs}" for name, mine, theirs in pairs if mine != theirs]


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

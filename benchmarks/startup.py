"""What the command costs before it does anything: CPU seconds, medians of child processes.

``python benchmarks/startup.py`` runs each command in turn, several rounds, and writes a
result file. CPU time, not wall time: it holds on a busy machine, roughly.
"""

from __future__ import annotations

import json
import platform
import resource
import statistics
import subprocess
import sys
from pathlib import Path

ROUNDS = 15
GOAL_CPU_S = 0.3
RESULTS = Path(__file__).parent / "results" / "startup.json"
COMMANDS = {
    "python -c pass": (sys.executable, "-c", "pass"),
    "import edgerestore": (sys.executable, "-c", "import edgerestore"),
    "edgerestore --help": (sys.executable, "-m", "edgerestore", "--help"),
    "edgerestore restore --help": (sys.executable, "-m", "edgerestore", "restore", "--help"),
}


def main() -> int:
    """Measures and writes; returns 1 where a goal is missed."""
    samples: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(ROUNDS):
        for name, command in COMMANDS.items():
            samples[name].append(_cpu_seconds(command))
    medians = {name: statistics.median(values) for name, values in samples.items()}
    document = {
        "cpu_seconds": medians,
        "samples": samples,
        "goal_cpu_s": GOAL_CPU_S,
        "python": platform.python_version(),
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(document, indent=1) + "\n")
    for name, seconds in medians.items():
        print(f"{name:28}{seconds:7.3f} s of CPU")
    return int(any(seconds > GOAL_CPU_S for seconds in medians.values()))


def _cpu_seconds(command: tuple[str, ...]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    sys.exit(main())

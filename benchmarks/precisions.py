"""What each precision costs every network that ships weights, in decibels on real pictures.

``python benchmarks/precisions.py`` builds every network in every precision of three targets as
``edgerestore build`` does, runs each bundle in its runtime, or emulates it where this machine
cannot, and sets its pictures against those of the FP32 network. It writes a result file, prints
a table for the README and names what loses more than is aimed at; ``--table`` prints the last
results. With ``--weights`` and ``--data`` it measures other weights of one network on other pairs.
It times nothing, so that the machine may do other work.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec
from arguments import exit_after
from documents import read_document, write_document

from edgerestore.bundle import Accuracy, DropLimits
from edgerestore.measure.bench.environment import Environment, Watch
from edgerestore.networks import MODELS
from edgerestore.pipeline.gate import ALLOWED
from edgerestore.pipeline.job import builder_of
from edgerestore.pipeline.request import job_from
from edgerestore.recipe.scalars import PrecisionName

RESULTS = Path(__file__).parent / "results" / "precisions.json"
TARGETS = ("x86-openvino", "x86-onnxruntime", "rtx-tensorrt")
AIMS = {**ALLOWED, "bf16": DropLimits(mean_drop_db=0.005, worst_drop_db=0.005)}
"""Most that is to be lost: in the mean, and on the worst picture. Builds allow some more in BF16,
whose kernels differ from CPU to CPU."""
SHOWN = ("fp16", "bf16", "int8")
"""In the table; FP32 in another runtime loses nothing that three digits show."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One bundle."""

    model: str
    """And the pairs, where they are not the shipped ones."""
    target: str
    precision: PrecisionName
    ran: str
    """As the bundle's parity says."""
    accuracy: Accuracy

    @property
    def drops(self) -> str:
        """Mean and worst, for a table."""
        said = f"{self.accuracy.mean_drop_db:.3f}/{self.accuracy.worst_drop_db:.3f}"
        return said if self.reached else f"**{said}**"

    @property
    def reached(self) -> bool:
        """Whether no more is lost than is aimed at."""
        return AIMS[self.precision].hold(self.accuracy)


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """One network on one machine."""

    environment: Environment
    rows: list[Row]


def main() -> int:
    """Measures and writes; returns 1 where more is lost than is aimed at."""
    given = _arguments()
    document = read_document(given.out)
    for model in [] if given.table else given.models:
        name = f"{model} on {given.data.name}" if given.data else model
        found = measure(model, name, given.weights, given.data)
        document[name] = msgspec.to_builtins(found)
        write_document(given.out, document)
    rows = [
        row
        for measured in msgspec.convert(document, dict[str, Measured]).values()
        for row in measured.rows
    ]
    print(table(rows))
    for row in rows:
        if not row.reached:
            aim = AIMS[row.precision]
            print(f"{row.model} {row.precision} {row.target}: {row.drops} dB; "
                  f"{aim.mean_drop_db:g}/{aim.worst_drop_db:g} are aimed at")  # fmt: skip
    return 0 if all(row.reached for row in rows) else 1


def shipped() -> list[str]:
    """Every network that deploys one task and ships weights, a parent's for its tasks."""
    return [name for name, spec in MODELS.items() if spec.weights and not spec.tasks]


def measure(
    model: str, name: str, weights: Path | None = None, data: Path | None = None
) -> Measured:
    """Builds every bundle and asks it what it lost; ``name`` is what rows call the network."""
    watch, rows = Watch(), []
    with tempfile.TemporaryDirectory() as folder:
        job = job_from(
            model,
            targets=TARGETS,
            precisions=["fp32"],
            out=Path(folder),
            weights=weights,
            data=data,
        )
        cases = tuple((target, own) for target, _ in job.cases for own in target.precisions)
        builder = builder_of(dataclasses.replace(job, cases=cases, refuses=False))
        for target, precision in cases:
            built = builder.on(target).build(target, precision).manifest
            assert built.accuracy is not None
            assert built.parity is not None
            if built.parity.status == "not compiled, not executed":
                # BF16 on a CPU without it computes in FP32, which would tell nothing.
                print(f"{name} {precision} {target.name}: not executed here", flush=True)
                continue
            rows.append(
                Row(
                    model=name,
                    target=target.name,
                    precision=precision,
                    ran=built.parity.status,
                    accuracy=built.accuracy,
                )
            )
            print(f"{name} {precision} {target.name}: {rows[-1].drops} dB", flush=True)
    return Measured(environment=watch.finish(0.0), rows=rows)


def table(rows: Sequence[Row]) -> str:
    """Markdown: a line for each network, mean/worst in each column, bold where an aim is missed."""
    columns = [
        f"{target}, {precision}"
        for target in TARGETS
        for precision in SHOWN
        if any((row.target, row.precision) == (target, precision) for row in rows)
    ]
    cells: dict[str, dict[str, str]] = {}
    for row in rows:
        cells.setdefault(row.model, {})[f"{row.target}, {row.precision}"] = row.drops
    lines = [f"| network | {' | '.join(columns)} |", f"|---|{'---|' * len(columns)}"]
    for model, found in cells.items():
        lines.append(f"| `{model}` | {' | '.join(found.get(c, '-') for c in columns)} |")
    return "\n".join(lines)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=shipped(), metavar="MODEL", help="else all")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--weights", type=Path, help="of the one network named")
    parser.add_argument("--data", type=Path, help="folder of pairs, as 'edgerestore build' takes")
    parser.add_argument("--table", action="store_true", help="print the results that are there")
    given = parser.parse_args()
    if (given.weights or given.data) and len(given.models) != 1:
        parser.error("--weights and --data are of one network: name it")
    return given


if __name__ == "__main__":
    exit_after(main)

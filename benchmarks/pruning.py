"""What pruning costs in decibels and what it buys in latency: a curve for each network.

``edgerestore prune RECIPE.toml --data DIR --out RUN`` prunes in rounds, each of which leaves
trained weights; ``python benchmarks/pruning.py RUN ...`` builds the dense network and every
round's for OpenVINO, times all of one run interleaved, and writes a result file and a plot.
Ratios are to the dense network in the same precision. A bundle that misses its accuracy gate is
timed too, and its drop says so.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from pathlib import Path

import msgspec
from arguments import exit_after
from pruning_plot import write_plot

from edgerestore.bundle import Bundle
from edgerestore.files import write_beside
from edgerestore.measure.bench.bundles import protocol_of, worker_command
from edgerestore.measure.bench.environment import Environment, Watch, warnings
from edgerestore.measure.bench.harness import Candidate, Plan, cpu_seconds, measure
from edgerestore.measure.bench.results import Ratio, ratios_of

RESULTS = Path(__file__).parent / "results" / "pruning.json"
TARGET, PRECISIONS = "x86-openvino", ("fp32", "int8")
FOLLOWS = 0.75
"""Of the share of MACs that goes, the share of latency that goes with it at least, for the one
to follow the other."""


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """One precision of one network, against the dense network in that precision."""

    ratio: float
    low: float | None
    """Lower bound of the 95 % bootstrap interval."""
    high: float | None
    drop_db: float | None
    """What the precision itself costs on the shipped evaluation pairs, mean PSNR-Y, if scored."""
    worst_drop_db: float | None


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """A network of one run: the dense one, or what a round left."""

    macs: int
    """Of one tile of the bundles that are timed."""
    params: int
    pruned_db: float | None
    """PSNR-Y on the run's validation set before the network learned again."""
    psnr_y_db: float | None
    latency: dict[str, Latency]


class Curve(msgspec.Struct, frozen=True, kw_only=True):
    """One run, the dense network first."""

    model: str
    validation: list[str]
    steps: int
    """Of training after each round."""
    code: str
    """What pruned and trained."""
    points: list[Point]
    environment: Environment
    protocol: dict[str, str]
    warnings: list[str]


def main() -> int:
    """Builds, measures and writes."""
    given = _arguments()
    curves = [_measure(run, given) for run in given.runs]
    document = msgspec.json.format(msgspec.json.encode(curves), indent=1)
    write_beside(given.out, document + b"\n")
    write_plot(given.out.with_suffix(".png"), curves)
    for curve in curves:
        _show(curve)
    print(f"written to {given.out}")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, help="folders of 'edgerestore prune'")
    parser.add_argument("--seconds", type=float, default=10.0, help="for each bundle")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--latency-only", action="store_true", help="do not score the bundles: quicker"
    )
    parser.add_argument("--out", type=Path, default=RESULTS)
    return parser.parse_args()


def _measure(run: Path, given: argparse.Namespace) -> Curve:
    from edgerestore.networks.weights import metadata_in
    from edgerestore.pruning.rounds import JOURNAL, Journal

    journal = msgspec.json.decode((run / JOURNAL).read_bytes(), type=Journal)
    plan, threads = Plan(seconds=given.seconds), given.threads
    with tempfile.TemporaryDirectory() as folder:
        built = [
            _build(journal.model, run / stage.weights, Path(folder, str(number)), given)
            for number, stage in enumerate(journal.stages)
        ]
        names = [[f"{number} {p}" for p in PRECISIONS] for number in range(len(built))]
        candidates = [
            Candidate(name, worker_command(bundle.path, threads))
            for row, bundles in zip(names, built, strict=True)
            for name, bundle in zip(row, bundles, strict=True)
        ]
        watch = Watch()
        seen = measure(candidates, plan)
        environment = watch.finish(cpu_seconds(seen))
    ratios: dict[str, Ratio] = {}
    for precision in PRECISIONS:
        ofthem = [m for m in seen if m.candidate.name.endswith(precision)]
        ratios |= {ratio.name: ratio for ratio in ratios_of(ofthem, plan)}
    points = [
        Point(
            macs=bundles[0].manifest.costs.macs,
            params=stage.params,
            pruned_db=stage.pruned_db,
            psnr_y_db=stage.psnr_y_db,
            latency={
                precision: _latency(ratios.get(name), bundle)
                for precision, name, bundle in zip(PRECISIONS, row, bundles, strict=True)
            },
        )
        for stage, row, bundles in zip(journal.stages, names, built, strict=True)
    ]
    return Curve(
        model=journal.model,
        validation=[item.pairs or ", ".join(item.clean) for item in journal.training.validation],
        steps=journal.training.steps,
        code=str(metadata_in(run / journal.stages[-1].weights).get("code")),
        points=points,
        environment=environment,
        protocol={name: str(value) for name, value in protocol_of(plan, threads).items()},
        warnings=warnings(environment),
    )


def _build(model: str, weights: Path, out: Path, given: argparse.Namespace) -> list[Bundle]:
    from edgerestore.pipeline import build_bundles
    from edgerestore.pipeline.request import job_from

    print(f"building {weights}", flush=True)
    job = job_from(
        model,
        targets=[TARGET],
        precisions=PRECISIONS,
        weights=weights,
        out=out,
    )
    pairs = [] if given.latency_only else job.evaluation
    return build_bundles([dataclasses.replace(job, refuses=False, evaluation=pairs)])


def _latency(ratio: Ratio | None, bundle: Bundle) -> Latency:
    accuracy = bundle.manifest.accuracy
    return Latency(
        # The first of them is what the others are compared with.
        ratio=ratio.median if ratio else 1.0,
        low=ratio.low if ratio else None,
        high=ratio.high if ratio else None,
        drop_db=accuracy.mean_drop_db if accuracy else None,
        worst_drop_db=accuracy.worst_drop_db if accuracy else None,
    )


def _show(curve: Curve) -> None:
    print(f"{curve.model}, {', '.join(curve.validation)}")
    dense = curve.points[0]
    for point in curve.points[1:]:
        share = 1 - point.macs / dense.macs
        loss = _difference(dense.psnr_y_db, point.psnr_y_db)
        print(f"  {-share:+.0%} MACs: {loss} lost, {_words(point.latency, share)}")
    for warning in curve.warnings:
        print(f"  {warning}")


def _words(latency: dict[str, Latency], share: float) -> str:
    """What the smaller network wins, and whether that is what its MACs promise."""
    parts = []
    for precision, seen in latency.items():
        interval = "" if seen.low is None else f" ({seen.low:.2f}-{seen.high:.2f})"
        follows = "" if 1 - seen.ratio >= FOLLOWS * share else ", which does not follow"
        parts.append(f"{precision} latency {seen.ratio:.2f}{interval} of the dense one's{follows}")
    return "; ".join(parts)


def _difference(one: float | None, other: float | None) -> str:
    return "-" if one is None or other is None else f"{one - other:.3f} dB"


if __name__ == "__main__":
    exit_after(main)

"""What restoring several tiles at once saves: a whole picture, from file to file.

``python benchmarks/streams.py`` builds shipped networks for OpenVINO and ONNX Runtime, restores one
photograph with one tile under way and with as many as 'edgerestore restore' has, in one interleaved
run for each bundle, and writes a result file.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import msgspec
from arguments import exit_after, parser_of_models
from documents import read_document, write_document

from edgerestore.measure.bench.environment import Watch, warnings
from edgerestore.measure.bench.harness import Candidate, Plan, cpu_seconds, measure
from edgerestore.measure.bench.picture import command, shipped_picture
from edgerestore.measure.bench.results import Costs, Results, ratios_of, result_of
from edgerestore.pipeline import build_bundles
from edgerestore.pipeline.request import job_from
from edgerestore.restoration import streams_for

RESULTS = Path(__file__).parent / "results" / "streams.json"
MODELS = ("esrt_s_x2", "drt_s", "drsformer_s", "ipt_s_x2")
TARGETS = ("x86-openvino", "x86-onnxruntime")


def main() -> int:
    """Builds, measures and writes."""
    given = _arguments()
    known = read_document(given.out)
    for model in given.models:
        with tempfile.TemporaryDirectory() as folder:
            print(f"{model}: building", flush=True)
            job = job_from(model, targets=TARGETS, precisions=["fp32", "int8"], out=Path(folder))
            for bundle in build_bundles([job]):
                found = _measured(bundle.path, given)
                known[bundle.name] = msgspec.to_builtins(found)
                _show(bundle.name, found)
                write_document(given.out, known)
    print(f"written to {given.out}")
    return 0


def _arguments() -> argparse.Namespace:
    parser = parser_of_models(__doc__, MODELS, RESULTS, each="candidate")
    parser.add_argument("--picture", type=Path, default=shipped_picture())
    return parser.parse_args()


def _measured(bundle: Path, given: argparse.Namespace) -> Results:
    plan, watch = Plan(seconds=given.seconds), Watch()
    candidates = [
        Candidate(f"{streams} at once", command(bundle, given.threads, given.picture, streams))
        for streams in (1, streams_for(given.threads))
    ]
    seen = measure(candidates, plan)
    environment = watch.finish(cpu_seconds(seen))
    return Results(
        bundles=[result_of(one, bundle.name, Costs()) for one in seen],
        environment=environment,
        ratios=ratios_of(seen, plan),
        protocol={"picture": given.picture.name, "threads": given.threads},
        warnings=warnings(environment),
    )


def _show(name: str, results: Results) -> None:
    one, several = results.bundles
    for row in (one, several):
        if row.latency_ms is None:
            print(f"{name}, {row.name}: {row.status}: {row.reason}")
            return
    (ratio,) = results.ratios
    low, high = ratio.low or 0.0, ratio.high or 0.0
    print(
        f"{name}: {several.name} takes {ratio.median:.3f} ({low:.3f} to {high:.3f}) of the time; "
        f"{one.peak_host_mib or 0:.0f} and {several.peak_host_mib or 0:.0f} MiB",
        flush=True,
    )


if __name__ == "__main__":
    exit_after(main)

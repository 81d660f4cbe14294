"""What several tiles in one run save: bundles of each batch beside the bundle of one tile.

``python benchmarks/batches.py`` builds every shipped network in INT8 for OpenVINO at several
batches, each through its accuracy gate, measures them in one interleaved run for each network and
writes a result file. What is compared is the time of a tile: ratios are per pixel of output.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import msgspec
from arguments import exit_after, parser_of_models
from documents import read_document, write_document

from edgerestore.measure.bench.bundles import bench_bundles
from edgerestore.measure.bench.harness import Plan
from edgerestore.measure.bench.results import Results
from edgerestore.pipeline import build_bundles
from edgerestore.pipeline.request import job_from

RESULTS = Path(__file__).parent / "results" / "batches.json"
MODELS = ("esrt_s_x2", "esrt_s_x4", "drt_s", "drsformer_s", "ipt_s_x2")
BATCHES = (1, 2, 4, 8)


def main() -> int:
    """Builds, measures and writes."""
    given = parser_of_models(__doc__, MODELS, RESULTS, each="bundle").parse_args()
    known = read_document(given.out)
    for model in given.models:
        with tempfile.TemporaryDirectory() as folder:
            print(f"{model}: building", flush=True)
            paths = [_built(model, batch, Path(folder)) for batch in BATCHES]
            results = bench_bundles(paths, Plan(seconds=given.seconds), given.threads)
        _show(model, results)
        # Not where they lay, which was a folder that has gone.
        rows = [
            msgspec.structs.replace(row, bundle=Path(row.bundle).name) for row in results.bundles
        ]
        known[model] = msgspec.to_builtins(msgspec.structs.replace(results, bundles=rows))
        write_document(given.out, known)
    print(f"written to {given.out}")
    return 0


def _built(model: str, batch: int, out: Path) -> Path:
    job = job_from(model, targets=["x86-openvino"], precisions=["int8"], out=out, batch=batch)
    return build_bundles([job])[0].path


def _show(model: str, results: Results) -> None:
    one, *others = results.bundles
    print(f"{model}: time of a tile over that of one alone, and peak memory")
    print(f"  batch  1  1.000  {one.peak_host_mib or 0:.0f} MiB")
    ratios = {ratio.name: ratio for ratio in results.ratios}
    for row in others:
        ratio = ratios[row.name]
        print(
            f"  batch {row.input_shape[0]:2}  {ratio.median:.3f} "
            f"({ratio.low or 0:.3f} to {ratio.high or 0:.3f})  {row.peak_host_mib or 0:.0f} MiB"
        )


if __name__ == "__main__":
    exit_after(main)

"""Our INT8 beside what people use today: paper configurations, and networks with shipped weights.

``python benchmarks/int8.py`` prepares every candidate of a network from one set of weights,
measures all of them in one interleaved run on the CPU and writes a result file and a plot. Each
candidate's output is held against PyTorch's in FP32 before it is timed, and how near it came
stands beside its time. Our own forms in float are among them: what INT8 gains is told from what
rewrites gain. Paper configurations have random weights, as latency does not depend on them; of
shipped weights, what each candidate loses on the shipped evaluation pictures is measured as
well, as a peer may be fast and wrong, or exact and slow.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import peer_files
import peers
from arguments import exit_after
from documents import read_document, write_document
from int8_plot import drops, write_plot

from edgerestore.backends.openvino import lacks_bf16
from edgerestore.bundle import Accuracy
from edgerestore.errors import CheckFailedError
from edgerestore.evaluation import data_label, protocol
from edgerestore.export.counting import count_work
from edgerestore.measure.bench.environment import Watch, warnings
from edgerestore.measure.bench.harness import Candidate, Measurement, Plan, cpu_seconds, measure
from edgerestore.measure.bench.peaks.serving import command
from edgerestore.measure.bench.peaks.sizes import MACS
from edgerestore.measure.bench.results import Costs, Result, Results, ratios_of, result_of
from edgerestore.measure.bench.roofline import billions_per_s, fraction_of
from edgerestore.networks import build_network, find_model
from edgerestore.pipeline import gate
from edgerestore.tiling import DEFAULT_OVERLAP

RESULTS = Path(__file__).parent / "results"
PAPER, SHIPPED = "int8.json", "int8_shipped.json"
"""Results of the paper configurations and of the networks with shipped weights."""
OURS, OURS_ORT = "edgerestore INT8, OpenVINO", "edgerestore INT8, ONNX Runtime"
EAGER, FUSED = "torch eager FP32", "torch eager FP32, fused attention"
OURS_BF16 = "edgerestore BF16, OpenVINO"
PLAIN, PLAIN_BF16 = "OpenVINO FP32, plain export", "OpenVINO BF16, plain export"
NNCF, NNCF_TRANSFORMER = "stock nncf.quantize", "stock nncf.quantize, TRANSFORMER"
STATIC = "ONNX Runtime quantize_static"
COMPILED, COMPRESSOR = "torch.compile FP32", "neural-compressor INT8, torch.compile"
CANDIDATES = {
    OURS: ("bundle", "ours/model.xml"),
    OURS_ORT: ("bundle", "ours-ort/model.onnx"),
    OURS_BF16: ("bundle", "ours-bf16/model.xml"),
    "edgerestore FP32, OpenVINO": ("bundle", "ours-fp32/model.xml"),
    NNCF_TRANSFORMER: ("openvino-bf16", "stock-transformer.xml"),
    NNCF: ("openvino-bf16", "stock.xml"),
    STATIC: ("onnxruntime", "static.onnx"),
    COMPRESSOR: ("inductor-int8", "compressor.pt2"),
    PLAIN_BF16: ("openvino-bf16", "plain.onnx"),
    PLAIN: ("openvino-f32", "plain.onnx"),
    "ONNX Runtime FP32, plain export": ("onnxruntime", "plain.onnx"),
    "ncnn, plain export": ("ncnn", "ncnn/plain.param"),
    "ncnn, our form": ("ncnn", "ncnn-ours/deployable.param"),
    COMPILED: ("torch-compiled", peers.WEIGHTS),
    FUSED: ("torch-fused", peers.WEIGHTS),
    EAGER: ("torch", peers.WEIGHTS),
}
"""How each is opened, and the file that :mod:`peer_files` makes for it."""
PEAKS = {"int8": OURS, "fp32": PLAIN}
"""What is held against the machine's own peak of a precision, measured in the same run."""
GOALS = {
    "drt": {PLAIN: 2.5, PLAIN_BF16: 1.4},
    "esrt_x4": {EAGER: 5.0, FUSED: 5.0, PLAIN: 2.8, NNCF: 1.3, NNCF_TRANSFORMER: 1.3},
    "drsformer": {PLAIN: 2.2},
    "ipt_x2": {PLAIN: 3.0},
}
"""Latency of the peer over ours, to reach. PyTorch runs attention as published, with its
scores written out, and fused, as this package's reference form does."""
TRAINED = ("esrt_s_x2", "esrt_s_x4", "drt_s", "drsformer_s", "ipt_s_x2")
INT8 = {OURS: (NNCF_TRANSFORMER, NNCF, STATIC, COMPRESSOR), OURS_ORT: (STATIC,)}
"""Ours, and the INT8 peers that it must be neither slower nor less accurate than, at once."""


def main() -> int:
    """Prepares, measures and writes; returns 1 where a goal is missed."""
    given = _arguments()
    lacking = lacks_bf16("CPU", {"INFERENCE_PRECISION_HINT": "bf16"})
    if lacking:
        # Their times would be FP32's under another name.
        given.without += [OURS_BF16, PLAIN_BF16]
        print(f"without {OURS_BF16} and {PLAIN_BF16}: {lacking}", flush=True)
    reached = True
    for model in given.model or (*GOALS, *TRAINED):
        folder = given.work / model
        wanted = {name: made for name, made in CANDIDATES.items() if name not in given.without}
        peer_files.write_missing(folder, model, [file for _, file in wanted.values()])
        candidates = _candidates(folder, model, given.threads, wanted)
        let_compile(folder, candidates, given.patience)
        if given.prepare:
            continue
        accuracy = _accuracy(folder, model, given.threads, wanted) if model in TRAINED else {}
        results, fractions = _measure(given, model, folder, candidates, wanted)
        out = given.out / (SHIPPED if model in TRAINED else PAPER)
        measured = read_document(out)
        measured[model] = msgspec.to_builtins(results) | {"of_peak": fractions}
        if accuracy:
            measured[model]["accuracy"] = msgspec.to_builtins(accuracy)
        write_document(out, measured)
        write_plot(out.with_suffix(".svg"), measured)
        reached = _show(model, results, fractions, accuracy) and reached
    return 0 if reached else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", action="append", choices=(*GOALS, *TRAINED), help="one, or all")
    parser.add_argument("--seconds", type=float, default=15.0, help="for each candidate")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--work", type=Path, default=Path("int8-candidates"))
    parser.add_argument(
        "--without",
        action="append",
        default=[],
        choices=list(CANDIDATES)[1:],
        metavar="NAME",
        help="leave a peer out; inductor compiles for an hour",
    )
    parser.add_argument(
        "--patience",
        type=float,
        default=30.0,
        metavar="MINUTES",
        help="for inductor to compile a network; a peer that takes longer is not timed",
    )
    parser.add_argument("--prepare", action="store_true", help="write the candidates only")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the result files")
    return parser.parse_args()


def _candidates(
    folder: Path, model: str, threads: int, wanted: dict[str, tuple[str, str]]
) -> list[Candidate]:
    """Whose file could be made; ours comes first, as ratios are against it."""
    return [
        peers.candidate(name, kind, folder / file, model, threads)
        for name, (kind, file) in wanted.items()
        if (folder / file).exists()
    ]


def let_compile(folder: Path, candidates: list[Candidate], patience: float) -> None:
    """Lets inductor compile once; what it makes, or why it made nothing, is kept in ``folder``.

    Who was refused leaves ``candidates``.
    """
    for candidate in [one for one in candidates if one.name in (COMPILED, COMPRESSOR)]:
        done = _compilation(folder, candidate.name)
        if not done.exists() and peer_files.refusal(done) is None:
            print(f"{folder.name}: compiling for {candidate.name}", flush=True)
            plan = Plan(samples=1, reply_timeout_s=60 * patience)
            (seen,) = measure([candidate], plan)
            if seen.status == "measured":
                done.parent.mkdir(exist_ok=True)
                done.touch()
            else:
                peer_files.refuse(done, f"inductor compiling it: {seen.reason}")
        if not done.exists():
            candidates.remove(candidate)


def _compilation(folder: Path, name: str) -> Path:
    """Lies there where inductor has compiled for this candidate."""
    return folder / "inductor" / f"{CANDIDATES[name][0]}.warm"


def _accuracy(
    folder: Path, model: str, threads: int, wanted: Mapping[str, tuple[str, str]]
) -> dict[str, Accuracy]:
    """What each candidate loses, picture by picture, against the reference form in PyTorch.

    A candidate that fails is left out: what stopped it stands in its row of the timed run.
    """
    spec = find_model(model)
    data = data_label(*peers.evaluation_pairs(spec))
    how = protocol(border=spec.border, tile=spec.tile, overlap=DEFAULT_OVERLAP)
    print(f"{model}: restoring the evaluation pictures", flush=True)
    weights = folder / peers.WEIGHTS
    fp32 = peers.scores("torch-fused", weights, model, threads)
    found = {}
    for name, (kind, file) in wanted.items():
        if (folder / file).exists():
            try:
                own = peers.scores(kind, folder / file, model, threads)
            except CheckFailedError as error:
                print(f"{model}: {name}: {error}", flush=True)
                continue
            found[name] = gate.judge("int8", data, how, fp32, own)
    return found


def _measure(
    given: argparse.Namespace,
    model: str,
    folder: Path,
    candidates: list[Candidate],
    wanted: dict[str, tuple[str, str]],
) -> tuple[Results, list[dict[str, Any]]]:
    """One interleaved run of all candidates and of the machine's peaks."""
    plan, watch = Plan(seconds=given.seconds), Watch()
    peaks = [Candidate(name, command("openvino", name, given.threads)) for name in PEAKS]
    every = measure([*candidates, *peaks], plan)
    environment = watch.finish(cpu_seconds(every))
    seen, tops = every[: -len(peaks)], every[-len(peaks) :]
    results = Results(
        bundles=rows_of(folder, seen, wanted),
        environment=environment,
        ratios=ratios_of(seen, plan),
        protocol={
            "model": model,
            "threads": given.threads,
            "weights": "shipped" if model in TRAINED else "random",
        },
        warnings=warnings(environment),
    )
    return results, of_peaks(model, seen, tops)


def rows_of(
    folder: Path, seen: list[Measurement], wanted: dict[str, tuple[str, str]]
) -> list[Result]:
    """One for each candidate, in order; those without a file say what refused it."""
    measured = {m.candidate.name: m for m in seen}
    rows = []
    for name, (_, file) in wanted.items():
        path = folder / file
        if name in measured:
            size = Costs(file_bytes=peer_files.file_bytes(path))
            rows.append(result_of(measured[name], name, size))
        else:
            reason = peer_files.refusal(path) or peer_files.refusal(_compilation(folder, name))
            rows.append(Result(bundle=name, name=name, status="not executable here", reason=reason))
    return rows


def of_peaks(model: str, seen: list[Measurement], peaks: list[Measurement]) -> list[dict[str, Any]]:
    """Multiplications of a second over what one large product does in it, 0 to 1."""
    spec = find_model(model)
    assert spec.costs, f"{model}: not in the catalogue of costs"
    macs = {OURS: spec.costs.macs, PLAIN: count_work(build_network(spec), spec.tile).macs}
    by_name = {m.candidate.name: m for m in seen}
    rows = []
    for peak in peaks:
        name = PEAKS[peak.candidate.name]
        held = by_name[name]
        if held.status == peak.status == "measured":
            rows.append(
                {
                    "name": name,
                    "gmacs": macs[name] / 1e9,
                    "peak_gmacs_per_s": billions_per_s(MACS, peak),
                    **msgspec.to_builtins(fraction_of(held, macs[name], peak)),
                }
            )
    return rows


def _show(
    model: str,
    results: Results,
    fractions: list[dict[str, Any]],
    accuracy: Mapping[str, Accuracy],
) -> bool:
    factors = {OURS: 1.0} | {ratio.name: ratio.median for ratio in results.ratios}
    print(f"{model}:")
    for row in results.bundles:
        if row.latency_ms is None:
            print(f"  {row.name}: {row.status}: {row.reason}")
            continue
        lost = accuracy.get(row.name)
        loses = f", loses {drops(lost.mean_drop_db, lost.worst_drop_db)} dB" if lost else ""
        print(
            f"  {row.name:37}x{factors.get(row.name, 0.0):5.2f}{row.latency_ms.p50:8.1f} ms"
            f"{row.parity_psnr_db or 0.0:6.1f} dB{(row.file_bytes or 0) / 1e6:7.2f} MB"
            f"{row.peak_host_mib or 0.0:6.0f} MiB{loses}"
        )
    for part in fractions:
        print(
            f"  {part['name']}: {part['gmacs']:.2f} GMACs at {100 * part['median']:.0f} % of "
            f"{part['peak_gmacs_per_s']:.0f} GMAC/s, the peak in {part['precision']}"
        )
    goals = []
    for name, goal in GOALS.get(model, {}).items():
        seen = f"{factors[name]:.2f}" if name in factors else "not timed"
        goals.append((f"{name}: {seen} of at least {goal}", factors.get(name, 0.0) >= goal))
    goals += beside_peers(factors, accuracy)
    for said, reached in goals:
        print(f"  goal {said}: {'reached' if reached else 'MISSED'}")
    return all(reached for _, reached in goals)


def beside_peers(
    factors: Mapping[str, float], accuracy: Mapping[str, Accuracy]
) -> list[tuple[str, bool]]:
    """Whether ours is neither slower nor less accurate than each INT8 peer that was measured.

    ``factors`` are latencies over one and the same candidate's.
    """
    found = []
    for ours, others in INT8.items():
        for name in others:
            if not {ours, name} <= factors.keys() & accuracy.keys():
                continue
            ratio, own, other = factors[name] / factors[ours], accuracy[ours], accuracy[name]
            nearer = (
                own.mean_drop_db <= other.mean_drop_db and own.worst_drop_db <= other.worst_drop_db
            )
            said = (
                f"{ours} against {name}: {ratio:.2f} of at least 1, "
                f"{drops(own.mean_drop_db, own.worst_drop_db)} dB of at most "
                f"{drops(other.mean_drop_db, other.worst_drop_db)}"
            )
            found.append((said, ratio >= 1 and nearer))
    return found


if __name__ == "__main__":
    exit_after(main)

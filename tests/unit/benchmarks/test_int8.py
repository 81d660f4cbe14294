"""What the benchmark of peers writes, without running it."""

from __future__ import annotations

import json
import statistics
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgerestore.bundle import Accuracy
from edgerestore.errors import CheckFailedError
from edgerestore.measure.bench.harness import Candidate, Measurement
from edgerestore.networks import find_model

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
MEASURED = {
    "drt": {
        "bundles": [
            {"name": "ours", "latency_ms": {"p50": 10.0}, "parity_psnr_db": 37.3,
             "file_bytes": 1_280_000, "peak_host_mib": 262.2, "turns_ns": [[1, 2], [3]]},
            {"name": "quicker", "latency_ms": {"p50": 9.0}, "parity_psnr_db": 200.0,
             "file_bytes": None, "peak_host_mib": 99.0, "turns_ns": []},
            {"name": "absent <peer>", "latency_ms": None, "status": "not executable here",
             "reason": "no layer of torch.unbind"},
        ],
        "ratios": [{"name": "quicker", "median": 0.9}],
    }
}  # fmt: skip


@pytest.fixture(autouse=True)
def on_path(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The benchmarks import each other as scripts do."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield
    for name in ("documents", "int8", "int8_plot", "peer_files", "peers"):
        sys.modules.pop(name, None)


def test_arrays_of_numbers_stand_on_one_line_and_nothing_changes(tmp_path: Path) -> None:
    from documents import write_document

    document = {**MEASURED, "text": "[1,  2]", "mixed": ["a", [1.5e-7, -2]], "none": []}
    write_document(tmp_path / "d.json", document)
    text = (tmp_path / "d.json").read_text(encoding="utf-8")
    assert json.loads(text) == document
    assert '"turns_ns": [[1, 2], [3]]\n' in text


def test_the_plot_shows_wins_losses_and_what_could_not_run(tmp_path: Path) -> None:
    from int8_plot import write_plot

    write_plot(tmp_path / "p.svg", MEASURED)
    root = ET.parse(tmp_path / "p.svg").getroot()
    texts = ["".join(node.itertext()) for node in root.iter() if node.tag.endswith("text")]
    assert "1.00: 37 dB, 1.3 MB, 262 MiB" in texts
    assert "0.90: equal, 99 MiB" in texts
    assert "absent <peer>" in texts
    assert "none: no layer of torch.unbind" in texts
    kinds = [node.get("class") for node in root.iter() if node.tag.endswith("rect")]
    assert kinds == ["bar ours", "bar faster"]


def test_the_plot_says_what_is_lost_where_it_was_measured(tmp_path: Path) -> None:
    from int8_plot import write_plot

    lost = {"ours": {"mean_drop_db": 0.0004, "worst_drop_db": 0.0123}}
    write_plot(tmp_path / "p.svg", {"drt_s": MEASURED["drt"] | {"accuracy": lost}})
    root = ET.parse(tmp_path / "p.svg").getroot()
    texts = ["".join(node.itertext()) for node in root.iter() if node.tag.endswith("text")]
    assert "1.00: 0.000/0.012 dB, 1.3 MB, 262 MiB" in texts
    # Of one that could not restore the pictures, only the tile it was held against is known.
    assert "0.90: equal, 99 MiB" in texts


def lost(mean: float, worst: float) -> Accuracy:
    return Accuracy(
        data="", protocol="", images=(), mean_drop_db=mean, worst_drop_db=worst,
        allowed_mean_drop_db=0.03, allowed_worst_drop_db=0.06,
    )  # fmt: skip


def test_a_peer_is_beaten_in_time_and_in_accuracy_at_once_or_not_at_all() -> None:
    import int8

    factors = {int8.OURS: 1.0, int8.OURS_ORT: 2.0, int8.NNCF: 1.5, int8.STATIC: 1.9}
    ours = {int8.OURS: lost(0.01, 0.05), int8.OURS_ORT: lost(0.01, 0.02)}

    def answers(nncf: Accuracy, static: Accuracy) -> list[bool]:
        accuracy = {**ours, int8.NNCF: nncf, int8.STATIC: static}
        return [reached for _, reached in int8.beside_peers(factors, accuracy)]

    assert answers(lost(0.02, 0.06), lost(0.02, 0.06)) == [True, True, False]
    assert answers(lost(0.02, 0.04), lost(0.00, 0.06)) == [False, False, False]
    # What was refused, or could not restore the pictures, is nothing to be beaten.
    assert int8.beside_peers(factors, ours) == []
    assert int8.beside_peers({int8.OURS: 1.0}, {**ours, int8.NNCF: lost(1, 1)}) == []


def test_what_was_refused_is_remembered_and_not_tried_again(tmp_path: Path) -> None:
    import peer_files

    for name in peer_files.MAKERS:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.with_name(path.name + peer_files.REFUSED).write_text("too large\n", encoding="utf-8")
    peer_files.write_missing(tmp_path, "no such network", peer_files.MAKERS)
    assert peer_files.refusal(tmp_path / "plain.onnx") == "too large"
    assert peer_files.refusal(tmp_path / "other.onnx") is None


def test_a_graph_s_size_counts_its_weights(tmp_path: Path) -> None:
    import peer_files

    for name, size in (("model.xml", 10), ("model.bin", 100), ("g.onnx", 7), ("g.onnx.data", 70)):
        (tmp_path / name).write_bytes(bytes(size))
    assert peer_files.file_bytes(tmp_path / "model.xml") == 110
    assert peer_files.file_bytes(tmp_path / "g.onnx") == 77


def test_what_runs_is_held_against_the_peak_of_its_precision() -> None:
    import int8

    def seen(name: str, ns: int) -> Measurement:
        return Measurement(Candidate(name, ()), turns_ns=[[ns] * 4] * 8)

    found = int8.of_peaks(
        "esrt_x4",
        [seen(int8.OURS, 16_000_000), seen(int8.PLAIN, 40_000_000)],
        [seen("int8", 4_000_000), seen("fp32", 16_000_000)],
    )
    assert [(row["name"], row["precision"]) for row in found] == [
        (int8.OURS, "int8"), (int8.PLAIN, "fp32"),
    ]  # fmt: skip
    ours, plain = found
    # The joined convolutions of the deployable form are fewer multiplications.
    assert 0 < ours["gmacs"] < plain["gmacs"]
    assert plain["peak_gmacs_per_s"] == pytest.approx(1024**3 / 16e6)
    assert plain["median"] == pytest.approx(plain["gmacs"] / 0.040 / plain["peak_gmacs_per_s"])


def test_a_candidate_is_scored_in_a_process_of_its_own(tmp_path: Path) -> None:
    import peers

    weights = find_model("esrt_s_x2").weights
    assert weights
    scores = peers.scores("torch-fused", weights, "esrt_s_x2", threads=1)
    _, pairs = peers.evaluation_pairs(find_model("esrt_s_x2"))
    assert [score.name for score in scores] == [pair.name for pair in pairs]
    # As the README's 'evaluate' shows it.
    assert statistics.fmean(score.psnr_y_db for score in scores) == pytest.approx(34.45, abs=0.01)
    with pytest.raises(CheckFailedError, match=r"nothing\.xml: stopped with status 1: .*nothing"):
        peers.scores("openvino-f32", tmp_path / "nothing.xml", "esrt_s_x2", threads=1)


def test_a_peer_that_compiles_for_too_long_says_so_in_its_row(tmp_path: Path) -> None:
    import int8

    sleeps = (sys.executable, "-c", "import time; time.sleep(60)")
    for _ in range(2):
        candidates = [Candidate(int8.OURS, sleeps), Candidate(int8.COMPILED, sleeps)]
        int8.let_compile(tmp_path, candidates, patience=0.05)
        assert [one.name for one in candidates] == [int8.OURS]
    (row,) = int8.rows_of(tmp_path, [], {int8.COMPILED: ("torch-compiled", "weights.safetensors")})
    assert (row.status, row.latency_ms) == ("not executable here", None)
    assert row.reason == "inductor compiling it: no answer for 3 s"

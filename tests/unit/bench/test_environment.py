from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from edgerestore.bench import environment


def test_the_fingerprint_names_machine_and_versions() -> None:
    seen = environment.Watch().finish(0.0)
    assert seen.cores >= 1
    assert seen.cpu
    assert "numpy" in seen.versions
    assert msgspec.json.decode(msgspec.json.encode(seen), type=environment.Environment) == seen


def test_a_quota_of_an_outer_group_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "pod" / "box").mkdir(parents=True)
    (tmp_path / "pod" / "cpu.max").write_text("150000 100000\n")
    (tmp_path / "pod" / "box" / "cpu.max").write_text("max 100000\n")
    (tmp_path / "pod" / "box" / "memory.max").write_text("536870912\n")
    own = environment._text
    monkeypatch.setattr(environment, "_CGROUP", tmp_path)
    monkeypatch.setattr(
        environment, "_text", lambda p: "0::/pod/box" if p == "/proc/self/cgroup" else own(p)
    )
    seen = environment.Watch().finish(0.0)
    assert seen.container_cores == 1.5
    assert seen.container_memory_mib == 512


def test_an_unlimited_old_group_is_no_limit(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("cpu", "memory"):
        (tmp_path / name).mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("-1\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    monkeypatch.setattr(environment, "_CGROUP", tmp_path)
    seen = environment.Watch().finish(0.0)
    assert seen.container_cores is None
    assert seen.container_memory_mib is None


def quiet(**changes: object) -> environment.Environment:
    seen = environment.Watch().finish(0.0)
    still = {"cores": 4, "load_average_begin": 0.1, "other_cores": 0.0, "governor": None}
    return msgspec.structs.replace(seen, **(still | changes))


def test_a_quiet_machine_gives_no_warning() -> None:
    assert environment.warnings(quiet()) == []


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"load_average_begin": 2.5}, "load average was 2.5 on 4 cores"),
        ({"other_cores": 1.0}, "other processes used 1.0 cores"),
        ({"governor": "powersave"}, "'powersave'"),
    ],
)
def test_a_disturbed_machine_says_so(changes: dict[str, object], word: str) -> None:
    (warning,) = environment.warnings(quiet(**changes))
    assert word in warning

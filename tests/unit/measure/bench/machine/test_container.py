from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edgerestore.measure.bench.machine.container import container_cores, container_memory_mib


def test_a_quota_of_an_outer_group_counts(recorded: Callable[[str], Path]) -> None:
    root = recorded("laptop")
    assert container_cores(root) == 1.5
    assert container_memory_mib(root) == 512


def test_an_unlimited_old_group_is_no_limit(tmp_path: Path) -> None:
    group = tmp_path / "sys" / "fs" / "cgroup"
    for name, content in (
        ("cpu/cpu.cfs_quota_us", "-1"),
        ("cpu/cpu.cfs_period_us", "100000"),
        ("memory/memory.limit_in_bytes", "9223372036854771712"),
    ):
        (group / name).parent.mkdir(parents=True, exist_ok=True)
        (group / name).write_text(content + "\n")
    assert container_cores(tmp_path) is None
    assert container_memory_mib(tmp_path) is None

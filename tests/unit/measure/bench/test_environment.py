from __future__ import annotations

import msgspec
import pytest

from edgerestore.measure.bench import environment


def test_the_fingerprint_names_machine_and_versions() -> None:
    seen = environment.Watch().finish(0.0)
    assert seen.cores >= 1
    assert seen.cpu
    assert "numpy" in seen.versions
    assert msgspec.json.decode(msgspec.json.encode(seen), type=environment.Environment) == seen


def quiet(**changes: object) -> environment.Environment:
    seen = environment.Watch().finish(0.0)
    still = {
        "cores": 4,
        "load_average_begin": 0.1,
        "other_cores": 0.0,
        "governor": None,
        "container_cores": None,
    }
    return msgspec.structs.replace(seen, **(still | changes))


def test_a_quiet_machine_gives_no_warning() -> None:
    assert environment.warnings(quiet()) == []


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"load_average_begin": 2.5}, "load average was 2.5 on 4 cores"),
        ({"other_cores": 1.0}, "other processes used 1.0 cores"),
        ({"governor": "powersave"}, "'powersave'"),
        ({"container_cores": 1.5}, "may use 1.5 of the 4 cores that runtimes see: more --threads"),
    ],
)
def test_a_disturbed_machine_says_so(changes: dict[str, object], word: str) -> None:
    (warning,) = environment.warnings(quiet(**changes))
    assert word in warning

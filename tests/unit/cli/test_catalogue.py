from __future__ import annotations

import json

from edgerestore.backends import BACKENDS
from edgerestore.networks import MODELS
from edgerestore.shipped import toml_folder


def document(done) -> object:
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def test_models_are_one_json_document_with_the_promised_fields(edgerestore) -> None:
    found = document(edgerestore("models", "--json"))
    assert [entry["name"] for entry in found] == list(MODELS)
    for entry in found:
        spec = MODELS[entry["name"]]
        assert set(entry) >= {"name", "task", "scale", "params", "macs", "tile", "weights"}
        assert entry["params"] == spec.params
        assert entry["macs"] == (spec.costs.macs if spec.costs else None)
        assert entry["weights"] == (str(spec.weights) if spec.weights else None)


def test_targets_are_one_json_document_that_says_what_runs_here(edgerestore) -> None:
    found = document(edgerestore("targets", "--json"))
    names = [entry["target"]["name"] for entry in found]
    assert names == sorted(path.stem for path in toml_folder("targets").glob("*.toml"))
    for entry in found:
        assert entry["executes_here"] == (entry["why_not"] is None)
        assert entry["target"]["backend"] in BACKENDS


def test_doctor_is_one_json_document(edgerestore) -> None:
    found = document(edgerestore("doctor", "--json"))
    parts = {entry["part"]: entry for entry in found["parts"]}
    assert parts["python"]["ready"]
    assert {f"{name} backend" for name in BACKENDS} < set(parts)


def test_people_see_every_name(edgerestore) -> None:
    for verb, names in (
        ("models", MODELS),
        ("targets", [path.stem for path in toml_folder("targets").glob("*.toml")]),
        ("doctor", BACKENDS),
    ):
        done = edgerestore(verb)
        assert (done.returncode, done.stderr) == (0, "")
        assert all(name in done.stdout for name in names)

"""Every scenario is as the schema says, and the schema refuses what is not."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

FOLDER = Path(__file__).parent
SCHEMA = json.loads((FOLDER / "schema/scenario.json").read_text())
FILES = sorted(FOLDER.glob("*.json"))


def validator() -> Draft202012Validator:
    Draft202012Validator.check_schema(SCHEMA)
    return Draft202012Validator(SCHEMA)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_scenarios_are_valid(path: Path) -> None:
    error = best_match(validator().iter_errors(json.loads(path.read_text())))
    assert error is None, f"{path.name} at {error.json_path}: {error.message}"


def test_there_are_enough() -> None:
    assert sum(len(json.loads(path.read_text())["scenarios"]) for path in FILES) >= 40


@pytest.mark.parametrize(
    "step",
    [
        {},
        {"call": "invented", "client": "a"},
        {"call": "put", "client": "a", "key": "k"},
        {"call": "put", "client": "a", "key": "k", "value": "v", "colour": "red"},
        {"call": "get", "client": "a", "key": "k", "expect": {"value": {"unheard_of": 1}}},
        {"call": "get", "client": "a", "key": "k", "error": "invented"},
        {"call": "get", "client": "a", "key": {"hex": "f"}},
        {"call": "txn", "client": "a", "then": [{"op": "put", "key": "k"}]},
        {"call": "txn", "client": "a", "when": [{"kind": "value", "key": "k", "symbol": ">="}]},
        {"call": "close", "client": "a", "within_ms": 0},
        {"kill": "server", "call": "close", "client": "a"},
        {"kill": "server", "expect": {}},
        {"await": "x", "program": "y"},
        {"check": "$a"},
        {"repeat": 2, "steps": []},
        {"repeat": 2, "steps": [{"pause": "$server"}]},
    ],
    ids=lambda step: json.dumps(step)[:60],
)
def test_mistakes_are_refused(step: dict[str, Any]) -> None:
    scenario = {"name": "a", "says": "It fails.", "steps": [step]}
    file = {"about": "A mistake in a step.", "scenarios": [scenario]}
    assert best_match(validator().iter_errors(file)) is not None


def test_what_the_mistakes_vary_is_valid() -> None:
    """So that they are refused for what is wrong with them."""
    steps = [
        {"call": "put", "client": "a", "key": "k", "value": "v", "note": "why"},
        {"call": "get", "client": "a", "key": {"hex": "ff"}, "error": ["ok", "timeout"]},
        {"call": "txn", "client": "a", "then": [{"op": "put", "key": "k", "value": ""}]},
        {"kill": "server", "within_ms": 1},
        {"check": "$a", "is": {"greater": 1}},
        {"repeat": 2, "steps": [{"pause": "server"}]},
    ]
    scenario = {"name": "a", "says": "It passes.", "steps": steps}
    validator().validate({"about": "Nothing is wrong.", "scenarios": [scenario]})


def _calls(steps: list[Any]) -> Iterator[str]:
    for step in steps:
        if "call" in step:
            yield step["call"]
        yield from _calls(step.get("steps", []))


def test_every_operation_is_played() -> None:
    played = {
        call
        for path in FILES
        for scenario in json.loads(path.read_text())["scenarios"]
        for call in _calls(scenario["steps"])
    }
    operations = set(SCHEMA["$defs"]["call"]["properties"]["call"]["enum"])
    # `clients` opens them.
    assert operations - played <= {"open"}

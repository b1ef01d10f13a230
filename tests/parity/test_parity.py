"""The comparison notices what it is for."""

from __future__ import annotations

import pytest
import tree_sitter_c
from operations import BESIDE, GROUPS
from parity import ROWS, code_differences, differences
from surfaces import python, rust
from surfaces.syntax import parse


def test_a_lacking_operation_and_a_lacking_option_are_named() -> None:
    surface = python.surface()
    assert list(differences("Python", surface)) == []
    lacking = list(differences("Python", surface - {"Client.put", "Client.lock(ttl)"}))
    assert lacking == [
        "Python lacks lock.ttl: there is no Client.lock(ttl)",
        "Python lacks put: there is no Client.put",
    ]


def test_what_the_list_does_not_know_is_named() -> None:
    more = python.surface() | {"Client.put(colour)", "Client.paint"}
    assert list(differences("Python", more)) == [
        "Python has Client.paint, of which the list knows nothing",
        "Python has Client.put(colour), of which the list knows nothing",
    ]


def test_an_exception_that_is_not_needed_any_more_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BESIDE["Python"], "Client.gone", "it was there once")
    assert list(differences("Python", python.surface())) == [
        "Python has nothing beside the list that is called Client.gone"
    ]


def test_error_codes_are_compared_both_ways() -> None:
    codes = rust.codes()
    assert list(code_differences("Rust", codes)) == []
    del codes["io"]
    codes["novel"] = "Novel"
    assert list(code_differences("Rust", codes)) == [
        "Rust lacks the error code io",
        "Rust has an unknown error code novel",
    ]


def test_names_on_the_list_are_there_once() -> None:
    names = [row.name for row in ROWS]
    assert len(names) == len(set(names))
    assert sum(map(len, GROUPS.values())) == len(ROWS)


def test_a_surface_that_cannot_be_read_is_an_error() -> None:
    with pytest.raises(SyntaxError, match="line 2"):
        parse(tree_sitter_c.language(), b"int whole(void);\nint half(\n")

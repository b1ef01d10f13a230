"""Rust: the public methods of the public types of the crate `quorate`, and the fields of those that a
caller fills in, from its source."""

from __future__ import annotations

import re
from pathlib import Path

import tree_sitter
import tree_sitter_rust

from .syntax import field, of_type, parse, text, walk

ROOT = Path(__file__).parents[3]
CRATE = ROOT / "core/client/src"
#: How the structures are called that a caller fills in; others are answers.
FILLED_IN = ("Options", "Update")
#: Adapters to other Rust libraries: every language has its own.
ADAPTERS = "adapters"


def surface() -> set[str]:
    public = _public(CRATE / "lib.rs")
    found: set[str] = set()
    for file in sorted(CRATE.rglob("*.rs")):
        if ADAPTERS in file.parts or file.stem == ADAPTERS:
            continue
        for item in _parse(file).children:
            if item.type == "impl_item" and item.child_by_field_name("trait") is None:
                name = field(item, "type").partition("<")[0]
                body = item.child_by_field_name("body")
                if name in public and body is not None:
                    methods = filter(_is_public, of_type(body, "function_item"))
                    found |= {f"{name}::{field(method, 'name')}" for method in methods}
            elif item.type == "struct_item" and field(item, "name") in public:
                name = field(item, "name")
                if not name.endswith(FILLED_IN):
                    continue
                found |= {
                    f"{name}.{field(member, 'name')}"
                    for member in walk(item)
                    if member.type == "field_declaration" and _is_public(member)
                }
    return found


def codes() -> dict[str, str]:
    """Variant by the code's name."""
    source = (ROOT / "core/types/src/error.rs").read_text()
    found = re.findall(r'^ +(\w+) = \d+, "(\w+)", retry', source, re.MULTILINE)
    return {name: variant for variant, name in found}


def _parse(file: Path) -> tree_sitter.Node:
    return parse(tree_sitter_rust.language(), file.read_bytes())


def _is_public(item: tree_sitter.Node) -> bool:
    return [text(child) for child in of_type(item, "visibility_modifier")] == ["pub"]


def _public(file: Path) -> set[str]:
    """The names that a module shows, and those of its public modules."""
    names: set[str] = set()
    for item in filter(_is_public, _parse(file).children):
        if item.type == "mod_item" and field(item, "name") != ADAPTERS:
            directory = file.parent
            candidates = [
                directory / f"{field(item, 'name')}.rs",
                directory / field(item, "name") / "mod.rs",
            ]
            names |= _public(next(path for path in candidates if path.exists()))
        elif item.type == "use_declaration":
            names |= set(re.findall(r"\b[A-Z]\w*", field(item, "argument")))
        elif item.type in ("struct_item", "enum_item", "trait_item"):
            names.add(field(item, "name"))
    return names

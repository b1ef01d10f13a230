"""C: the functions of `quorate.h`, their arguments, and the fields of the structures of options."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import tree_sitter
import tree_sitter_c

from .syntax import field, of_type, parse, text, walk

ROOT = Path(__file__).parents[3]
HEADER = Path(os.environ.get("QUORATE_H", ROOT / "bindings/c/include/quorate.h"))


def surface() -> set[str]:
    found: set[str] = set()
    for item in _items():
        if item.type == "declaration":
            found |= _function(item)
        elif item.type == "type_definition":
            name = field(item, "declarator")
            fields = [node for node in walk(item) if node.type == "field_declaration"]
            names = [_name(node.child_by_field_name("declarator")) for node in fields]
            # What a caller fills in and hands over begins with its size.
            if "struct_size" in names:
                found |= {f"{name}.{member}" for member in names}
    return found


def codes() -> dict[str, str]:
    """Constant by the code's name."""
    found: dict[str, str] = {}
    for item in walk(_root()):
        if item.type == "enum_specifier" and field(item, "name") == "quorate_code_t":
            for constant in walk(item):
                if constant.type == "enumerator" and field(constant, "value") != "0":
                    name = field(constant, "name")
                    found[name.removeprefix("QUORATE_").lower()] = name
    return found


def _root() -> tree_sitter.Node:
    """What the compiler sees of the header, without what it includes."""
    source = re.sub(r"^#include <.*>$", "", HEADER.read_text(), flags=re.MULTILINE)
    command = ["gcc", "-E", "-P", "-std=c11", "-x", "c", "-"]
    ran = subprocess.run(command, input=source.encode(), capture_output=True, check=True)
    return parse(tree_sitter_c.language(), ran.stdout)


def _items() -> list[tree_sitter.Node]:
    return _root().children


def _function(declaration: tree_sitter.Node) -> set[str]:
    declarator = next(
        (node for node in walk(declaration) if node.type == "function_declarator"), None
    )
    if declarator is None:
        return set()
    name = field(declarator, "declarator")
    parameters = declarator.child_by_field_name("parameters")
    assert parameters is not None, name
    named = [
        _name(parameter.child_by_field_name("declarator"))
        for parameter in of_type(parameters, "parameter_declaration")
    ]
    return {name, *(f"{name}({parameter})" for parameter in named if parameter)}


def _name(declarator: tree_sitter.Node | None) -> str:
    """The name within ``const char *const *name``."""
    if declarator is None:
        return ""
    identifiers = [
        node for node in walk(declarator) if node.type in ("identifier", "field_identifier")
    ]
    return text(identifiers[0]) if identifiers else ""

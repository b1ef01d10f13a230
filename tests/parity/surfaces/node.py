"""Node.js: the classes and functions that the package's declarations export, and the fields of the
objects they take."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import ClassVar

import tree_sitter
import tree_sitter_typescript

from .syntax import field, of_type, parse, text, walk

ROOT = Path(__file__).parents[3]
PACKAGE = Path(os.environ.get("QUORATE_NODE", ROOT / "bindings/node"))
INDEX = PACKAGE / "dist/index.d.ts"
CODES = """
const quorate = require(process.argv[1]);
const codes = {};
for (const [name, member] of Object.entries(quorate)) {
  if (typeof member !== 'function' || !(member.prototype instanceof quorate.QuorateError)) continue;
  codes[member.prototype.code] = name;
}
console.log(JSON.stringify(codes));
"""


def surface() -> set[str]:
    index = _File.at(INDEX)
    found: set[str] = set()
    for name in index.exported:
        file, item = index.find(name) or (index, None)
        if item is None or item.type == "interface_declaration":
            continue
        if item.type == "function_signature":
            found.add(name)
        elif not file.is_error(item):
            found |= {f"{name}{member}" for member in file.members(item)}
    return found


def codes() -> dict[str, str]:
    """Class by the code's name, as Node.js has them."""
    command = ["node", "-e", CODES, str(PACKAGE)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    found: dict[str, str] = json.loads(ran.stdout)
    return found


class _File:
    """One file of declarations: what it declares, and where it has the rest from."""

    read: ClassVar[dict[Path, _File]] = {}

    def __init__(self, path: Path) -> None:
        _File.read[path] = self
        self.declared: dict[str, tree_sitter.Node] = {}
        self.taken: dict[str, Path] = {}
        self.exported: set[str] = set()
        root = parse(tree_sitter_typescript.language_typescript(), path.read_bytes())
        for item in root.children:
            source = field(item, "source").strip("'\"")
            if source.startswith("."):
                for name in walk(item):
                    if name.type in ("export_specifier", "import_specifier"):
                        taken = (path.parent / source).with_suffix(".d.ts").resolve()
                        self.taken[field(name, "name")] = taken
                        if name.type == "export_specifier":
                            self.exported.add(field(name, "name"))
            for declaration in walk(item):
                if declaration.type in DECLARATIONS:
                    self.declared[field(declaration, "name")] = declaration

    @classmethod
    def at(cls, path: Path) -> _File:
        path = path.resolve()
        return cls.read.get(path) or cls(path)

    def find(self, name: str) -> tuple[_File, tree_sitter.Node] | None:
        """The declaration of a name that is used here, and its file."""
        if name in self.declared:
            return self, self.declared[name]
        return _File.at(self.taken[name]).find(name) if name in self.taken else None

    def is_error(self, item: tree_sitter.Node) -> bool:
        return field(item, "name") == "QuorateError" or "QuorateError" in self._bases(item)

    def members(self, item: tree_sitter.Node) -> set[str]:
        """``.method``, ``.method(option)``, ``.property`` and ``:event``, of the class and those it
        extends; ``(option)`` of its constructor."""
        found: set[str] = set()
        for base in self._bases(item):
            inherited = self.find(base)
            if inherited is not None:
                found |= inherited[0].members(inherited[1])
        for kind in (node for part in of_type(item, "class_heritage") for node in walk(part)):
            # The events of `EventEmitter<Events>`.
            if kind.type == "type_arguments":
                found |= {f":{event}" for event in self._fields(kind.named_children[0])}
        for member in _body(item):
            name = field(member, "name")
            if _is_hidden(member) or not name:
                continue
            if member.type == "public_field_definition":
                found.add(f".{name}")
            elif member.type == "method_signature":
                suffix = "" if name == "constructor" else f".{name}"
                found |= {suffix} if suffix else set()
                found |= {f"{suffix}({option})" for option in self._options(member)}
        return found

    def _options(self, method: tree_sitter.Node) -> set[str]:
        """The fields of the objects it takes, and the arguments that may be left out."""
        parameters = method.child_by_field_name("parameters")
        found: set[str] = set()
        for parameter in [] if parameters is None else parameters.named_children:
            annotation = parameter.child_by_field_name("type")
            fields = self._fields(annotation.named_children[0]) if annotation else set()
            found |= fields
            if not fields and parameter.type == "optional_parameter":
                found.add(field(parameter, "pattern"))
        return found

    def _fields(self, kind: tree_sitter.Node) -> set[str]:
        """Those of an object of this type."""
        if kind.type == "object_type":
            return {field(part, "name") for part in of_type(kind, "property_signature")}
        if kind.type in ("intersection_type", "parenthesized_type"):
            return set().union(*(self._fields(part) for part in kind.named_children))
        if kind.type == "generic_type" and field(kind, "name") == "Omit":
            arguments = kind.child_by_field_name("type_arguments")
            assert arguments is not None
            whole, without = arguments.named_children
            return self._fields(whole) - {text(part).strip("'\"") for part in walk(without)}
        declared = self.find(field(kind, "name") or text(kind))
        if declared is None or declared[1].type != "interface_declaration":
            return set()
        where, interface = declared
        own = {field(part, "name") for part in _body(interface) if part.type == "property_signature"}
        for clause in of_type(interface, "extends_type_clause"):
            for base in clause.named_children:
                own |= where._fields(base)
        return own

    @staticmethod
    def _bases(item: tree_sitter.Node) -> list[str]:
        return [
            field(clause, "value")
            for part in of_type(item, "class_heritage")
            for clause in walk(part)
            if clause.type == "extends_clause"
        ]


def _body(item: tree_sitter.Node) -> list[tree_sitter.Node]:
    body = item.child_by_field_name("body")
    return [] if body is None else body.named_children


def _is_hidden(member: tree_sitter.Node) -> bool:
    """Private, a symbol, or marked as internal."""
    before = member.prev_named_sibling
    internal = before is not None and before.type == "comment" and "@internal" in text(before)
    access = [text(child) for child in of_type(member, "accessibility_modifier")]
    name = field(member, "name")
    return internal or access in (["private"], ["protected"]) or name.startswith(("#", "["))


DECLARATIONS = (
    "class_declaration",
    "abstract_class_declaration",
    "interface_declaration",
    "function_signature",
)

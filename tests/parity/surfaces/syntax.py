"""Reading a language's own syntax, with the grammars that editors use."""

from __future__ import annotations

from collections.abc import Iterator

import tree_sitter


def parse(grammar: object, source: bytes) -> tree_sitter.Node:
    """The root of the source's tree. Whoever cannot be read whole is not read at all."""
    tree = tree_sitter.Parser(tree_sitter.Language(grammar)).parse(source)
    if tree.root_node.has_error:
        wrong = next(node for node in walk(tree.root_node) if node.is_error or node.is_missing)
        line = source.splitlines()[wrong.start_point.row].decode()
        raise SyntaxError(f"line {wrong.start_point.row + 1} cannot be read: {line}")
    return tree.root_node


def walk(node: tree_sitter.Node) -> Iterator[tree_sitter.Node]:
    """The node and all below it, in the order of the text."""
    yield node
    for child in node.children:
        yield from walk(child)


def text(node: tree_sitter.Node | None) -> str:
    """What stands there; nothing for no node."""
    return "" if node is None or node.text is None else node.text.decode()


def field(node: tree_sitter.Node, name: str) -> str:
    """What stands in the node's field."""
    return text(node.child_by_field_name(name))


def of_type(node: tree_sitter.Node, *types: str) -> list[tree_sitter.Node]:
    """The node's children of these types."""
    return [child for child in node.children if child.type in types]

"""Compares what every language really offers with the one list, `operations.py`.

Fails if a language lacks an operation, an option or an error code, or has one that the list does
not know. Writes `PARITY.md`, or with `--check` fails if that is not up to date.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from pathlib import Path

from operations import BESIDE, GROUPS, LANGUAGES, Lacks
from quorate import _quorate
from surfaces import c, node, python, rust

PAGE = Path(__file__).parent / "PARITY.md"

SURFACES: dict[str, tuple[Callable[[], set[str]], Callable[[], dict[str, str]]]] = {
    "Rust": (rust.surface, rust.codes),
    "Python": (python.surface, python.codes),
    "asyncio": (python.async_surface, python.codes),
    "Node.js": (node.surface, node.codes),
    "C": (c.surface, c.codes),
}
#: What must be built before, and by which target.
NEEDED = {"Node.js": (node.INDEX, "node"), "C": (c.HEADER, "c")}
ROWS = [row for rows in GROUPS.values() for row in rows]


def differences(language: str, surface: set[str]) -> Iterable[str]:
    """What is not as the list says."""
    claimed: set[str] = set()
    for row in ROWS:
        spelled = row.spelled[language]
        if isinstance(spelled, Lacks):
            continue
        claimed |= set(spelled.split())
        for name in spelled.split():
            if name not in surface:
                yield f"{language} lacks {row.name}: there is no {name}"
    used: set[str] = set()
    for name in sorted(surface - claimed):
        patterns = [pattern for pattern in BESIDE[language] if fnmatchcase(name, pattern)]
        used |= set(patterns)
        # Only a name that the list uses for another thing makes an argument an option in C.
        if not patterns and not (language == "C" and "(" in name):
            yield f"{language} has {name}, of which the list knows nothing"
    for pattern in BESIDE[language].keys() - used:
        yield f"{language} has nothing beside the list that is called {pattern}"


def code_differences(language: str, codes: dict[str, str]) -> Iterable[str]:
    known = {name for _, name, _, _ in _quorate.error_codes()}
    yield from (f"{language} lacks the error code {name}" for name in sorted(known - codes.keys()))
    unknown = sorted(codes.keys() - known)
    yield from (f"{language} has an unknown error code {name}" for name in unknown)


def page(codes: dict[str, dict[str, str]]) -> str:
    """The table, for people."""
    lines = [
        "# What each language has, and what it is called",
        "",
        "Made by `tests/parity/parity.py`, which compares it with the packages themselves. Times are in",
        "seconds in Python, and in Node.js and C in what their names say. Python's asyncio classes have",
        "`Async` before their names.",
    ]
    columns = [language for language in LANGUAGES if language != "asyncio"]
    reasons: list[str] = []

    def note(reason: str) -> str:
        if reason not in reasons:
            reasons.append(reason)
        return f"– ({reasons.index(reason) + 1})"

    def cell(spelled: str | Lacks) -> str:
        if isinstance(spelled, Lacks):
            return note(spelled.reason)
        return " ".join(f"`{name}`" for name in spelled.split())

    for group, rows in GROUPS.items():
        lines += ["", f"## {group}", "", table_head(["", *columns])]
        for row in rows:
            cells = [cell(row.spelled[language]) for language in columns]
            of_asyncio, of_python = row.spelled["asyncio"], row.spelled["Python"]
            if of_asyncio != of_python:
                cells[columns.index("Python")] += f"; asyncio: {cell(of_asyncio)}"
            lines.append(table_row([f"**{row.name}**" if "." not in row.name else row.name, *cells]))
    lines += ["", "## What a language lacks, and why", ""]
    lines += [f"{number}. {reason}" for number, reason in enumerate(reasons, 1)]
    lines += ["", "## What a language has beside this", "", table_head(["", "", "why"])]
    for language in LANGUAGES:
        for pattern, reason in BESIDE[language].items():
            lines.append(table_row([language, f"`{pattern}`", reason]))
    lines += ["", "## Error codes", "", table_head(["", "number", "retry helps", *columns, "what to do"])]
    for number, name, retryable, step in _quorate.error_codes():
        spelled = [f"`{codes[language][name]}`" for language in columns]
        retry = "yes" if retryable else "no"
        lines.append(table_row([f"`{name}`", str(number), retry, *spelled, step]))
    lines += [
        "",
        "## The balancer's settings",
        "",
        "By name, each a number, the same in all languages: `Builder::balancer_setting` in Rust,",
        "`Client(balancer={…})` in Python, `balancer` among the options in Node.js and C.",
        "",
        table_head(["", "what it does", "default", "from", "to"]),
    ]
    for name, meaning, least, most, default in _quorate.balancer_settings():
        lines.append(table_row([f"`{name}`", meaning, *(f"{n:,.10g}" for n in (default, least, most))]))
    return "\n".join(lines) + "\n"


def table_head(names: list[str]) -> str:
    return table_row(names) + "\n" + table_row(["---"] * len(names))


def table_row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if it would")
    parser.add_argument(
        "--without", action="append", default=[], choices=LANGUAGES, help="leave a language out, and the page"
    )
    arguments = parser.parse_args()
    languages = [language for language in LANGUAGES if language not in arguments.without]
    for language, (needed, target) in NEEDED.items():
        if language in languages and not needed.exists():
            parser.error(f"{needed} is missing: `make {target}` first, or --without {language}")
    wrong: list[str] = []
    codes: dict[str, dict[str, str]] = {}
    for language in languages:
        surface, codes_of = SURFACES[language]
        wrong += differences(language, surface())
        codes[language] = codes_of()
        wrong += code_differences(language, codes[language])
    if not wrong and len(languages) == len(LANGUAGES):
        text = page(codes)
        if not arguments.check:
            PAGE.write_text(text)
        elif not PAGE.exists() or PAGE.read_text() != text:
            wrong.append(f"{PAGE.name} is not up to date: run {Path(__file__).name} and commit it")
    for line in wrong:
        print(f"parity: {line}", file=sys.stderr)
    if wrong:
        return 1
    options = sum("." in row.name for row in ROWS)
    counts = f"{len(ROWS) - options} operations with {options} options and parts"
    print(f"parity: {counts}, {len(codes['Rust'])} error codes, in {', '.join(languages)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

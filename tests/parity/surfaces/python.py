"""Python: the classes as they are when imported, in their two faces."""

from __future__ import annotations

import dataclasses
import enum
import inspect
from collections.abc import Callable

import quorate

#: Named by their code.
ERRORS = quorate.QuorateError


def surface() -> set[str]:
    """The client that blocks, and what both share."""
    return _surface(lambda name: not name.startswith("Async") and name != "Entering")


def async_surface() -> set[str]:
    """The asyncio client, without the ``Async`` in its names, and what both share."""
    twins = {name.removeprefix("Async") for name in quorate.__all__ if name.startswith("Async")}
    return _surface(lambda name: name not in twins)


def codes() -> dict[str, str]:
    """Class by the code's name."""
    return {
        member.code: name
        for name in quorate.__all__
        if inspect.isclass(member := getattr(quorate, name))
        and issubclass(member, ERRORS)
        and member is not ERRORS
    }


def _surface(wanted: Callable[[str], bool]) -> set[str]:
    found: set[str] = set()
    for name in filter(wanted, quorate.__all__):
        member = getattr(quorate, name)
        name = name.removeprefix("Async")
        if inspect.isfunction(member):
            found.add(name)
        elif inspect.isclass(member) and not _is_value(member):
            found |= _members(name, member)
    return found


def _is_value(member: type) -> bool:
    return (
        dataclasses.is_dataclass(member)
        or issubclass(member, (enum.Enum, ERRORS))
        or member is quorate.Entering
    )


def _members(name: str, member: type) -> set[str]:
    found: set[str] = set()
    # The others are handed out by a client.
    if name == "Client":
        found |= {f"{name}({option})" for option in _options(member.__init__)}
    public = {attribute for attribute in dir(member) if not attribute.startswith("_")}
    for attribute in public | set(_assigned(member)):
        found.add(f"{name}.{attribute}")
        function = inspect.getattr_static(member, attribute, None)
        if isinstance(function, staticmethod):
            function = function.__func__
        if callable(function):
            found |= {f"{name}.{attribute}({option})" for option in _options(function)}
    return found


def _options(function: Callable[..., object]) -> list[str]:
    """Arguments that may be left out."""
    return [
        parameter.name
        for parameter in inspect.signature(function).parameters.values()
        if parameter.default is not inspect.Parameter.empty
    ]


def _assigned(member: type) -> list[str]:
    """Attributes that the constructor sets."""
    try:
        source = inspect.getsource(member.__init__)
    except (OSError, TypeError):
        return []
    lines = (line.strip() for line in source.splitlines())
    return [
        line.split(" ", 1)[0].removeprefix("self.")
        for line in lines
        if line.startswith("self.") and " = " in line and not line.startswith("self._")
    ]

"""The lines of the performer protocol: fields read, and written."""

from __future__ import annotations

import string
from collections.abc import Iterable
from urllib.parse import quote_from_bytes, unquote_to_bytes

Value = bytes | str | int | bool

_PLAIN = string.ascii_letters + string.digits + "._:/@+-"


class PerformerError(Exception):
    """A mistake of the scenario, or of this performer."""

    def __init__(self, name: str, about: str) -> None:
        super().__init__(about)
        self.code = f"performer:{name}"


def _bytes(value: Value) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, bool):
        return b"true" if value else b"false"
    return str(value).encode("utf-8", "surrogateescape")


class Fields:
    """What an answer says, in the order it was said."""

    def __init__(self, **values: Value) -> None:
        self._fields: list[tuple[str, str]] = []
        for key, value in values.items():
            self.set(key, value)

    def set(self, key: str, value: Value) -> None:
        self._fields.append((key, quote_from_bytes(_bytes(value), _PLAIN + ",")))

    def set_list(self, key: str, values: Iterable[Value]) -> None:
        joined = ",".join(quote_from_bytes(_bytes(value), _PLAIN) for value in values)
        self._fields.append((key, joined))

    def put_under(self, prefix: str, other: Fields) -> None:
        self._fields += [(prefix + key, value) for key, value in other._fields]

    def __str__(self) -> str:
        keys = ((quote_from_bytes(_bytes(key), _PLAIN), value) for key, value in self._fields)
        return "".join(f" {key}={value}" for key, value in keys)


class Arguments:
    """A command's fields, taken out one by one."""

    def __init__(self, raw: dict[str, str]) -> None:
        self._raw = raw

    @classmethod
    def read(cls, text: str) -> Arguments:
        raw: dict[str, str] = {}
        for field in text.split(" ") if text else []:
            key, sign, value = field.partition("=")
            if not sign:
                raise PerformerError("malformed", field)
            raw[unquote_to_bytes(key).decode()] = value
        return cls(raw)

    def bytes(self, key: str) -> bytes | None:
        raw = self._raw.pop(key, None)
        return None if raw is None else unquote_to_bytes(raw)

    def text(self, key: str) -> str | None:
        value = self.bytes(key)
        return None if value is None else value.decode("utf-8", "surrogateescape")

    def texts(self, key: str) -> list[str] | None:
        raw = self._raw.pop(key, None)
        if raw is None:
            return None
        parts = raw.split(",") if raw else []
        return [unquote_to_bytes(part).decode("utf-8", "surrogateescape") for part in parts]

    def number(self, key: str) -> int | None:
        text = self.text(key)
        return None if text is None else int(text)

    def seconds(self, key: str) -> float | None:
        millis = self.number(key)
        return None if millis is None else millis / 1000

    def flag(self, key: str) -> bool | None:
        text = self.text(key)
        return None if text is None else text == "true"

    def needed_text(self, key: str) -> str:
        return self.needed(key).decode("utf-8", "surrogateescape")

    def needed(self, key: str) -> bytes:
        value = self.bytes(key)
        if value is None:
            raise PerformerError("missing_key", key)
        return value

    def chosen(self, prefix: str) -> dict[str, str]:
        """What is under a prefix, by what the user chose."""
        keys = [key for key in self._raw if key.startswith(prefix)]
        return {key[len(prefix) :]: self.needed_text(key) for key in keys}

    def numbered(self, prefix: str) -> list[Arguments]:
        """What is under ``PREFIX.0``, ``PREFIX.1``…"""
        found = []
        while True:
            start = f"{prefix}.{len(found)}."
            keys = [key for key in self._raw if key.startswith(start)]
            if not keys:
                return found
            found.append(Arguments({key[len(start) :]: self._raw.pop(key) for key in keys}))

    def end(self) -> None:
        """Everything was taken."""
        for key in self._raw:
            raise PerformerError("unknown_key", key)


def given(**values: object) -> dict[str, object]:
    """Keyword arguments without those that were not given: they have the binding's default."""
    return {name: value for name, value in values.items() if value is not None}

"""What the adapters of web frameworks share: how a worker process registers itself."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

#: Seconds a server has to accept connections before it is registered anyway.
LISTENING_WITHIN = 5.0


def check(register: Callable[..., Any], options: Mapping[str, Any]) -> None:
    """Raises ``TypeError`` for an option that ``register`` does not have: when the application is
    made, not when its workers start."""
    inspect.signature(register).bind(None, "service", "address", **options)


def worker_id(address: str) -> str:
    """Workers that share an address are instances of their own."""
    return f"{address}#{os.getpid()}"


def pauses() -> Iterator[float]:
    """Seconds between attempts, without end."""
    pause = 0.5
    while True:
        yield pause
        pause = min(pause * 2, 10.0)

"""Operations awaited on an event loop.

The client's threads put results into a queue and make a descriptor readable; the loop then takes
a batch of them. So no thread of the client ever waits for the interpreter, and a busy loop is
woken once for many results.
"""

from __future__ import annotations

import asyncio
import itertools
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

from quorate import _quorate

T = TypeVar("T")
#: Takes a value, or the error there was instead.
Unused = Callable[[Any, "BaseException | None"], None]


class _Deliveries:
    """The operations of one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._completions = _quorate.Completions()
        self._waiting: dict[int, tuple[asyncio.Future[Any], Unused | None]] = {}
        self._tickets = itertools.count()
        loop.add_reader(self._completions.fileno(), self._deliver)

    def start(
        self, operation: _quorate.Operation[T], unused: Unused | None
    ) -> tuple[int, asyncio.Future[T]]:
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        ticket = next(self._tickets)
        operation.start(self._completions, ticket)
        self._waiting[ticket] = future, unused
        return ticket, future

    def forget(self, ticket: int) -> None:
        self._waiting.pop(ticket, None)

    def _deliver(self) -> None:
        for ticket, value, error in self._completions.drain():
            found = self._waiting.pop(ticket, None)
            if found is None:
                continue
            future, unused = found
            if future.done():
                # Its task was cancelled a moment ago, and does not know yet.
                if unused is not None:
                    unused(value, error)
            elif error is None:
                future.set_result(value)
            else:
                future.set_exception(error)


_loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Deliveries] = (
    weakref.WeakKeyDictionary()
)


def _deliveries() -> _Deliveries:
    loop = asyncio.get_running_loop()
    found = _loops.get(loop)
    if found is None:
        found = _loops[loop] = _Deliveries(loop)
    return found


async def run(operation: _quorate.Operation[T], unused: Unused | None = None) -> T:
    """Awaits an operation. If the task is cancelled the operation is withdrawn. A result that is
    there already goes to ``unused``, if given; otherwise nobody refers to it any more, which gives
    up what it holds."""
    deliveries = _deliveries()
    ticket, future = deliveries.start(operation, unused)
    try:
        return await future
    except (asyncio.CancelledError, GeneratorExit):
        operation.cancel()
        if unused is not None and future.done() and not future.cancelled():
            error = future.exception()
            unused(future.result() if error is None else None, error)
        raise
    finally:
        deliveries.forget(ticket)
        # A traceback that keeps this frame must not keep a lock.
        del future


def start(operation: _quorate.Operation[Any]) -> None:
    """Runs an operation of which nobody needs the result."""
    deliveries = _deliveries()
    ticket, _ = deliveries.start(operation, None)
    deliveries.forget(ticket)

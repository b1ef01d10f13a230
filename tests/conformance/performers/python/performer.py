"""Python's performers: do through the package ``quorate`` what the conformance runner says; see
``tests/conformance/PERFORMER.md``. Run as ``performer.py sync`` or ``performer.py asyncio``."""

from __future__ import annotations

import asyncio
import queue
import sys
import threading
from typing import Any

import quorate
from lines import Arguments, Fields, PerformerError
from operations import Operations

#: A value of a store may be large, and is longer when it is encoded.
LONGEST_LINE = 1 << 26

_saying = threading.Lock()


def say(line: str) -> None:
    with _saying:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


async def answer(operations: Operations, op: str, fields: str) -> str:
    """Does one command."""
    try:
        operation = None if op.startswith("_") else getattr(operations, op, None)
        if operation is None or op == "lacks":
            raise PerformerError("unknown_op", op)
        return f"ok{await operation(Arguments.read(fields))}"
    except PerformerError as error:
        return _error(error.code, False, error)
    except quorate.QuorateError as error:
        return _error(error.code, error.retryable, error)
    except asyncio.CancelledError as error:
        return _error("cancelled", False, error)
    except Exception as error:
        return _error(f"host:{type(error).__name__}", False, error)


def _error(code: str, retryable: bool, error: BaseException) -> str:
    message = str(error) or type(error).__name__
    return f"error{Fields(code=code, retryable=retryable, message=message)}"


class BlockingReader:
    """A stream read by a thread, because a ``for`` loop has no timeout."""

    def __init__(self, stream: quorate.Stream[Any]) -> None:
        self._stream = stream
        self._items: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._ended = False
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        try:
            for item in self._stream:
                self._items.put(item)
        except Exception as error:
            self._items.put(error)
        self._items.put(None)

    def next(self, timeout: float | None) -> Any:
        if self._ended:
            return None
        try:
            item = self._items.get(timeout=timeout)
        except queue.Empty:
            raise quorate.QuorateTimeoutError("no item in time") from None
        if isinstance(item, Exception):
            raise item
        self._ended = item is None
        return item

    def close(self) -> None:
        self._stream.close()


class AwaitingReader:
    def __init__(self, stream: quorate.AsyncStream[Any]) -> None:
        self._stream = stream

    async def next(self, timeout: float | None) -> Any:
        try:
            return await asyncio.wait_for(anext(self._stream), timeout)
        except StopAsyncIteration:
            return None
        except (TimeoutError, asyncio.TimeoutError) as error:
            if isinstance(error, quorate.QuorateError):
                raise
            raise quorate.QuorateTimeoutError("no item in time") from None

    async def close(self) -> None:
        await self._stream.close()


def hello(language: str, lacks: list[str]) -> None:
    fields = Fields(language=language)
    fields.set_list("lacks", lacks)
    say(f"hello{fields}")


def blocking() -> None:
    """A thread for each command."""
    operations = Operations(quorate.Client, BlockingReader)

    def perform(number: str, op: str, fields: str) -> None:
        command = answer(operations, op, fields)
        try:
            # Nothing in it waits for an event loop: it runs through in one go.
            command.send(None)
        except StopIteration as finished:
            say(f"{number} {finished.value}")

    hello("python", ["cancel", *operations.lacks()])
    for line in sys.stdin:
        threading.Thread(target=perform, args=_parts(line), daemon=True).start()


async def awaiting() -> None:
    """A task for each command."""
    operations = Operations(quorate.AsyncClient, AwaitingReader)
    commands: dict[str, asyncio.Future[str]] = {}
    tasks: set[asyncio.Task[None]] = set()

    async def perform(number: str, op: str, fields: str) -> None:
        if op == "cancel":
            command = commands.get(Arguments.read(fields).needed_text("id"))
            if command is not None:
                command.cancel()
            said = "ok"
        else:
            commands[number] = asyncio.ensure_future(answer(operations, op, fields))
            try:
                said = await commands[number]
            except asyncio.CancelledError as error:
                # Cancelled before its first step.
                said = _error("cancelled", False, error)
            del commands[number]
        say(f"{number} {said}")

    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=LONGEST_LINE)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    hello("python-asyncio", operations.lacks())
    while line := await reader.readline():
        task = asyncio.create_task(perform(*_parts(line.decode())))
        # The loop itself refers to tasks weakly.
        tasks.add(task)
        task.add_done_callback(tasks.discard)


def _parts(line: str) -> tuple[str, str, str]:
    number, op, *fields = line.rstrip("\n").split(" ", 2)
    return number, op, fields[0] if fields else ""


if __name__ == "__main__":
    if sys.argv[1:] == ["asyncio"]:
        asyncio.run(awaiting())
    else:
        blocking()

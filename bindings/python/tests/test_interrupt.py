"""Ctrl-C ends every kind of blocking call, and withdraws what it was about."""

import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from conftest import Program, Server
from quorate import Client

PROGRAM = """
import sys, time, quorate
address, nowhere, name, call = sys.argv[1:]
client = quorate.Client(address)
silent = quorate.Client(nowhere, request_timeout=60, connect_timeout=60)
calls = {
    "lock": lambda: client.lock(name).acquire(),
    "enter": lambda: client.lock(name).__enter__(),
    "campaign": lambda: client.election(name).campaign("me"),
    "watch": lambda: next(client.watch(name)),
    "watch_service": lambda: [None for _ in client.watch_service(name)],
    "observe": lambda: next(client.election("nobody").observe()),
    "lost": lambda: client.try_lock("another").lost.wait(),
    "put": lambda: silent.put(name, "x"),
    "get": lambda: silent.get(name),
    "discover": lambda: silent.discover(name),
    "register": lambda: silent.register(name, "127.0.0.1:1"),
}
client.connected()
print("calling", flush=True)
try:
    calls[call]()
except KeyboardInterrupt:
    print("interrupted", flush=True)
    sys.stdin.readline()
"""

CALLS = [
    "lock",
    "enter",
    "campaign",
    "watch",
    "watch_service",
    "observe",
    "lost",
    "put",
    "get",
    "discover",
    "register",
]


@pytest.fixture
def silent() -> Iterator[str]:
    """An address that takes connections and never answers."""
    listening = socket.create_server(("127.0.0.1", 0))
    yield f"127.0.0.1:{listening.getsockname()[1]}"
    listening.close()


@pytest.mark.parametrize("call", CALLS)
def test_ctrl_c(
    server: Server,
    client: Client,
    silent: str,
    name: str,
    call: str,
    program: Callable[..., Program],
) -> None:
    contended = call in ("lock", "enter", "campaign")
    with client.lock(name):
        running = program(PROGRAM, server.address, silent, name, call)
        assert running.line() == "calling"
        if contended:
            while client.range(f"{name}/", count_only=True).count < 2:
                time.sleep(0.01)
        else:
            time.sleep(0.3)
        began = time.monotonic()
        running.process.send_signal(signal.SIGINT)
        assert running.line() == "interrupted"
        assert time.monotonic() - began < 2
        # It stands in line no more, although it still runs.
        while client.range(f"{name}/", count_only=True).count > 1:
            assert contended and time.monotonic() - began < 10
            time.sleep(0.01)
    assert running.process.poll() is None
    assert running.process.stdin is not None
    running.process.stdin.write("\n")
    code, _, errors = running.end()
    assert code == 0, errors


def test_ctrl_c_ends_asyncio(
    server: Server, client: Client, name: str, program: Callable[..., Program]
) -> None:
    running = program(
        """
import asyncio, sys, quorate
async def main():
    async with quorate.AsyncClient(sys.argv[1]) as client:
        await client.connected()
        print("calling", flush=True)
        async with client.lock(sys.argv[2]):
            print("not reached", flush=True)
try:
    asyncio.run(main())
except KeyboardInterrupt:
    print("interrupted", flush=True)
""",
        server.address,
        name,
    )
    with client.lock(name):
        assert running.line() == "calling"
        while client.range(f"{name}/", count_only=True).count < 2:
            time.sleep(0.01)
        running.process.send_signal(signal.SIGINT)
        assert running.line() == "interrupted"
        code, _, errors = running.end()
        assert code == 0, errors
        assert client.range(f"{name}/", count_only=True).count == 1


def test_a_handler_that_does_not_raise_interrupts_nothing(
    server: Server, client: Client, name: str, program: Callable[..., Program]
) -> None:
    running = program(
        """
import signal, sys, quorate
signal.signal(signal.SIGUSR1, lambda *_: print("handled", flush=True))
with quorate.Client(sys.argv[1]) as client:
    client.connected()
    print("calling", flush=True)
    with client.lock(sys.argv[2]) as guard:
        print("locked", flush=True)
""",
        server.address,
        name,
    )
    with client.lock(name):
        assert running.line() == "calling"
        while client.range(f"{name}/", count_only=True).count < 2:
            time.sleep(0.01)
        running.process.send_signal(signal.SIGUSR1)
        assert running.line() == "handled"
    assert running.line() == "locked"
    assert running.end()[0] == 0


def test_other_threads_run_while_one_blocks(client: Client, name: str) -> None:
    counting = threading.Event()

    def count() -> None:
        for _ in range(200_000):
            pass
        counting.set()

    with client.lock(name):
        threading.Thread(target=count, daemon=True).start()
        with pytest.raises(TimeoutError):
            client.lock(name, timeout=2).acquire()
        assert counting.is_set()

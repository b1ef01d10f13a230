"""The process ends in bounded time, with everything given up, whatever was going on."""

import signal
import time
from collections.abc import Callable

import pytest
from conftest import Program, Server
from quorate import Client

START = """
import asyncio, os, sys, threading, time, quorate
address, name = sys.argv[1:]
client = quorate.Client(address)
"""

ENDINGS = {
    "a client": "client.put(name, 'x')",
    "a held lock": "guard = client.lock(name, ttl=60).acquire()",
    "leadership": "leadership = client.election(name, ttl=60).campaign('me')",
    "a registration": "registration = client.register(name, '127.0.0.1:81', ttl=60)",
    "an unread watch": "watch = client.watch(name); events = client.watch_service(name)",
    "a thread that watches": (
        "events = client.watch_service(name); next(events)\n"
        "threading.Thread(target=lambda: list(events), daemon=True).start()\n"
        "time.sleep(0.1)"
    ),
    "a thread that waits for a lock": (
        "held = client.lock(name, ttl=60).acquire()\n"
        "def wait():\n"
        "    try:\n"
        "        client.lock(name).acquire()\n"
        "    except quorate.QuorateError:\n"
        "        pass\n"
        "threading.Thread(target=wait, daemon=True).start()\n"
        "time.sleep(0.2)"
    ),
    "threads that do not stop": (
        "def work():\n"
        "    while True:\n"
        "        try:\n"
        "            client.get(name)\n"
        "        except quorate.QuorateError:\n"
        "            time.sleep(0.001)\n"
        "for _ in range(4): threading.Thread(target=work, daemon=True).start()\n"
        "time.sleep(0.1)"
    ),
    "a loop that was left": (
        "held = []\n"
        "async def main():\n"
        "    a = quorate.AsyncClient(address)\n"
        "    held.append(a)\n"
        "    held.append(await a.lock(name, ttl=60).acquire())\n"
        "    held.append(asyncio.create_task(anext(a.watch(name))))\n"
        "    await asyncio.sleep(0.1)\n"
        "asyncio.run(main())"
    ),
    "an exit inside a block": (
        "with client.lock(name, ttl=60):\n    print('ending', flush=True)\n    sys.exit(0)"
    ),
}


@pytest.mark.parametrize("what", ENDINGS)
def test_exit_with(
    what: str, server: Server, client: Client, name: str, program: Callable[..., Program]
) -> None:
    source = START + ENDINGS[what] + "\nprint('ending', flush=True)"
    ended = program(source, server.address, name)
    assert ended.line() == "ending"
    began = time.monotonic()
    code, _, errors = ended.end()
    assert code == 0, errors
    assert errors == ""
    assert time.monotonic() - began < 5
    # Long before the time to live.
    with client.lock(name, timeout=5):
        pass
    assert client.discover(name).instances == ()


def test_the_server_need_not_be_there(
    own_server: Server, name: str, program: Callable[..., Program]
) -> None:
    held = ENDINGS["a held lock"] + "\n" + ENDINGS["a registration"]
    ended = program(
        START + held + "\nprint('held', flush=True); sys.stdin.readline()", own_server.address, name
    )
    assert ended.line() == "held"
    own_server.kill()
    began = time.monotonic()
    code, _, errors = ended.end()
    assert code == 0, errors
    assert time.monotonic() - began < 5


def test_sigterm_is_left_as_it_was(
    server: Server, name: str, program: Callable[..., Program]
) -> None:
    ended = program(
        START + "client.connected(); print('ready', flush=True); time.sleep(60)",
        server.address,
        name,
    )
    assert ended.line() == "ready"
    ended.process.send_signal(signal.SIGTERM)
    assert ended.end()[0] == -signal.SIGTERM


#: What a program may have set before, and how it then ends.
BEFORE = {
    "nothing": ("", -signal.SIGTERM),
    "a handler": (
        "import signal\n"
        "signal.signal(signal.SIGTERM, lambda *_: (print('handled', flush=True), os._exit(3)))\n",
        3,
    ),
}


@pytest.mark.parametrize("before", BEFORE)
def test_sigterm_gives_everything_up_if_that_is_wanted(
    before: str, server: Server, client: Client, name: str, program: Callable[..., Program]
) -> None:
    source, code = BEFORE[before]
    ended = program(
        START
        + source
        + "quorate.close_on_sigterm()\n"
        + ENDINGS["a held lock"]
        + "\n"
        + ENDINGS["a registration"]
        + "\nprint('ready', flush=True); quorate.Client(address).lock(name).acquire()",
        server.address,
        name,
    )
    assert ended.line() == "ready"
    ended.process.send_signal(signal.SIGTERM)
    if before == "a handler":
        assert ended.line() == "handled"
    assert ended.end()[0] == code
    assert client.discover(name).instances == ()
    with client.lock(name, timeout=5):
        pass


def test_clients_after_the_end_are_refused(
    server: Server, name: str, program: Callable[..., Program]
) -> None:
    ended = program(
        "import atexit\n"
        "def late():\n"
        "    try:\n"
        "        quorate.Client(address)\n"
        "    except quorate.ClosedError as error:\n"
        "        print(error.code, flush=True)\n"
        "atexit.register(late)\n" + START,
        server.address,
        name,
    )
    assert ended.line() == "closed"
    assert ended.end()[0] == 0

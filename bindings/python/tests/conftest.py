"""A real server for the tests, and a limit on how long each may take."""

from __future__ import annotations

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import pytest
import quorate

ROOT = Path(__file__).parents[3]
BINARY = Path(os.environ.get("QUORATE_BINARY", ROOT / "target/debug/quorate"))
#: Seconds a test may take.
LIMIT = 60

_numbers = itertools.count()


class Server:
    """A server process that can be killed and started again at the same address."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.address = "127.0.0.1:0"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        ready = self.directory / "ready.json"
        ready.unlink(missing_ok=True)
        with (self.directory / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    str(BINARY),
                    "serve",
                    *("--data-dir", str(self.directory / "data")),
                    *("--listen-client", self.address),
                    *("--listen-peer", "127.0.0.1:0"),
                    *("--ready-file", str(ready)),
                ],
                stdout=subprocess.DEVNULL,
                stderr=log,
            )
        deadline = time.monotonic() + 30
        while not ready.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self.directory / "server.log").read_text()[-2000:])
            time.sleep(0.005)
        self.address = json.loads(ready.read_text())["client"][0]

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server all tests share; they keep apart by names."""
    server = Server(tmp_path_factory.mktemp("server"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    """A server to be killed by the test."""
    server = Server(tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def client(server: Server) -> Iterator[quorate.Client]:
    with quorate.Client(server.address) as client:
        yield client


@pytest.fixture
def name() -> str:
    """A name no other test uses."""
    return f"test-{next(_numbers)}"


@pytest.fixture
def nowhere() -> Iterator[str]:
    """An address at which nobody answers: bound, but not listening."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{bound.getsockname()[1]}"


@pytest.fixture(autouse=True)
def limit() -> Iterator[None]:
    """Ends a test that hangs: every blocking call lets signals through."""

    def ring(signum: int, frame: FrameType | None) -> None:
        raise AssertionError(f"the test takes more than {LIMIT} s")

    signal.signal(signal.SIGALRM, ring)
    signal.alarm(LIMIT)
    yield
    signal.alarm(0)


class Program:
    """A Python program, run as a process; it says lines and is told lines."""

    def __init__(self, code: str, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            _, errors = self.process.communicate(timeout=20)
            raise AssertionError(f"the program ended: {errors}")
        return line.strip()

    def end(self, within: float = 20) -> tuple[int, str, str]:
        """Its exit code, and what else it said on both streams."""
        output, errors = self.process.communicate(timeout=within)
        return self.process.returncode, output, errors


@pytest.fixture
def program() -> Iterator[Callable[..., Program]]:
    programs: list[Program] = []

    def run(code: str, *arguments: str) -> Program:
        programs.append(Program(code, *arguments))
        return programs[-1]

    yield run
    for program in programs:
        if program.process.poll() is None:
            program.process.kill()
        program.process.communicate()

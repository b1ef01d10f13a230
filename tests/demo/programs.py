"""The processes of the demo: programs that speak JSON lines, and the server."""

import contextlib
import json
import queue
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# As long as anything takes on a busy machine, in seconds.
PATIENCE = 60.0

Event = dict[str, Any]


class Failed(Exception):
    """The demo cannot go on."""


class Program:
    """A child process that speaks JSON lines."""

    def __init__(self, name: str, command: list[str], log: Path) -> None:
        self.name = name
        self.log = log
        with log.open("ab") as errors:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
            )
        self.events: queue.Queue[Event | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        """Notes of each event when it was told, on one clock for programs in all languages."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with contextlib.suppress(json.JSONDecodeError):
                self.events.put({"at": time.monotonic(), **json.loads(line)})
        self.events.put(None)

    def next(self, wanted: Callable[[Event], bool], within: float = PATIENCE) -> Event:
        """The next event that is wanted; those before it are dropped."""
        deadline = time.monotonic() + within
        while True:
            try:
                event = self.events.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise Failed(f"{self.name}: no such event within {within:.0f} s") from None
            if event is None:
                raise Failed(f"{self.name} has ended: {self.said()}")
            if wanted(event):
                return event

    def until_told(self, key: str) -> Event:
        """The next event with this key."""
        return self.next(lambda event: key in event)

    def write_line(self) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write("\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise Failed(f"{self.name} has ended: {self.said()}") from None

    def ask(self) -> Event:
        """What a consumer counted since it was asked last."""
        self.write_line()
        return self.next(lambda event: event.get("event") == "report")

    def all_events(self) -> list[Event]:
        """Everything it says until it ends by itself."""
        events = []
        deadline = time.monotonic() + PATIENCE
        try:
            while (event := self.events.get(timeout=max(0.0, deadline - time.monotonic()))) is not None:
                events.append(event)
            status = self.process.wait(max(0.0, deadline - time.monotonic()))
        except (queue.Empty, subprocess.TimeoutExpired):
            raise Failed(f"{self.name} has not ended within {PATIENCE:.0f} s") from None
        if status != 0:
            raise Failed(f"{self.name} failed: {self.said()}")
        return events

    def said(self) -> str:
        """The end of what it wrote to its standard error."""
        return self.log.read_text(errors="replace")[-2000:]

    def runs(self) -> bool:
        return self.process.poll() is None

    def terminate(self) -> None:
        """Asks it to end; it can do what it must before."""
        self.process.terminate()

    def kill(self) -> None:
        """Ends it with SIGKILL."""
        self.process.kill()
        self.process.wait()


class Server:
    """A `quorate serve` that can be killed, and started again on its data and its port."""

    def __init__(self, binary: str, directory: Path) -> None:
        self.binary = binary
        self.directory = directory
        self.address = "127.0.0.1:0"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        ready = self.directory / "ready.json"
        ready.unlink(missing_ok=True)
        log = self.directory / "server.log"
        with log.open("ab") as errors:
            self.process = subprocess.Popen(
                [
                    self.binary,
                    "serve",
                    *("--data-dir", str(self.directory / "data")),
                    *("--listen-client", self.address),
                    *("--listen-peer", "127.0.0.1:0"),
                    *("--ready-file", str(ready)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )
        deadline = time.monotonic() + PATIENCE
        # It appears by a rename, whole; nothing but looking tells when.
        while not ready.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise Failed(f"the server did not start: {log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.005)
        self.address = json.loads(ready.read_text())["client"][0]

    def kill(self) -> None:
        """Ends it with SIGKILL."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

"""The main job, end to end, with real processes; what it prints it has measured.

Starts a server, three HTTP providers of one service with weights 3:1:1, a consumer that calls
them, two programs that contend for a lock and two that stand for an election. Then it kills a
provider, kills and restarts the server, and checks what everybody saw. Exits with 1 if an
expectation does not hold. Leaves nothing behind.
"""

import argparse
import contextlib
import json
import os
import queue
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import quorate

HERE = Path(__file__).parent
PROVIDER_TTL = 3.0
CANDIDATE_TTL = 3.0
PATIENCE = 30.0

Event = dict[str, Any]


class Program:
    """A child process that speaks JSON lines; killed with the demo."""

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
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with contextlib.suppress(json.JSONDecodeError):
                self.events.put(json.loads(line))
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
                raise Failed(f"{self.name} has ended: {self.log.read_text()[-2000:]}")
            if wanted(event):
                return event

    def ask(self) -> Event:
        """What a consumer counted since it was asked last."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.next(lambda event: event.get("event") == "report")

    def all_events(self, within: float = PATIENCE) -> list[Event]:
        """Everything it said, once it has ended by itself."""
        events = []
        while (event := self.events.get(timeout=within)) is not None:
            events.append(event)
        if self.process.wait(within) != 0:
            raise Failed(f"{self.name} failed: {self.log.read_text()[-2000:]}")
        return events

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


class Failed(Exception):
    """The demo cannot go on."""


class Demo:
    def __init__(self, binary: str, directory: Path) -> None:
        self.binary = binary
        self.directory = directory
        self.programs: list[Program] = []
        self.server: subprocess.Popen[bytes] | None = None
        self.address = "127.0.0.1:0"
        self.failures: list[str] = []

    # Programs

    def start_server(self) -> None:
        ready = self.directory / "ready.json"
        ready.unlink(missing_ok=True)
        with (self.directory / "server.log").open("ab") as log:
            self.server = subprocess.Popen(
                [
                    self.binary,
                    "serve",
                    *("--data-dir", str(self.directory / "data")),
                    *("--listen-client", self.address),
                    *("--listen-peer", "127.0.0.1:0"),
                    *("--ready-file", str(ready)),
                ],
                stdout=subprocess.DEVNULL,
                stderr=log,
            )
        deadline = time.monotonic() + PATIENCE
        while not ready.exists():
            if self.server.poll() is not None or time.monotonic() > deadline:
                log_text = (self.directory / "server.log").read_text()
                raise Failed(f"the server did not start: {log_text[-2000:]}")
            time.sleep(0.005)
        self.address = json.loads(ready.read_text())["client"][0]

    def kill_server(self) -> None:
        assert self.server is not None
        self.server.kill()
        self.server.wait()

    def start(self, name: str, script: str, *arguments: str) -> Program:
        command = [sys.executable, str(HERE / script), "--server", self.address, *arguments]
        program = Program(name, command, self.directory / f"{name}.log")
        self.programs.append(program)
        return program

    def end(self) -> None:
        for program in self.programs:
            program.end()
        if self.server is not None:
            self.server.kill()
            self.server.wait()

    # Findings

    def show(self, what: str, value: str, holds: bool = True, expected: str = "") -> None:
        mark = "ok " if holds else "BAD"
        note = f"   (expected {expected})" if expected else ""
        print(f"  {mark} {what:<52} {value}{note}", flush=True)
        if not holds:
            self.failures.append(f"{what}: {value}, expected {expected}")

    # The story

    def run(self) -> None:
        print("Quorate: programs that find each other", flush=True)
        self.start_server()
        print(f"\nA server, three providers with weights 3:1:1, a consumer ({self.address})")
        providers = []
        for number, weight in enumerate((3, 1, 1)):
            provider = self.start(
                f"provider-{number}", "provider.py", "--weight", str(weight), "--ttl", str(PROVIDER_TTL)
            )
            providers.append((provider, weight))
        ids = {}
        for provider, weight in providers:
            ids[provider.next(lambda event: "registered" in event)["registered"]] = (provider, weight)
        consumer = self.start("consumer", "consumer.py", "--cache-dir", str(self.directory / "cache"))
        consumer.next(lambda event: event.get("event") == "calling")
        self.shares(consumer, ids)
        self.lock()
        self.election()
        self.kill_provider(consumer, ids)
        self.kill_and_restart_server(consumer, ids)

    def shares(self, consumer: Program, ids: dict[str, tuple[Program, int]]) -> None:
        consumer.next(lambda event: event.get("count") == len(ids))
        consumer.ask()
        counts: dict[str, int] = {}
        failed = 0
        while sum(counts.values()) < 1500:
            time.sleep(0.2)
            report = consumer.ask()
            for instance, count in report["answered"].items():
                counts[instance] = counts.get(instance, 0) + count
            failed += sum(report["failed"].values()) + sum(report["unserved"].values())
        total = sum(counts.values())
        weights = sum(weight for _, weight in ids.values())
        for instance, (_, weight) in ids.items():
            share, ideal = counts.get(instance, 0) / total, weight / weights
            self.show(
                f"share of {instance}, weight {weight}",
                f"{share:.1%}",
                abs(share - ideal) <= 0.05 * ideal,
                f"{ideal:.0%}, 5 % off at most",
            )
        self.show(f"failed of {total} calls", str(failed), failed == 0, "0")

    def lock(self) -> None:
        print("\nTwo programs contend for one lock")
        lockers = [self.start(f"locker-{number}", "locker.py") for number in range(2)]
        held = [{**event, "by": number} for number, p in enumerate(lockers) for event in p.all_events()]
        held.sort(key=lambda event: event["token"])
        pairs = list(zip(held, held[1:]))
        overlaps = sum(before["ended"] > after["began"] for before, after in pairs)
        handed = [
            after["began"] - before["ended"] for before, after in pairs if before["by"] != after["by"]
        ]
        self.show("times held", str(len(held)), len(held) == 50, "50")
        self.show("times held by both at once", str(overlaps), overlaps == 0, "0")
        tokens = len({event["token"] for event in held})
        self.show("fencing tokens, all different and growing", str(tokens), tokens == len(held))
        median = statistics.median(handed) if handed else float("inf")
        self.show(
            f"hand-over time, median of {len(handed)}", f"{median * 1000:.1f} ms", bool(handed), "some"
        )

    def election(self) -> None:
        print("\nTwo programs stand for an election; the leader is killed")
        first = self.start("candidate-0", "candidate.py", "--name", "anna", "--ttl", str(CANDIDATE_TTL))
        token = first.next(lambda event: "leads" in event)["token"]
        second = self.start("candidate-1", "candidate.py", "--name", "berta", "--ttl", str(CANDIDATE_TTL))
        second.next(lambda event: "standing" in event)
        with quorate.Client(self.address) as client:
            leader = client.election("reports").leader()
            named = leader.value.decode() if leader else "nobody"
            self.show("the leader everybody sees", named, named == "anna", "anna")
        killed = time.monotonic()
        first.end()
        won = second.next(lambda event: "leads" in event)
        took = won["at"] - killed
        self.show(
            "from kill -9 of the leader to the next one",
            f"{took:.2f} s",
            took <= CANDIDATE_TTL + 1.5,
            f"TTL {CANDIDATE_TTL:.0f} s and little more",
        )
        self.show("its fencing token is higher", str(won["token"]), won["token"] > token, f"> {token}")

    def kill_provider(self, consumer: Program, ids: dict[str, tuple[Program, int]]) -> None:
        print("\nA provider is killed with SIGKILL")
        victim = next(instance for instance, (_, weight) in ids.items() if weight == 1)
        consumer.ask()
        killed = time.monotonic()
        ids.pop(victim)[0].process.send_signal(signal.SIGKILL)
        gone = consumer.next(
            lambda event: event.get("event") == "removed" and event["id"] == victim,
            within=PROVIDER_TTL + 10,
        )
        took = gone["at"] - killed
        report = consumer.ask()
        failed = sum(report["failed"].values())
        unserved = sum(report["unserved"].values())
        answered = sum(report["answered"].values())
        self.show(f"failed attempts until it was ejected, of {answered}", str(failed), failed <= 10, "a handful")
        self.show("calls without an answer", str(unserved), unserved == 0, "0")
        self.show(
            "time until it was gone from the consumer's cache",
            f"{took:.2f} s",
            took <= PROVIDER_TTL + 1.0,
            f"TTL {PROVIDER_TTL:.0f} s + 1 s at most",
        )
        self.show("the reason given", str(gone["reason"]), gone["reason"] == "session_lost", "session_lost")

    def kill_and_restart_server(self, consumer: Program, ids: dict[str, tuple[Program, int]]) -> None:
        print("\nThe server is killed with SIGKILL, and started again 3 s later")
        consumer.ask()
        self.kill_server()
        down_for = 3.0
        time.sleep(down_for)
        report = consumer.ask()
        answered, unserved = sum(report["answered"].values()), sum(report["unserved"].values())
        failed = sum(report["failed"].values())
        self.show("picks served while it was down", str(answered), answered > 100, "> 100")
        self.show("of these marked stale", str(report["states"].get("stale", 0)))
        self.show("picks refused or calls failed", str(unserved + failed), unserved + failed == 0, "0")
        restarted = time.monotonic()
        self.start_server()
        expected = set(ids)
        with quorate.Client(self.address) as client:
            deadline = time.monotonic() + PATIENCE
            found: set[str] = set()
            for event in client.watch_service("shop"):
                found = {instance.id for instance in event.view.instances}
                if found >= expected or time.monotonic() > deadline:
                    break
        took = time.monotonic() - restarted
        self.show(
            "all registrations back, no client restarted",
            f"{len(found)} after {took:.2f} s",
            found == expected,
            f"{len(expected)}",
        )
        report = consumer.ask()
        unserved, failed = sum(report["unserved"].values()), sum(report["failed"].values())
        self.show("picks refused or calls failed meanwhile", str(unserved + failed), unserved + failed == 0, "0")


@contextlib.contextmanager
def directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="quorate-demo-") as name:
        yield Path(name)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quorate", required=True, help="path of the quorate binary")
    arguments = parser.parse_args()
    if not os.access(arguments.quorate, os.X_OK):
        parser.error(f"{arguments.quorate} is not an executable file")
    # A terminated demo cleans up, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with directory() as path:
        demo = Demo(arguments.quorate, path)
        try:
            demo.run()
        except Failed as error:
            demo.failures.append(str(error))
        except KeyboardInterrupt:
            return 130
        finally:
            demo.end()
    if demo.failures:
        print("\nNot as expected:")
        for failure in demo.failures:
            print(f"  {failure}")
        return 1
    print("\nEverything as expected.")
    return 0


if __name__ == "__main__":
    sys.exit(main())

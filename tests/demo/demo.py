"""The main job, end to end, with real processes in four languages; what it prints it has measured.

Starts a server, three HTTP providers of one service in Python with weights 3:1:1, and a consumer in
Node.js that calls them. A C and a Python program contend for a lock, a Node.js and a Rust program
stand for an election. Then it kills a provider, kills and restarts the server, and checks what
everybody saw. Exits with 1 if an expectation does not hold. Leaves nothing behind.
"""

import argparse
import shutil
import signal
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

import quorate
from programs import PATIENCE, Event, Failed, Program, Server

HERE = Path(__file__).parent
PROVIDER_TTL = 3.0
CANDIDATE_TTL = 3.0
CALLS = 1200
CALLS_WITHIN = 180.0
LOCK_ROUNDS = 25
# The server is down for so many seconds, and for so many calls.
DOWN_FOR = 3.0
CALLS_WHILE_DOWN = 100


class Demo:
    def __init__(self, arguments: argparse.Namespace, directory: Path) -> None:
        self.interpreters = {".py": sys.executable, ".mjs": arguments.node}
        self.locker: str = arguments.locker
        self.candidate: str = arguments.candidate
        self.directory = directory
        self.server = Server(arguments.quorate, directory)
        self.programs: list[Program] = []
        self.providers: dict[str, tuple[Program, int]] = {}
        self.failures: list[str] = []

    def start(self, name: str, program_file: str, *options: str) -> Program:
        """Starts a binary, or a script of this folder."""
        interpreter = self.interpreters.get(Path(program_file).suffix)
        command = [interpreter, str(HERE / program_file)] if interpreter else [program_file]
        command += ["--server", self.server.address, *options]
        program = Program(name, command, self.directory / f"{name}.log")
        self.programs.append(program)
        return program

    def end(self) -> None:
        for program in self.programs:
            program.kill()
        self.server.kill()

    def show(self, what: str, value: str, holds: bool = True, expected: str = "") -> None:
        """Prints a finding, and remembers it if it is not as expected."""
        mark = "ok " if holds else "BAD"
        note = f"   (expected {expected})" if expected else ""
        print(f"  {mark} {what:<54} {value}{note}", flush=True)
        if not holds:
            self.failures.append(f"{what}: {value}, expected {expected}")

    # The story

    def run(self) -> None:
        print("Quorate: programs in four languages that find each other", flush=True)
        self.server.start()
        consumer = self.begin()
        self.shares(consumer)
        self.lock()
        self.election()
        self.kill_provider(consumer)
        self.kill_and_restart_server(consumer)

    def begin(self) -> Program:
        print(
            f"\nA server ({self.server.address}), three providers in Python with weights 3:1:1,"
            "\nand a consumer in Node.js that calls them over HTTP",
            flush=True,
        )
        started = [
            (
                self.start(
                    f"provider-{number}",
                    "provider.py",
                    *("--weight", str(weight)),
                    *("--ttl", str(PROVIDER_TTL)),
                ),
                weight,
            )
            for number, weight in enumerate((3, 1, 1))
        ]
        for program, weight in started:
            self.providers[program.until_told("registered")["registered"]] = (program, weight)
        consumer = self.start("consumer", "consumer.mjs", "--cache-dir", str(self.directory / "cache"))
        consumer.next(lambda event: event.get("event") == "calling")
        return consumer

    def shares(self, consumer: Program) -> None:
        consumer.next(lambda event: event.get("count") == len(self.providers))
        consumer.ask()
        counts: dict[str, int] = {}
        failed = 0
        deadline = time.monotonic() + CALLS_WITHIN
        while sum(counts.values()) < CALLS:
            if time.monotonic() > deadline:
                raise Failed(f"only {sum(counts.values())} calls within {CALLS_WITHIN:.0f} s")
            time.sleep(0.2)
            report = consumer.ask()
            for instance, count in report["answered"].items():
                counts[instance] = counts.get(instance, 0) + count
            failed += failures(report)
        total = sum(counts.values())
        weights = sum(weight for _, weight in self.providers.values())
        for instance, (_, weight) in self.providers.items():
            share, ideal = counts.get(instance, 0) / total, weight / weights
            self.show(
                f"share of {instance}, weight {weight}",
                f"{share:.1%}",
                abs(share - ideal) <= 0.05 * ideal,
                f"{ideal:.0%}, 5 % off at most",
            )
        self.show(f"failed of {total} calls", str(failed), failed == 0, "0")

    def lock(self) -> None:
        print("\nA C and a Python program contend for one lock", flush=True)
        rounds = ("--rounds", str(LOCK_ROUNDS))
        lockers = [
            self.start("locker-c", self.locker, *rounds),
            self.start("locker-python", "locker.py", *rounds),
        ]
        for locker in lockers:
            locker.until_told("ready")
        for locker in lockers:
            locker.write_line()
        held = [{**event, "by": locker.name} for locker in lockers for event in locker.all_events()]
        held.sort(key=lambda event: event["began"])
        pairs = list(zip(held, held[1:]))
        overlaps = sum(before["ended"] > after["began"] for before, after in pairs)
        handed = [after["began"] - before["ended"] for before, after in pairs if before["by"] != after["by"]]
        times = LOCK_ROUNDS * len(lockers)
        self.show("times held", str(len(held)), len(held) == times, str(times))
        self.show("times held by both at once", str(overlaps), overlaps == 0, "0")
        greater = sum(before["token"] < after["token"] for before, after in pairs)
        self.show("fencing tokens greater than the one before", str(greater), greater == len(pairs), str(times - 1))
        few = LOCK_ROUNDS // 2
        self.show(
            "times handed from one language to the other", str(len(handed)), len(handed) >= few, f"{few} at least"
        )
        if handed:
            self.show("hand-over time, median", f"{statistics.median(handed) * 1000:.1f} ms")

    def election(self) -> None:
        print("\nA Node.js and a Rust program stand for an election; the leader is killed", flush=True)
        first = self.stand("anna", "candidate.mjs")
        token = self.leads(first, "anna")["token"]
        second = self.stand("berta", self.candidate)
        second.until_told("stands")
        killed = time.monotonic()
        first.kill()
        won = self.leads(second, "berta")
        took = won["at"] - killed
        self.show(
            "from kill -9 of Node.js to Rust's leading",
            f"{took:.2f} s",
            took <= CANDIDATE_TTL + 1.5,
            f"TTL {CANDIDATE_TTL:.0f} s + 1.5 s at most",
        )
        self.show("its fencing token is greater", str(won["token"]), won["token"] > token, f"> {token}")
        third = self.stand("clara", "candidate.mjs")
        third.until_told("stands")
        terminated = time.monotonic()
        second.terminate()
        won = self.leads(third, "clara")
        took = won["at"] - terminated
        self.show(
            "from SIGTERM of Rust, which resigns, to Node.js's",
            f"{took * 1000:.0f} ms",
            took <= CANDIDATE_TTL / 2,
            "long before its TTL",
        )
        third.kill()

    def stand(self, name: str, program: str) -> Program:
        ttl = ("--ttl-ms", str(round(CANDIDATE_TTL * 1000)))
        return self.start(f"candidate-{name}", program, "--name", name, *ttl)

    def leads(self, candidate: Program, name: str) -> Event:
        """The event with which it began to lead; others see it, too."""
        won = candidate.until_told("leads")
        with quorate.Client(self.server.address) as client:
            leader = client.election("reports").leader()
        named = leader.value.decode() if leader else "nobody"
        self.show("the leader, as a Python program sees it", named, named == name, name)
        return won

    def kill_provider(self, consumer: Program) -> None:
        print("\nA provider is killed with SIGKILL", flush=True)
        victim = next(instance for instance, (_, weight) in self.providers.items() if weight == 1)
        consumer.ask()
        killed = time.monotonic()
        self.providers.pop(victim)[0].kill()
        gone = consumer.next(lambda event: event.get("event") == "removed" and event["id"] == victim)
        took = gone["at"] - killed
        report = consumer.ask()
        attempts, unserved = sum(report["failed"].values()), sum(report["unserved"].values())
        answered = sum(report["answered"].values())
        self.show(
            f"failed attempts until it was ejected, of {answered + attempts}",
            str(attempts),
            attempts <= 10,
            "a handful: 10 at most",
        )
        self.show("calls without an answer, retries included", str(unserved), unserved == 0, "0")
        self.show(
            "time until it was gone from the consumer's cache",
            f"{took:.2f} s",
            took <= PROVIDER_TTL + 1.0,
            f"TTL {PROVIDER_TTL:.0f} s + 1 s at most",
        )
        self.show("the reason given", str(gone["reason"]), gone["reason"] == "session_lost", "session_lost")

    def kill_and_restart_server(self, consumer: Program) -> None:
        print("\nThe server is killed with SIGKILL, and started again later", flush=True)
        consumer.ask()
        self.server.kill()
        killed = time.monotonic()
        answered = stale = failed = 0
        while (down := time.monotonic() - killed) < DOWN_FOR or answered + failed < CALLS_WHILE_DOWN:
            if down > CALLS_WITHIN:
                raise Failed(f"only {answered + failed} calls within {down:.0f} s")
            time.sleep(0.2)
            report = consumer.ask()
            answered += sum(report["answered"].values())
            stale += report["states"].get("stale", 0)
            failed += failures(report)
        self.show(f"calls answered in the {down:.1f} s it was down", str(answered), answered > 0, "all")
        self.show("of these picks marked stale", str(stale), stale > answered / 2, "most")
        self.show("picks refused or calls failed", str(failed), failed == 0, "0")
        restarted = time.monotonic()
        self.server.start()
        found = self.registrations(set(self.providers))
        self.show(
            "registrations back",
            f"{len(found)} after {time.monotonic() - restarted:.2f} s",
            found == set(self.providers),
            str(len(self.providers)),
        )
        live = consumer.next(lambda event: event.get("state") == "live")
        self.show("the consumer's view is live again", f"after {live['at'] - restarted:.2f} s")
        running = [consumer, *(program for program, _ in self.providers.values())]
        alive = sum(program.runs() for program in running)
        self.show("of its clients never restarted", str(alive), alive == len(running), str(len(running)))
        failed = failures(consumer.ask())
        self.show("picks refused or calls failed meanwhile", str(failed), failed == 0, "0")

    def registrations(self, expected: set[str]) -> set[str]:
        """What a client that knows nothing finds, once it is what is expected or it took too long."""
        found: set[str] = set()
        with quorate.Client(self.server.address) as client, client.watch_service("shop") as changes:
            too_late = threading.Timer(PATIENCE, changes.close)
            too_late.start()
            for event in changes:
                found = {instance.id for instance in event.view.instances}
                if found >= expected:
                    break
            too_late.cancel()
        return found


def failures(report: Event) -> int:
    """Picks refused, attempts failed, calls given up."""
    return sum(report["failed"].values()) + sum(report["unserved"].values())


def executable(name: str) -> str:
    """The path of a program that can be started."""
    path = shutil.which(name)
    if path is None:
        raise argparse.ArgumentTypeError(f"{name} is not an executable file")
    return path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quorate", required=True, type=executable, help="path of the quorate binary")
    parser.add_argument("--locker", required=True, type=executable, help="path of locker.c, built")
    parser.add_argument("--candidate", required=True, type=executable, help="path of candidate.rs, built")
    parser.add_argument("--node", default="node", type=executable, help="Node.js, 20 or newer")
    arguments = parser.parse_args()
    # A terminated demo cleans up, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="quorate-demo-") as directory:
        demo = Demo(arguments, Path(directory))
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

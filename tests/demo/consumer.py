"""A program that calls a service over HTTP, on whichever instance its picks name.

It calls all the time, tells of every change it is pushed, and answers each line on its
standard input with what it counted since the last one.
"""

import argparse
import http.client
import json
import sys
import threading
import time
from collections import Counter

import quorate

Outcome = quorate.Outcome


class Caller(threading.Thread):
    """One thread that calls as fast as it is allowed, over connections it keeps."""

    def __init__(self, client: quorate.Client, service: str, pause: float) -> None:
        super().__init__(daemon=True)
        self.client = client
        self.service = service
        self.pause = pause
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        self.connections: dict[str, http.client.HTTPConnection] = {}
        self.reset()

    def reset(self) -> None:
        self.answered: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.states: Counter[str] = Counter()
        self.unserved: Counter[str] = Counter()

    def report(self) -> dict[str, dict[str, int]]:
        with self.lock:
            counted = {
                "answered": dict(self.answered),
                "failed": dict(self.failed),
                "states": dict(self.states),
                "unserved": dict(self.unserved),
            }
            self.reset()
            return counted

    def run(self) -> None:
        while not self.stopping.wait(self.pause):
            self.call()

    def call(self) -> None:
        """One call, with retries on other instances as far as the budget goes."""
        tried: list[str] = []
        while True:
            try:
                pick = self.client.pick(self.service, exclude=tried)
            except quorate.QuorateError as error:
                with self.lock:
                    self.unserved[error.code] += 1
                return
            began = time.monotonic()
            try:
                self.get(pick.address)
            except OSError as error:
                refused = isinstance(error, ConnectionRefusedError)
                pick.report(Outcome.CONNECT_FAIL if refused else Outcome.FAIL)
                with self.lock:
                    self.failed[pick.id] += 1
                tried.append(pick.id)
                if len(tried) < 3 and self.client.may_retry(self.service):
                    continue
                return
            pick.report(Outcome.OK, latency=time.monotonic() - began)
            with self.lock:
                self.answered[pick.id] += 1
                self.states[pick.state] += 1
            return

    def get(self, address: str) -> None:
        connection = self.connections.get(address)
        if connection is None:
            connection = http.client.HTTPConnection(address, timeout=2)
            self.connections[address] = connection
        try:
            connection.request("GET", "/")
            response = connection.getresponse()
            response.read()
            if response.status != 200:
                raise OSError(f"status {response.status}")
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            del self.connections[address]
            raise error if isinstance(error, OSError) else OSError(str(error)) from error


def tell(**what: object) -> None:
    print(json.dumps({"at": time.monotonic(), **what}), flush=True)


def follow(client: quorate.Client, service: str) -> None:
    """Tells of every change of the service."""
    for event in client.watch_service(service):
        for removed in event.removed:
            tell(event="removed", id=removed.instance.id, reason=removed.reason)
        for instance in event.added:
            tell(event="added", id=instance.id)
        tell(event="instances", count=len(event.view.instances), state=event.view.freshness.state)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", required=True)
    parser.add_argument("--service", default="shop")
    parser.add_argument("--cache-dir")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pause", type=float, default=0.005, help="seconds between calls")
    arguments = parser.parse_args()

    with quorate.Client(
        arguments.server,
        cache_dir=arguments.cache_dir,
        algorithm="weighted_round_robin",
    ) as client:
        client.discover(arguments.service)
        callers = [
            Caller(client, arguments.service, arguments.pause) for _ in range(arguments.threads)
        ]
        for caller in callers:
            caller.start()
        tell(event="calling")
        threading.Thread(target=follow, args=(client, arguments.service), daemon=True).start()
        for _ in sys.stdin:
            total: dict[str, Counter[str]] = {}
            for caller in callers:
                for name, counts in caller.report().items():
                    total.setdefault(name, Counter()).update(counts)
            tell(event="report", **{name: dict(counts) for name, counts in total.items()})
        for caller in callers:
            caller.stopping.set()
        for caller in callers:
            caller.join()


if __name__ == "__main__":
    main()

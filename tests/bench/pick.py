"""Prints the nanoseconds of one pick with its report: 1,000 endpoints, one thread, no server."""

import statistics
import time

import quorate

ENDPOINTS = 1_000
PICKS = 200_000


def main() -> None:
    instances = [
        quorate.Instance(f"127.0.0.1:{1_000 + number}", weight=1 + number % 5)
        for number in range(ENDPOINTS)
    ]
    # Port 1: nobody is there, the static instances serve.
    with quorate.Client("127.0.0.1:1", static_instances={"bench": instances}) as client:
        client.discover("bench")
        service = client.service("bench")
        runs = []
        for _ in range(5):
            began = time.perf_counter_ns()
            for _ in range(PICKS):
                pick = service.pick()
                pick.address
                pick.report(quorate.Outcome.OK)
            runs.append((time.perf_counter_ns() - began) / PICKS)
        print(statistics.median(runs))


if __name__ == "__main__":
    main()

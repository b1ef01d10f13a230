"""Prints the median milliseconds of acquiring and of releasing a lock that nobody else wants."""

import statistics
import sys
import time

import quorate

LOCKS = 300


def main() -> None:
    acquired, released = [], []
    with quorate.Client(sys.argv[1]) as client:
        client.get("connected")
        for _ in range(LOCKS):
            began = time.perf_counter()
            guard = client.lock("bench/alone").acquire()
            acquired.append(time.perf_counter() - began)
            began = time.perf_counter()
            guard.unlock()
            released.append(time.perf_counter() - began)
    print(statistics.median(acquired) * 1e3, statistics.median(released) * 1e3)


if __name__ == "__main__":
    main()

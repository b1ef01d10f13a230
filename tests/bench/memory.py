"""Prints the bytes of one more client, and of one more followed service of 1,000 instances: by the
growth of what is resident. The services are registered before."""

import os
import sys
import time

import quorate

CLIENTS = 100
SERVICES = 10
INSTANCES = 1_000


def resident() -> int:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def client() -> quorate.Client:
    one = quorate.Client(sys.argv[1])
    one.get("connected")
    return one


def main() -> None:
    first = client()
    begin = resident()
    clients = [client() for _ in range(CLIENTS)]
    connected = resident()
    deadline = time.monotonic() + 60
    for number in range(SERVICES):
        while len(first.discover(f"memory-{number}").instances) < INSTANCES:
            if time.monotonic() > deadline:
                sys.exit(f"service memory-{number} is not complete")
            time.sleep(0.005)
    following = resident()
    print((connected - begin) / CLIENTS, (following - connected) / SERVICES)
    for one in (first, *clients):
        one.close()


if __name__ == "__main__":
    main()

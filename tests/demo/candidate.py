"""A program that stands for an election, leads when it wins, and tells when."""

import argparse
import json
import signal
import threading
import time

import quorate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", required=True)
    parser.add_argument("--election", default="reports")
    parser.add_argument("--name", required=True)
    parser.add_argument("--ttl", type=float, default=3.0)
    arguments = parser.parse_args()

    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    with quorate.Client(arguments.server) as client:
        print(json.dumps({"standing": arguments.name}), flush=True)
        with client.election(arguments.election, ttl=arguments.ttl).campaign(
            arguments.name
        ) as leadership:
            print(
                json.dumps(
                    {"leads": arguments.name, "token": leadership.token, "at": time.monotonic()}
                ),
                flush=True,
            )
            while not stop.wait(0.1) and not leadership.is_lost:
                pass


if __name__ == "__main__":
    main()

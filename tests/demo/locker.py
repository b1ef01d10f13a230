"""A program that wants one lock again and again, and tells when it had it.

It begins when it is given a line on its standard input.
"""

import argparse
import json
import sys
import time

import quorate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", required=True)
    parser.add_argument("--lock", default="ledger")
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--hold", type=float, default=0.02)
    arguments = parser.parse_args()

    with quorate.Client(arguments.server) as client:
        client.connected()
        print(json.dumps({"ready": True}), flush=True)
        if not sys.stdin.readline():
            sys.exit("nobody said when to begin")
        for _ in range(arguments.rounds):
            with client.lock(arguments.lock, ttl=5, timeout=30) as guard:
                began = time.monotonic()
                time.sleep(arguments.hold)
                ended = time.monotonic()
            print(json.dumps({"token": guard.token, "began": began, "ended": ended}), flush=True)


if __name__ == "__main__":
    main()

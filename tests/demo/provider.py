"""A program that serves HTTP and is registered while it runs."""

import argparse
import json
import os
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import quorate


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        body = json.dumps({"pid": os.getpid(), "path": self.path}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", required=True)
    parser.add_argument("--service", default="shop")
    parser.add_argument("--weight", type=int, default=1)
    parser.add_argument("--ttl", type=float, default=3.0)
    arguments = parser.parse_args()

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    address = f"127.0.0.1:{http.server_port}"
    threading.Thread(target=http.serve_forever, daemon=True).start()

    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    with quorate.Client(arguments.server) as client:
        with client.register(
            arguments.service, address, weight=arguments.weight, ttl=arguments.ttl
        ) as registration:
            print(json.dumps({"registered": registration.id, "address": address}), flush=True)
            stop.wait()
    http.shutdown()


if __name__ == "__main__":
    sys.exit(main())

"""What the client's threads say comes out of ``logging``."""

import logging
import threading
import time

import pytest
from conftest import Server
from quorate import Client


def test_records_arrive(own_server: Server, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="quorate")
    with Client(own_server.address, request_timeout=1) as client:
        with client.watch("a"), client.lock("a"):
            own_server.kill()
            deadline = time.monotonic() + 20
            while not caplog.records and time.monotonic() < deadline:
                time.sleep(0.01)
    record = caplog.records[0]
    assert record.name.startswith("quorate.")
    assert record.getMessage()
    assert abs(record.created - time.time()) < 60


def test_one_thread_serves_all_clients(server: Server) -> None:
    clients = [Client(server.address) for _ in range(3)]
    names = [thread.name for thread in threading.enumerate()]
    assert names.count("quorate-logs") == 1
    for client in clients:
        client.close()

"""Web applications register in their workers and deregister when they end: real servers."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import quorate.flask
import quorate.starlette
from conftest import Server
from quorate import Client

ASGI = """
import os
from contextlib import asynccontextmanager
from fastapi import FastAPI, Request
import quorate, quorate.starlette

@asynccontextmanager
async def own(app):
    app.state.greeting = "hello"
    yield {"mine": 1}

app = FastAPI(lifespan=quorate.starlette.lifespan(
    lambda: quorate.AsyncClient(os.environ["SERVER"]),
    os.environ["NAME"], os.environ["ADDRESS"], inner=own, ttl=60, metadata={"team": "checkout"},
))

@app.get("/")
async def root(request: Request):
    view = await request.state.quorate.discover(os.environ["NAME"])
    return [app.state.greeting, request.state.mine, len(view.instances)]
"""

WSGI = """
import os
from flask import Flask, current_app
import quorate, quorate.flask

app = Flask(__name__)
registration = quorate.flask.Registration(
    app, lambda: quorate.Client(os.environ["SERVER"]),
    os.environ["NAME"], os.environ["ADDRESS"], ttl=60,
)

@app.get("/")
def root():
    view = current_app.extensions["quorate"].client.discover(os.environ["NAME"])
    return str(len(view.instances))
"""


@pytest.fixture
def address() -> str:
    """One that is free, now."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{bound.getsockname()[1]}"


Run = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def run(tmp_path: Path, server: Server, name: str, address: str) -> Iterator[Run]:
    started: list[subprocess.Popen[bytes]] = []

    def start(source: str, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        (tmp_path / "app.py").write_text(source)
        with (tmp_path / "log").open("wb") as log:
            started.append(
                subprocess.Popen(
                    [sys.executable, "-m", *arguments],
                    cwd=tmp_path,
                    env={
                        **os.environ,
                        "SERVER": server.address,
                        "NAME": name,
                        "ADDRESS": address,
                        **environment,
                    },
                    stderr=log,
                    stdout=log,
                )
            )
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait()
    print((tmp_path / "log").read_text())


def wait_for(client: Client, name: str, count: int) -> tuple[quorate.Instance, ...]:
    """Until so many instances are registered."""
    with client.watch_service(name) as events:
        for event in events:
            if len(event.view.instances) == count:
                return event.view.instances
    raise AssertionError("the watch ended")


def get(address: str) -> bytes:
    with urllib.request.urlopen(f"http://{address}/", timeout=20) as answer:
        body: bytes = answer.read()
    return body


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_uvicorn(run: Run, client: Client, name: str, address: str, loop: str) -> None:
    port = address.rpartition(":")[2]
    uvicorn = run(ASGI, "uvicorn", "app:app", "--port", port, "--loop", loop)
    (instance,) = wait_for(client, name, 1)
    # It is there only when it can be called.
    assert get(address) == b'["hello",1,1]'
    assert instance.address == address
    assert instance.metadata == {"team": "checkout"}
    uvicorn.send_signal(signal.SIGTERM)
    # Long before the time to live.
    wait_for(client, name, 0)
    uvicorn.wait(20)


def test_an_application_starts_without_quorate(
    run: Run, own_server: Server, name: str, address: str
) -> None:
    own_server.kill()
    port = address.rpartition(":")[2]
    server = own_server.address
    impatient = ASGI.replace("AsyncClient(", "AsyncClient(request_timeout=0.3, servers=")
    run(impatient, "uvicorn", "app:app", "--port", port, SERVER=server)
    own_server.start()
    with Client(server) as client:
        wait_for(client, name, 1)


def test_gunicorn_with_preload(
    run: Run, client: Client, name: str, address: str, tmp_path: Path
) -> None:
    (tmp_path / "gunicorn.conf.py").write_text(
        "from quorate.flask import post_worker_init, worker_exit\n"
        "preload_app = True\nworkers = 2\n"
    )
    gunicorn = run(WSGI, "gunicorn", "--bind", address, "app:app")
    first = wait_for(client, name, 2)
    assert {instance.address for instance in first} == {address}
    assert get(address) == b"2"
    # A worker that dies is replaced by one that registers itself.
    worker = int(first[0].id.rpartition("#")[2])
    os.kill(worker, signal.SIGTERM)
    with client.watch_service(name) as events:
        for event in events:
            ids = {instance.id for instance in event.view.instances}
            if len(ids) == 2 and first[0].id not in ids:
                break
    gunicorn.send_signal(signal.SIGTERM)
    wait_for(client, name, 0)
    assert gunicorn.wait(20) == 0


def test_importing_an_application_does_nothing(run: Run, name: str, client: Client) -> None:
    imported = run(WSGI, "app")
    assert imported.wait(30) == 0
    assert client.discover(name).instances == ()


def test_a_wrong_option_is_told_when_the_application_is_made() -> None:
    with pytest.raises(TypeError, match="wieght"):
        quorate.starlette.lifespan(quorate.AsyncClient, "shop", "127.0.0.1:81", wieght=3)
    with pytest.raises(TypeError, match="wieght"):
        quorate.flask.Registration(None, Client, "shop", "127.0.0.1:81", wieght=3)


def test_a_registration_starts_and_stops_once(server: Server, name: str, client: Client) -> None:
    registration = quorate.flask.Registration(
        None, lambda: Client(server.address), name, "127.0.0.1:81"
    )
    registration.stop()
    registration.start()
    registration.start()
    wait_for(client, name, 1)
    mine = registration.client
    registration.stop()
    registration.stop()
    wait_for(client, name, 0)
    with pytest.raises(quorate.ClosedError):
        mine.get(name)

"""Forks: the child is told, and touches nothing of its parent's."""

import asyncio
import http.client
import importlib
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
import quorate
from conftest import Server
from quorate import AsyncClient, Client


def in_child(what: Callable[[], None]) -> None:
    """Runs it in a forked child, which must end well and within its time."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            signal.alarm(20)
            what()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert status == 0


def test_the_child_is_told_by_every_handle(server: Server, name: str) -> None:
    client = Client(server.address)
    guard = client.lock(name).acquire()
    leadership = client.election(name + "e").campaign("me")
    lease = client.lease(5)
    registration = client.register(name, "127.0.0.1:81")
    client.discover(name)
    service = client.service(name)
    pick = service.pick()
    watch, events = client.watch(name), client.watch_service(name)
    leaders = client.election(name + "e").observe()
    next(events)
    uses = [
        lambda: client.get(name),
        lambda: client.put(name, "x"),
        lambda: client.pick(name),
        lambda: client.service(name),
        lambda: client.metrics(),
        lambda: client.lock(name).acquire(),
        lambda: client.watch(name),
        lambda: client.close(),
        lambda: guard.unlock(),
        lambda: guard.is_lost,
        lambda: guard.lost.wait(0),
        lambda: leadership.resign(),
        lambda: leadership.proclaim("x"),
        lambda: lease.revoke(),
        lambda: registration.update(weight=1),
        lambda: registration.deregister(),
        lambda: registration.revision,
        lambda: service.pick(),
        lambda: service.view,
        lambda: pick.report(quorate.Outcome.OK),
        lambda: next(watch),
        lambda: next(events),
        lambda: next(leaders),
        lambda: watch.close(),
    ]

    def child() -> None:
        for number, use in enumerate(uses):
            try:
                use()
            except quorate.ForkedClientError:
                continue
            raise AssertionError(f"use {number} did not notice")

    in_child(child)
    for use in uses[:4]:
        use()
    assert not guard.is_lost
    client.close()


def test_the_parent_keeps_what_it_holds(server: Server, name: str) -> None:
    with Client(server.address) as client, Client(server.address) as other:
        guard = client.lock(name, ttl=2).acquire()
        leadership = client.election(name + "e", ttl=2).campaign("me")
        registration = client.register(name, "127.0.0.1:81", ttl=2)
        events = other.watch_service(name)
        assert len(next(events).added) == 1

        def child() -> None:
            nonlocal guard, leadership, registration
            with client:
                pass
            del guard, leadership, registration
            # Longer than the time to live.
            time.sleep(2.5)

        in_child(child)
        assert not guard.is_lost
        with pytest.raises(quorate.ConflictError):
            other.try_lock(name)
        leader = other.election(name + "e").leader()
        assert leader is not None and leader.value == b"me"
        assert len(other.discover(name).instances) == 1
        guard.unlock()
        other.try_lock(name).unlock()
        registration.update(weight=5)
        assert next(events).updated[0].weight == 5


def test_leaving_the_parents_blocks_in_the_child_is_harmless(server: Server, name: str) -> None:
    with Client(server.address) as other:
        with Client(server.address) as client:
            with client.lock(name), client.watch(name), client.register(name, "127.0.0.1:81"):
                child = os.fork()
            if child == 0:
                # It left the blocks above as the parent did.
                os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        other.try_lock(name).unlock()


def test_the_child_opens_clients_of_its_own(server: Server, name: str) -> None:
    client = Client(server.address)
    client.put(name, "parent")

    def child() -> None:
        with Client(server.address) as mine:
            found = mine.get(name)
            assert found is not None and found.value == b"parent"
            with mine.lock(name) as guard:
                assert guard.token > 0
            in_child(grandchild)

        async def main() -> None:
            async with AsyncClient(server.address) as mine:
                await mine.put(name, "child")

        asyncio.run(main())

    def grandchild() -> None:
        with Client(server.address) as mine:
            assert mine.get(name) is not None

    in_child(child)
    found = client.get(name)
    assert found is not None and found.value == b"child"


def test_forks_while_threads_are_busy(server: Server, name: str) -> None:
    """Locks that other threads hold at the moment of the fork must not hang the child."""
    client = Client(server.address)
    client.register(name, "127.0.0.1:81")
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            client.put(name, "x")
            client.discover(name)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()

    def child() -> None:
        with pytest.raises(quorate.ForkedClientError):
            client.get(name)
        with Client(server.address) as mine:
            mine.put(name, "y")

    try:
        for _ in range(15):
            in_child(child)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        client.close()


def use_inherited(client: Client, name: str) -> str:
    try:
        client.get(name)
    except quorate.ForkedClientError as error:
        return error.code
    return "not noticed"


def use_own(address: str, name: str) -> bytes:
    with Client(address) as client:
        found = client.get(name)
        assert found is not None
        return found.value


_inherited: Client | None = None


def use_global(name: str) -> str:
    assert _inherited is not None
    return use_inherited(_inherited, name)


def test_multiprocessing_fork(server: Server, name: str) -> None:
    global _inherited
    with Client(server.address) as client:
        client.put(name, "parent")
        _inherited = client
        guard = client.lock(name).acquire()
        with multiprocessing.get_context("fork").Pool(2) as pool:
            assert pool.apply(use_global, (name,)) == "forked"
            assert pool.apply(use_own, (server.address, name)) == b"parent"
        assert not guard.is_lost
        guard.unlock()


def test_multiprocessing_spawn(server: Server, name: str) -> None:
    with Client(server.address) as client:
        client.put(name, "parent")
        process = subprocess.run(
            [
                sys.executable,
                "-c",
                "import multiprocessing, sys\n"
                "sys.path.insert(0, sys.argv[1])\n"
                "from test_fork import use_own\n"
                "if __name__ == '__main__':\n"
                "    with multiprocessing.get_context('spawn').Pool(1) as pool:\n"
                "        print(pool.apply(use_own, tuple(sys.argv[2:])))\n",
                str(Path(__file__).parent),
                server.address,
                name,
            ],
            capture_output=True,
            text=True,
            timeout=40,
        )
        assert process.stdout.strip() == "b'parent'", process.stderr


TASKS = """
import os, celery, celery.signals, quorate
address, name, folder = os.environ["SERVER"], os.environ["NAME"], os.environ["FOLDER"]
app = celery.Celery("tasks", broker="filesystem://", backend="file://" + folder + "/results")
app.conf.broker_transport_options = {
    "data_folder_in": folder + "/queue",
    "data_folder_out": folder + "/queue",
    "control_folder": folder + "/control",
}
preloaded = mine = None

@celery.signals.worker_init.connect
def before_the_fork(**_):
    global preloaded, guard
    preloaded = quorate.Client(address)
    guard = preloaded.lock(name, ttl=60).acquire()

@celery.signals.worker_process_init.connect
def in_the_child(**_):
    global mine
    mine = quorate.Client(address)

@app.task(name="look")
def look():
    try:
        preloaded.get(name)
        inherited = "not noticed"
    except quorate.ForkedClientError as error:
        inherited = error.code
    return [inherited, mine.get("celery-" + name).value.decode()]
"""


def test_celery_prefork(
    server: Server, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("queue", "control", "results"):
        (tmp_path / folder).mkdir()
    (tmp_path / "tasks.py").write_text(TASKS)
    for variable, value in {
        "SERVER": server.address,
        "NAME": name,
        "FOLDER": str(tmp_path),
    }.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.syspath_prepend(tmp_path)
    app = importlib.import_module("tasks").app
    with Client(server.address) as client, (tmp_path / "log").open("wb") as log:
        client.put("celery-" + name, "own")
        worker = subprocess.Popen(
            [
                *(sys.executable, "-m", "celery", "-A", "tasks", "worker"),
                *("--pool", "prefork", "--concurrency", "2", "--loglevel", "WARNING"),
                *("--without-gossip", "--without-mingle", "--without-heartbeat"),
            ],
            cwd=tmp_path,
            stdout=log,
            stderr=log,
        )
        try:
            answers = [app.send_task("look") for _ in range(4)]
            for answer in answers:
                assert answer.get(timeout=40, interval=0.05) == ["forked", "own"]
            # The children keep their hands off the parent's lock.
            with pytest.raises(quorate.ConflictError):
                client.try_lock(name)
        finally:
            worker.terminate()
            code = worker.wait(20)
            print((tmp_path / "log").read_text())
        assert code == 0
        with client.lock(name, timeout=10):
            pass


APPLICATION = """
import os, quorate
address, name = os.environ["SERVER"], os.environ["NAME"]
preloaded = quorate.Client(address)
guard = preloaded.lock(name, ttl=2).acquire()
mine = None

def post_fork(server, worker):
    global mine
    mine = quorate.Client(address)

def application(environ, start_response):
    try:
        preloaded.get(name)
        inherited = "not noticed"
    except quorate.ForkedClientError as error:
        inherited = error.code
    found = mine.get("preload-" + name)
    body = f"{inherited} {found.value.decode()}".encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""


def test_gunicorn_preload(server: Server, name: str, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APPLICATION)
    (tmp_path / "conf.py").write_text(
        "def post_fork(server, worker):\n    import app\n    app.post_fork(server, worker)\n"
    )
    path = tmp_path / "socket"
    with Client(server.address) as client, (tmp_path / "log").open("wb") as log:
        client.put("preload-" + name, "own")
        gunicorn = subprocess.Popen(
            [
                *(sys.executable, "-m", "gunicorn", "--preload", "--workers", "2"),
                *("--config", "conf.py", "--bind", f"unix:{path}", "app:application"),
            ],
            cwd=tmp_path,
            env={**os.environ, "SERVER": server.address, "NAME": name},
            stderr=log,
        )
        try:
            deadline = time.monotonic() + 30
            while True:
                connection = http.client.HTTPConnection("localhost", timeout=20)
                connection.sock = socket.socket(socket.AF_UNIX)
                try:
                    connection.sock.connect(str(path))
                    break
                except OSError:
                    assert gunicorn.poll() is None, (tmp_path / "log").read_text()
                    assert time.monotonic() < deadline, (tmp_path / "log").read_text()
                    time.sleep(0.05)
            connection.sock.settimeout(20)
            connection.request("GET", "/")
            answer = connection.getresponse().read().decode()
            assert answer == "forked own", (tmp_path / "log").read_text()
            connection.close()
            # The workers keep their hands off the master's lock, and it is renewed.
            time.sleep(2.5)
            with pytest.raises(quorate.ConflictError):
                client.try_lock(name)
        finally:
            gunicorn.terminate()
            assert gunicorn.wait(20) == 0
        with client.lock(name, timeout=10):
            pass

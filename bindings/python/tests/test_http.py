"""httpx and requests call services by name: real servers, some of which misbehave."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol

import httpx
import pytest
import quorate.httpx
import quorate.requests
import requests
from conftest import Server
from quorate import AsyncClient, Client, Outcome
from quorate._http import host_and_port, is_service, of_status


class Backend:
    """An HTTP server of which each path misbehaves in its own way, if it is told to."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        backend = self
        #: What it answers to `/`, and with which headers.
        self.status = 200
        self.headers: dict[str, str] = {}
        self.seen: list[tuple[str, str | None]] = []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            #: Head and body go as one, or the client's delayed acknowledgement holds the body up.
            wbufsize = -1

            def do_GET(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                body = self.rfile.read(length)
                backend.seen.append((self.path, self.headers.get("Host")))
                if self.path == "/redirect":
                    self.send_response(302)
                    self.send_header("Location", "/")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                self.send_response(backend.status)
                for name, value in backend.headers.items():
                    self.send_header(name, value)
                answer = backend.address.encode() + body
                # Promises more than it sends when it is to break off.
                promised = len(answer) + (100 if self.path == "/broken" else 0)
                self.send_header("Content-Length", str(promised))
                self.end_headers()
                self.wfile.write(answer)
                if self.path == "/broken":
                    self.close_connection = True

            do_POST = do_PUT = do_GET

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        if tls is not None:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.address = f"127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def backends() -> Iterator[Callable[[], Backend]]:
    made: list[Backend] = []

    def make() -> Backend:
        made.append(Backend())
        return made[-1]

    yield make
    for backend in made:
        backend.close()


class Answer(Protocol):
    status_code: int
    text: str


class Caller:
    """One of the adapters."""

    def __init__(self, how: str, server: Server, **options: Any) -> None:
        self.how = how
        self.failed: type[Exception] = httpx.TransportError
        if how == "httpx async":
            self.loop = asyncio.new_event_loop()
            self.async_client = AsyncClient(server.address)
            self.quorate: Client | AsyncClient = self.async_client
            transport = quorate.httpx.AsyncTransport(self.async_client, **options)
            self.async_http = httpx.AsyncClient(transport=transport, follow_redirects=True)
            return
        client = self.quorate = Client(server.address)
        if how == "httpx":
            self.http = httpx.Client(
                transport=quorate.httpx.Transport(client, **options), follow_redirects=True
            )
        else:
            self.failed = requests.RequestException
            self.session = requests.Session()
            self.session.mount("http://", quorate.requests.Adapter(client, **options))

    def call(self, method: str, url: str, content: Any = None) -> Answer:
        if self.how == "httpx":
            return self.http.request(method, url, content=content)
        if self.how == "requests":
            return self.session.request(method, url, data=content, timeout=10)
        return self.loop.run_until_complete(self.async_http.request(method, url, content=content))

    def close(self) -> None:
        if self.how == "httpx async":
            self.loop.run_until_complete(self.async_http.aclose())
            self.loop.run_until_complete(self.async_client.close())
            self.loop.close()
            return
        assert isinstance(self.quorate, Client)
        self.quorate.close()
        if self.how == "httpx":
            self.http.close()
        else:
            self.session.close()


@pytest.fixture(params=["httpx", "httpx async", "requests"])
def caller(request: pytest.FixtureRequest, server: Server) -> Iterator[Caller]:
    caller = Caller(request.param, server)
    yield caller
    caller.close()


def test_requests_spread_over_the_instances(
    caller: Caller, client: Client, name: str, backends: Callable[[], Backend]
) -> None:
    some = [backends(), backends()]
    held = [client.register(name, backend.address) for backend in some]
    answers = {caller.call("GET", f"http://{name}/").text for _ in range(40)}
    assert answers == {backend.address for backend in some}
    # To the server it is the service that is called.
    assert {host for backend in some for _, host in backend.seen} == {name}
    assert caller.call("POST", f"http://{name}/", b" posted").text.endswith(" posted")
    assert len(held) == 2


def test_a_redirect_is_followed_within_the_service(
    caller: Caller, client: Client, name: str, backends: Callable[[], Backend]
) -> None:
    backend = backends()
    with client.register(name, backend.address):
        answer = caller.call("GET", f"http://{name}/redirect")
        assert (answer.status_code, answer.text) == (200, backend.address)
        assert [host for _, host in backend.seen] == [name, name]


def test_a_dead_instance_is_avoided_even_by_posts(
    caller: Caller, client: Client, name: str, backends: Callable[[], Backend], nowhere: str
) -> None:
    alive = backends()
    with client.register(name, alive.address), client.register(name, nowhere):
        for _ in range(20):
            assert caller.call("POST", f"http://{name}/", b"!").text == alive.address + "!"
        assert len(alive.seen) == 20


def test_an_overloaded_instance_is_left_alone(
    caller: Caller, client: Client, name: str, backends: Callable[[], Backend]
) -> None:
    busy, idle = backends(), backends()
    busy.status, busy.headers = 503, {"Retry-After": "60"}
    with client.register(name, busy.address), client.register(name, idle.address):
        for _ in range(200):
            assert caller.call("GET", f"http://{name}/").text == idle.address
        # It is called only where both draws of the power of two choices are it: every fourth time.
        assert 1 <= len(busy.seen) < 75


def test_only_what_is_idempotent_and_can_be_sent_again_is_repeated(
    caller: Caller, client: Client, name: str, backends: Callable[[], Backend]
) -> None:
    some = [backends(), backends()]
    for backend in some:
        backend.status = 502
    with client.register(name, some[0].address), client.register(name, some[1].address):
        seen = lambda: sum(len(backend.seen) for backend in some)  # noqa: E731
        assert caller.call("GET", f"http://{name}/").status_code == 502
        assert seen() == 2, "each instance once"
        assert caller.call("POST", f"http://{name}/", b"x").status_code == 502
        assert seen() == 3
        if caller.how != "httpx async":
            assert caller.call("PUT", f"http://{name}/", iter([b"x"])).status_code == 502
            assert seen() == 4


def test_what_is_no_service_goes_where_it_says(
    caller: Caller, backends: Callable[[], Backend]
) -> None:
    backend = backends()
    assert caller.call("GET", f"http://{backend.address}/").text == backend.address
    port = backend.address.rpartition(":")[2]
    assert caller.call("GET", f"http://localhost:{port}/").text == backend.address


def test_a_service_without_instances_is_a_failed_connection(caller: Caller, name: str) -> None:
    with pytest.raises(caller.failed, match=name) as raised:
        caller.call("GET", f"http://{name}/")
    assert isinstance(raised.value, (httpx.ConnectError, requests.ConnectionError))
    assert isinstance(raised.value.__cause__, quorate.NoEndpointsError)


def test_an_answer_that_breaks_off_counts_against_the_instance(
    client: Client, server: Server, name: str, backends: Callable[[], Backend]
) -> None:
    backend = backends()
    broken = quorate.Client(server.address, balancer={"breaker_consecutive_failures": 1})
    transport = quorate.httpx.Transport(broken)
    with client.register(name, backend.address), broken, httpx.Client(transport=transport) as http:
        assert http.get(f"http://{name}/").status_code == 200
        assert broken.pick(name).why in ("normal", "slow_start")
        with pytest.raises(httpx.RemoteProtocolError):
            http.get(f"http://{name}/broken")
        # Its breaker is open, and there is no other.
        assert broken.pick(name).why == "panic"


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
def test_a_certificate_is_the_services(client: Client, name: str, tmp_path: Path) -> None:
    key, certificate = str(tmp_path / "key.pem"), str(tmp_path / "certificate.pem")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "1", "-keyout", key, "-out", certificate),
            *("-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"),
        ],
        check=True,
        capture_output=True,
    )
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    backend = Backend(tls)
    trusting = ssl.create_default_context(cafile=certificate)

    def get(service: str) -> str:
        transport = quorate.httpx.Transport(client, httpx.HTTPTransport(verify=trusting))
        with client.register(service, backend.address), httpx.Client(transport=transport) as http:
            return http.get(f"https://{service}/").text

    try:
        assert get(name) == backend.address
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE"):
            get(name + "x")
    finally:
        backend.close()


def test_https_with_requests_is_refused_with_a_way_out(client: Client, name: str) -> None:
    session = requests.Session()
    session.mount("https://", quorate.requests.Adapter(client))
    with pytest.raises(requests.exceptions.InvalidSchema, match=r"quorate\.httpx"):
        session.get(f"https://{name}/")


def test_the_retry_budget_is_kept(
    client: Client, server: Server, name: str, backends: Callable[[], Backend]
) -> None:
    some = [backends(), backends()]
    for backend in some:
        backend.status = 503
    budget = {"retry_budget_ratio": 0, "retry_budget_per_second": 0}
    with (
        client.register(name, some[0].address),
        client.register(name, some[1].address),
        quorate.Client(server.address, balancer=budget) as mine,
        httpx.Client(transport=quorate.httpx.Transport(mine)) as http,
    ):
        for _ in range(5):
            assert http.get(f"http://{name}/").status_code == 503
        assert sum(len(backend.seen) for backend in some) == 5


def test_hosts_are_services_or_not() -> None:
    assert is_service("shop") and is_service("shop-2")
    for host in ("localhost", "example.org", "127.0.0.1", "::1", ""):
        assert not is_service(host)
    assert host_and_port("[::1]:80") == ("::1", 80)
    assert host_and_port("shop.internal:8080") == ("shop.internal", 8080)


def test_what_a_status_says() -> None:
    assert of_status(204, None).outcome == Outcome.OK
    assert of_status(404, None).outcome == Outcome.OK
    assert of_status(429, None).outcome == Outcome.OVERLOADED
    assert of_status(503, "7").retry_after == 7
    assert of_status(503, None).outcome == Outcome.FAIL
    assert of_status(504, None).outcome == Outcome.TIMEOUT

"""httpx with service names for hosts: ``pip install quorate[httpx]``.

    with httpx.Client(transport=quorate.httpx.Transport(client)) as http:
        http.get("http://shop/items")

Each request goes to an instance of the service ``shop``, and how it went is reported when its
answer has been read. Idempotent ones that fail go to another instance, as often as ``retries`` says
and the service's retry budget allows; so does any request that could not even connect.

A host without a port is a service, unless it is ``localhost``, an IP address or has a dot; other
requests go where they say. The ``Host`` header stays the service's name.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator

import httpx

from quorate import _http, _quorate
from quorate._async import AsyncClient
from quorate._errors import QuorateError
from quorate._http import Attempts, IsService, Verdict
from quorate._sync import Client
from quorate._values import Outcome

__all__ = ["AsyncTransport", "Transport"]


class Transport(httpx.BaseTransport):
    """For ``httpx.Client``."""

    def __init__(
        self,
        client: Client,
        wrapped: httpx.BaseTransport | None = None,
        *,
        retries: int = _http.RETRIES,
        is_service: IsService = _http.is_service,
    ) -> None:
        """``wrapped``: what sends the requests, closed with this; by default a
        ``httpx.HTTPTransport``. ``is_service``: which hosts are services."""
        self._client = client
        self._wrapped = wrapped if wrapped is not None else httpx.HTTPTransport()
        self._retries = retries
        self._is_service = is_service

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        service = _service(request, self._is_service)
        if service is None:
            return self._wrapped.handle_request(request)
        attempts = _attempts(self._client, service, self._retries, request)
        try:
            if self._client.service(service).view is None:
                self._client.discover(service, timeout=_connect_timeout(request))
            pick = attempts.first()
        except QuorateError as error:
            raise httpx.ConnectError(str(error), request=request) from error
        while True:
            began = time.monotonic()
            try:
                response = self._wrapped.handle_request(_directed(request, service, pick))
            except BaseException as error:
                outcome = _of_error(error)
                another = attempts.another(outcome)
                pick.report(outcome)
                if another is None:
                    raise
                pick = another
                continue
            latency = time.monotonic() - began
            verdict = _of_response(response)
            another = attempts.another(verdict.outcome)
            if another is None:
                assert isinstance(response.stream, httpx.SyncByteStream)
                response.stream = _Body(response.stream, _Report(pick, verdict, latency))
                return response
            pick.report(verdict.outcome, latency=latency, retry_after=verdict.retry_after)
            response.close()
            pick = another

    def close(self) -> None:
        """Closes what it wraps; the Quorate client stays open."""
        self._wrapped.close()


class AsyncTransport(httpx.AsyncBaseTransport):
    """For ``httpx.AsyncClient``."""

    def __init__(
        self,
        client: AsyncClient,
        wrapped: httpx.AsyncBaseTransport | None = None,
        *,
        retries: int = _http.RETRIES,
        is_service: IsService = _http.is_service,
    ) -> None:
        """As ``Transport``, with a ``httpx.AsyncHTTPTransport``."""
        self._client = client
        self._wrapped = wrapped if wrapped is not None else httpx.AsyncHTTPTransport()
        self._retries = retries
        self._is_service = is_service

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        service = _service(request, self._is_service)
        if service is None:
            return await self._wrapped.handle_async_request(request)
        attempts = _attempts(self._client, service, self._retries, request)
        try:
            if self._client.service(service).view is None:
                await self._client.discover(service, timeout=_connect_timeout(request))
            pick = attempts.first()
        except QuorateError as error:
            raise httpx.ConnectError(str(error), request=request) from error
        while True:
            began = time.monotonic()
            try:
                response = await self._wrapped.handle_async_request(
                    _directed(request, service, pick)
                )
            except BaseException as error:
                outcome = _of_error(error)
                another = attempts.another(outcome)
                pick.report(outcome)
                if another is None:
                    raise
                pick = another
                continue
            latency = time.monotonic() - began
            verdict = _of_response(response)
            another = attempts.another(verdict.outcome)
            if another is None:
                assert isinstance(response.stream, httpx.AsyncByteStream)
                response.stream = _AsyncBody(response.stream, _Report(pick, verdict, latency))
                return response
            pick.report(verdict.outcome, latency=latency, retry_after=verdict.retry_after)
            await response.aclose()
            pick = another

    async def aclose(self) -> None:
        """Closes what it wraps; the Quorate client stays open."""
        await self._wrapped.aclose()


class _Report:
    """How a request went; told once, when its answer has been read or given up."""

    def __init__(self, pick: _quorate.Pick, verdict: Verdict, latency: float) -> None:
        self._pick = pick
        self._verdict = verdict
        #: Until the answer's head was there.
        self._latency = latency

    def broken(self, error: Exception) -> None:
        """The answer broke off."""
        self._pick.report(_of_error(error))

    def done(self) -> None:
        verdict = self._verdict
        self._pick.report(
            verdict.outcome, latency=self._latency, retry_after=verdict.retry_after
        )


class _Body(httpx.SyncByteStream):
    def __init__(self, stream: httpx.SyncByteStream, report: _Report) -> None:
        self._stream = stream
        self._report = report

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._stream
        except Exception as error:
            self._report.broken(error)
            raise

    def close(self) -> None:
        try:
            self._stream.close()
        finally:
            self._report.done()


class _AsyncBody(httpx.AsyncByteStream):
    def __init__(self, stream: httpx.AsyncByteStream, report: _Report) -> None:
        self._stream = stream
        self._report = report

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for part in self._stream:
                yield part
        except Exception as error:
            self._report.broken(error)
            raise

    async def aclose(self) -> None:
        try:
            await self._stream.aclose()
        finally:
            self._report.done()


def _service(request: httpx.Request, is_service: IsService) -> str | None:
    url = request.url
    return url.host if url.port is None and is_service(url.host) else None


def _attempts(
    client: Client | AsyncClient, service: str, retries: int, request: httpx.Request
) -> Attempts:
    # What was given as bytes, text, form or JSON; a generator can be read only once.
    repeatable = isinstance(request.stream, httpx.ByteStream)
    return Attempts(client, service, retries, request.method in _http.IDEMPOTENT, repeatable)


def _connect_timeout(request: httpx.Request) -> float | None:
    timeouts: dict[str, float | None] = request.extensions.get("timeout", {})
    return timeouts.get("connect")


def _directed(request: httpx.Request, service: str, pick: _quorate.Pick) -> httpx.Request:
    host, port = _http.host_and_port(pick.address)
    return httpx.Request(
        request.method,
        request.url.copy_with(host=host, port=port),
        headers=request.headers,
        stream=request.stream,
        # A certificate is the service's, not the instance's.
        extensions={"sni_hostname": service, **request.extensions},
    )


def _of_response(response: httpx.Response) -> Verdict:
    return _http.of_status(response.status_code, response.headers.get("retry-after"))


def _of_error(error: BaseException) -> Outcome:
    match error:
        case httpx.ConnectError() | httpx.ConnectTimeout():
            return Outcome.CONNECT_FAIL
        case httpx.PoolTimeout() | httpx.UnsupportedProtocol() | httpx.LocalProtocolError():
            # The program's own doing.
            return Outcome.CANCELLED
        case httpx.TimeoutException():
            return Outcome.TIMEOUT
        case httpx.TransportError():
            return Outcome.FAIL
        case _:
            return Outcome.CANCELLED

"""requests with service names for hosts: ``pip install quorate[requests]``.

    session = requests.Session()
    session.mount("http://", quorate.requests.Adapter(client))
    session.get("http://shop/items")

Each request goes to an instance of the service ``shop``, and how it went is reported when the head
of its answer is there. Idempotent ones that fail go to another instance, as often as ``retries``
says and the service's retry budget allows; so does any request that could not even connect.

A host without a port is a service, unless it is ``localhost``, an IP address or has a dot; other
requests go where they say. The ``Host`` header stays the service's name.
"""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import MaxRetryError, NewConnectionError

from quorate import _http
from quorate._errors import QuorateError
from quorate._http import Attempts, IsService
from quorate._sync import Client
from quorate._values import Outcome

__all__ = ["Adapter"]


class Adapter(HTTPAdapter):
    """For ``requests.Session.mount("http://", …)``."""

    def __init__(
        self,
        client: Client,
        *,
        retries: int = _http.RETRIES,
        is_service: IsService = _http.is_service,
        **options: Any,
    ) -> None:
        """``is_service``: which hosts are services. ``options``: those of ``HTTPAdapter``."""
        super().__init__(**options)
        self._client = client
        self._retries = retries
        self._is_service = is_service

    def send(
        self, request: requests.PreparedRequest, *arguments: Any, **options: Any
    ) -> requests.Response:
        url = urlsplit(request.url or "")
        service = url.hostname
        if service is None or url.port is not None or not self._is_service(service):
            return super().send(request, *arguments, **options)
        if url.scheme != "http":
            raise requests.exceptions.InvalidSchema(
                f"{url.scheme}://{service}: services are called over http with requests; "
                "quorate.httpx speaks https",
                request=request,
            )
        idempotent = request.method in _http.IDEMPOTENT
        # A file or a generator can be read only once.
        repeatable = request.body is None or isinstance(request.body, (bytes, str))
        attempts = Attempts(self._client, service, self._retries, idempotent, repeatable)
        try:
            if self._client.service(service).view is None:
                self._client.discover(service)
            pick = attempts.first()
        except QuorateError as error:
            raise requests.ConnectionError(error, request=request) from error
        while True:
            directed = request.copy()
            directed.url = url._replace(netloc=pick.address).geturl()
            directed.headers.setdefault("Host", service)
            began = time.monotonic()
            try:
                response = super().send(directed, *arguments, **options)
            except BaseException as error:
                outcome = _of_error(error)
                another = attempts.another(outcome)
                pick.report(outcome)
                if another is None:
                    raise
                pick = another
                continue
            latency = time.monotonic() - began
            verdict = _http.of_status(response.status_code, response.headers.get("Retry-After"))
            another = attempts.another(verdict.outcome)
            pick.report(verdict.outcome, latency=latency, retry_after=verdict.retry_after)
            if another is None:
                # A redirect to a path leads to the service, not to the instance.
                response.url, response.request = request.url or "", request
                return response
            response.close()
            pick = another


def _of_error(error: BaseException) -> Outcome:
    match error:
        case requests.exceptions.ConnectTimeout():
            return Outcome.CONNECT_FAIL
        case requests.Timeout():
            return Outcome.TIMEOUT
        case requests.ConnectionError(args=[MaxRetryError(reason=NewConnectionError()), *_]):
            return Outcome.CONNECT_FAIL
        case requests.ConnectionError() | requests.exceptions.ChunkedEncodingError():
            return Outcome.FAIL
        case _:
            # The program's own doing.
            return Outcome.CANCELLED

"""What HTTP means to the balancer: for the adapters of HTTP libraries, without any of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from ipaddress import ip_address

from quorate import _quorate
from quorate._base import BaseClient
from quorate._values import Outcome

#: A second time does no more than the first (RFC 9110, 9.2.2).
IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})

IsService = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an answer, or the lack of one, says of the instance."""

    outcome: Outcome
    #: Seconds the instance wants to be left alone.
    retry_after: float | None = None
    #: Whether another instance may do better, if the request can be repeated.
    retry: bool = False
    #: Whether the request did not even reach the instance, so that any request can be repeated.
    unsent: bool = False


#: The program's own doing: its time was up, it was interrupted, it asked for nonsense.
OURS = Verdict(Outcome.CANCELLED)
REFUSED = Verdict(Outcome.CONNECT_FAIL, retry=True, unsent=True)
TIMED_OUT = Verdict(Outcome.TIMEOUT, retry=True)
BROKEN = Verdict(Outcome.FAIL, retry=True)


def of_status(status: int, retry_after: str | None) -> Verdict:
    """429, and 503 with Retry-After: overloaded. Other 5xx: failed, of which those that speak of
    the instance, 502 to 504, are worth a try elsewhere. All else: the instance works."""
    seconds = seconds_of(retry_after)
    if status == 429 or (status == 503 and seconds is not None):
        return Verdict(Outcome.OVERLOADED, seconds, retry=True)
    if status >= 500:
        return Verdict(Outcome.FAIL, retry=status in (502, 503, 504))
    return Verdict(Outcome.OK)


def seconds_of(retry_after: str | None) -> float | None:
    """The header's seconds from now; it is a number of them or a date."""
    if retry_after is None:
        return None
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return min(float(text), 86_400.0)
    try:
        seconds = parsedate_to_datetime(text).timestamp() - time.time()
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(seconds, 0.0), 86_400.0)


def is_service(host: str) -> bool:
    """A host is taken for a service unless it is ``localhost``, an IP address, or has a dot."""
    if host == "localhost" or "." in host:
        return False
    try:
        ip_address(host)
    except ValueError:
        return bool(host)
    return False


def host_and_port(address: str) -> tuple[str, int]:
    """Of ``host:port``; the host of an IPv6 address without its brackets."""
    host, _, port = address.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port)


class Attempts:
    """The instances one request is sent to: each another one, within the retry budget."""

    def __init__(
        self, client: BaseClient, service: str, retries: int, idempotent: bool, repeatable: bool
    ) -> None:
        """``idempotent``: a second time does no harm. ``repeatable``: its body can be sent
        again."""
        self._client = client
        self._service = service
        self._left = retries
        self._idempotent = idempotent
        self._repeatable = repeatable
        self._tried: list[str] = []

    def first(self) -> _quorate.Pick:
        """Raises ``NoEndpointsError``."""
        pick = self._client.pick(self._service)
        self._tried.append(pick.id)
        return pick

    def another(self, verdict: Verdict) -> _quorate.Pick | None:
        """Another instance to try, if that is worth it, harmless, and can be afforded."""
        harmless = self._repeatable and (self._idempotent or verdict.unsent)
        if self._left <= 0 or not verdict.retry or not harmless:
            return None
        pick = self._client.pick(self._service, exclude=self._tried)
        if pick.id in self._tried or not self._client.may_retry(self._service):
            pick.report(Outcome.CANCELLED)
            return None
        self._left -= 1
        self._tried.append(pick.id)
        return pick

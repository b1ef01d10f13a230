"""What HTTP means to the balancer: for the adapters of HTTP libraries, without any of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address

from quorate import _quorate
from quorate._base import BaseClient
from quorate._errors import QuorateError
from quorate._values import Outcome

#: A second time does no more than the first (RFC 9110, 9.2.2).
IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})

#: Re-picks after the first attempt.
RETRIES = 5

IsService = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an answer, or the lack of one, says of the instance."""

    outcome: Outcome
    #: Seconds the instance wants to be left alone.
    retry_after: float | None = None


def of_status(status: int, retry_after: str | None) -> Verdict:
    """As the core judges for all languages."""
    outcome, seconds = _quorate.http_outcome(status, retry_after)
    return Verdict(Outcome(outcome), seconds)


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

    def another(self, outcome: Outcome) -> _quorate.Pick | None:
        """Another instance to try, if that is worth it, harmless, and can be afforded."""
        if self._left <= 0 or not self._repeats(outcome):
            return None
        try:
            pick = self._client.pick(self._service, exclude=self._tried)
        except QuorateError:
            return None
        # The budget is looked at last, because that takes from it.
        if pick.id in self._tried or not self._client.may_retry(self._service):
            pick.report(Outcome.CANCELLED)
            return None
        self._left -= 1
        self._tried.append(pick.id)
        return pick

    def _repeats(self, outcome: Outcome) -> bool:
        if outcome in (Outcome.OK, Outcome.CANCELLED) or not self._repeatable:
            return False
        # What found no connection was not sent.
        return self._idempotent or outcome == Outcome.CONNECT_FAIL

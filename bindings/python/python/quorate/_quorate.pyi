"""The compiled module. ``Core`` has every operation once; the package gives it its two faces."""

import os
from collections.abc import Iterable
from types import TracebackType
from typing import Generic, Literal, TypeVar, final

from quorate._errors import QuorateError
from quorate._values import (
    CacheState,
    HasId,
    Instance,
    KeyValue,
    Leader,
    LeaseInfo,
    Outcome,
    PutResult,
    RangeResult,
    RemovalReason,
    ServerStatus,
    ServiceEvent,
    ServiceSummary,
    ServiceView,
    TxnResult,
    WatchBatch,
)

__all__ = [
    "Core",
    "Completions",
    "balancer_settings",
    "error_codes",
    "http_outcome",
    "Guard",
    "Leadership",
    "Lease",
    "next_logs",
    "set_log_level",
    "Operation",
    "Pick",
    "Service",
    "Registration",
    "close_all",
    "shut_down",
    "Stream",
    "Compare",
    "Op",
]

_T_co = TypeVar("_T_co", covariant=True)
_Comparison = Literal["==", "!=", ">", "<"]
_SortBy = Literal["key", "version", "create_revision", "mod_revision", "value"]
_Why = Literal["normal", "slow_start", "excluded_fallback", "panic", "probe"]

def error_codes() -> list[tuple[int, str, bool, str]]: ...
def balancer_settings() -> list[tuple[str, str, float, float, float]]: ...
def http_outcome(status: int, retry_after: str | None) -> tuple[int, float | None]: ...
def next_logs() -> tuple[int, list[tuple[int, str, str, float]]] | None: ...
def set_log_level(level: int) -> None: ...
def close_all(cores: list[Core], at_most: float) -> None: ...
def shut_down() -> None: ...
@final
class Completions:
    def __new__(cls) -> Completions: ...
    def fileno(self) -> int: ...
    def drain(self) -> list[tuple[int, object, QuorateError | None]]: ...

@final
class Operation(Generic[_T_co]):
    def wait(self) -> _T_co: ...
    def start(self, completions: Completions, ticket: int) -> None: ...
    def cancel(self) -> None: ...

@final
class Stream(Generic[_T_co]):
    def next(self) -> Operation[_T_co | None]: ...
    def close(self) -> None: ...

@final
class Guard:
    @property
    def name(self) -> str: ...
    @property
    def key(self) -> bytes: ...
    @property
    def token(self) -> int: ...
    def is_lost(self) -> bool: ...
    def wait_lost(self, timeout: float | None) -> Operation[bool]: ...
    def unlock(self) -> Operation[None]: ...

@final
class Leadership:
    @property
    def name(self) -> str: ...
    @property
    def key(self) -> bytes: ...
    @property
    def token(self) -> int: ...
    def is_lost(self) -> bool: ...
    def wait_lost(self, timeout: float | None) -> Operation[bool]: ...
    def proclaim(self, value: str | bytes) -> Operation[None]: ...
    def resign(self) -> Operation[None]: ...

@final
class Lease:
    @property
    def id(self) -> int: ...
    @property
    def ttl(self) -> float: ...
    def is_lost(self) -> bool: ...
    def wait_lost(self, timeout: float | None) -> Operation[bool]: ...
    def revoke(self) -> Operation[None]: ...

@final
class Registration:
    @property
    def id(self) -> str: ...
    @property
    def namespace(self) -> str: ...
    @property
    def service(self) -> str: ...
    @property
    def address(self) -> str: ...
    def revision(self) -> int: ...
    def evicted(self) -> RemovalReason | None: ...
    def wait_evicted(self, timeout: float | None) -> Operation[bool]: ...
    def update(
        self,
        status: str | None,
        weight: int | None,
        metadata: dict[str, str] | None,
    ) -> Operation[None]: ...
    def deregister(self) -> Operation[None]: ...

@final
class Service:
    """A followed service: picks without looking it up by name."""

    @property
    def name(self) -> str: ...
    @property
    def view(self) -> ServiceView | None:
        """The view of this moment, from memory; ``None`` while nothing is known."""

    def pick(
        self, *, hash: int | str | bytes | None = None, exclude: Iterable[str] | None = None
    ) -> Pick:
        """Chooses an instance for one call, from memory."""

    def may_retry(self) -> bool:
        """Whether the service can afford one more retry; takes it out of the budget if so."""

@final
class Pick:
    """An instance chosen for one call. Report how the call went; as a context manager it does so
    itself."""

    @property
    def address(self) -> str: ...
    @property
    def id(self) -> str: ...
    @property
    def instance(self) -> Instance: ...
    @property
    def state(self) -> CacheState:
        """Where the knowledge comes from."""

    @property
    def why(self) -> _Why:
        """How it came to be this one."""

    def report(
        self,
        outcome: Outcome,
        *,
        latency: float | None = None,
        retry_after: float | None = None,
    ) -> None:
        """Says how the call went; only the first report counts. ``latency``: the seconds the call
        took; without it, the time since the pick. ``retry_after``: of ``OVERLOADED``, the seconds
        the instance asked for."""

    def __enter__(self) -> Pick: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        _exception: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None: ...

@final
class Compare:
    """A condition on one key, or on every key of a prefix."""

    @staticmethod
    def exists(key: str | bytes) -> Compare: ...
    @staticmethod
    def missing(key: str | bytes) -> Compare: ...
    @staticmethod
    def value(key: str | bytes, symbol: _Comparison, value: str | bytes) -> Compare: ...
    @staticmethod
    def version(key: str | bytes, symbol: _Comparison, version: int) -> Compare: ...
    @staticmethod
    def create_revision(key: str | bytes, symbol: _Comparison, revision: int) -> Compare: ...
    @staticmethod
    def mod_revision(key: str | bytes, symbol: _Comparison, revision: int) -> Compare: ...
    @staticmethod
    def lease(key: str | bytes, symbol: _Comparison, lease: HasId | int) -> Compare: ...
    def prefix(self) -> Compare:
        """The same for every key that begins with this one's key."""

    def __eq__(self, value: object, /) -> bool: ...

@final
class Op:
    """One operation of a transaction."""

    @staticmethod
    def put(
        key: str | bytes,
        value: str | bytes,
        *,
        lease: HasId | int | None = None,
        previous: bool = False,
    ) -> Op: ...
    @staticmethod
    def get(key: str | bytes) -> Op: ...
    @staticmethod
    def range(
        prefix: str | bytes | None = None,
        *,
        start: str | bytes | None = None,
        end: str | bytes | None = None,
        limit: int = 0,
        revision: int = 0,
        sort: _SortBy = "key",
        descending: bool = False,
        keys_only: bool = False,
        count_only: bool = False,
        serializable: bool = False,
        max_create_revision: int = 0,
    ) -> Op: ...
    @staticmethod
    def delete(key: str | bytes, *, prefix: bool = False) -> Op: ...
    @staticmethod
    def txn(
        when: list[Compare] = ..., then: list[Op] = ..., otherwise: list[Op] = ...
    ) -> Op: ...
    def __eq__(self, value: object, /) -> bool: ...

@final
class Core:
    def __new__(
        cls,
        endpoints: list[str],
        namespace: str,
        cache_dir: str | os.PathLike[str] | None,
        request_timeout: float,
        connect_timeout: float,
        algorithm: str,
        balancer: dict[str, float],
        client_name: str | None,
        static_instances: dict[str, list[Instance]],
    ) -> Core: ...
    def is_forked(self) -> bool: ...
    def connected(self) -> Operation[None]: ...
    def close(self) -> Operation[None]: ...
    def metrics(self) -> dict[str, int]: ...
    def server_status(self) -> Operation[tuple[ServerStatus, ...]]: ...
    def register(
        self,
        service: str,
        address: str,
        id: str | None,
        weight: int,
        zone: str,
        version: str,
        metadata: dict[str, str],
        status: str,
        ttl: float,
    ) -> Operation[Registration]: ...
    def discover(self, service: str, timeout: float | None) -> Operation[ServiceView]: ...
    def watch_service(self, service: str) -> Stream[ServiceEvent]: ...
    def service(self, service: str) -> Service: ...
    def pick(
        self, service: str, hash: int | str | bytes | None, exclude: Iterable[str] | None
    ) -> Pick: ...
    def may_retry(self, service: str) -> bool: ...
    def list_services(
        self, namespace: str | None
    ) -> Operation[tuple[ServiceSummary, ...]]: ...
    def lock(self, name: str, ttl: float, timeout: float | None) -> Operation[Guard]: ...
    def try_lock(self, name: str, ttl: float) -> Operation[Guard]: ...
    def campaign(
        self, name: str, value: str | bytes, ttl: float, timeout: float | None
    ) -> Operation[Leadership]: ...
    def leader(self, name: str) -> Operation[Leader | None]: ...
    def observe(self, name: str) -> Stream[Leader]: ...
    def lease(self, ttl: float) -> Operation[Lease]: ...
    def lease_time_to_live(self, lease: HasId | int) -> Operation[LeaseInfo | None]: ...
    def put(
        self,
        key: str | bytes,
        value: str | bytes,
        lease: HasId | int | None,
        previous: bool,
    ) -> Operation[PutResult]: ...
    def get(
        self, key: str | bytes, revision: int, serializable: bool
    ) -> Operation[KeyValue | None]: ...
    def range(self, op: Op) -> Operation[RangeResult]: ...
    def delete(self, key: str | bytes, prefix: bool) -> Operation[int]: ...
    def txn(
        self, when: list[Compare], then: list[Op], otherwise: list[Op]
    ) -> Operation[TxnResult]: ...
    def compact(self, revision: int) -> Operation[None]: ...
    def watch(
        self, key: str | bytes, prefix: bool, start_revision: int, previous: bool
    ) -> Stream[WatchBatch]: ...

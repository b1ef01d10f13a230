"""What the client hands out: values that never change, compare by content, and can be pickled."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Literal, Protocol

CacheState = Literal["live", "stale", "snapshot", "static"]
InstanceStatus = Literal["up", "starting", "draining", "down"]
RemovalReason = Literal["deregistered", "lease_expired", "session_lost", "operator", "moved"]


class HasId(Protocol):
    """A lease."""

    id: int


class Outcome(IntEnum):
    """How a call to a picked instance went."""

    OK = 0
    FAIL = 1
    TIMEOUT = 2
    CONNECT_FAIL = 3
    OVERLOADED = 4
    CANCELLED = 5


@dataclass(frozen=True, slots=True)
class Instance:
    """One address that serves a service."""

    #: ``host:port``
    address: str
    #: Unique within its service; the address, if it was not given another.
    id: str = ""
    #: Relative share of the calls, 0 to 65535.
    weight: int = 100
    zone: str = ""
    #: The program's version.
    version: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict, hash=False)
    status: InstanceStatus = "up"
    #: Seconds it stays without a sign of life.
    ttl: float = 10.0
    #: Grows with every change of the record; set by the server.
    revision: int = 0

    def __post_init__(self) -> None:
        if not self.id:
            object.__setattr__(self, "id", self.address)


@dataclass(frozen=True, slots=True)
class Freshness:
    """How much to trust a view."""

    #: ``live``: as the server has it. ``stale``: no server answers. ``snapshot``: from disk.
    #: ``static``: from the program's own configuration.
    state: CacheState
    epoch: int
    revision: int
    #: Seconds since a server last confirmed it.
    age: float
    #: False while the server has started too recently to know everybody.
    complete: bool


@dataclass(frozen=True, slots=True)
class ServiceView:
    """The instances of a service, as this client knows them."""

    namespace: str
    service: str
    instances: tuple[Instance, ...]
    freshness: Freshness


@dataclass(frozen=True, slots=True)
class Removed:
    """An instance that went, and why, if the server said so."""

    instance: Instance
    reason: RemovalReason | None


@dataclass(frozen=True, slots=True)
class ServiceEvent:
    """A change of a service. ``snapshot`` comes first and ``resync`` after a gap: there ``added``
    holds everything. ``state`` tells that only the freshness changed."""

    kind: Literal["snapshot", "changed", "resync", "state"]
    view: ServiceView
    added: tuple[Instance, ...]
    updated: tuple[Instance, ...]
    removed: tuple[Removed, ...]


@dataclass(frozen=True, slots=True)
class ServiceSummary:
    """A service, as a list of services shows it."""

    namespace: str
    service: str
    instances: int
    up: int
    subscribers: int


@dataclass(frozen=True, slots=True)
class KeyValue:
    """One version of one key."""

    key: bytes
    value: bytes
    create_revision: int
    mod_revision: int
    version: int
    #: 0: none.
    lease: int


@dataclass(frozen=True, slots=True)
class PutResult:
    revision: int
    #: The value before, if it was asked for and there was one.
    previous: KeyValue | None


@dataclass(frozen=True, slots=True)
class RangeResult:
    kvs: tuple[KeyValue, ...]
    #: How many there are in the range, whatever the limit.
    count: int
    #: Whether the limit left some out.
    more: bool
    revision: int


@dataclass(frozen=True, slots=True)
class TxnResult:
    #: Whether all comparisons held.
    succeeded: bool
    revision: int
    #: One for each operation: a ``PutResult``, ``RangeResult``, number of keys deleted, or
    #: ``TxnResult``.
    results: tuple["PutResult | RangeResult | int | TxnResult", ...]


@dataclass(frozen=True, slots=True)
class KeyEvent:
    """A change of one key."""

    kind: Literal["put", "delete"]
    #: After a delete: only key and mod_revision.
    kv: KeyValue
    #: The value before, if it was asked for and there was one.
    previous: KeyValue | None


@dataclass(frozen=True, slots=True)
class WatchBatch:
    """All changes of one or more revisions."""

    revision: int
    events: tuple[KeyEvent, ...]


@dataclass(frozen=True, slots=True)
class Leader:
    """Who leads an election."""

    value: bytes
    key: bytes
    #: The fencing token.
    token: int


@dataclass(frozen=True, slots=True)
class LeaseInfo:
    """What is left of a lease, in seconds, and the keys on it."""

    id: int
    granted: float
    remaining: float
    keys: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """A server, as it sees itself; ``error`` says why it could not be asked."""

    address: str
    version: str = ""
    member_id: int = 0
    cluster_id: int = 0
    #: The leader it knows; 0: none.
    leader: int = 0
    term: int = 0
    revision: int = 0
    #: Bytes.
    db_size: int = 0
    #: What is wrong, in its own words.
    errors: tuple[str, ...] = ()
    error: str | None = None

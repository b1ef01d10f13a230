"""The client for asyncio. Cancelling a task withdraws what it awaits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from quorate import _exit, _loop, _quorate
from quorate._async_handles import (
    AsyncElection,
    AsyncLease,
    AsyncLock,
    AsyncLockGuard,
    AsyncRegistration,
    AsyncStream,
    Entering,
)
from quorate._base import BaseClient, SortBy
from quorate._values import (
    HasId,
    InstanceStatus,
    KeyValue,
    LeaseInfo,
    PutResult,
    RangeResult,
    ServerStatus,
    ServiceEvent,
    ServiceSummary,
    ServiceView,
    TxnResult,
    WatchBatch,
)


class AsyncClient(BaseClient):
    """A connection to a Quorate cluster, for asyncio. One serves any number of event loops."""

    async def connected(self) -> None:
        """Waits until a server answers. No other call needs it."""
        await _loop.run(self._core.connected())

    async def close(self) -> None:
        """Ends everything this client does for the program: instances are deregistered, locks
        released, iterators end. Afterwards every call raises ``ClosedError``."""
        await _loop.run(self._core.close())
        _exit.closed(self._core)

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        if not self._core.is_forked():
            await self.close()

    async def server_status(self) -> tuple[ServerStatus, ...]:
        """Asks every server how it is."""
        return await _loop.run(self._core.server_status())

    # Discovery

    def register(
        self,
        service: str,
        address: str,
        *,
        id: str | None = None,
        weight: int = 100,
        zone: str = "",
        version: str = "",
        metadata: Mapping[str, str] | None = None,
        status: InstanceStatus = "up",
        ttl: float = 10.0,
    ) -> Entering[AsyncRegistration]:
        """Registers an instance; ready when a server has it. Await it, or enter it with
        ``async with``.

        ``id``: unique in the service; the address by default.
        ``weight``: share of calls relative to others, 0 to 65535.
        ``ttl``: seconds it stays when this program vanishes, 1 to 3600.
        """

        async def make() -> AsyncRegistration:
            operation = self._core.register(
                service, address, id, weight, zone, version, dict(metadata or {}), status, ttl
            )
            return AsyncRegistration(await _loop.run(operation))

        return Entering(make)

    async def discover(self, service: str, *, timeout: float | None = None) -> ServiceView:
        """The instances of a service, from memory if it is followed already.

        The first call waits for a server, ``timeout`` seconds, and at most ``request_timeout``;
        while none can be reached it answers from disk, or with the static instances: see
        ``freshness``.
        """
        return await _loop.run(self._core.discover(service, timeout))

    def watch_service(self, service: str) -> AsyncStream[ServiceEvent]:
        """Follows a service: a snapshot first, then what changes. One who reads slowly skips what
        happened in between and sees the result."""
        return AsyncStream(self._core.watch_service(service))

    async def list_services(self, namespace: str | None = None) -> tuple[ServiceSummary, ...]:
        """The services of a namespace, by name; of the client's own by default, ``"*"``: of all."""
        return await _loop.run(self._core.list_services(namespace))

    # Locks, elections, leases

    def lock(
        self,
        name: str,
        *,
        ttl: float = 10.0,
        timeout: float | None = None,
        cancel_on_loss: bool = True,
    ) -> AsyncLock:
        """A lock, which outlives a program that vanishes by ``ttl`` seconds. ``timeout``: seconds
        to stand in line. ``cancel_on_loss``: cancel the block's task when the lock is lost."""
        return AsyncLock(self._core, name, ttl, timeout, cancel_on_loss)

    def try_lock(
        self, name: str, *, ttl: float = 10.0, cancel_on_loss: bool = True
    ) -> Entering[AsyncLockGuard]:
        """Takes the lock if nobody holds it and nobody waits for it, or raises
        ``ConflictError``. Await it, or enter it with ``async with``."""

        async def make() -> AsyncLockGuard:
            guard = await _loop.run(self._core.try_lock(name, ttl))
            return AsyncLockGuard(guard, cancel_on_loss)

        return Entering(make)

    def election(self, name: str, *, ttl: float = 10.0) -> AsyncElection:
        """An election, in which leadership outlives a program that vanishes by ``ttl`` seconds."""
        return AsyncElection(self._core, name, ttl)

    def lease(self, ttl: float) -> Entering[AsyncLease]:
        """Takes a lease of so many seconds, and renews it. Await it, or enter it with
        ``async with``."""

        async def make() -> AsyncLease:
            return AsyncLease(self._core, await _loop.run(self._core.lease(ttl)))

        return Entering(make)

    async def lease_time_to_live(self, lease: HasId | int) -> LeaseInfo | None:
        """What is left of a lease, also of another program's; ``None`` if there is none."""
        return await _loop.run(self._core.lease_time_to_live(lease))

    # Keys

    async def put(
        self,
        key: str | bytes,
        value: str | bytes,
        *,
        lease: HasId | int | None = None,
        previous: bool = False,
    ) -> PutResult:
        """Writes a key. After ``UnavailableError`` and ``QuorateTimeoutError`` the write may
        still have taken effect if the message says so."""
        return await _loop.run(self._core.put(key, value, lease, previous))

    async def get(
        self, key: str | bytes, *, revision: int = 0, serializable: bool = False
    ) -> KeyValue | None:
        """Reads a key, as it is now or was at ``revision``. ``serializable``: whatever the asked
        server has, which may be stale."""
        return await _loop.run(self._core.get(key, revision, serializable))

    async def range(
        self,
        prefix: str | bytes | None = None,
        *,
        start: str | bytes | None = None,
        end: str | bytes | None = None,
        limit: int = 0,
        revision: int = 0,
        sort: SortBy = "key",
        descending: bool = False,
        keys_only: bool = False,
        count_only: bool = False,
        serializable: bool = False,
        max_create_revision: int = 0,
    ) -> RangeResult:
        """Reads all keys that begin with ``prefix``, or from ``start``, included, to ``end``,
        excluded. ``limit`` 0: all of them. ``max_create_revision``: only those created at that
        revision or before; 0: all."""
        op = _quorate.Op.range(
            prefix,
            start=start,
            end=end,
            limit=limit,
            revision=revision,
            sort=sort,
            descending=descending,
            keys_only=keys_only,
            count_only=count_only,
            serializable=serializable,
            max_create_revision=max_create_revision,
        )
        return await _loop.run(self._core.range(op))

    async def delete(self, key: str | bytes, *, prefix: bool = False) -> int:
        """Deletes a key, or all keys that begin with it; returns how many are gone."""
        return await _loop.run(self._core.delete(key, prefix))

    async def txn(
        self,
        when: Iterable[_quorate.Compare] = (),
        then: Iterable[_quorate.Op] = (),
        otherwise: Iterable[_quorate.Op] = (),
    ) -> TxnResult:
        """If all comparisons hold, does ``then``, otherwise ``otherwise``, as one revision."""
        return await _loop.run(self._core.txn(list(when), list(then), list(otherwise)))

    async def compact(self, revision: int) -> None:
        """Forgets all versions older than ``revision``."""
        await _loop.run(self._core.compact(revision))

    def watch(
        self,
        key: str | bytes,
        *,
        prefix: bool = False,
        start_revision: int | None = None,
        previous: bool = False,
    ) -> AsyncStream[WatchBatch]:
        """Every change of a key, or of all keys that begin with it, in order and without gaps,
        from now or from ``start_revision`` on. Raises ``OutOfRangeError`` if the history it needs
        was compacted away."""
        return AsyncStream(self._core.watch(key, prefix, start_revision or 0, previous))

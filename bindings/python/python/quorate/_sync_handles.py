"""What the client that blocks hands out, to be read from or held: streams, locks, registrations."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Generic, Protocol, TypeVar

from quorate import _quorate
from quorate._errors import (
    ClosedError,
    ForkedClientError,
    QuorateError,
    QuorateTimeoutError,
    UnavailableError,
)
from quorate._logging import logger
from quorate._values import InstanceStatus, Leader, LeaseInfo, RemovalReason

T = TypeVar("T")
Self = TypeVar("Self", bound="_Held")


class Stream(Generic[T]):
    """An iterator that waits for what comes next. It ends when it or its client is closed."""

    def __init__(self, stream: _quorate.Stream[T]) -> None:
        self._stream = stream

    def __iter__(self) -> Stream[T]:
        return self

    def __next__(self) -> T:
        item = self._stream.next().wait()
        if item is None:
            raise StopIteration
        return item

    def close(self) -> None:
        """Ends it, also for a thread that waits for the next item."""
        self._stream.close()

    def __enter__(self) -> Stream[T]:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.close()
        except ForkedClientError:
            pass


class Losable(Protocol):
    def is_lost(self) -> bool: ...
    def wait_lost(self, timeout: float | None) -> _quorate.Operation[bool]: ...


class LostSignal:
    """Tells of a loss, as a ``threading.Event`` would."""

    def __init__(self, handle: Losable) -> None:
        self._handle = handle

    def is_set(self) -> bool:
        return self._handle.is_lost()

    def wait(self, timeout: float | None = None) -> bool:
        """Waits until it is lost; ``False`` when the seconds are up or it was given up."""
        return self._handle.wait_lost(timeout).wait()


class _Held:
    """Something that is held until it is given up; as a context manager, until the end of its
    block."""

    def _give_up(self) -> None:
        raise NotImplementedError

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._give_up()
        except (ForkedClientError, ClosedError):
            # It is the parent's; or the client gave it up when it was closed.
            pass
        except (UnavailableError, QuorateTimeoutError) as failure:
            logger.warning("%s; it is given up in the background", failure)
        except QuorateError:
            # What happened in the block matters more.
            if error is None:
                raise


class LockGuard(_Held):
    """A held lock, renewed in the background. Losing the last reference releases it."""

    def __init__(self, guard: _quorate.Guard) -> None:
        self._guard = guard
        self.name = guard.name
        #: The key that stands for this holder.
        self.key = guard.key
        #: The fencing token: greater than that of every earlier holder.
        self.token = guard.token

    @property
    def is_lost(self) -> bool:
        """Whether the lock is lost. ``False`` is a snapshot, not a promise: see ``token``."""
        return self._guard.is_lost()

    @property
    def lost(self) -> LostSignal:
        """Set when the lock is lost."""
        return LostSignal(self._guard)

    def unlock(self) -> None:
        """Releases the lock; the next in line has it when this returns. Does nothing the second
        time. Raises ``LockLostError`` if it was lost before."""
        self._guard.unlock().wait()

    _give_up = unlock


class Lock:
    """A lock to be acquired: ``with client.lock("name") as guard:``. The block is never entered
    without the lock; if the lock was lost meanwhile, leaving it raises ``LockLostError``."""

    def __init__(self, core: _quorate.Core, name: str, ttl: float, timeout: float | None) -> None:
        self._core = core
        self._ttl = ttl
        self._timeout = timeout
        self._guards: dict[int, LockGuard] = {}
        self.name = name

    def acquire(self) -> LockGuard:
        """Waits for the lock, first come, first served. Raises ``QuorateTimeoutError``."""
        return LockGuard(self._core.lock(self.name, self._ttl, self._timeout).wait())

    def __enter__(self) -> LockGuard:
        guard = self.acquire()
        self._guards[threading.get_ident()] = guard
        return guard

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        guard = self._guards.pop(threading.get_ident(), None)
        if guard is None:
            # Left by another thread than the one that entered.
            _, guard = self._guards.popitem()
        guard.__exit__(kind, error, traceback)


class Leadership(_Held):
    """Leadership, renewed in the background. Losing the last reference resigns."""

    def __init__(self, leadership: _quorate.Leadership) -> None:
        self._leadership = leadership
        self.name = leadership.name
        #: The key that stands for this leader.
        self.key = leadership.key
        #: The fencing token: greater than that of every earlier leader.
        self.token = leadership.token

    @property
    def is_lost(self) -> bool:
        """Whether leadership is lost. ``False`` is a snapshot, not a promise: see ``token``."""
        return self._leadership.is_lost()

    @property
    def lost(self) -> LostSignal:
        """Set when leadership is lost."""
        return LostSignal(self._leadership)

    def proclaim(self, value: str | bytes) -> None:
        """Changes what others see of the leader. Raises ``LockLostError``."""
        self._leadership.proclaim(value).wait()

    def resign(self) -> None:
        """Gives leadership up; the next in line leads when this returns. Does nothing the second
        time. Raises ``LockLostError`` if it was lost before."""
        self._leadership.resign().wait()

    _give_up = resign


class Election:
    """One leader at a time, known to all who ask."""

    def __init__(self, core: _quorate.Core, name: str, ttl: float) -> None:
        self._core = core
        self._ttl = ttl
        self.name = name

    def campaign(self, value: str | bytes, *, timeout: float | None = None) -> Leadership:
        """Waits to become the leader, in the order of arrival; others then see ``value``."""
        return Leadership(self._core.campaign(self.name, value, self._ttl, timeout).wait())

    def leader(self) -> Leader | None:
        """Who leads now."""
        return self._core.leader(self.name).wait()

    def observe(self) -> Stream[Leader]:
        """The leader there is, then every new leader and every new value."""
        return Stream(self._core.observe(self.name))


class Lease(_Held):
    """A lease, renewed in the background; keys put with it are deleted when it ends. Losing the
    last reference revokes it."""

    def __init__(self, core: _quorate.Core, lease: _quorate.Lease) -> None:
        self._core = core
        self._lease = lease
        self.id = lease.id
        #: Seconds, as granted.
        self.ttl = lease.ttl

    @property
    def is_lost(self) -> bool:
        """Whether it ended although it was not revoked here."""
        return self._lease.is_lost()

    @property
    def lost(self) -> LostSignal:
        """Set when it is lost."""
        return LostSignal(self._lease)

    def revoke(self) -> None:
        """Ends it now. Does nothing the second time. Raises ``SessionExpiredError`` if it had
        ended before."""
        self._lease.revoke().wait()

    def time_to_live(self) -> LeaseInfo | None:
        """What is left of it; ``None`` if it has ended."""
        return self._core.lease_time_to_live(self.id).wait()

    _give_up = revoke


class Registration(_Held):
    """A registered instance. It stays registered, through broken connections and restarted
    servers, until it is deregistered or the last reference is lost."""

    def __init__(self, registration: _quorate.Registration) -> None:
        self._registration = registration
        self.id = registration.id
        self.namespace = registration.namespace
        self.service = registration.service
        self.address = registration.address

    @property
    def revision(self) -> int:
        """Of the record, as the server last said; 0 once deregistered."""
        return self._registration.revision()

    @property
    def evicted(self) -> RemovalReason | None:
        """Why somebody else removed it for good, if so. Such a one is not put back."""
        return self._registration.evicted()

    def wait_evicted(self, timeout: float | None = None) -> RemovalReason | None:
        """Waits until somebody else removes it for good, and says why; ``None`` when the seconds
        are up or it was deregistered."""
        return self.evicted if self._registration.wait_evicted(timeout).wait() else None

    def update(
        self,
        *,
        status: InstanceStatus | None = None,
        weight: int | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """Changes what is given; ``metadata`` replaces all of it."""
        changed = None if metadata is None else dict(metadata)
        self._registration.update(status, weight, changed).wait()

    def deregister(self) -> None:
        """Removes the instance; does nothing the second time."""
        self._registration.deregister().wait()

    _give_up = deregister

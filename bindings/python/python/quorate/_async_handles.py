"""What the client for asyncio hands out, to be read from or held: streams, locks, registrations."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Generator, Mapping
from types import TracebackType
from typing import Any, Generic, TypeVar

from quorate import _loop, _quorate
from quorate._errors import (
    ClosedError,
    ForkedClientError,
    LockLostError,
    QuorateError,
    QuorateTimeoutError,
    UnavailableError,
)
from quorate._logging import logger
from quorate._sync_handles import Losable
from quorate._values import InstanceStatus, Leader, LeaseInfo, RemovalReason

T = TypeVar("T")
Self = TypeVar("Self", bound="_AsyncHeld")
Held = TypeVar("Held", bound="_AsyncHeld")


class AsyncStream(Generic[T]):
    """An async iterator. It ends when it or its client is closed."""

    def __init__(self, stream: _quorate.Stream[T]) -> None:
        self._stream = stream
        #: What came at the moment its reader was cancelled: an item, or an error.
        self._unread: list[tuple[T | None, BaseException | None]] = []

    def __aiter__(self) -> AsyncStream[T]:
        return self

    async def __anext__(self) -> T:
        if self._unread:
            item, error = self._unread.pop(0)
            if error is not None:
                raise error
        else:
            item = await _loop.run(self._stream.next(), self._keep)
        if item is None:
            raise StopAsyncIteration
        return item

    def _keep(self, item: T | None, error: BaseException | None) -> None:
        self._unread.append((item, error))

    async def close(self) -> None:
        """Ends it, also for a task that waits for the next item."""
        self._stream.close()

    async def __aenter__(self) -> AsyncStream[T]:
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            self._stream.close()
        except ForkedClientError:
            pass


class AsyncLostSignal:
    """Tells of a loss, as an ``asyncio.Event`` would."""

    def __init__(self, handle: Losable) -> None:
        self._handle = handle

    def is_set(self) -> bool:
        return self._handle.is_lost()

    async def wait(self, timeout: float | None = None) -> bool:
        """Waits until it is lost; ``False`` when the seconds are up or it was given up."""
        return await _loop.run(self._handle.wait_lost(timeout))


class _LossWatch:
    """Cancels the task that made it when something is lost, as ``asyncio.timeout`` does when the
    time is up."""

    def __init__(self, handle: Losable) -> None:
        task = asyncio.current_task()
        assert task is not None, "a context manager is entered by a task"
        self._task = task
        self._cancelling = self._cancel_requests()
        self._fired = False
        self._watching = asyncio.ensure_future(self._watch(handle))

    def _cancel_requests(self) -> int:
        return self._task.cancelling() if sys.version_info >= (3, 11) else 0

    async def _watch(self, handle: Losable) -> None:
        if await _loop.run(handle.wait_lost(None)):
            self._fired = True
            self._task.cancel()

    async def end(self, error: BaseException | None) -> bool:
        """Stops watching. Whether the loss, and nothing else, cancelled the task."""
        self._watching.cancel()
        if not self._fired:
            return False
        if not isinstance(error, asyncio.CancelledError):
            # The cancellation may be on its way still: let it arrive here.
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                pass
        if sys.version_info >= (3, 11):
            self._task.uncancel()
        return self._cancel_requests() <= self._cancelling


class _AsyncHeld:
    """Something that is held until it is given up; as a context manager, until the end of its
    block."""

    #: Cancel the block's task on a loss of this.
    _guarded: Losable | None = None
    _watch: _LossWatch | None = None

    async def _give_up(self) -> None:
        raise NotImplementedError

    def _lost_error(self) -> QuorateError:
        raise NotImplementedError

    def _withdraw(self) -> None:
        """Gives up what was lost, in the background."""

    async def __aenter__(self: Self) -> Self:
        if self._guarded is not None:
            self._watch = _LossWatch(self._guarded)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        watch, self._watch = self._watch, None
        if watch is not None and await watch.end(error):
            self._withdraw()
            if error is None or isinstance(error, asyncio.CancelledError):
                raise self._lost_error() from None
            return
        try:
            await self._give_up()
        except (ForkedClientError, ClosedError):
            # It is the parent's; or the client gave it up when it was closed.
            pass
        except (UnavailableError, QuorateTimeoutError) as failure:
            logger.warning("%s; it is given up in the background", failure)
        except QuorateError:
            # What happened in the block matters more.
            if error is None:
                raise


class Entering(Generic[Held]):
    """To be awaited, or entered with ``async with``."""

    def __init__(self, make: Callable[[], Awaitable[Held]]) -> None:
        self._make = make
        self._entered: Held | None = None

    def __await__(self) -> Generator[Any, None, Held]:
        return self._make().__await__()

    async def __aenter__(self) -> Held:
        held = await self._make()
        self._entered = held
        return await held.__aenter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        held, self._entered = self._entered, None
        assert held is not None, "it is left only after it was entered"
        await held.__aexit__(kind, error, traceback)


class AsyncLockGuard(_AsyncHeld):
    """A held lock, renewed in the background. Losing the last reference releases it."""

    def __init__(self, guard: _quorate.Guard, cancel_on_loss: bool) -> None:
        self._guard = guard
        if cancel_on_loss:
            self._guarded = guard
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
    def lost(self) -> AsyncLostSignal:
        """Set when the lock is lost."""
        return AsyncLostSignal(self._guard)

    async def unlock(self) -> None:
        """Releases the lock; the next in line has it when this returns. Does nothing the second
        time. Raises ``LockLostError`` if it was lost before."""
        await _loop.run(self._guard.unlock())

    _give_up = unlock

    def _withdraw(self) -> None:
        _loop.start(self._guard.unlock())

    def _lost_error(self) -> QuorateError:
        return LockLostError(f'lock "{self.name}" was lost, and its block cancelled')


class AsyncLock:
    """A lock to be acquired: ``async with client.lock("name") as guard:``. The block is never
    entered without the lock. If the lock is lost meanwhile, the block's task is cancelled, and
    leaving it raises ``LockLostError``."""

    def __init__(
        self,
        core: _quorate.Core,
        name: str,
        ttl: float,
        timeout: float | None,
        cancel_on_loss: bool,
    ) -> None:
        self._core = core
        self._ttl = ttl
        self._timeout = timeout
        self._cancel_on_loss = cancel_on_loss
        self._guards: dict[asyncio.Task[Any] | None, AsyncLockGuard] = {}
        self.name = name

    async def acquire(self) -> AsyncLockGuard:
        """Waits for the lock, first come, first served. Raises ``QuorateTimeoutError``."""
        guard = await _loop.run(self._core.lock(self.name, self._ttl, self._timeout))
        return AsyncLockGuard(guard, self._cancel_on_loss)

    async def __aenter__(self) -> AsyncLockGuard:
        guard = await self.acquire()
        self._guards[asyncio.current_task()] = guard
        return await guard.__aenter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        guard = self._guards.pop(asyncio.current_task(), None)
        if guard is None:
            # Left by another task than the one that entered, as test fixtures are.
            _, guard = self._guards.popitem()
        await guard.__aexit__(kind, error, traceback)


class AsyncLeadership(_AsyncHeld):
    """Leadership, renewed in the background. Losing the last reference resigns."""

    def __init__(self, leadership: _quorate.Leadership, cancel_on_loss: bool) -> None:
        self._leadership = leadership
        if cancel_on_loss:
            self._guarded = leadership
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
    def lost(self) -> AsyncLostSignal:
        """Set when leadership is lost."""
        return AsyncLostSignal(self._leadership)

    async def proclaim(self, value: str | bytes) -> None:
        """Changes what others see of the leader. Raises ``LockLostError``."""
        await _loop.run(self._leadership.proclaim(value))

    async def resign(self) -> None:
        """Gives leadership up; the next in line leads when this returns. Does nothing the second
        time. Raises ``LockLostError`` if it was lost before."""
        await _loop.run(self._leadership.resign())

    _give_up = resign

    def _withdraw(self) -> None:
        _loop.start(self._leadership.resign())

    def _lost_error(self) -> QuorateError:
        return LockLostError(f'leadership of "{self.name}" was lost, and its block cancelled')


class AsyncElection:
    """One leader at a time, known to all who ask."""

    def __init__(self, core: _quorate.Core, name: str, ttl: float) -> None:
        self._core = core
        self._ttl = ttl
        self.name = name

    def campaign(
        self, value: str | bytes, *, timeout: float | None = None, cancel_on_loss: bool = True
    ) -> Entering[AsyncLeadership]:
        """Waits to become the leader, in the order of arrival; others then see ``value``. Await
        it, or enter it with ``async with``: if leadership is lost meanwhile, the block's task is
        cancelled, and leaving it raises ``LockLostError``."""

        async def make() -> AsyncLeadership:
            operation = self._core.campaign(self.name, value, self._ttl, timeout)
            return AsyncLeadership(await _loop.run(operation), cancel_on_loss)

        return Entering(make)

    async def leader(self) -> Leader | None:
        """Who leads now."""
        return await _loop.run(self._core.leader(self.name))

    def observe(self) -> AsyncStream[Leader]:
        """The leader there is, then every new leader and every new value."""
        return AsyncStream(self._core.observe(self.name))


class AsyncLease(_AsyncHeld):
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
    def lost(self) -> AsyncLostSignal:
        """Set when it is lost."""
        return AsyncLostSignal(self._lease)

    async def revoke(self) -> None:
        """Ends it now. Does nothing the second time. Raises ``SessionExpiredError`` if it had
        ended before."""
        await _loop.run(self._lease.revoke())

    async def time_to_live(self) -> LeaseInfo | None:
        """What is left of it; ``None`` if it has ended."""
        return await _loop.run(self._core.lease_time_to_live(self.id))

    _give_up = revoke


class AsyncRegistration(_AsyncHeld):
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

    async def wait_evicted(self, timeout: float | None = None) -> RemovalReason | None:
        """Waits until somebody else removes it for good, and says why; ``None`` when the seconds
        are up or it was deregistered."""
        return self.evicted if await _loop.run(self._registration.wait_evicted(timeout)) else None

    async def update(
        self,
        *,
        status: InstanceStatus | None = None,
        weight: int | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """Changes what is given; ``metadata`` replaces all of it."""
        changed = None if metadata is None else dict(metadata)
        await _loop.run(self._registration.update(status, weight, changed))

    async def deregister(self) -> None:
        """Removes the instance; does nothing the second time."""
        await _loop.run(self._registration.deregister())

    _give_up = deregister

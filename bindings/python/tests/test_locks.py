"""Locks and elections, in both faces of the client."""

import asyncio
import ctypes
import itertools
import threading
import time

import pytest
import quorate
from conftest import Server
from quorate import AsyncClient, Client


def holders(client: Client, name: str) -> int:
    return client.range(f"{name}/", count_only=True).count


def test_a_lock(client: Client, name: str) -> None:
    with client.lock(name, ttl=5) as guard:
        assert guard.name == name
        assert guard.key.startswith(name.encode() + b"/")
        found = client.get(guard.key)
        assert found is not None and found.create_revision == guard.token
        assert not guard.is_lost and not guard.lost.is_set() and not guard.lost.wait(0.01)
        with pytest.raises(quorate.ConflictError):
            client.try_lock(name)
        began = time.monotonic()
        with pytest.raises(TimeoutError) as timeout:
            with client.lock(name, timeout=0.2):
                pytest.fail("entered without the lock")
        assert isinstance(timeout.value, quorate.QuorateTimeoutError)
        assert 0.15 < time.monotonic() - began < 3
    assert holders(client, name) == 0
    with client.try_lock(name) as second:
        assert second.token > guard.token
    guard.unlock()
    assert not guard.lost.wait()


def test_the_lock_goes_from_hand_to_hand(server: Server, name: str) -> None:
    inside, most, rounds = [0], [0], []

    def contend() -> None:
        with Client(server.address) as client:
            lock = client.lock(name)
            for _ in range(10):
                with lock as guard:
                    inside[0] += 1
                    most[0] = max(most[0], inside[0])
                    rounds.append(guard.token)
                    inside[0] -= 1

    threads = [threading.Thread(target=contend) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]
    assert len(rounds) == 40 and rounds == sorted(set(rounds))


def test_threads_share_a_lock_object(client: Client, name: str) -> None:
    lock = client.lock(name)
    tokens = []

    def once() -> None:
        with lock as guard:
            tokens.append(guard.token)

    threads = [threading.Thread(target=once) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(tokens)) == 5
    assert holders(client, name) == 0


def test_a_block_may_be_left_by_another_thread(client: Client, name: str) -> None:
    lock = client.lock(name)
    lock.__enter__()
    thread = threading.Thread(target=lock.__exit__, args=(None, None, None))
    thread.start()
    thread.join()
    client.try_lock(name).unlock()


def test_a_lost_lock_is_told(client: Client, name: str) -> None:
    with pytest.raises(quorate.LockLostError):
        with client.lock(name) as guard:
            client.delete(guard.key)
            assert guard.lost.wait(10)
            assert guard.is_lost
    with pytest.raises(KeyError):
        with client.lock(name) as guard:
            client.delete(guard.key)
            assert guard.lost.wait(10)
            raise KeyError("matters more")


def test_a_dropped_guard_releases(client: Client, name: str) -> None:
    guard = client.lock(name, ttl=60).acquire()
    del guard
    with client.lock(name, timeout=10):
        pass


def test_an_election(client: Client, name: str) -> None:
    election = client.election(name, ttl=5)
    assert election.leader() is None
    with election.observe() as leaders:
        with election.campaign("anna") as leadership:
            leader = election.leader()
            assert leader is not None
            assert (leader.value, leader.token) == (b"anna", leadership.token)
            assert leader.key == leadership.key
            assert next(leaders).value == b"anna"
            leadership.proclaim("Anna")
            assert next(leaders).value == b"Anna"
            with pytest.raises(quorate.QuorateTimeoutError):
                election.campaign("berta", timeout=0.1)
        with election.campaign(b"berta") as second:
            assert second.token > leadership.token
            assert next(leaders).value == b"berta"
            assert not second.is_lost and not second.lost.wait(0.01)
    with pytest.raises(quorate.LockLostError):
        second.proclaim("too late")
    assert election.leader() is None


def test_asyncio(server: Server, name: str) -> None:
    async def main() -> None:
        async with AsyncClient(server.address) as client:
            async with client.lock(name, ttl=5) as guard:
                assert not guard.is_lost
                assert not await guard.lost.wait(0.01)
                with pytest.raises(quorate.ConflictError):
                    await client.try_lock(name)
                with pytest.raises(quorate.QuorateTimeoutError):
                    async with client.lock(name, timeout=0.1):
                        pytest.fail("entered without the lock")
            async with client.try_lock(name) as second:
                assert second.token > guard.token
            third = await client.try_lock(name)
            await third.unlock()
            await third.unlock()
            election = client.election(name + "e")
            async with election.observe() as leaders:
                async with election.campaign("anna") as leadership:
                    assert (await anext(leaders)).value == b"anna"
                    await leadership.proclaim("Anna")
                    assert (await anext(leaders)).value == b"Anna"
                    assert not leadership.lost.is_set()
            assert await election.leader() is None
            second_term = await election.campaign("berta")
            await second_term.resign()
            lock = client.lock(name)
            order = []

            async def once() -> None:
                async with lock as guard:
                    order.append(guard.token)

            await asyncio.gather(*(once() for _ in range(8)))
            assert order == sorted(set(order)) and len(order) == 8

    asyncio.run(main())


def test_a_block_may_be_left_by_another_task(server: Server, name: str) -> None:
    async def main() -> None:
        async with AsyncClient(server.address) as client:
            lock = client.lock(name)
            await asyncio.create_task(lock.__aenter__())
            await asyncio.create_task(lock.__aexit__(None, None, None))
            await (await client.try_lock(name)).unlock()

    asyncio.run(main())


def test_losing_the_lock_cancels_the_block(server: Server, name: str) -> None:
    async def main() -> None:
        async with AsyncClient(server.address) as client:
            reached = False
            with pytest.raises(quorate.LockLostError):
                async with client.lock(name) as guard:
                    await client.delete(guard.key)
                    await asyncio.sleep(30)
                    reached = True
            assert not reached
            # The task goes on as if nothing had been asked of it.
            await asyncio.sleep(0.01)
            async with client.lock(name, timeout=10):
                pass

            with pytest.raises(quorate.LockLostError):
                async with client.election(name + "e").campaign("anna") as leadership:
                    await client.delete(leadership.key)
                    await asyncio.sleep(30)

            with pytest.raises(quorate.LockLostError):
                async with client.lock(name, cancel_on_loss=False) as guard:
                    await client.delete(guard.key)
                    assert await guard.lost.wait(10)
                    reached = True
            assert reached

            with pytest.raises(KeyError):
                async with client.lock(name) as guard:
                    try:
                        await client.delete(guard.key)
                        await asyncio.sleep(30)
                    except asyncio.CancelledError:
                        raise KeyError("matters more") from None

    asyncio.run(main())


def test_a_cancellation_from_outside_stays_one(server: Server, name: str) -> None:
    async def main() -> None:
        async with AsyncClient(server.address) as client:
            entered = asyncio.Event()

            async def hold() -> None:
                async with client.lock(name):
                    entered.set()
                    await asyncio.sleep(30)

            task = asyncio.create_task(hold())
            await entered.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            async with client.lock(name, timeout=10):
                pass

    asyncio.run(main())


def test_a_cancelled_wait_leaves_the_line(server: Server, name: str) -> None:
    async def main() -> None:
        async with AsyncClient(server.address) as client:
            async with client.lock(name):
                waiting = asyncio.create_task(client.lock(name).acquire())
                while (await client.range(f"{name}/", count_only=True)).count < 2:
                    await asyncio.sleep(0.01)
                waiting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await waiting
                while (await client.range(f"{name}/", count_only=True)).count > 1:
                    await asyncio.sleep(0.01)

    asyncio.run(main())


def test_a_lock_that_comes_as_the_task_is_cancelled_is_released(
    server: Server, name: str
) -> None:
    """Cancels acquisitions at all moments; none may leave the lock behind."""

    async def main() -> None:
        async with AsyncClient(server.address) as client:
            for number in range(40):
                task = asyncio.create_task(client.lock(name, ttl=60).acquire())
                await asyncio.sleep(number * 0.0005)
                task.cancel()
                try:
                    guard = await task
                except asyncio.CancelledError:
                    pass
                else:
                    await guard.unlock()
            async with client.lock(name, timeout=20):
                pass

    asyncio.run(main())


def test_no_item_is_lost_to_a_cancelled_reader(server: Server, name: str) -> None:
    async def main() -> None:
        async with AsyncClient(server.address) as client:
            watch = client.watch(name, start_revision=(await client.put(name, "0")).revision)
            seen: list[bytes] = []

            async def write() -> None:
                for number in range(1, 101):
                    await client.put(name, str(number))

            writing = asyncio.create_task(write())
            for attempt in itertools.count():
                if len(seen) == 101:
                    break
                reading = asyncio.create_task(watch.__anext__())
                await asyncio.sleep(0)
                await asyncio.sleep(0.0005 * (attempt % 5))
                reading.cancel()
                try:
                    batch = await reading
                except asyncio.CancelledError:
                    continue
                seen += [event.kv.value for event in batch.events]
            await writing
            assert seen == [str(number).encode() for number in range(101)]

    asyncio.run(main())


def test_python_that_holds_the_interpreter_delays_no_renewal(server: Server, name: str) -> None:
    """The client's threads never need the interpreter: what is held survives a pause in which
    no other thread can run any Python."""
    with Client(server.address) as client, Client(server.address) as other:
        with client.lock(name, ttl=2) as guard, client.lease(2) as lease:
            registration = client.register(name, "127.0.0.1:81", ttl=2)
            events = other.watch_service(name)
            assert len(next(events).added) == 1
            # Called so, the C library's sleep keeps the interpreter's lock.
            ctypes.PyDLL(None).sleep(4)
            assert not guard.is_lost and not lease.is_lost
            assert lease.time_to_live() is not None
            with pytest.raises(quorate.ConflictError):
                other.try_lock(name)
            (instance,) = other.discover(name).instances
            assert instance.revision == registration.revision
            events.close()
            assert [event for event in events if event.removed] == []

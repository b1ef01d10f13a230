"""Keys, transactions, watches and leases, in both faces of the client."""

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest
import quorate
from conftest import Server
from quorate import AsyncClient, Client, Compare, Op


def test_put_get_delete(client: Client, name: str) -> None:
    assert client.get(name) is None
    first = client.put(name, "one")
    assert first.previous is None
    second = client.put(name.encode(), b"two", previous=True)
    assert second.revision == first.revision + 1
    assert second.previous is not None and second.previous.value == b"one"
    found = client.get(name)
    assert found is not None
    assert (found.key, found.value, found.version) == (name.encode(), b"two", 2)
    assert found.create_revision == first.revision
    assert found.mod_revision == second.revision
    before = client.get(name, revision=first.revision)
    assert before is not None and before.value == b"one"
    assert client.get(name, serializable=True) == found
    assert client.delete(name) == 1
    assert client.delete(name) == 0


def test_bytes_of_all_kinds(client: Client, name: str) -> None:
    value = bytes(range(256))
    client.put(name, bytearray(value))  # type: ignore[arg-type]
    client.put(name + "é", value)
    found = client.get((name + "é").encode())
    assert found is not None and found.value == value
    for wrong in (1, None, ["a"]):
        with pytest.raises(TypeError):
            client.put(name, wrong)  # type: ignore[arg-type]


def test_range(client: Client, name: str) -> None:
    for letter in "abcde":
        client.put(f"{name}/{letter}", letter)

    def letters(result: quorate.RangeResult) -> str:
        return b"".join(kv.key[-1:] for kv in result.kvs).decode()

    assert letters(client.range(f"{name}/")) == "abcde"
    assert letters(client.range(prefix=f"{name}/", limit=2)) == "ab"
    limited = client.range(f"{name}/", limit=2)
    assert limited.more and limited.count == 5
    assert letters(client.range(f"{name}/", sort="value", descending=True)) == "edcba"
    assert letters(client.range(start=f"{name}/b", end=f"{name}/d")) == "bc"
    assert letters(client.range(start=f"{name}/d", limit=1)) == "d"
    assert client.range(f"{name}/", keys_only=True).kvs[0].value == b""
    counted = client.range(f"{name}/", count_only=True)
    assert counted.count == 5 and counted.kvs == ()
    oldest = client.range(f"{name}/", limit=2).kvs[-1].create_revision
    assert letters(client.range(f"{name}/", max_create_revision=oldest)) == "ab"
    assert client.delete(f"{name}/", prefix=True) == 5
    with pytest.raises(quorate.InvalidArgumentError):
        client.range()
    with pytest.raises(quorate.InvalidArgumentError):
        client.range("a", start="b")
    with pytest.raises(quorate.InvalidArgumentError, match="colour"):
        client.range("a", sort="colour")  # type: ignore[arg-type]


def test_txn(client: Client, name: str) -> None:
    create = ([Compare.missing(name)], [Op.put(name, "1")], [Op.get(name)])
    assert client.txn(*create).succeeded
    result = client.txn(*create)
    assert not result.succeeded
    (read,) = result.results
    assert isinstance(read, quorate.RangeResult) and read.kvs[0].value == b"1"
    client.put(name + "/gone", "")
    result = client.txn(
        when=[
            Compare.value(name, "==", "1"),
            Compare.version(name, "<", 2),
            Compare.mod_revision(name, ">", 0),
            Compare.create_revision(name, "!=", 0),
            Compare.lease(name, "==", 0),
            Compare.exists(name).prefix(),
        ],
        then=[
            Op.put(name, "2", previous=True),
            Op.range(name, limit=1),
            Op.delete(name + "/gone"),
            Op.txn(then=[Op.put(name + "/in", "3")]),
        ],
    )
    assert result.succeeded
    put, read, deleted, inner = result.results
    assert isinstance(put, quorate.PutResult) and put.previous is not None
    assert isinstance(read, quorate.RangeResult) and read.kvs[0].value == b"2"
    assert deleted == 1
    assert isinstance(inner, quorate.TxnResult) and inner.succeeded
    with pytest.raises(quorate.InvalidArgumentError):
        Compare.value(name, "=~", "x")  # type: ignore[arg-type]
    assert Compare.exists("a") == Compare.exists("a") != Compare.exists("b")
    assert Op.get("a") == Op.get("a") != Op.delete("a")


def test_watch(client: Client, name: str) -> None:
    start = client.put(f"{name}/a", "1").revision
    client.put(f"{name}/b", "2")
    client.delete(f"{name}/a")
    with client.watch(f"{name}/", prefix=True, start_revision=start, previous=True) as watch:
        events: list[quorate.KeyEvent] = []
        while len(events) < 3:
            events += next(watch).events
    assert [(event.kind, event.kv.key[-1:]) for event in events] == [
        ("put", b"a"),
        ("put", b"b"),
        ("delete", b"a"),
    ]
    assert events[2].previous is not None and events[2].previous.value == b"1"
    assert list(watch) == []


def test_a_watch_is_ended_by_another_thread(client: Client, name: str) -> None:
    watch = client.watch(name)
    ended = threading.Event()

    def follow() -> None:
        for _ in watch:
            pass
        ended.set()

    threading.Thread(target=follow, daemon=True).start()
    assert not ended.wait(0.2)
    watch.close()
    assert ended.wait(5)


def test_closing_the_client_ends_its_watches(server: Server, name: str) -> None:
    client = Client(server.address)
    events = client.watch_service(name)
    next(events)
    threading.Timer(0.2, client.close).start()
    assert list(client.watch(name)) == []
    assert list(client.election(name).observe()) == []
    assert list(events) == []
    with pytest.raises(quorate.ClosedError):
        client.get(name)
    client.close()


def test_compaction_is_told(client: Client, name: str) -> None:
    start = client.put(name, "1").revision
    client.compact(client.put(name, "2").revision)
    with pytest.raises(quorate.OutOfRangeError):
        next(client.watch(name, start_revision=start))
    with pytest.raises(quorate.OutOfRangeError):
        client.get(name, revision=start)


def test_lease(client: Client, name: str) -> None:
    with client.lease(5) as lease:
        client.put(name, "here", lease=lease)
        info = lease.time_to_live()
        assert info is not None
        assert info.id == lease.id and info.keys == (name.encode(),)
        assert 0 < info.remaining <= info.granted == lease.ttl
        assert not lease.is_lost and not lease.lost.wait(0.05)
    assert client.get(name) is None
    assert lease.time_to_live() is None
    lease.revoke()
    with pytest.raises(quorate.NotFoundError):
        client.put(name, "", lease=lease.id)


def test_a_dropped_lease_is_revoked(client: Client, name: str) -> None:
    lease = client.lease(60)
    client.put(name, "here", lease=lease)
    watch = client.watch(name, start_revision=client.put(name + "x", "").revision)
    del lease
    assert next(watch).events[0].kind == "delete"


def test_status_and_metrics(client: Client, server: Server, nowhere: str) -> None:
    client.connected()
    (status,) = client.server_status()
    assert status.address == server.address
    assert status.error is None and status.leader == status.member_id != 0
    assert client.metrics()["leases_lost"] == 0
    with Client([server.address, nowhere]) as both:
        assert sorted(status.error is None for status in both.server_status()) == [False, True]


def test_asyncio(server: Server, name: str) -> None:
    async def main() -> None:
        async with AsyncClient([server.address], client_name="tests") as client:
            await client.connected()
            assert await client.get(name) is None
            start = (await client.put(name, "1")).revision
            result = await client.txn([Compare.exists(name)], [Op.put(name, "2")])
            assert result.succeeded
            found = await client.range(name)
            assert found.kvs[0].value == b"2"
            assert found.kvs[0] == await client.get(name)
            async with client.watch(name, start_revision=start) as watch:
                seen = [event.kv.value async for batch in take(watch, 2) for event in batch.events]
            assert seen == [b"1", b"2"]
            async with client.lease(5) as lease:
                await client.put(name, "3", lease=lease)
                info = await lease.time_to_live()
                assert info is not None and info.keys == (name.encode(),)
                assert not await lease.lost.wait(0.05)
            assert await client.get(name) is None
            assert await client.delete(name, prefix=True) == 0
            assert len(await client.server_status()) == 1
            with pytest.raises(quorate.InvalidArgumentError):
                await client.put("", "")
            await asyncio.gather(*(client.put(f"{name}/{n}", "x") for n in range(200)))
            assert (await client.range(f"{name}/", count_only=True)).count == 200
            await client.compact((await client.put(name, "4")).revision)
        with pytest.raises(quorate.ClosedError):
            await client.get(name)

    async def take(
        watch: quorate.AsyncStream[quorate.WatchBatch], count: int
    ) -> AsyncIterator[quorate.WatchBatch]:
        seen = 0
        async for batch in watch:
            yield batch
            seen += len(batch.events)
            if seen >= count:
                return

    asyncio.run(main())


def test_one_async_client_serves_several_loops(server: Server, name: str) -> None:
    client = AsyncClient(server.address)
    for number in range(3):
        asyncio.run(client.put(name, str(number)))
    found = asyncio.run(client.get(name))
    assert found is not None and found.value == b"2"
    asyncio.run(client.close())

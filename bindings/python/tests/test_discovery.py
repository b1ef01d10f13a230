"""Registering, discovering, watching and picking, in both faces of the client."""

import asyncio
import threading
from collections import Counter

import pytest
import quorate
from conftest import Server
from quorate import AsyncClient, Client, Instance, Outcome


def test_register_and_discover(client: Client, server: Server, name: str) -> None:
    assert client.discover(name).instances == ()
    with client.register(
        name,
        "127.0.0.1:81",
        id="one",
        weight=7,
        zone="z1",
        version="1.2",
        metadata={"team": "checkout"},
        ttl=3,
    ) as registration:
        assert (registration.id, registration.service) == ("one", name)
        assert (registration.namespace, registration.address) == ("default", "127.0.0.1:81")
        assert registration.evicted is None
        with Client(server.address) as other:
            view = other.discover(name)
            assert view.service == name and view.namespace == "default"
            assert view.freshness.state == "live" and view.freshness.complete
            (instance,) = view.instances
            expected = Instance(
                "127.0.0.1:81",
                id="one",
                weight=7,
                zone="z1",
                version="1.2",
                metadata={"team": "checkout"},
                ttl=3,
                revision=registration.revision,
            )
            assert instance == expected
            events = other.watch_service(name)
            assert next(events).kind == "snapshot"
            before = registration.revision
            registration.update(status="draining", weight=9, metadata={"a": "b"})
            assert registration.revision > before
            event = next(events)
            assert event.kind == "changed" and event.added == event.removed == ()
            (updated,) = event.updated
            assert (updated.status, updated.weight, updated.metadata) == (
                "draining",
                9,
                {"a": "b"},
            )
            assert updated.zone == "z1"
            registration.deregister()
            (removed,) = next(events).removed
            assert removed.instance == updated and removed.reason == "deregistered"
            registration.deregister()
            with pytest.raises(quorate.NotFoundError):
                registration.update(weight=1)


def test_a_dropped_registration_goes(client: Client, name: str) -> None:
    registration = client.register(name, "127.0.0.1:81")
    events = client.watch_service(name)
    assert len(next(events).added) == 1
    del registration
    assert next(events).removed[0].reason == "deregistered"


def test_a_watch_sees_what_comes_and_goes(client: Client, server: Server, name: str) -> None:
    events = client.watch_service(name)
    first = next(events)
    assert first.kind == "snapshot" and first.view.instances == first.added == ()
    with Client(server.address) as other:
        kept = other.register(name, "127.0.0.1:81")
        event = next(events)
        assert event.kind == "changed"
        assert [instance.id for instance in event.added] == ["127.0.0.1:81"]
        assert event.view.instances == event.added
    (removed,) = next(events).removed
    assert removed.instance.id == kept.id and removed.reason == "deregistered"
    events.close()
    assert list(events) == []


def test_services_and_namespaces(client: Client, server: Server, name: str) -> None:
    with Client(server.address, namespace="elsewhere") as other:
        with other.register(name, "127.0.0.1:81"):
            assert client.discover(name).instances == ()
            assert len(other.discover(name).instances) == 1
            (listed,) = [one for one in other.list_services() if one.service == name]
            assert (listed.namespace, listed.instances, listed.up) == ("elsewhere", 1, 1)
            assert listed in client.list_services("elsewhere")
            assert name in {one.service for one in client.list_services("*")}


def test_wrong_arguments(client: Client, name: str) -> None:
    for wrong in (
        lambda: client.register(name, "no port"),
        lambda: client.register(name, "127.0.0.1:1", weight=70_000),
        lambda: client.register(name, "127.0.0.1:1", status="fine"),  # type: ignore[arg-type]
        lambda: client.register(name, "127.0.0.1:1", ttl=0.1),
        lambda: client.register(name, "127.0.0.1:1", ttl=-1),
        lambda: client.register("a b", "127.0.0.1:1"),
        lambda: client.discover("a b"),
        lambda: client.watch_service("a b"),
        lambda: client.service("a b"),
        lambda: client.pick("a b"),
        lambda: Client("nowhere"),
        lambda: Client(algorithm="best"),  # type: ignore[arg-type]
        lambda: Client(balancer={"panic": 0.5}),
        lambda: Client(balancer={"panic_threshold": 1.5}),
        lambda: Client(request_timeout=0),
    ):
        with pytest.raises(quorate.InvalidArgumentError):
            wrong()


@pytest.fixture
def static(nowhere: str) -> Client:
    instances = [Instance(f"127.0.0.1:{port}", weight=port) for port in (1, 3)]
    client = Client(
        nowhere, algorithm="weighted_round_robin", static_instances={"static": instances}
    )
    assert client.discover("static").freshness.state == "static"
    return client


def test_pick_by_weight(static: Client) -> None:
    counts: Counter[str] = Counter()
    for _ in range(400):
        pick = static.pick("static")
        pick.report(Outcome.OK, latency=0.001)
        # What it was stays readable.
        counts[pick.id] += 1
    assert counts == {"127.0.0.1:1": 100, "127.0.0.1:3": 300}
    assert pick.state == "static" and pick.why == "normal"
    assert pick.instance in static.discover("static").instances
    assert pick.address == pick.instance.address and "127.0.0.1" in repr(pick)
    assert static.metrics()["picks"] == 400


def test_pick_excludes(static: Client) -> None:
    service = static.service("static")
    for exclude in (["127.0.0.1:3"], ("127.0.0.1:3",), {"127.0.0.1:3"}, iter(["127.0.0.1:3"])):
        assert service.pick(exclude=exclude).id == "127.0.0.1:1"
    everywhere = static.pick("static", exclude=["127.0.0.1:1", "127.0.0.1:3"])
    assert everywhere.why == "excluded_fallback"
    with pytest.raises(TypeError):
        static.pick("static", exclude="127.0.0.1:3")


def test_pick_sticks_to_a_hash(nowhere: str) -> None:
    instances = [Instance(f"127.0.0.1:{port}") for port in range(1, 20)]
    with Client(nowhere, algorithm="maglev", static_instances={"static": instances}) as client:
        client.discover("static")
        service = client.service("static")
        for key in ("anna", b"anna", 17):
            assert len({service.pick(hash=key).id for _ in range(20)}) == 1
        assert service.pick(hash="anna").id == service.pick(hash=b"anna").id
        assert len({service.pick(hash=str(key)).id for key in range(200)}) > 10


def test_a_pick_reports_by_itself(static: Client) -> None:
    with static.pick("static") as pick:
        assert pick.address
    pick.report(Outcome.FAIL)
    for error in (TimeoutError, ConnectionRefusedError, KeyError, KeyboardInterrupt):
        with pytest.raises(error):
            with static.pick("static"):
                raise error
    with pytest.raises(quorate.InvalidArgumentError):
        static.pick("static").report(17)  # type: ignore[arg-type]
    with pytest.raises(quorate.InvalidArgumentError):
        static.pick("static").report(Outcome.OK, latency=-1)


def test_failures_eject_an_instance(static: Client) -> None:
    """Ten connections in a row that fail, while the other one answers."""
    failing = "127.0.0.1:3"
    for _ in range(60):
        pick = static.pick("static")
        pick.report(Outcome.CONNECT_FAIL if pick.id == failing else Outcome.OK)
    assert {static.pick("static").id for _ in range(20)} == {"127.0.0.1:1"}


def test_the_service_handle(static: Client) -> None:
    service = static.service("static")
    assert service.name == "static"
    assert service.view is not None and len(service.view.instances) == 2
    assert service.view.instances == static.discover("static").instances
    for _ in range(100):
        service.pick().report(Outcome.OK)
    assert service.may_retry() and static.may_retry("static")
    assert static.service("other").view is None
    with pytest.raises(quorate.NoEndpointsError):
        static.service("other").pick()
    static.close()
    with pytest.raises(quorate.ClosedError):
        service.pick()


def test_threads_pick_at_once(static: Client) -> None:
    service = static.service("static")
    counts = [0] * 4

    def pick(thread: int) -> None:
        for _ in range(2_000):
            with service.pick():
                counts[thread] += 1

    threads = [threading.Thread(target=pick, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == [2_000] * 4
    assert static.metrics()["picks"] == 8_000


def test_asyncio(server: Server, name: str) -> None:
    async def main() -> None:
        async with AsyncClient(server.address) as client, AsyncClient(server.address) as other:
            events = other.watch_service(name)
            assert (await anext(events)).kind == "snapshot"
            async with client.register(name, "127.0.0.1:81", metadata={"a": "b"}) as registration:
                (added,) = (await anext(events)).added
                assert added.metadata == {"a": "b"} and added.revision == registration.revision
                await registration.update(weight=3)
                assert (await anext(events)).updated[0].weight == 3
                view = await other.discover(name)
                assert view.instances[0].weight == 3
                with other.pick(name) as pick:
                    assert pick.address == "127.0.0.1:81"
                assert other.service(name).pick().id == registration.id
                assert isinstance(other.may_retry(name), bool)
                assert name in {one.service for one in await other.list_services()}
            assert (await anext(events)).removed[0].reason == "deregistered"
            again = await client.register(name, "127.0.0.1:82")
            assert (await anext(events)).added[0].id == again.id
            await again.deregister()
            await events.close()
            with pytest.raises(StopAsyncIteration):
                await anext(events)

    asyncio.run(main())


def test_waiting_for_an_eviction_ends(server: Server, client: Client, name: str) -> None:
    registration = client.register(name, "127.0.0.1:81")
    assert registration.wait_evicted(timeout=0.05) is None
    registration.deregister()
    assert registration.wait_evicted() is None

    async def main() -> None:
        async with AsyncClient(server.address) as client:
            registration = await client.register(name, "127.0.0.1:81")
            waiting = asyncio.create_task(registration.wait_evicted())
            await registration.deregister()
            assert await asyncio.wait_for(waiting, 20) is None

    asyncio.run(main())

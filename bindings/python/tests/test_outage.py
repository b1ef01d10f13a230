"""What goes on while the server is down, and after it is back."""

import asyncio
import time
from pathlib import Path

import pytest
import quorate
from conftest import Server
from quorate import Client, Outcome


def test_picks_go_on_from_memory(own_server: Server) -> None:
    with Client(own_server.address) as client:
        registration = client.register("shop", "127.0.0.1:81", ttl=5)
        events = client.watch_service("shop")
        assert next(events).view.freshness.state == "live"
        own_server.kill()
        event = next(events)
        assert event.kind == "state" and event.view.freshness.state == "stale"
        assert [instance.id for instance in event.view.instances] == [registration.id]
        for _ in range(100):
            pick = client.pick("shop")
            assert pick.state == "stale"
            pick.report(Outcome.OK)
        assert client.discover("shop").freshness.state == "stale"
        own_server.start()
        with Client(own_server.address) as other:
            for event in other.watch_service("shop"):
                if event.view.instances:
                    break
            assert [instance.id for instance in event.view.instances] == [registration.id]
        for event in events:
            if event.view.freshness.state == "live":
                break
        assert [instance.id for instance in event.view.instances] == [registration.id]


def test_a_new_program_reads_the_disk(own_server: Server, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    with Client(own_server.address, cache_dir=cache) as client:
        registration = client.register("shop", "127.0.0.1:81", metadata={"a": "b"})
        client.discover("shop")
        while client.metrics()["cache_files_written"] == 0:
            time.sleep(0.01)
        own_server.kill()
        with Client(own_server.address, cache_dir=str(cache)) as second:
            view = second.discover("shop")
            assert view.freshness.state == "snapshot"
            assert [(one.id, one.metadata) for one in view.instances] == [
                (registration.id, {"a": "b"})
            ]
            assert second.pick("shop").state == "snapshot"


def test_nothing_known_is_an_error_within_the_timeout(nowhere: str) -> None:
    with Client(nowhere, request_timeout=0.5, connect_timeout=0.2) as client:
        for call in (
            lambda: client.discover("shop"),
            lambda: client.get("a"),
            lambda: client.put("a", "b"),
            lambda: client.register("shop", "127.0.0.1:81"),
            lambda: client.lock("a").acquire(),
            lambda: client.connected(),
        ):
            began = time.monotonic()
            with pytest.raises((quorate.UnavailableError, quorate.QuorateTimeoutError)) as error:
                call()
            assert isinstance(error.value, (ConnectionError, TimeoutError))
            assert error.value.retryable and error.value.next_step
            assert time.monotonic() - began < 5
        with pytest.raises((quorate.UnavailableError, quorate.QuorateTimeoutError)):
            client.discover("other", timeout=0.05)
        with pytest.raises(quorate.NoEndpointsError):
            client.pick("shop")


def test_a_lock_is_lost_with_the_server(own_server: Server) -> None:
    with Client(own_server.address, request_timeout=1) as client:
        with pytest.raises(quorate.LockLostError):
            with client.lock("a", ttl=2) as guard:
                own_server.kill()
                assert guard.lost.wait(15)


def test_asyncio_loses_the_lock_and_the_block_ends(own_server: Server) -> None:
    async def main() -> None:
        async with quorate.AsyncClient(own_server.address, request_timeout=1) as client:
            with pytest.raises(quorate.LockLostError):
                async with client.lock("a", ttl=2):
                    own_server.kill()
                    await asyncio.sleep(30)

    asyncio.run(main())


def test_leaving_a_block_while_the_server_is_down_does_not_fail(
    own_server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """The work under the lock is done; the lock goes by its time to live."""
    with Client(own_server.address, request_timeout=0.5) as client:
        with client.lock("a", ttl=60) as guard:
            own_server.kill()
        assert not guard.is_lost
    assert "given up in the background" in caplog.text

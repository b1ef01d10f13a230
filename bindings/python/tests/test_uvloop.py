"""AsyncClient on uvloop: everything it needs of a loop is there."""

from __future__ import annotations

import asyncio

import pytest
import quorate
import uvloop
from conftest import Server
from quorate import AsyncClient


def test_everything_that_waits_works_on_uvloop(server: Server, name: str) -> None:
    async def main() -> None:
        assert type(asyncio.get_running_loop()).__module__.startswith("uvloop")
        async with AsyncClient(server.address) as client:
            async with client.register(name, "127.0.0.1:81"), client.lock(name) as guard:
                assert [i.address for i in (await client.discover(name)).instances] == [
                    "127.0.0.1:81"
                ]
                async for event in client.watch_service(name):
                    assert len(event.added) == 1
                    break
                waiting = asyncio.create_task(client.lock(name).acquire())
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(waiting, 0.2)
                assert not guard.is_lost
            # Who gave up waiting left the line.
            await (await client.lock(name, timeout=10).acquire()).unlock()
            await asyncio.gather(*(client.put(f"keys-{name}/{n}", "x") for n in range(100)))
            assert (await client.range(f"keys-{name}/", count_only=True)).count == 100
            with pytest.raises(quorate.QuorateTimeoutError):
                async with client.lock(name), client.lock(name, timeout=0.1):
                    pass

    # A second loop in the same process, too.
    uvloop.run(main())
    uvloop.run(main())

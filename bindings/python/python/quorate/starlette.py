"""Starlette and FastAPI applications that register themselves: ``pip install quorate[starlette]``.

    app = FastAPI(lifespan=quorate.starlette.lifespan(
        lambda: quorate.AsyncClient("127.0.0.1:2379"), "shop", "127.0.0.1:8080"
    ))

Each worker process opens a client of its own when it starts, never when the application is
imported, registers when its address accepts connections, and deregisters when it ends. In handlers
the client is ``request.state.quorate``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from typing import Any

from quorate._async import AsyncClient
from quorate._async_handles import AsyncRegistration
from quorate._errors import QuorateError
from quorate._http import host_and_port
from quorate._logging import logger
from quorate._registering import LISTENING_WITHIN, check, pauses, worker_id

__all__ = ["lifespan"]

Lifespan = Callable[[Any], AbstractAsyncContextManager[Any]]


def lifespan(
    connect: Callable[[], AsyncClient],
    service: str,
    address: str,
    *,
    inner: Lifespan | None = None,
    **options: Any,
) -> Callable[[Any], AbstractAsyncContextManager[Mapping[str, Any]]]:
    """A lifespan for ``Starlette(lifespan=…)`` or ``FastAPI(lifespan=…)``.

    ``connect``: opens the worker's client. ``inner``: the application's own lifespan, around
    which the instance is not registered. ``options``: those of ``AsyncClient.register``; ``id``
    is by default different for each worker, because several may share an address.

    While no server of Quorate answers the application works all the same, and is registered
    later.
    """

    check(AsyncClient.register, options)

    @asynccontextmanager
    async def registered(app: Any) -> AsyncIterator[Mapping[str, Any]]:
        async with connect() as client:
            around = inner(app) if inner is not None else nullcontext()
            async with around as state:
                registering = asyncio.create_task(_register(client, service, address, options))
                try:
                    yield {"quorate": client, **(state or {})}
                finally:
                    await _end(registering)

    return registered


async def _register(
    client: AsyncClient, service: str, address: str, options: Mapping[str, Any]
) -> AsyncRegistration | None:
    await _listening(address)
    for pause in pauses():
        try:
            return await client.register(
                service, address, **{"id": worker_id(address), **options}
            )
        except QuorateError as error:
            if not error.retryable:
                logger.error("%s is not registered as %s: %s", address, service, error)
                return None
            logger.warning("%s is not registered as %s yet: %s", address, service, error)
        await asyncio.sleep(pause)
    return None


async def _listening(address: str) -> None:
    """Waits until somebody accepts connections there; the server does so after the lifespan has
    begun. Not for ever: the address may be one that cannot be reached from here."""
    with suppress(asyncio.TimeoutError, ValueError):
        await asyncio.wait_for(_connected(*host_and_port(address)), LISTENING_WITHIN)


async def _connected(host: str, port: int) -> None:
    while True:
        try:
            _, writer = await asyncio.open_connection(host, port)
        except OSError:
            await asyncio.sleep(0.02)
        else:
            writer.close()
            return


async def _end(registering: asyncio.Task[AsyncRegistration | None]) -> None:
    registering.cancel()
    with suppress(asyncio.CancelledError, QuorateError):
        registration = await registering
        if registration is not None:
            await registration.deregister()

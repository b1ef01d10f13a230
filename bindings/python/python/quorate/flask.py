"""Flask applications that register themselves: ``pip install quorate[flask]``.

    registration = quorate.flask.Registration(
        app, lambda: quorate.Client("127.0.0.1:2379"), "shop", "127.0.0.1:8080"
    )

and in ``gunicorn.conf.py``

    from quorate.flask import post_worker_init, worker_exit

Nothing happens when the application is imported: with ``--preload`` that is not in a worker yet.
Each worker registers itself once, when it starts, and deregisters when it ends. Under another
server call ``registration.start()`` in the process that serves. In views the worker's client is
``registration.client``, or ``current_app.extensions["quorate"].client``.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from typing import Any

import flask

from quorate._errors import QuorateError
from quorate._logging import logger
from quorate._registering import check, pauses, worker_id
from quorate._sync import Client
from quorate._sync_handles import Registration as Registered

__all__ = ["Registration", "post_worker_init", "worker_exit"]


class Registration:
    """That of the process that serves. What a forked child inherits of it is forgotten there."""

    def __init__(
        self,
        app: flask.Flask | None,
        connect: Callable[[], Client],
        service: str,
        address: str,
        **options: Any,
    ) -> None:
        """``connect``: opens the worker's client. ``options``: those of ``Client.register``;
        ``id`` is by default different for each worker, because they share an address."""
        check(Client.register, options)
        self.service = service
        self.address = address
        self._connect = connect
        self._options = options
        self._worker: _Worker | None = None
        self._opening = threading.Lock()
        if app is not None:
            app.extensions["quorate"] = self
        _declared.add(self)

    @property
    def client(self) -> Client:
        """The client of this process, opened at first use."""
        return self._here().client

    def start(self) -> None:
        """Registers this process, in the background: while no server of Quorate answers the
        application works all the same, and is registered later. Does nothing the second time."""
        self._here().start(self.service, self.address, self._options)

    def stop(self) -> None:
        """Deregisters this process, if it was registered, and closes its client."""
        if self._worker is not None and self._worker.pid == os.getpid():
            self._worker.stop()
            self._worker = None

    def _here(self) -> _Worker:
        with self._opening:
            worker = self._worker
            if worker is None or worker.pid != os.getpid():
                worker = self._worker = _Worker(self._connect())
            return worker


_declared: weakref.WeakSet[Registration] = weakref.WeakSet()


class _Worker:
    """What belongs to one process."""

    def __init__(self, client: Client) -> None:
        self.pid = os.getpid()
        self.client = client
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        #: Kept, because losing the last reference deregisters.
        self._registered: Registered | None = None

    def start(self, service: str, address: str, options: dict[str, Any]) -> None:
        if self._thread is None:
            options = {"id": worker_id(address), **options}
            self._thread = threading.Thread(
                target=self._register,
                args=(service, address, options),
                name="quorate-register",
                daemon=True,
            )
            self._thread.start()

    def _register(self, service: str, address: str, options: dict[str, Any]) -> None:
        for pause in pauses():
            try:
                self._registered = self.client.register(service, address, **options)
                return
            except QuorateError as error:
                if self._stopping.is_set():
                    return
                if not error.retryable:
                    logger.error("%s is not registered as %s: %s", address, service, error)
                    return
                logger.warning("%s is not registered as %s yet: %s", address, service, error)
            if self._stopping.wait(pause):
                return

    def stop(self) -> None:
        self._stopping.set()
        # Deregisters.
        self.client.close()
        if self._thread is not None:
            self._thread.join(1.0)


def post_worker_init(worker: object) -> None:
    """Hook of gunicorn: registers what was declared in this worker."""
    for registration in _declared:
        registration.start()


def worker_exit(server: object, worker: object) -> None:
    """Hook of gunicorn: deregisters it."""
    for registration in _declared:
        registration.stop()

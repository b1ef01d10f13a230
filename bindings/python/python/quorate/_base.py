"""What both clients have in common: how they are made, and all that never waits."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Literal

from quorate import _exit, _logging, _quorate
from quorate._values import Instance

Algorithm = Literal["p2c", "weighted_random", "weighted_round_robin", "maglev"]
SortBy = Literal["key", "version", "create_revision", "mod_revision", "value"]


class BaseClient:
    """See ``Client`` and ``AsyncClient``."""

    def __init__(
        self,
        servers: str | Iterable[str] = "127.0.0.1:2379",
        *,
        namespace: str = "default",
        cache_dir: str | os.PathLike[str] | None = None,
        request_timeout: float = 5.0,
        connect_timeout: float = 2.0,
        algorithm: Algorithm = "p2c",
        balancer: Mapping[str, float] | None = None,
        client_name: str | None = None,
        static_instances: Mapping[str, Iterable[Instance]] | None = None,
    ) -> None:
        """Does not connect yet: see ``connected``.

        ``servers``: ``host:port`` of each server of one cluster, in any order.
        ``namespace``: that of services.
        ``cache_dir``: where discovered services survive a restart of this program.
        ``request_timeout``: seconds a call may take, failover included.
        ``algorithm``: how instances are picked.
        ``balancer``: settings of breakers, ejection, slow start and the retry budget, by name,
        such as ``{"panic_threshold": 0.3}``; the README lists them.
        ``client_name``: for people who read the servers' logs.
        ``static_instances``: what a service falls back on while neither a server nor the cache
        knows it.
        """
        static = static_instances or {}
        self._core = _quorate.Core(
            [servers] if isinstance(servers, str) else list(servers),
            namespace,
            cache_dir,
            request_timeout,
            connect_timeout,
            algorithm,
            dict(balancer or {}),
            client_name,
            {service: list(instances) for service, instances in static.items()},
        )
        _logging.start()
        _exit.close_at_exit(self._core)

    def service(self, name: str) -> _quorate.Service:
        """A handle for those who pick often from one service, which is followed from now on."""
        return self._core.service(name)

    def pick(
        self,
        service: str,
        *,
        hash: int | str | bytes | None = None,
        exclude: Iterable[str] = (),
    ) -> _quorate.Pick:
        """Chooses an instance for one call, from memory: no network, no waiting.

        ``hash``: what must stick to one instance (algorithm ``maglev``).
        ``exclude``: ids of instances this call was at already.

        Raises ``NoEndpointsError``; also for a service that was not followed before: it is from
        now on. To wait until it is known, ``discover`` it first.
        """
        return self._core.pick(service, hash, exclude)

    def may_retry(self, service: str) -> bool:
        """Whether the service can afford one more retry; takes it out of the budget if so."""
        return self._core.may_retry(service)

    def metrics(self) -> dict[str, int]:
        """What this client has counted so far."""
        return self._core.metrics()

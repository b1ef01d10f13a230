"""The operations, written once for both faces of the client: a call that blocks is done when it
returns, a call for asyncio when it was awaited."""

from __future__ import annotations

import gc
import inspect
from collections import Counter
from collections.abc import Callable
from typing import Any

import quorate
import values
from lines import Arguments, Fields, PerformerError, given


async def done(result: Any) -> Any:
    return await result if inspect.isawaitable(result) else result


class Operations:
    """One method per operation, named as it. ``client_class`` makes clients, ``reader`` makes
    something with ``next(timeout)`` and ``close()`` out of a stream."""

    def __init__(
        self, client_class: type[Any], reader: Callable[[Any], Any]
    ) -> None:
        self._client_class = client_class
        self._reader = reader
        self._things: dict[str, Any] = {}

    def lacks(self) -> list[str]:
        """Options the binding does not have."""
        options = {
            "open.balancer": ("__init__", "balancer"),
            "range.max_create_revision": ("range", "max_create_revision"),
        }
        return [
            name
            for name, (method, option) in options.items()
            if option not in inspect.signature(getattr(self._client_class, method)).parameters
        ]

    def _thing(self, name: str) -> Any:
        try:
            return self._things[name]
        except KeyError:
            raise PerformerError("unknown_name", name) from None

    def _named(self, arguments: Arguments, key: str) -> Any:
        return self._thing(arguments.needed_text(key))

    # Clients

    async def open(self, arguments: Arguments) -> Fields:
        name = arguments.needed_text("as")
        static: dict[str, list[quorate.Instance]] = {}
        for one in arguments.numbered("static"):
            options = given(id=one.text("id"), weight=one.number("weight"))
            instance = quorate.Instance(one.needed_text("address"), **options)
            static.setdefault(one.needed_text("service"), []).append(instance)
            one.end()
        options = given(
            servers=arguments.texts("endpoints"),
            namespace=arguments.text("namespace"),
            cache_dir=arguments.text("cache_dir"),
            request_timeout=arguments.seconds("request_timeout_ms"),
            connect_timeout=arguments.seconds("connect_timeout_ms"),
            algorithm=arguments.text("algorithm"),
            client_name=arguments.text("client_name"),
            static_instances=static or None,
            balancer=_settings(arguments.chosen("balancer.")) or None,
        )
        arguments.end()
        self._things[name] = self._client_class(**options)
        return Fields()

    async def connected(self, arguments: Arguments) -> Fields:
        client = self._named(arguments, "client")
        arguments.end()
        await done(client.connected())
        return Fields()

    async def close(self, arguments: Arguments) -> Fields:
        client = self._named(arguments, "client")
        arguments.end()
        await done(client.close())
        return Fields()

    async def metrics(self, arguments: Arguments) -> Fields:
        client = self._named(arguments, "client")
        arguments.end()
        return Fields(**client.metrics())

    async def server_status(self, arguments: Arguments) -> Fields:
        client = self._named(arguments, "client")
        arguments.end()
        fields = Fields()
        for number, status in enumerate(await done(client.server_status())):
            under = Fields(address=status.address)
            if status.error is not None:
                under.set("error", status.error)
            else:
                for key in ("version", "leader", "term", "revision"):
                    under.set(key, getattr(status, key))
            fields.put_under(f"server.{number}.", under)
        return fields

    # Registrations

    async def register(self, arguments: Arguments) -> Fields:
        client = self._named(arguments, "client")
        name = arguments.needed_text("as")
        service, address = arguments.needed_text("service"), arguments.needed_text("address")
        options = given(
            id=arguments.text("id"),
            weight=arguments.number("weight"),
            zone=arguments.text("zone"),
            version=arguments.text("version"),
            metadata=arguments.chosen("metadata.") or None,
            status=arguments.text("status"),
            ttl=arguments.seconds("ttl_ms"),
        )
        arguments.end()
        registration = await done(client.register(service, address, **options))
        self._things[name] = registration
        return Fields(id=registration.id, revision=registration.revision)

    async def registration(self, arguments: Arguments) -> Fields:
        registration = self._named(arguments, "registration")
        arguments.end()
        fields = Fields(
            id=registration.id,
            namespace=registration.namespace,
            service=registration.service,
            revision=registration.revision,
        )
        if registration.evicted is not None:
            fields.set("evicted", registration.evicted)
        return fields

    async def update(self, arguments: Arguments) -> Fields:
        registration = self._named(arguments, "registration")
        options = given(
            status=arguments.text("status"),
            weight=arguments.number("weight"),
            metadata=arguments.chosen("metadata.") or None,
        )
        arguments.end()
        await done(registration.update(**options))
        return Fields(revision=registration.revision)

    async def deregister(self, arguments: Arguments) -> Fields:
        registration = self._named(arguments, "registration")
        arguments.end()
        await done(registration.deregister())
        return Fields()

    # Discovery

    async def discover(self, arguments: Arguments) -> Fields:
        client = self._named(arguments, "client")
        service = arguments.needed_text("service")
        options = given(timeout=arguments.seconds("timeout_ms"))
        arguments.end()
        return values.view(await done(client.discover(service, **options)))

    async def view(self, arguments: Arguments) -> Fields:
        client = self._named(arguments, "client")
        service = arguments.needed_text("service")
        arguments.end()
        view = client.service(service).view
        return Fields(none=True) if view is None else values.view(view)

    async def list_services(self, arguments: Arguments) -> Fields:
        client = self._named(arguments, "client")
        options = given(namespace=arguments.text("namespace"))
        arguments.end()
        services = await done(client.list_services(**options))
        fields = Fields(services=len(services))
        for number, one in enumerate(services):
            under = Fields(
                namespace=one.namespace, name=one.service, instances=one.instances, up=one.up
            )
            fields.put_under(f"service.{number}.", under)
        return fields

    async def pick(self, arguments: Arguments) -> Fields:
        client = self._named(arguments, "client")
        service = arguments.needed_text("service")
        name = arguments.text("as")
        options = given(hash=arguments.bytes("sticky"), exclude=arguments.texts("excluding"))
        arguments.end()
        pick = client.pick(service, **options)
        if name is not None:
            self._things[name] = pick
        return Fields(address=pick.address, id=pick.id, state=pick.state, why=pick.why)

    async def report(self, arguments: Arguments) -> Fields:
        pick = self._named(arguments, "pick")
        outcome = _outcome(arguments.needed_text("outcome"))
        options = given(
            latency=arguments.seconds("latency_ms"), retry_after=arguments.seconds("retry_after_ms")
        )
        arguments.end()
        pick.report(outcome, **options)
        return Fields()

    async def may_retry(self, arguments: Arguments) -> Fields:
        client = self._named(arguments, "client")
        service = arguments.needed_text("service")
        arguments.end()
        return Fields(value=client.may_retry(service))

    async def pick_many(self, arguments: Arguments) -> Fields:
        client = self._named(arguments, "client")
        service = arguments.needed_text("service")
        count = arguments.number("count") or 0
        prefix = arguments.bytes("sticky_prefix")
        options = given(exclude=arguments.texts("excluding"))
        outcomes = {k: _outcome(v) for k, v in arguments.chosen("outcome.").items()}
        latencies = {k: int(v) / 1000 for k, v in arguments.chosen("latency_ms.").items()}
        arguments.end()
        counts: Counter[str] = Counter()
        whys: Counter[str] = Counter()
        failed = 0
        for number in range(count):
            if prefix is not None:
                options["hash"] = prefix + str(number).encode()
            try:
                pick = client.pick(service, **options)
            except quorate.NoEndpointsError:
                failed += 1
                continue
            counts[pick.address] += 1
            whys[pick.why] += 1
            outcome = outcomes.get(pick.address, quorate.Outcome.OK)
            pick.report(outcome, latency=latencies.get(pick.address, 0.001))
        fields = Fields(failed=failed)
        for address, number in counts.items():
            fields.set(f"count.{address}", number)
        for why, number in whys.items():
            fields.set(f"why.{why}", number)
        return fields

    # Watches and observers

    async def watch_service(self, arguments: Arguments) -> Fields:
        client = self._named(arguments, "client")
        name, service = arguments.needed_text("as"), arguments.needed_text("service")
        arguments.end()
        self._things[name] = self._reader(client.watch_service(service))
        return Fields()

    async def watch(self, arguments: Arguments) -> Fields:
        client = self._named(arguments, "client")
        name, key = arguments.needed_text("as"), arguments.needed("key")
        options = given(
            prefix=arguments.flag("prefix"),
            start_revision=arguments.number("start_revision"),
            previous=arguments.flag("previous"),
        )
        arguments.end()
        self._things[name] = self._reader(client.watch(key, **options))
        return Fields()

    async def observe(self, arguments: Arguments) -> Fields:
        client = self._named(arguments, "client")
        name, election = arguments.needed_text("as"), arguments.needed_text("name")
        arguments.end()
        self._things[name] = self._reader(client.election(election).observe())
        return Fields()

    async def next(self, arguments: Arguments) -> Fields:
        reader = self._named(arguments, "watch")
        timeout = arguments.seconds("timeout_ms")
        arguments.end()
        item = await done(reader.next(timeout))
        return Fields(end=True) if item is None else values.item(item)

    async def close_watch(self, arguments: Arguments) -> Fields:
        reader = self._named(arguments, "watch")
        arguments.end()
        await done(reader.close())
        return Fields()

    # Locks, elections, leases

    async def lock(self, arguments: Arguments) -> Fields:
        client = self._named(arguments, "client")
        name, lock = arguments.needed_text("as"), arguments.needed_text("name")
        options = given(ttl=arguments.seconds("ttl_ms"), timeout=arguments.seconds("timeout_ms"))
        arguments.end()
        return self._holding(name, await done(client.lock(lock, **options).acquire()))

    async def try_lock(self, arguments: Arguments) -> Fields:
        client = self._named(arguments, "client")
        name, lock = arguments.needed_text("as"), arguments.needed_text("name")
        options = given(ttl=arguments.seconds("ttl_ms"))
        arguments.end()
        return self._holding(name, await done(client.try_lock(lock, **options)))

    def _holding(self, name: str, holding: Any) -> Fields:
        self._things[name] = holding
        return Fields(token=holding.token, key=holding.key)

    async def unlock(self, arguments: Arguments) -> Fields:
        holding = self._named(arguments, "holding")
        arguments.end()
        await done(holding.unlock())
        return Fields()

    async def campaign(self, arguments: Arguments) -> Fields:
        client = self._named(arguments, "client")
        name, election = arguments.needed_text("as"), arguments.needed_text("name")
        value = arguments.needed("value")
        election = client.election(election, **given(ttl=arguments.seconds("ttl_ms")))
        options = given(timeout=arguments.seconds("timeout_ms"))
        arguments.end()
        return self._holding(name, await done(election.campaign(value, **options)))

    async def proclaim(self, arguments: Arguments) -> Fields:
        holding, value = self._named(arguments, "holding"), arguments.needed("value")
        arguments.end()
        await done(holding.proclaim(value))
        return Fields()

    async def resign(self, arguments: Arguments) -> Fields:
        holding = self._named(arguments, "holding")
        arguments.end()
        await done(holding.resign())
        return Fields()

    async def leader(self, arguments: Arguments) -> Fields:
        client = self._named(arguments, "client")
        election = client.election(arguments.needed_text("name"))
        arguments.end()
        leader = await done(election.leader())
        return Fields(none=True) if leader is None else values.leader(leader)

    async def lease(self, arguments: Arguments) -> Fields:
        client = self._named(arguments, "client")
        name = arguments.needed_text("as")
        ttl = arguments.seconds("ttl_ms")
        arguments.end()
        lease = await done(client.lease(ttl))
        self._things[name] = lease
        return Fields(id=lease.id, ttl_ms=round(lease.ttl * 1000))

    async def lease_time_to_live(self, arguments: Arguments) -> Fields:
        client = self._named(arguments, "client")
        number = arguments.number("id")
        arguments.end()
        info = await done(client.lease_time_to_live(number))
        if info is None:
            return Fields(none=True)
        fields = Fields(
            ttl_ms=round(info.remaining * 1000), granted_ms=round(info.granted * 1000)
        )
        fields.set_list("keys", sorted(info.keys))
        return fields

    async def revoke(self, arguments: Arguments) -> Fields:
        holding = self._named(arguments, "holding")
        arguments.end()
        await done(holding.revoke())
        return Fields()

    async def held(self, arguments: Arguments) -> Fields:
        holding = self._named(arguments, "holding")
        arguments.end()
        fields = Fields(lost=holding.is_lost)
        if hasattr(holding, "token"):
            fields.set("token", holding.token)
        return fields

    async def wait_lost(self, arguments: Arguments) -> Fields:
        holding = self._named(arguments, "holding")
        timeout = arguments.seconds("timeout_ms")
        arguments.end()
        return Fields(value=await done(holding.lost.wait(timeout)))

    # Keys

    async def put(self, arguments: Arguments) -> Fields:
        client = self._named(arguments, "client")
        key, value = arguments.needed("key"), arguments.needed("value")
        options = self._put_options(arguments)
        arguments.end()
        return values.put_result(await done(client.put(key, value, **options)))

    def _put_options(self, arguments: Arguments) -> dict[str, object]:
        return given(lease=self._lease(arguments), previous=arguments.flag("previous"))

    def _lease(self, arguments: Arguments, key: str = "lease") -> Any:
        name = arguments.text(key)
        if name is None:
            return None
        try:
            return int(name)
        except ValueError:
            return self._thing(name)

    async def get(self, arguments: Arguments) -> Fields:
        client = self._named(arguments, "client")
        key = arguments.needed("key")
        options = given(
            revision=arguments.number("revision"), serializable=arguments.flag("serializable")
        )
        arguments.end()
        kv = await done(client.get(key, **options))
        return Fields(none=True) if kv is None else values.key_value(kv)

    async def range(self, arguments: Arguments) -> Fields:
        client = self._named(arguments, "client")
        options = _range_options(arguments)
        arguments.end()
        result = await done(client.range(**options))
        fields = values.range_result(result)
        fields.set("revision", result.revision)
        return fields

    async def delete(self, arguments: Arguments) -> Fields:
        client = self._named(arguments, "client")
        key, options = arguments.needed("key"), given(prefix=arguments.flag("prefix"))
        arguments.end()
        return Fields(deleted=await done(client.delete(key, **options)))

    async def txn(self, arguments: Arguments) -> Fields:
        client = self._named(arguments, "client")
        options = self._transaction(arguments)
        arguments.end()
        result = await done(client.txn(**options))
        fields = values.txn_result(result)
        fields.set("revision", result.revision)
        return fields

    def _transaction(self, arguments: Arguments) -> dict[str, Any]:
        when = [self._compare(one) for one in arguments.numbered("when")]
        then = [self._op(one) for one in arguments.numbered("then")]
        otherwise = [self._op(one) for one in arguments.numbered("otherwise")]
        return {
            name: value
            for name, value in (("when", when), ("then", then), ("otherwise", otherwise))
            if value
        }

    def _compare(self, arguments: Arguments) -> quorate.Compare:
        kind, key = arguments.needed_text("kind"), arguments.needed("key")
        symbol, prefix = arguments.text("symbol") or "==", arguments.flag("prefix")
        if kind in ("exists", "missing"):
            compare = getattr(quorate.Compare, kind)(key)
        elif kind == "value":
            compare = quorate.Compare.value(key, symbol, arguments.needed("value"))
        elif kind == "lease":
            compare = quorate.Compare.lease(key, symbol, self._lease(arguments, "value"))
        else:
            compare = getattr(quorate.Compare, kind)(key, symbol, arguments.number("value"))
        arguments.end()
        return compare.prefix() if prefix else compare

    def _op(self, arguments: Arguments) -> quorate.Op:
        name = arguments.needed_text("op")
        if name == "put":
            key, value = arguments.needed("key"), arguments.needed("value")
            op = quorate.Op.put(key, value, **self._put_options(arguments))
        elif name == "get":
            op = quorate.Op.get(arguments.needed("key"))
        elif name == "range":
            op = quorate.Op.range(**_range_options(arguments))
        elif name == "delete":
            prefix = given(prefix=arguments.flag("prefix"))
            op = quorate.Op.delete(arguments.needed("key"), **prefix)
        elif name == "txn":
            op = quorate.Op.txn(**self._transaction(arguments))
        else:
            raise PerformerError("malformed", name)
        arguments.end()
        return op

    async def compact(self, arguments: Arguments) -> Fields:
        client = self._named(arguments, "client")
        revision = arguments.number("revision")
        arguments.end()
        await done(client.compact(revision))
        return Fields()

    # Letting go

    async def drop(self, arguments: Arguments) -> Fields:
        name = arguments.needed_text("handle")
        arguments.end()
        self._thing(name)
        del self._things[name]
        gc.collect()
        return Fields()


def _settings(texts: dict[str, str]) -> dict[str, float]:
    return {name: float(text) for name, text in texts.items()}


def _outcome(name: str) -> quorate.Outcome:
    return quorate.Outcome[name.upper()]


def _range_options(arguments: Arguments) -> dict[str, Any]:
    return given(
        prefix=arguments.bytes("prefix"),
        start=arguments.bytes("start"),
        end=arguments.bytes("end"),
        limit=arguments.number("limit"),
        revision=arguments.number("revision"),
        sort=arguments.text("sort"),
        descending=arguments.flag("descending"),
        keys_only=arguments.flag("keys_only"),
        count_only=arguments.flag("count_only"),
        serializable=arguments.flag("serializable"),
        max_create_revision=arguments.number("max_create_revision"),
    )

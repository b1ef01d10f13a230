"""The one list of what a client offers, and how each language spells it.

Every row is an operation, or an option of one, and what it is called in Rust, in Python (where the
asyncio classes are the same with ``Async`` before their names), in Node.js and in C. Several names
are separated by spaces: all of them must be there. A language that lacks something says why with
``lacks``; what a language has beside the list stands under ``BESIDE``, with the reason too.
"""

from __future__ import annotations

from dataclasses import dataclass

LANGUAGES = ("Rust", "Python", "asyncio", "Node.js", "C")


@dataclass(frozen=True)
class Lacks:
    """Why a language does not have it."""

    reason: str


@dataclass(frozen=True)
class Row:
    """An operation, or with a dot an option of one."""

    name: str
    spelled: dict[str, str | Lacks]


lacks = Lacks


def row(
    name: str,
    rust: str | Lacks,
    python: str | Lacks,
    node: str | Lacks,
    c: str | Lacks,
    *,
    asyncio: str | Lacks | None = None,
) -> Row:
    both = python if asyncio is None else asyncio
    return Row(name, dict(zip(LANGUAGES, (rust, python, both, node, c), strict=True)))


def each(prefixes: str, suffix: str) -> str:
    return " ".join(prefix + suffix for prefix in prefixes.split())


def ranges(option: str, rust: str, node: str, c: str) -> Row:
    python = f"Client.range({option}) Op.range({option})"
    return row(f"range.{option}", rust, python, each("Client.range Op.range", f"({node})"), c)


GROUPS: dict[str, list[Row]] = {
    "Client": [
        row("open", "Client::builder Builder::build", "Client(servers)", "Client(servers)", "quorate_client_open"),
        row("open.servers", "Builder::endpoints", "Client(servers)", "Client(servers)", "quorate_client_options_t.endpoints"),
        row("open.namespace", "Builder::namespace", "Client(namespace)", "Client(namespace)", "quorate_client_options_t.default_namespace"),
        row("open.cache_dir", "Builder::cache_dir", "Client(cache_dir)", "Client(cacheDir)", "quorate_client_options_t.cache_dir"),
        row("open.request_timeout", "Builder::request_timeout", "Client(request_timeout)", "Client(requestTimeoutMs)", "quorate_client_options_t.request_timeout_ms"),
        row("open.connect_timeout", "Builder::connect_timeout", "Client(connect_timeout)", "Client(connectTimeoutMs)", "quorate_client_options_t.connect_timeout_ms"),
        row("open.algorithm", "Builder::algorithm", "Client(algorithm)", "Client(algorithm)", "quorate_client_options_t.algorithm"),
        row("open.balancer", "Builder::balancer Builder::balancer_setting", "Client(balancer)", "Client(balancer)", "quorate_client_options_t.balancer"),
        row("open.client_name", "Builder::client_name", "Client(client_name)", "Client(clientName)", "quorate_client_options_t.client_name"),
        row("open.static_instances", "Builder::static_instances", "Client(static_instances)", "Client(staticInstances)", "quorate_client_options_t.static_instances"),
        row("connected", "Client::connected", "Client.connected", "Client.connected", "quorate_client_connected"),
        row("close", "Client::close", "Client.close", "Client.close", "quorate_client_close"),
        row("metrics", "Client::metrics Metrics::named", "Client.metrics", "Client.metrics", "quorate_metrics"),
        row("server_status", "Client::server_status", "Client.server_status", "Client.serverStatus", "quorate_server_status"),
        row("cancel", lacks("dropping the future withdraws the call"), lacks("Ctrl-C withdraws the call"), each("Client.connected Client.register Client.discover Client.lock Client.put Election.campaign Stream.next", "(signal)"), "quorate_cancel_open quorate_cancel_fire quorate_cancel_is_fired quorate_cancel_reset", asyncio=lacks("cancelling the task withdraws the call")),
        row("logs", lacks("they are `tracing` events"), lacks('they are records of `logging.getLogger("quorate")`'), "setLogger", "quorate_log"),
        row("close_on_sigterm", lacks("the program's runtime handles signals"), "close_on_sigterm", lacks("`process.on('SIGTERM')` handles it"), lacks("handling signals is the program's")),
    ],
    "Discovery": [
        row("register", "Client::register Registration::new", "Client.register", "Client.register", "quorate_register"),
        *(
            row(f"register.{name}", f"Registration::{name}", f"Client.register({name})", f"Client.register({node or name})", f"quorate_instance_options_t.{c or name}")
            for name, node, c in (("id", "", ""), ("weight", "", ""), ("zone", "", ""), ("version", "", ""), ("metadata", "", ""), ("status", "", ""), ("ttl", "ttlMs", "ttl_ms"))
        ),
        row("update", "Registered::update", "Registration.update", "Registration.update", "quorate_registration_update"),
        *(
            row(f"update.{name}", f"InstanceUpdate.{name}", f"Registration.update({name})", f"Registration.update({name})", f"quorate_update_t.{name}")
            for name in ("status", "weight", "metadata")
        ),
        row("registration.id", "Registered::id", "Registration.id", "Registration.id", "quorate_registration_id"),
        row("registration.service", "Registered::service", "Registration.service Registration.namespace", "Registration.service Registration.namespace", "quorate_registration_service quorate_registration_namespace"),
        row("registration.address", lacks("the program gave it"), "Registration.address", "Registration.address", "quorate_registration_address"),
        row("registration.revision", "Registered::revision", "Registration.revision", "Registration.revision", "quorate_registration_revision"),
        row("registration.evicted", "Registered::evicted", "Registration.evicted", "Registration.evicted", "quorate_registration_evicted"),
        row("wait_evicted", "Registered::eviction", "Registration.wait_evicted Registration.wait_evicted(timeout)", "Registration:evicted", "quorate_registration_notify"),
        row("deregister", "Registered::deregister", "Registration.deregister", "Registration.deregister", "quorate_registration_deregister"),
        row("discover", "Client::discover ServiceHandle::discover", "Client.discover", "Client.discover", "quorate_discover"),
        row("discover.timeout", "Client::discover_within", "Client.discover(timeout)", "Client.discover(timeoutMs)", "quorate_discover(timeout_ms)"),
        row("watch_service", "Client::watch_service ServiceWatch::with_views", "Client.watch_service", "Client.watchService", "quorate_watch_service"),
        row("list_services", "Client::list_services", "Client.list_services", "Client.listServices", "quorate_list_services"),
        row("list_services.namespace", "Client::list_services", "Client.list_services(namespace)", "Client.listServices(namespace)", "quorate_list_services(of_namespace)"),
    ],
    "Picking": [
        row("pick", "Client::pick", "Client.pick", "Client.pick", "quorate_pick"),
        row("pick.hash", "PickOptions.hash PickOptions::sticky", "Client.pick(hash) Service.pick(hash)", "Client.pick(hash) Service.pick(hash)", "quorate_pick_options_t.hash quorate_pick_options_t.has_hash quorate_pick_options_t.sticky"),
        row("pick.exclude", "PickOptions.exclude_ids PickOptions::excluding", "Client.pick(exclude) Service.pick(exclude)", "Client.pick(exclude) Service.pick(exclude)", "quorate_pick_options_t.exclude"),
        *(
            row(f"picked.{name}", f"Pick::{name}", f"Pick.{name}", f"Pick.{name}", f"quorate_pick_{name}")
            for name in ("address", "id", "instance", "state", "why")
        ),
        row("report", "Pick::report", "Pick.report", "Pick.report", "quorate_pick_report"),
        row("report.latency", "Pick::report", "Pick.report(latency)", "Pick.report(latencyMs)", "quorate_pick_report(latency_us)"),
        row("report.retry_after", "Pick::report", "Pick.report(retry_after)", "Pick.report(retryAfterMs)", "quorate_pick_report(retry_after_ms)"),
        row("may_retry", "Client::may_retry", "Client.may_retry", "Client.mayRetry", "quorate_may_retry"),
        row("service", "Client::service", "Client.service", "Client.service", "quorate_service_open"),
        row("service.name", "ServiceHandle::key", "Service.name", "Service.name", lacks("the program gave it")),
        row("service.view", "ServiceHandle::view", "Service.view", "Service.view", "quorate_service_view"),
        row("service.pick", "ServiceHandle::pick", "Service.pick", "Service.pick", "quorate_service_pick"),
        row("service.may_retry", "ServiceHandle::may_retry", "Service.may_retry", "Service.mayRetry", "quorate_service_may_retry"),
    ],
    "Locks, elections, leases": [
        row("lock", "Client::lock LockRequest::acquire", "Client.lock Lock.acquire", "Client.lock", "quorate_lock"),
        row("lock.ttl", "LockRequest::ttl", "Client.lock(ttl)", "Client.lock(ttlMs)", "quorate_hold_options_t.ttl_ms"),
        row("lock.timeout", "LockRequest::timeout", "Client.lock(timeout)", "Client.lock(timeoutMs)", "quorate_lock(timeout_ms)"),
        row("try_lock", "LockRequest::try_acquire", "Client.try_lock", "Client.tryLock", "quorate_try_lock"),
        row("try_lock.ttl", "LockRequest::ttl", "Client.try_lock(ttl)", "Client.tryLock(ttlMs)", "quorate_hold_options_t.ttl_ms"),
        *(
            row(f"guard.{name}", f"LockGuard::{name}", f"LockGuard.{name}", f"LockGuard.{node}", f"quorate_lock_{name}")
            for name, node in (("name", "name"), ("key", "key"), ("token", "token"), ("is_lost", "isLost"))
        ),
        row("guard.lost", "LockGuard::lost", "LockGuard.lost LostSignal.is_set LostSignal.wait LostSignal.wait(timeout)", "LockGuard:lost LockGuard.signal LockGuard.waitLost LockGuard.waitLost(timeoutMs)", "quorate_lock_wait_lost quorate_lock_notify"),
        row("unlock", "LockGuard::unlock", "LockGuard.unlock", "LockGuard.unlock", "quorate_lock_unlock"),
        row("election", "Client::election", "Client.election", "Client.election", lacks("its operations take the election's name")),
        row("campaign", "Election::campaign", "Election.campaign", "Election.campaign", "quorate_campaign"),
        row("campaign.ttl", "Election::ttl", "Client.election(ttl)", "Client.election(ttlMs)", "quorate_hold_options_t.ttl_ms"),
        row("campaign.timeout", "Election::timeout", "Election.campaign(timeout)", "Election.campaign(timeoutMs)", "quorate_campaign(timeout_ms)"),
        row("leader", "Election::leader", "Election.leader", "Election.leader", "quorate_leader"),
        row("observe", "Election::observe", "Election.observe", "Election.observe", "quorate_observe"),
        *(
            row(f"leadership.{name}", f"Leadership::{name}", f"Leadership.{name}", f"Leadership.{node}", f"quorate_leadership_{name}")
            for name, node in (("name", "name"), ("key", "key"), ("token", "token"), ("is_lost", "isLost"))
        ),
        row("leadership.lost", "Leadership::lost", "Leadership.lost", "Leadership:lost Leadership.signal Leadership.waitLost Leadership.waitLost(timeoutMs)", "quorate_leadership_wait_lost quorate_leadership_notify"),
        row("proclaim", "Leadership::proclaim", "Leadership.proclaim", "Leadership.proclaim", "quorate_leadership_proclaim"),
        row("resign", "Leadership::resign", "Leadership.resign", "Leadership.resign", "quorate_leadership_resign"),
        row("lease", "Client::lease", "Client.lease", "Client.lease", "quorate_lease"),
        row("lease.id", "Lease::id", "Lease.id", "Lease.id", "quorate_lease_id"),
        row("lease.ttl", "Lease::ttl", "Lease.ttl", "Lease.ttlMs", "quorate_lease_ttl_ms"),
        row("lease.is_lost", "Lease::is_lost", "Lease.is_lost", "Lease.isLost", "quorate_lease_is_lost"),
        row("lease.lost", "Lease::lost", "Lease.lost", "Lease:lost Lease.signal Lease.waitLost Lease.waitLost(timeoutMs)", "quorate_lease_wait_lost quorate_lease_notify"),
        row("lease_time_to_live", "Client::lease_time_to_live", "Client.lease_time_to_live Lease.time_to_live", "Client.leaseTimeToLive Lease.timeToLive", "quorate_lease_time_to_live"),
        row("revoke", "Lease::revoke", "Lease.revoke", "Lease.revoke", "quorate_lease_revoke"),
    ],
    "Keys": [
        row("put", "Client::put Client::put_with", "Client.put", "Client.put", "quorate_put"),
        row("put.lease", "PutOptions::lease", "Client.put(lease) Op.put(lease)", "Client.put(lease) Op.put(lease)", "quorate_put_options_t.lease"),
        row("put.previous", "PutOptions::previous", "Client.put(previous) Op.put(previous)", "Client.put(previous) Op.put(previous)", "quorate_put_options_t.previous"),
        row("get", "Client::get", "Client.get", "Client.get", "quorate_get"),
        row("get.revision", "RangeOptions::key RangeOptions::revision", "Client.get(revision)", "Client.get(revision)", "quorate_get(revision)"),
        row("get.serializable", "RangeOptions::key RangeOptions::serializable", "Client.get(serializable)", "Client.get(serializable)", "quorate_get(serializable)"),
        row("range", "Client::range", "Client.range", "Client.range", "quorate_range"),
        ranges("prefix", "RangeOptions::prefix RangeOptions::select", "prefix", "quorate_range_options_t.prefix"),
        ranges("start", "RangeOptions::from RangeOptions::between", "start", "quorate_range_options_t.start"),
        ranges("end", "RangeOptions::between", "end", "quorate_range_options_t.end"),
        ranges("limit", "RangeOptions::limit", "limit", "quorate_range_options_t.limit"),
        ranges("revision", "RangeOptions::revision", "revision", "quorate_range_options_t.revision"),
        ranges("sort", "RangeOptions::sort", "sort", "quorate_range_options_t.sort"),
        ranges("descending", "RangeOptions::sort", "descending", "quorate_range_options_t.descending"),
        ranges("keys_only", "RangeOptions::keys_only", "keysOnly", "quorate_range_options_t.keys_only"),
        ranges("count_only", "RangeOptions::count_only", "countOnly", "quorate_range_options_t.count_only"),
        ranges("serializable", "RangeOptions::serializable", "serializable", "quorate_range_options_t.serializable"),
        ranges("max_create_revision", "RangeOptions::max_create_revision", "maxCreateRevision", "quorate_range_options_t.max_create_revision"),
        row("delete", "Client::delete", "Client.delete", "Client.delete", "quorate_delete"),
        row("delete.prefix", "Client::delete_prefix", "Client.delete(prefix)", "Client.delete(prefix)", "quorate_delete(prefix)"),
        row("compact", "Client::compact", "Client.compact", "Client.compact", "quorate_compact"),
        row("watch", "Client::watch", "Client.watch", "Client.watch", "quorate_watch"),
        row("watch.prefix", "WatchOptions::prefix", "Client.watch(prefix)", "Client.watch(prefix)", "quorate_watch_options_t.prefix"),
        row("watch.start_revision", "WatchOptions::start_revision", "Client.watch(start_revision)", "Client.watch(startRevision)", "quorate_watch_options_t.start_revision"),
        row("watch.previous", "WatchOptions::previous", "Client.watch(previous)", "Client.watch(previous)", "quorate_watch_options_t.previous"),
        row("stream.close", lacks("dropping the stream ends it"), "Stream.close", "Stream.close", "quorate_watch_free"),
    ],
    "Transactions": [
        row("txn", "Client::txn Txn::new", "Client.txn", "Client.txn", "quorate_txn_open quorate_txn_commit"),
        row("txn.when", "Txn::when", "Client.txn(when) Op.txn(when)", "Client.txn(when) Op.txn(when)", "quorate_txn_when_exists quorate_txn_when_value quorate_txn_when_number"),
        row("txn.then", "Txn::then", "Client.txn(then) Op.txn(then)", "Client.txn(then) Op.txn(then)", "quorate_txn_put(branch)"),
        row("txn.otherwise", "Txn::otherwise", "Client.txn(otherwise) Op.txn(otherwise)", "Client.txn(otherwise) Op.txn(otherwise)", "quorate_txn_put(branch)"),
        row("compare.exists", "Compare::exists", "Compare.exists", "Compare.exists", "quorate_txn_when_exists"),
        row("compare.missing", "Compare::missing", "Compare.missing", "Compare.missing", "quorate_txn_when_exists(missing)"),
        row("compare.value", "Compare::value", "Compare.value", "Compare.value", "quorate_txn_when_value"),
        *(
            row(f"compare.{name}", f"Compare::{name}", f"Compare.{name}", f"Compare.{node}", "quorate_txn_when_number(target)")
            for name, node in (("version", "version"), ("create_revision", "createRevision"), ("mod_revision", "modRevision"), ("lease", "lease"))
        ),
        row("compare.prefix", "Compare::prefix", "Compare.prefix", "Compare.prefix", "quorate_txn_when_value(prefix) quorate_txn_when_number(prefix)"),
        row("op.put", "Op::put Op::put_with", "Op.put", "Op.put", "quorate_txn_put"),
        row("op.get", "Op::get", "Op.get", "Op.get", "quorate_txn_get"),
        row("op.range", "Op::range", "Op.range", "Op.range", "quorate_txn_range"),
        row("op.delete", "Op::delete", "Op.delete", "Op.delete", "quorate_txn_delete"),
        row("op.delete.prefix", "Op::delete_prefix", "Op.delete(prefix)", "Op.delete(prefix)", "quorate_txn_delete(prefix)"),
        row("op.txn", "Op::txn", "Op.txn", "Op.txn", "quorate_txn_nested"),
    ],
}

#: What a language has beside the list, by a pattern of its names, and why the others do not.
BESIDE: dict[str, dict[str, str]] = {
    "Rust": {
        "Client::ended": "elsewhere the end of the process waits for it by itself",
        "KeyWatch::*": "a stream with more to ask; elsewhere the batches tell",
        "Op::into_range": "for bindings that describe a range as an operation",
        "*Options::new": "an empty description",
        "CacheState::name": "elsewhere it is the name",
        "ServiceView::instance": "elsewhere one looks through its list",
    },
    "Python": {
        "Lock.name": "of a lock that is not held yet",
        "Election.name": "the program gave it",
    },
    "asyncio": {
        "Lock.name": "of a lock that is not held yet",
        "Election.name": "the program gave it",
        "*(cancel_on_loss)": "only a task can be cancelled",
    },
    "Node.js": {
        "*(signal)": "whatever waits can be withdrawn: see cancel",
        "Stream.next": "of JavaScript's protocol of iteration",
        "Stream.return": "of JavaScript's protocol of iteration",
        "Stream:*": "events for who does not iterate",
        "Pick.run": "reports by itself, as Python's context manager does",
        "Election.name": "the program gave it",
    },
    "C": {
        "*_free": "memory is given back by hand",
        "*_init": "defaults, and the structure's size, are set by the library",
        "*_t.struct_size": "lets older programs run with newer libraries",
        "*_t.*_count": "the length of an array",
        "*_t.*_size": "the length of bytes",
        "quorate_update_t.set_metadata": "C has no optional values",
        "quorate_metrics_t.*": "a structure that the caller lends; the counts are those of all languages",
        "quorate_queue_*": "a queue of events takes the place of iterators and callbacks",
        "quorate_code_name": "elsewhere the error has it",
        "quorate_version": "elsewhere the package has it",
    },
}

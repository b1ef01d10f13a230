"""What the binding answers, as fields."""

from __future__ import annotations

import quorate
from lines import Fields


def instance(one: quorate.Instance) -> Fields:
    fields = Fields(
        id=one.id,
        address=one.address,
        weight=one.weight,
        zone=one.zone,
        version=one.version,
        status=one.status,
        ttl_ms=round(one.ttl * 1000),
        revision=one.revision,
    )
    for key, value in one.metadata.items():
        fields.set(f"metadata.{key}", value)
    return fields


def view(shown: quorate.ServiceView) -> Fields:
    fields = freshness(shown.freshness)
    fields.set("instances", len(shown.instances))
    for number, one in enumerate(shown.instances):
        fields.put_under(f"instance.{number}.", instance(one))
    return fields


def freshness(shown: quorate.Freshness) -> Fields:
    return Fields(state=shown.state, complete=shown.complete, revision=shown.revision)


def key_value(kv: quorate.KeyValue) -> Fields:
    return Fields(
        key=kv.key,
        value=kv.value,
        version=kv.version,
        create_revision=kv.create_revision,
        mod_revision=kv.mod_revision,
        lease=kv.lease,
    )


def put_result(result: quorate.PutResult) -> Fields:
    fields = Fields(revision=result.revision)
    if result.previous is not None:
        fields.set("previous", result.previous.value)
    return fields


def range_result(result: quorate.RangeResult) -> Fields:
    fields = Fields(count=result.count, more=result.more, kvs=len(result.kvs))
    for number, kv in enumerate(result.kvs):
        fields.put_under(f"kv.{number}.", key_value(kv))
    return fields


def txn_result(result: quorate.TxnResult) -> Fields:
    fields = Fields(succeeded=result.succeeded, results=len(result.results))
    for number, one in enumerate(result.results):
        if isinstance(one, quorate.PutResult):
            kind, under = "put", put_result(one)
        elif isinstance(one, quorate.RangeResult):
            kind, under = "range", range_result(one)
        elif isinstance(one, quorate.TxnResult):
            kind, under = "txn", txn_result(one)
        else:
            kind, under = "delete", Fields(deleted=one)
        fields.set(f"result.{number}.kind", kind)
        fields.put_under(f"result.{number}.", under)
    return fields


def item(one: quorate.ServiceEvent | quorate.WatchBatch | quorate.Leader) -> Fields:
    """What a stream gives."""
    if isinstance(one, quorate.Leader):
        return leader(one)
    if isinstance(one, quorate.WatchBatch):
        return _batch(one)
    if one.kind == "state":
        fields = freshness(one.view.freshness)
    else:
        fields = view(one.view)
    fields.set("kind", one.kind)
    if one.kind == "changed":
        fields.set_list("added", (added.id for added in one.added))
        fields.set_list("updated", (updated.id for updated in one.updated))
        fields.set_list("removed", (removed.instance.id for removed in one.removed))
        fields.set_list("reasons", (removed.reason or "none" for removed in one.removed))
    return fields


def leader(one: quorate.Leader) -> Fields:
    return Fields(value=one.value, key=one.key, token=one.token)


def _batch(batch: quorate.WatchBatch) -> Fields:
    fields = Fields(revision=batch.revision, events=len(batch.events))
    for number, event in enumerate(batch.events):
        under = Fields(kind=event.kind, key=event.kv.key, mod_revision=event.kv.mod_revision)
        if event.kind == "put":
            under.set("value", event.kv.value)
            under.set("version", event.kv.version)
            under.set("create_revision", event.kv.create_revision)
            under.set("lease", event.kv.lease)
        if event.previous is not None:
            under.set("previous", event.previous.value)
        fields.put_under(f"event.{number}.", under)
    return fields

//! Making the frozen dataclasses of `quorate._values` of what the core gives.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyTuple};
use quorate::election::Leader;
use quorate::kv::{KeyValue, OpResult, PutResult, RangeResult, TxnResult};
use quorate::lease::LeaseInfo;
use quorate::watch::{EventKind, WatchBatch};
use quorate::{
    Freshness, Instance, Metrics, Removed, ServerStatus, ServiceEvent, ServiceSummary, ServiceView,
};

type Object = PyResult<Py<PyAny>>;

/// The classes, looked up once.
struct Classes {
    instance: Py<PyAny>,
    freshness: Py<PyAny>,
    service_view: Py<PyAny>,
    removed: Py<PyAny>,
    service_event: Py<PyAny>,
    service_summary: Py<PyAny>,
    key_value: Py<PyAny>,
    put_result: Py<PyAny>,
    range_result: Py<PyAny>,
    txn_result: Py<PyAny>,
    key_event: Py<PyAny>,
    watch_batch: Py<PyAny>,
    leader: Py<PyAny>,
    lease_info: Py<PyAny>,
    server_status: Py<PyAny>,
}

fn classes(py: Python<'_>) -> PyResult<&'static Classes> {
    static CLASSES: PyOnceLock<Classes> = PyOnceLock::new();
    CLASSES.get_or_try_init(py, || {
        let values = py.import("quorate._values")?;
        let class = |name: &str| values.getattr(name).map(Bound::unbind);
        Ok(Classes {
            instance: class("Instance")?,
            freshness: class("Freshness")?,
            service_view: class("ServiceView")?,
            removed: class("Removed")?,
            service_event: class("ServiceEvent")?,
            service_summary: class("ServiceSummary")?,
            key_value: class("KeyValue")?,
            put_result: class("PutResult")?,
            range_result: class("RangeResult")?,
            txn_result: class("TxnResult")?,
            key_event: class("KeyEvent")?,
            watch_batch: class("WatchBatch")?,
            leader: class("Leader")?,
            lease_info: class("LeaseInfo")?,
            server_status: class("ServerStatus")?,
        })
    })
}

fn tuple(py: Python<'_>, objects: impl IntoIterator<Item = Object>) -> Object {
    let objects = objects.into_iter().collect::<PyResult<Vec<_>>>()?;
    Ok(PyTuple::new(py, objects)?.into_any().unbind())
}

pub(crate) fn instance(py: Python<'_>, instance: &Instance) -> Object {
    let metadata = PyDict::new(py);
    for (key, value) in &instance.metadata {
        metadata.set_item(key, value)?;
    }
    classes(py)?.instance.call1(
        py,
        (
            instance.address.as_str(),
            instance.id.as_str(),
            instance.weight,
            instance.zone.as_str(),
            instance.version.as_str(),
            metadata,
            instance.status.name(),
            instance.ttl.as_duration().as_secs_f64(),
            instance.revision,
        ),
    )
}

fn instances<'a>(
    py: Python<'_>,
    some: impl IntoIterator<Item = &'a std::sync::Arc<Instance>>,
) -> Object {
    tuple(py, some.into_iter().map(|one| instance(py, one)))
}

fn freshness(py: Python<'_>, freshness: Freshness) -> Object {
    classes(py)?.freshness.call1(
        py,
        (
            freshness.state.name(),
            freshness.epoch,
            freshness.revision,
            freshness.age.as_secs_f64(),
            freshness.complete,
        ),
    )
}

pub(crate) fn service_view(py: Python<'_>, view: ServiceView) -> Object {
    let all = instances(py, view.instances.iter())?;
    view_of(py, &view, &all)
}

fn view_of(py: Python<'_>, view: &ServiceView, all: &Py<PyAny>) -> Object {
    classes(py)?.service_view.call1(
        py,
        (
            view.service.namespace(),
            view.service.name(),
            all.clone_ref(py),
            freshness(py, view.freshness)?,
        ),
    )
}

/// An event, and the view after it.
pub(crate) fn service_event(py: Python<'_>, (event, view): (ServiceEvent, ServiceView)) -> Object {
    let all = instances(py, view.instances.iter())?;
    let none = || PyTuple::empty(py).into_any().unbind();
    let (kind, added, updated, removed) = match &event {
        ServiceEvent::Changed {
            added,
            updated,
            removed,
            ..
        } => (
            "changed",
            instances(py, added)?,
            instances(py, updated)?,
            tuple(py, removed.iter().map(|one| self::removed(py, one)))?,
        ),
        ServiceEvent::Resync { .. } => ("resync", all.clone_ref(py), none(), none()),
        ServiceEvent::State { .. } => ("state", none(), none(), none()),
        _ => ("snapshot", all.clone_ref(py), none(), none()),
    };
    let view = view_of(py, &view, &all)?;
    let class = &classes(py)?.service_event;
    class.call1(py, (kind, view, added, updated, removed))
}

fn removed(py: Python<'_>, removed: &Removed) -> Object {
    let reason = removed.reason.map(|reason| reason.name());
    let gone = instance(py, &removed.instance)?;
    classes(py)?.removed.call1(py, (gone, reason))
}

pub(crate) fn service_summaries(py: Python<'_>, all: Vec<ServiceSummary>) -> Object {
    let class = &classes(py)?.service_summary;
    tuple(
        py,
        all.into_iter().map(|summary| {
            class.call1(
                py,
                (
                    summary.service.namespace(),
                    summary.service.name(),
                    summary.instances,
                    summary.up,
                    summary.subscribers,
                ),
            )
        }),
    )
}

fn key_value(py: Python<'_>, kv: &KeyValue) -> Object {
    classes(py)?.key_value.call1(
        py,
        (
            PyBytes::new(py, &kv.key),
            PyBytes::new(py, &kv.value),
            kv.create_revision,
            kv.mod_revision,
            kv.version,
            kv.lease,
        ),
    )
}

pub(crate) fn optional_key_value(py: Python<'_>, kv: Option<KeyValue>) -> Object {
    kv.map_or_else(|| Ok(py.None()), |kv| key_value(py, &kv))
}

pub(crate) fn put_result(py: Python<'_>, result: PutResult) -> Object {
    let previous = optional_key_value(py, result.previous)?;
    classes(py)?
        .put_result
        .call1(py, (result.revision, previous))
}

pub(crate) fn range_result(py: Python<'_>, result: RangeResult) -> Object {
    let kvs = tuple(py, result.kvs.iter().map(|kv| key_value(py, kv)))?;
    classes(py)?
        .range_result
        .call1(py, (kvs, result.count, result.more, result.revision))
}

pub(crate) fn txn_result(py: Python<'_>, result: TxnResult) -> Object {
    let results = tuple(
        py,
        result.responses.into_iter().map(|response| match response {
            OpResult::Put(put) => put_result(py, put),
            OpResult::Range(range) => range_result(py, range),
            OpResult::Deleted(count) => Ok(count.into_pyobject(py)?.into_any().unbind()),
            OpResult::Txn(txn) => txn_result(py, txn),
            // Of an operation this binding has no name for, so nobody asked for it.
            _ => Ok(py.None()),
        }),
    )?;
    classes(py)?
        .txn_result
        .call1(py, (result.succeeded, result.revision, results))
}

pub(crate) fn watch_batch(py: Python<'_>, batch: WatchBatch) -> Object {
    let class = &classes(py)?.key_event;
    let events = batch.events.into_iter().map(|event| {
        let kind = match event.kind {
            EventKind::Put => "put",
            EventKind::Delete => "delete",
        };
        let previous = optional_key_value(py, event.previous)?;
        class.call1(py, (kind, key_value(py, &event.kv)?, previous))
    });
    let events = tuple(py, events)?;
    classes(py)?.watch_batch.call1(py, (batch.revision, events))
}

pub(crate) fn leader(py: Python<'_>, leader: Leader) -> Object {
    classes(py)?.leader.call1(
        py,
        (
            PyBytes::new(py, &leader.value),
            PyBytes::new(py, &leader.key),
            leader.token,
        ),
    )
}

pub(crate) fn optional_leader(py: Python<'_>, found: Option<Leader>) -> Object {
    found.map_or_else(|| Ok(py.None()), |found| leader(py, found))
}

pub(crate) fn optional_lease_info(py: Python<'_>, info: Option<LeaseInfo>) -> Object {
    let Some(info) = info else {
        return Ok(py.None());
    };
    let keys = PyTuple::new(py, info.keys.iter().map(|key| PyBytes::new(py, key)))?;
    classes(py)?.lease_info.call1(
        py,
        (
            info.id,
            info.granted.as_secs_f64(),
            info.remaining.as_secs_f64(),
            keys,
        ),
    )
}

pub(crate) fn server_statuses(py: Python<'_>, all: Vec<ServerStatus>) -> Object {
    let class = &classes(py)?.server_status;
    tuple(
        py,
        all.into_iter().map(|status| match status.result {
            Ok(info) => class.call1(
                py,
                (
                    status.address,
                    info.version,
                    info.member_id,
                    info.cluster_id,
                    info.leader,
                    info.term,
                    info.revision,
                    info.db_size,
                    PyTuple::new(py, info.errors)?,
                ),
            ),
            Err(error) => {
                let named = PyDict::new(py);
                named.set_item("error", error.to_string())?;
                class.call(py, (status.address,), Some(&named))
            }
        }),
    )
}

pub(crate) fn metrics(py: Python<'_>, metrics: Metrics) -> PyResult<Bound<'_, PyDict>> {
    let counts = PyDict::new(py);
    for (name, count) in metrics.named() {
        counts.set_item(name, count)?;
    }
    Ok(counts)
}

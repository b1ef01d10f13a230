//! Streams: of a service, of keys, of an election's leaders.

use std::sync::Arc;

use futures::StreamExt;
use futures::stream::{self, BoxStream};
use quorate::watch::{EventKind, WatchBatch, WatchOptions};
use quorate::{ErrorCode, ServiceEvent, ServiceView};
use quorate_tests::conformance::line::{Answer, Fields};

use crate::arguments::Arguments;
use crate::names::Thing;
use crate::values::{self, one};
use crate::{Done, NAMES};

/// Items, as fields.
pub(crate) type Items = BoxStream<'static, Result<Fields, quorate::Error>>;

fn named(name: String, items: Items) {
    let (items, handle) = stream::abortable(items);
    let items = Arc::new(tokio::sync::Mutex::new(items.boxed()));
    NAMES.set(name, Thing::Watch(items, handle));
}

pub(crate) fn watch_service(arguments: &mut Arguments) -> Done {
    let client = NAMES.client(arguments)?;
    let name = arguments.needed("as", Arguments::text)?;
    let service = arguments.needed("service", Arguments::text)?;
    arguments.end()?;
    let events = client.watch_service(&service)?;
    named(name, events.map(|event| Ok(service_event(event))).boxed());
    Ok(Fields::new())
}

fn service_event(event: ServiceEvent) -> Fields {
    let with_view = |kind: &str, view: &ServiceView| {
        let mut fields = values::view(view);
        fields.set("kind", kind);
        fields
    };
    match event {
        ServiceEvent::Snapshot { view } => with_view("snapshot", &view),
        ServiceEvent::Resync { view } => with_view("resync", &view),
        ServiceEvent::Changed {
            view,
            added,
            updated,
            removed,
        } => {
            let mut fields = with_view("changed", &view);
            fields.set_list("added", added.iter().map(|one| &one.id));
            fields.set_list("updated", updated.iter().map(|one| &one.id));
            fields.set_list("removed", removed.iter().map(|one| &one.instance.id));
            let reasons = removed.iter().map(|one| one.reason);
            let reasons = reasons.map(|reason| reason.map_or("none", |reason| reason.name()));
            fields.set_list("reasons", reasons);
            fields
        }
        ServiceEvent::State { freshness } => {
            let mut fields = one("kind", "state");
            fields.set("state", freshness.state.name());
            fields.show("complete", freshness.complete);
            fields.show("revision", freshness.revision);
            fields
        }
        _ => one("kind", "unknown"),
    }
}

pub(crate) fn watch(arguments: &mut Arguments) -> Done {
    let client = NAMES.client(arguments)?;
    let name = arguments.needed("as", Arguments::text)?;
    let key = arguments.needed("key", Arguments::bytes)?;
    let mut options = WatchOptions::new();
    if arguments.flag("prefix")? {
        options = options.prefix();
    }
    if let Some(revision) = arguments.number("start_revision")? {
        options = options.start_revision(revision);
    }
    if arguments.flag("previous")? {
        options = options.previous();
    }
    arguments.end()?;
    let batches = client.watch(key, options);
    let items = batches.map(|batch| batch.map(|batch| watch_batch(&batch)));
    named(name, items.boxed());
    Ok(Fields::new())
}

fn watch_batch(batch: &WatchBatch) -> Fields {
    let mut fields = one("revision", batch.revision);
    fields.show("events", batch.events.len());
    for (number, event) in batch.events.iter().enumerate() {
        let key = |what: &str| format!("event.{number}.{what}");
        fields.set(key("key"), &event.kv.key);
        fields.show(key("mod_revision"), event.kv.mod_revision);
        if let Some(previous) = &event.previous {
            fields.set(key("previous"), &previous.value);
        }
        if event.kind == EventKind::Delete {
            fields.set(key("kind"), "delete");
            continue;
        }
        fields.set(key("kind"), "put");
        fields.set(key("value"), &event.kv.value);
        fields.show(key("version"), event.kv.version);
        fields.show(key("create_revision"), event.kv.create_revision);
        fields.show(key("lease"), event.kv.lease);
    }
    fields
}

pub(crate) fn observe(arguments: &mut Arguments) -> Done {
    let client = NAMES.client(arguments)?;
    let name = arguments.needed("as", Arguments::text)?;
    let election = arguments.needed("name", Arguments::text)?;
    arguments.end()?;
    let leaders = client.election(election).observe();
    let items = leaders.map(|leader| {
        let leader = leader?;
        let mut fields = one("token", leader.token);
        fields.set("value", &leader.value);
        fields.set("key", &leader.key);
        Ok(fields)
    });
    named(name, items.boxed());
    Ok(Fields::new())
}

pub(crate) async fn next(arguments: &mut Arguments) -> Done {
    let name = arguments.needed("watch", Arguments::text)?;
    let timeout = arguments.millis("timeout_ms")?;
    arguments.end()?;
    let items = NAMES.watch(&name)?;
    let item = async { items.lock().await.next().await };
    let item = match timeout {
        None => item.await,
        // An item is taken in the same poll in which it is there, so none is lost.
        Some(timeout) => tokio::time::timeout(timeout, item)
            .await
            .map_err(|_| Answer::from(quorate::Error::new(ErrorCode::Timeout, "no item")))?,
    };
    match item {
        None => Ok(one("end", true)),
        Some(item) => Ok(item?),
    }
}

pub(crate) fn close_watch(arguments: &mut Arguments) -> Done {
    let name = arguments.needed("watch", Arguments::text)?;
    arguments.end()?;
    NAMES.closing(&name)?.abort();
    Ok(Fields::new())
}

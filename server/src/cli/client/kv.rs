//! `quorate get`, `put`, `del` and `watch`: the key-value store.

use std::io::Read;

use clap::Args;
use quorate::kv::{KeyValue, RangeOptions};
use quorate::watch::{EventKind, WatchOptions};
use serde_json::{Value, json};

use super::command::Signals;
use super::output::{Format, bytes};
use super::{Context, Ending, failure};
use crate::failure::{Exit, Failure};

#[derive(Args, Debug)]
pub(crate) struct GetArguments {
    /// The key
    key: String,
    /// All keys that begin with it
    #[arg(long)]
    prefix: bool,
    /// As of this revision
    #[arg(long, value_name = "REVISION")]
    revision: Option<i64>,
    /// At most so many keys
    #[arg(long, value_name = "COUNT", requires = "prefix")]
    limit: Option<u32>,
    /// Read this server's own state, without asking whether it is the newest
    #[arg(long)]
    stale: bool,
}

pub(super) async fn get(context: &Context, arguments: GetArguments) -> Ending {
    let mut options = if arguments.prefix {
        RangeOptions::prefix(arguments.key.as_str())
    } else {
        RangeOptions::key(arguments.key.as_str())
    };
    if let Some(revision) = arguments.revision {
        options = options.revision(revision);
    }
    if let Some(limit) = arguments.limit {
        options = options.limit(limit);
    }
    if arguments.stale {
        options = options.serializable();
    }
    let result = context.call(context.client.range(options)).await?;
    if result.kvs.is_empty() {
        let what = if arguments.prefix {
            "no key begins with"
        } else {
            "no key"
        };
        return Err(Failure::new(
            Exit::NotFound,
            format!("{what} {:?}", arguments.key),
        ));
    }
    match (context.printer.format(), arguments.prefix) {
        // The value and nothing else: what a script wants.
        (Format::Table, false) => context.printer.raw(&result.kvs[0].value)?,
        _ => context.printer.rows(
            &COLUMNS,
            result.kvs.iter().map(|kv| row(kv).to_vec()).collect(),
        )?,
    }
    Ok(0.into())
}

const COLUMNS: [&str; 6] = [
    "key",
    "value",
    "version",
    "create_revision",
    "mod_revision",
    "lease",
];

fn row(kv: &KeyValue) -> [Value; 6] {
    [
        bytes(&kv.key),
        bytes(&kv.value),
        kv.version.into(),
        kv.create_revision.into(),
        kv.mod_revision.into(),
        kv.lease.into(),
    ]
}

#[derive(Args, Debug)]
pub(crate) struct PutArguments {
    /// The key
    key: String,
    /// The value; - reads it from the standard input
    value: String,
}

pub(super) async fn put(context: &Context, arguments: PutArguments) -> Ending {
    let value = match arguments.value.as_str() {
        "-" => standard_input()?,
        value => value.as_bytes().to_vec(),
    };
    let put = context
        .call(context.client.put(arguments.key.as_str(), value))
        .await?;
    context.printer.step(
        &format!("revision {}", put.revision),
        &json!({ "revision": put.revision }),
    )?;
    Ok(0.into())
}

/// More than any server takes: enough to be refused there with the right words.
const MOST_INPUT: u64 = 64 * 1024 * 1024;

fn standard_input() -> Result<Vec<u8>, Failure> {
    let mut value = Vec::new();
    std::io::stdin()
        .lock()
        .take(MOST_INPUT)
        .read_to_end(&mut value)
        .map_err(|error| {
            Failure::new(
                Exit::Failed,
                format!("cannot read the standard input: {error}"),
            )
        })?;
    Ok(value)
}

#[derive(Args, Debug)]
pub(crate) struct DelArguments {
    /// The key
    key: String,
    /// All keys that begin with it
    #[arg(long)]
    prefix: bool,
}

pub(super) async fn del(context: &Context, arguments: DelArguments) -> Ending {
    let key = arguments.key.as_str();
    let deleted = if arguments.prefix {
        context.call(context.client.delete_prefix(key)).await?
    } else {
        context.call(context.client.delete(key)).await?
    };
    context.printer.step(
        &format!("{deleted} deleted"),
        &json!({ "deleted": deleted }),
    )?;
    if deleted == 0 {
        return Ok((Exit::NotFound as u8).into());
    }
    Ok(0.into())
}

#[derive(Args, Debug)]
pub(crate) struct WatchArguments {
    /// The key
    key: String,
    /// All keys that begin with it
    #[arg(long)]
    prefix: bool,
    /// From this revision on, past ones too; without it, from now on
    #[arg(long, value_name = "REVISION")]
    revision: Option<i64>,
}

pub(super) async fn watch(context: &Context, arguments: WatchArguments) -> Ending {
    let mut signals = Signals::catch()?;
    let mut options = WatchOptions::new();
    if arguments.prefix {
        options = options.prefix();
    }
    if let Some(revision) = arguments.revision {
        options = options.start_revision(revision);
    }
    let mut batches = context.client.watch(arguments.key.as_str(), options);
    loop {
        let batch = tokio::select! {
            batch = batches.next() => batch,
            () = signals.next() => return Ok(0.into()),
        };
        let batch = match batch {
            Some(Ok(batch)) => batch,
            Some(Err(error)) => return Err(failure(&error)),
            None => return Ok(0.into()),
        };
        for event in &batch.events {
            let kv = &event.kv;
            let key = String::from_utf8_lossy(&kv.key);
            let (kind, text) = match event.kind {
                EventKind::Put => (
                    "put",
                    format!("PUT\t{key}\t{}", String::from_utf8_lossy(&kv.value)),
                ),
                EventKind::Delete => ("delete", format!("DELETE\t{key}")),
            };
            context.printer.step(
                &text,
                &json!({
                    "kind": kind,
                    "key": bytes(&kv.key),
                    "value": bytes(&kv.value),
                    "revision": kv.mod_revision,
                }),
            )?;
        }
    }
}

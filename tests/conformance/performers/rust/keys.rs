//! Keys: written, read, deleted, in transactions.

use quorate::kv::{
    Compare, Comparison, Op, OpResult, Order, PutOptions, PutResult, RangeOptions, RangeResult,
    SortBy, Txn, TxnResult,
};
use quorate_tests::conformance::line::{Answer, Fields};

use crate::arguments::Arguments;
use crate::names::Holding;
use crate::values::{key_value, one};
use crate::{Done, NAMES};

/// A holding's name or a decimal id.
fn lease(arguments: &mut Arguments, key: &str) -> Result<Option<i64>, Answer> {
    let Some(name) = arguments.text(key)? else {
        return Ok(None);
    };
    if let Ok(id) = name.parse() {
        return Ok(Some(id));
    }
    match &*NAMES.holding(&name)? {
        Holding::Lease(lease) => Ok(Some(lease.id())),
        _ => Err(Answer::refused("performer:unknown_name", "no lease")),
    }
}

fn put_options(arguments: &mut Arguments) -> Result<PutOptions, Answer> {
    let mut options = PutOptions::new();
    if let Some(id) = lease(arguments, "lease")? {
        options = options.lease(id);
    }
    if arguments.flag("previous")? {
        options = options.previous();
    }
    Ok(options)
}

fn put_result(result: &PutResult) -> Fields {
    let mut fields = one("revision", result.revision);
    if let Some(previous) = &result.previous {
        fields.set("previous", &previous.value);
    }
    fields
}

pub(crate) async fn put(arguments: &mut Arguments) -> Done {
    let client = NAMES.client(arguments)?;
    let key = arguments.needed("key", Arguments::bytes)?;
    let value = arguments.needed("value", Arguments::bytes)?;
    let options = put_options(arguments)?;
    arguments.end()?;
    let result = client.put_with(key, value, options).await?;
    Ok(put_result(&result))
}

pub(crate) async fn get(arguments: &mut Arguments) -> Done {
    let client = NAMES.client(arguments)?;
    let mut options = RangeOptions::key(arguments.needed("key", Arguments::bytes)?);
    if let Some(revision) = arguments.number("revision")? {
        options = options.revision(revision);
    }
    if arguments.flag("serializable")? {
        options = options.serializable();
    }
    arguments.end()?;
    let result = client.range(options).await?;
    let found = result.kvs.first();
    Ok(found.map_or_else(|| one("none", true), key_value))
}

fn range_options(arguments: &mut Arguments) -> Result<RangeOptions, Answer> {
    let prefix = arguments.bytes("prefix")?;
    let start = arguments.bytes("start")?;
    let end = arguments.bytes("end")?;
    let mut options = RangeOptions::select(prefix, start, end)?;
    if let Some(limit) = arguments.number("limit")? {
        options = options.limit(limit);
    }
    if let Some(revision) = arguments.number("revision")? {
        options = options.revision(revision);
    }
    if let Some(revision) = arguments.number("max_create_revision")? {
        options = options.max_create_revision(revision);
    }
    let sort = arguments.text("sort")?;
    let descending = arguments.flag("descending")?;
    if sort.is_some() || descending {
        let by = sort.map_or(Ok(SortBy::Key), |name| name.parse())?;
        let order = match descending {
            true => Order::Descending,
            false => Order::Ascending,
        };
        options = options.sort(by, order);
    }
    if arguments.flag("keys_only")? {
        options = options.keys_only();
    }
    if arguments.flag("count_only")? {
        options = options.count_only();
    }
    if arguments.flag("serializable")? {
        options = options.serializable();
    }
    Ok(options)
}

fn range_result(result: &RangeResult) -> Fields {
    let mut fields = one("count", result.count);
    fields.show("more", result.more);
    fields.show("kvs", result.kvs.len());
    for (number, kv) in result.kvs.iter().enumerate() {
        fields.put_under(&format!("kv.{number}."), key_value(kv));
    }
    fields
}

pub(crate) async fn range(arguments: &mut Arguments) -> Done {
    let client = NAMES.client(arguments)?;
    let options = range_options(arguments)?;
    arguments.end()?;
    let result = client.range(options).await?;
    let mut fields = range_result(&result);
    fields.show("revision", result.revision);
    Ok(fields)
}

pub(crate) async fn delete(arguments: &mut Arguments) -> Done {
    let client = NAMES.client(arguments)?;
    let key = arguments.needed("key", Arguments::bytes)?;
    let prefix = arguments.flag("prefix")?;
    arguments.end()?;
    let deleted = match prefix {
        true => client.delete_prefix(key).await?,
        false => client.delete(key).await?,
    };
    Ok(one("deleted", deleted))
}

fn compare(arguments: &mut Arguments) -> Result<Compare, Answer> {
    let kind = arguments.needed("kind", Arguments::text)?;
    let key = arguments.needed("key", Arguments::bytes)?;
    let symbol = arguments.text("symbol")?;
    let symbol = symbol.map_or(Ok(Comparison::Equal), |symbol| symbol.parse())?;
    let mut number = || arguments.needed("value", Arguments::number);
    let compare = match kind.as_str() {
        "exists" => Compare::exists(key),
        "missing" => Compare::missing(key),
        "value" => Compare::value(key, symbol, arguments.needed("value", Arguments::bytes)?),
        "version" => Compare::version(key, symbol, number()?),
        "create_revision" => Compare::create_revision(key, symbol, number()?),
        "mod_revision" => Compare::mod_revision(key, symbol, number()?),
        "lease" => Compare::lease(key, symbol, arguments.needed("value", lease)?),
        other => return Err(Answer::refused("performer:malformed", other)),
    };
    let compare = match arguments.flag("prefix")? {
        true => compare.prefix(),
        false => compare,
    };
    arguments.end()?;
    Ok(compare)
}

fn operation(arguments: &mut Arguments) -> Result<Op, Answer> {
    let op = arguments.needed("op", Arguments::text)?;
    let operation = match op.as_str() {
        "put" => {
            let key = arguments.needed("key", Arguments::bytes)?;
            let value = arguments.needed("value", Arguments::bytes)?;
            Op::put_with(key, value, put_options(arguments)?)
        }
        "get" => Op::get(arguments.needed("key", Arguments::bytes)?),
        "range" => Op::range(range_options(arguments)?),
        "delete" => {
            let key = arguments.needed("key", Arguments::bytes)?;
            match arguments.flag("prefix")? {
                true => Op::delete_prefix(key),
                false => Op::delete(key),
            }
        }
        "txn" => Op::txn(transaction(arguments)?),
        other => return Err(Answer::refused("performer:malformed", other)),
    };
    arguments.end()?;
    Ok(operation)
}

fn transaction(arguments: &mut Arguments) -> Result<Txn, Answer> {
    let compares = arguments.numbered("when.");
    let mut operations = |key: &str| {
        let numbered = arguments.numbered(key);
        numbered
            .into_iter()
            .map(|mut one| operation(&mut one))
            .collect::<Result<Vec<_>, _>>()
    };
    let (then, otherwise) = (operations("then.")?, operations("otherwise.")?);
    let compares = compares.into_iter().map(|mut one| compare(&mut one));
    Ok(Txn::new()
        .when(compares.collect::<Result<Vec<_>, _>>()?)
        .then(then)
        .otherwise(otherwise))
}

fn txn_result(result: &TxnResult) -> Fields {
    let mut fields = one("succeeded", result.succeeded);
    fields.show("results", result.responses.len());
    for (number, response) in result.responses.iter().enumerate() {
        let (kind, under) = match response {
            OpResult::Put(put) => ("put", put_result(put)),
            OpResult::Range(range) => ("range", range_result(range)),
            OpResult::Deleted(count) => ("delete", one("deleted", count)),
            OpResult::Txn(txn) => ("txn", txn_result(txn)),
            _ => ("unknown", Fields::new()),
        };
        fields.set(format!("result.{number}.kind"), kind);
        fields.put_under(&format!("result.{number}."), under);
    }
    fields
}

pub(crate) async fn txn(arguments: &mut Arguments) -> Done {
    let client = NAMES.client(arguments)?;
    let txn = transaction(arguments)?;
    arguments.end()?;
    let result = client.txn(txn).await?;
    let mut fields = txn_result(&result);
    fields.show("revision", result.revision);
    Ok(fields)
}

pub(crate) async fn compact(arguments: &mut Arguments) -> Done {
    let client = NAMES.client(arguments)?;
    let revision = arguments.needed("revision", Arguments::number)?;
    arguments.end()?;
    client.compact(revision).await?;
    Ok(Fields::new())
}

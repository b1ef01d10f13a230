//! Which keys to read, and the conditions and operations of transactions, as plain objects.

use napi::bindgen_prelude::BigInt;
use napi_derive::napi;
use quorate::kv::{self, Order, RangeOptions, SortBy};

use crate::arguments::{Bytes, Text, lease_id, limit, whole};
use crate::errors::{Result, invalid, raise};

/// Which keys to read, and how.
#[napi(object, object_to_js = false)]
pub struct Range {
    /// All keys that begin with it.
    #[napi(ts_type = "string | Uint8Array")]
    pub prefix: Option<Bytes>,
    /// The first key.
    #[napi(ts_type = "string | Uint8Array")]
    pub start: Option<Bytes>,
    /// The first key that is left out.
    #[napi(ts_type = "string | Uint8Array")]
    pub end: Option<Bytes>,
    /// At most so many records; 0, the default: all of them.
    pub limit: Option<f64>,
    /// As it was at this revision; 0, the default: now.
    pub revision: Option<f64>,
    /// What to sort by; the key by default.
    #[napi(ts_type = "SortBy")]
    pub sort: Option<Text>,
    /// Greatest first.
    pub descending: Option<bool>,
    /// Without values.
    pub keys_only: Option<bool>,
    /// Only how many there are.
    pub count_only: Option<bool>,
    /// Whatever the asked server has, which may be stale.
    pub serializable: Option<bool>,
    /// Only records created at this revision or before; 0, the default: all.
    pub max_create_revision: Option<f64>,
}

impl Range {
    pub(crate) fn options(self) -> Result<RangeOptions> {
        let bytes = |bytes: Option<Bytes>| bytes.map(|bytes| bytes.0);
        let (prefix, start, end) = (bytes(self.prefix), bytes(self.start), bytes(self.end));
        let mut options =
            RangeOptions::select(prefix, start, end).map_err(|error| raise(&error))?;
        if let Some(most) = self.limit {
            options = options.limit(limit(most)?);
        }
        if let Some(revision) = self.revision {
            options = options.revision(whole("revision", revision)?);
        }
        if let Some(revision) = self.max_create_revision {
            options = options.max_create_revision(whole("revision", revision)?);
        }
        let by = match self.sort {
            Some(name) => name.0.parse().map_err(|error| raise(&error))?,
            None => SortBy::Key,
        };
        let order = if self.descending == Some(true) {
            Order::Descending
        } else {
            Order::Ascending
        };
        options = options.sort(by, order);
        if self.keys_only == Some(true) {
            options = options.keys_only();
        }
        if self.count_only == Some(true) {
            options = options.count_only();
        }
        if self.serializable == Some(true) {
            options = options.serializable();
        }
        Ok(options)
    }
}

/// How to write a key.
#[napi(object, object_to_js = false)]
pub struct Put {
    /// The lease with which the key goes; none by default.
    pub lease: Option<BigInt>,
    /// Also answer what the key was before.
    pub previous: Option<bool>,
}

impl Put {
    pub(crate) fn options(&self) -> Result<kv::PutOptions> {
        let mut options = kv::PutOptions::new();
        if let Some(lease) = &self.lease {
            options = options.lease(lease_id(lease)?);
        }
        if self.previous == Some(true) {
            options = options.previous();
        }
        Ok(options)
    }
}

/// A condition on one key, or on every key of a prefix.
#[napi(object, object_to_js = false)]
pub struct Comparison {
    /// Whether it is there, or what of it is compared.
    #[napi(
        ts_type = "'exists' | 'missing' | 'value' | 'version' | 'create_revision' | 'mod_revision' | 'lease'"
    )]
    pub target: Text,
    /// The key.
    #[napi(ts_type = "string | Uint8Array")]
    pub key: Bytes,
    /// How it is compared.
    #[napi(ts_type = "'==' | '!=' | '>' | '<'")]
    pub symbol: Option<Text>,
    /// With what, if it is the value.
    #[napi(ts_type = "string | Uint8Array")]
    pub value: Option<Bytes>,
    /// With what, if it is a revision or version.
    pub number: Option<f64>,
    /// With what, if it is the lease.
    pub lease: Option<BigInt>,
    /// For every key that begins with `key`.
    pub prefix: Option<bool>,
}

impl Comparison {
    fn compare(self) -> Result<kv::Compare> {
        let (key, target) = (self.key.0, self.target.0);
        let number = || {
            let number = self.number.ok_or_else(|| missing(&target, "number"))?;
            whole(&target, number)
        };
        let symbol = || {
            let symbol = self.symbol.as_ref();
            let symbol = symbol.ok_or_else(|| missing(&target, "symbol"))?;
            symbol.0.parse().map_err(|error| raise(&error))
        };
        let compare = match target.as_str() {
            "exists" => kv::Compare::exists(key),
            "missing" => kv::Compare::missing(key),
            "value" => {
                let symbol = symbol()?;
                let value = self.value.ok_or_else(|| missing(&target, "value"))?;
                kv::Compare::value(key, symbol, value.0)
            }
            "version" => kv::Compare::version(key, symbol()?, number()?),
            "create_revision" => kv::Compare::create_revision(key, symbol()?, number()?),
            "mod_revision" => kv::Compare::mod_revision(key, symbol()?, number()?),
            "lease" => {
                let lease = self
                    .lease
                    .as_ref()
                    .ok_or_else(|| missing(&target, "lease"))?;
                kv::Compare::lease(key, symbol()?, lease_id(lease)?)
            }
            _ => {
                return Err(invalid(format!(
                    "cannot compare {target:?}: use exists, missing, value, version, \
                     create_revision, mod_revision or lease"
                )));
            }
        };
        Ok(if self.prefix == Some(true) {
            compare.prefix()
        } else {
            compare
        })
    }
}

fn missing(target: &str, name: &str) -> crate::errors::Raised {
    invalid(format!("a comparison of the {target} needs a {name}"))
}

/// One operation of a transaction: exactly one of its fields.
#[napi(object, object_to_js = false)]
pub struct Operation {
    /// Writes a key.
    pub put: Option<PutOperation>,
    /// Reads a key.
    #[napi(ts_type = "string | Uint8Array")]
    pub get: Option<Bytes>,
    /// Reads a range.
    pub range: Option<Range>,
    /// Deletes a key, or all that begin with it.
    pub delete: Option<DeleteOperation>,
    /// A transaction within the transaction.
    pub txn: Option<Transaction>,
}

/// Writes a key.
#[napi(object, object_to_js = false)]
pub struct PutOperation {
    /// The key.
    #[napi(ts_type = "string | Uint8Array")]
    pub key: Bytes,
    /// The value.
    #[napi(ts_type = "string | Uint8Array")]
    pub value: Bytes,
    /// How.
    pub options: Put,
}

/// Deletes a key.
#[napi(object, object_to_js = false)]
pub struct DeleteOperation {
    /// The key.
    #[napi(ts_type = "string | Uint8Array")]
    pub key: Bytes,
    /// All keys that begin with it.
    pub prefix: bool,
}

impl Operation {
    fn op(self) -> Result<kv::Op> {
        Ok(match self {
            Self { put: Some(put), .. } => {
                kv::Op::put_with(put.key.0, put.value.0, put.options.options()?)
            }
            Self { get: Some(key), .. } => kv::Op::get(key.0),
            Self {
                range: Some(range), ..
            } => kv::Op::range(range.options()?),
            Self {
                delete: Some(delete),
                ..
            } if delete.prefix => kv::Op::delete_prefix(delete.key.0),
            Self {
                delete: Some(delete),
                ..
            } => kv::Op::delete(delete.key.0),
            Self { txn: Some(txn), .. } => kv::Op::txn(txn.txn()?),
            _ => return Err(invalid("an operation is a put, get, range, delete or txn")),
        })
    }
}

/// If all comparisons hold, do `then`, otherwise `otherwise`.
#[napi(object, object_to_js = false)]
pub struct Transaction {
    /// All of these must hold.
    pub when: Vec<Comparison>,
    /// What to do if they do.
    pub then: Vec<Operation>,
    /// What to do if one does not.
    pub otherwise: Vec<Operation>,
}

impl Transaction {
    pub(crate) fn txn(self) -> Result<kv::Txn> {
        let ops = |ops: Vec<Operation>| {
            ops.into_iter()
                .map(Operation::op)
                .collect::<Result<Vec<_>>>()
        };
        let when: Result<Vec<_>> = self.when.into_iter().map(Comparison::compare).collect();
        Ok(kv::Txn::new()
            .when(when?)
            .then(ops(self.then)?)
            .otherwise(ops(self.otherwise)?))
    }
}

//! Conditions and operations of transactions.

use pyo3::prelude::*;
use quorate::kv::{self, Comparison, Order, PutOptions, RangeOptions, SortBy};

use crate::arguments::{Bytes, LeaseId};
use crate::errors::raise;

/// A condition on one key, or on every key of a prefix.
#[pyclass(frozen, eq, from_py_object, module = "quorate")]
#[derive(Clone, PartialEq)]
pub(crate) struct Compare(pub(crate) kv::Compare);

fn comparison(symbol: &str) -> PyResult<Comparison> {
    symbol.parse().map_err(|error| raise(&error))
}

#[pymethods]
impl Compare {
    /// The key is there.
    #[staticmethod]
    fn exists(key: Bytes) -> Self {
        Self(kv::Compare::exists(key.0))
    }

    /// The key is not there.
    #[staticmethod]
    fn missing(key: Bytes) -> Self {
        Self(kv::Compare::missing(key.0))
    }

    /// The key's value.
    #[staticmethod]
    fn value(key: Bytes, symbol: &str, value: Bytes) -> PyResult<Self> {
        let symbol = comparison(symbol)?;
        Ok(Self(kv::Compare::value(key.0, symbol, value.0)))
    }

    /// How many changes since the creation.
    #[staticmethod]
    fn version(key: Bytes, symbol: &str, version: i64) -> PyResult<Self> {
        let symbol = comparison(symbol)?;
        Ok(Self(kv::Compare::version(key.0, symbol, version)))
    }

    /// The revision at which the key was created.
    #[staticmethod]
    fn create_revision(key: Bytes, symbol: &str, revision: i64) -> PyResult<Self> {
        let symbol = comparison(symbol)?;
        Ok(Self(kv::Compare::create_revision(key.0, symbol, revision)))
    }

    /// The revision of the key's last change.
    #[staticmethod]
    fn mod_revision(key: Bytes, symbol: &str, revision: i64) -> PyResult<Self> {
        let symbol = comparison(symbol)?;
        Ok(Self(kv::Compare::mod_revision(key.0, symbol, revision)))
    }

    /// The lease the key is attached to.
    #[staticmethod]
    fn lease(key: Bytes, symbol: &str, lease: LeaseId) -> PyResult<Self> {
        let symbol = comparison(symbol)?;
        Ok(Self(kv::Compare::lease(key.0, symbol, lease.0)))
    }

    /// The same for every key that begins with this one's key.
    fn prefix(&self) -> Self {
        Self(self.0.clone().prefix())
    }

    fn __repr__(&self) -> String {
        format!("{:?}", self.0)
    }
}

/// One operation of a transaction.
#[pyclass(frozen, eq, from_py_object, module = "quorate")]
#[derive(Clone, PartialEq)]
pub(crate) struct Op(pub(crate) kv::Op);

#[pymethods]
impl Op {
    /// Writes a key.
    #[staticmethod]
    #[pyo3(signature = (key, value, *, lease = None, previous = false))]
    fn put(key: Bytes, value: Bytes, lease: Option<LeaseId>, previous: bool) -> Self {
        let options = put_options(lease, previous);
        Self(kv::Op::put_with(key.0, value.0, options))
    }

    /// Reads a key.
    #[staticmethod]
    fn get(key: Bytes) -> Self {
        Self(kv::Op::range(RangeOptions::key(key.0)))
    }

    /// Reads a range.
    #[staticmethod]
    #[pyo3(signature = (
        prefix = None, *, start = None, end = None, limit = 0, revision = 0, sort = "key",
        descending = false, keys_only = false, count_only = false, serializable = false,
        max_create_revision = 0
    ))]
    fn range(
        prefix: Option<Bytes>,
        start: Option<Bytes>,
        end: Option<Bytes>,
        limit: u32,
        revision: i64,
        sort: &str,
        descending: bool,
        keys_only: bool,
        count_only: bool,
        serializable: bool,
        max_create_revision: i64,
    ) -> PyResult<Self> {
        let bytes = |bytes: Option<Bytes>| bytes.map(|bytes| bytes.0);
        let selected = RangeOptions::select(bytes(prefix), bytes(start), bytes(end));
        let sort: SortBy = sort.parse().map_err(|error| raise(&error))?;
        let order = if descending {
            Order::Descending
        } else {
            Order::Ascending
        };
        let mut options = selected
            .map_err(|error| raise(&error))?
            .limit(limit)
            .revision(revision)
            .max_create_revision(max_create_revision)
            .sort(sort, order);
        if keys_only {
            options = options.keys_only();
        }
        if count_only {
            options = options.count_only();
        }
        if serializable {
            options = options.serializable();
        }
        Ok(Self(kv::Op::range(options)))
    }

    /// Deletes a key, or all keys that begin with it.
    #[staticmethod]
    #[pyo3(signature = (key, *, prefix = false))]
    fn delete(key: Bytes, prefix: bool) -> Self {
        Self(if prefix {
            kv::Op::delete_prefix(key.0)
        } else {
            kv::Op::delete(key.0)
        })
    }

    /// A transaction within the transaction.
    #[staticmethod]
    #[pyo3(signature = (when = Vec::new(), then = Vec::new(), otherwise = Vec::new()))]
    fn txn(when: Vec<Compare>, then: Vec<Self>, otherwise: Vec<Self>) -> Self {
        Self(kv::Op::txn(txn(when, then, otherwise)))
    }

    fn __repr__(&self) -> String {
        format!("{:?}", self.0)
    }
}

pub(crate) fn txn(when: Vec<Compare>, then: Vec<Op>, otherwise: Vec<Op>) -> kv::Txn {
    kv::Txn::new()
        .when(when.into_iter().map(|compare| compare.0))
        .then(then.into_iter().map(|op| op.0))
        .otherwise(otherwise.into_iter().map(|op| op.0))
}

pub(crate) fn put_options(lease: Option<LeaseId>, previous: bool) -> PutOptions {
    let options = PutOptions::new().lease(lease.map_or(0, |lease| lease.0));
    if previous {
        options.previous()
    } else {
        options
    }
}

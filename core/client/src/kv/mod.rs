//! Key-value: records with revisions, ranges, transactions, compaction.
//!
//! Reads are linearizable unless they ask not to be, and fail over by themselves. Writes are not
//! repeated once they may have reached a server: if the connection breaks then, the error is
//! [`ErrorCode::Unavailable`](crate::ErrorCode) or [`ErrorCode::Timeout`](crate::ErrorCode) and its
//! message says that the outcome is unknown. A [`Txn`] that compares revisions can then be repeated
//! by the caller without harm.

mod call;
mod names;
mod put;
mod range;
mod record;
mod txn;

pub use put::{PutOptions, PutResult};
pub use range::{Order, RangeOptions, RangeResult, SortBy};
pub use record::KeyValue;
pub use txn::{Compare, Comparison, Op, OpResult, Txn, TxnResult};

pub(crate) use call::{range, txn_call};
pub(crate) use range::prefix_end;

use quorate_types::{Error, ErrorCode};

/// Revisions and counts on the wire are signed; the server sends none below zero.
pub(crate) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

pub(crate) fn check_key(key: &[u8]) -> Result<(), Error> {
    if key.is_empty() {
        return Err(Error::new(ErrorCode::InvalidArgument, "the key is empty"));
    }
    Ok(())
}

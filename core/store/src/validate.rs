//! Checks that need no state: made once, before a command is proposed.

use quorate_proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use quorate_proto::etcdserverpb::request_op::Request;
use quorate_proto::etcdserverpb::{DeleteRangeRequest, PutRequest, RangeRequest, TxnRequest};
use quorate_proto::log::command::Op;
use quorate_proto::log::{Command, LeaseGrant};

use crate::changed_keys::ChangedKeys;
use crate::error::EtcdError;
use crate::lease_table::MAXIMUM_LEASE_TTL;

/// How deep transactions may be nested. Protobuf decoders stop at 100 messages in one another, and each level
/// takes two; in the log there are more around it, and in answers more inside.
const NESTED_TXNS: usize = 32;

/// Checks a command before it is proposed; `max_ops` bounds a transaction's operations.
pub(crate) fn command(command: &Command, max_ops: usize) -> Result<(), EtcdError> {
    match &command.op {
        None => Err(EtcdError::KeyNotFound),
        Some(Op::Put(request)) => put(request),
        Some(Op::DeleteRange(request)) => delete_range(request),
        Some(Op::Txn(request)) => txn(request, max_ops),
        Some(Op::LeaseGrant(request)) => lease_grant(request),
        Some(Op::Compact(_) | Op::LeaseRevoke(_) | Op::LeaseCheckpoint(_)) => Ok(()),
    }
}

/// The checks of a Range, alone or in a transaction.
pub(crate) fn range(request: &RangeRequest) -> Result<(), EtcdError> {
    if request.key.is_empty() {
        return Err(EtcdError::EmptyKey);
    }
    if SortOrder::try_from(request.sort_order).is_err()
        || SortTarget::try_from(request.sort_target).is_err()
    {
        return Err(EtcdError::InvalidSortOption);
    }
    Ok(())
}

/// The checks of a transaction, with everything nested in it.
pub(crate) fn txn(request: &TxnRequest, max_ops: usize) -> Result<(), EtcdError> {
    operations(request, max_ops, NESTED_TXNS)?;
    for branch in [&request.success, &request.failure] {
        ChangedKeys::of(branch)?;
    }
    Ok(())
}

fn put(request: &PutRequest) -> Result<(), EtcdError> {
    if request.key.is_empty() {
        Err(EtcdError::EmptyKey)
    } else if request.ignore_value && !request.value.is_empty() {
        Err(EtcdError::ValueProvided)
    } else if request.ignore_lease && request.lease != 0 {
        Err(EtcdError::LeaseProvided)
    } else {
        Ok(())
    }
}

fn delete_range(request: &DeleteRangeRequest) -> Result<(), EtcdError> {
    if request.key.is_empty() {
        return Err(EtcdError::EmptyKey);
    }
    Ok(())
}

fn lease_grant(request: &LeaseGrant) -> Result<(), EtcdError> {
    if request.ttl_seconds > MAXIMUM_LEASE_TTL {
        Err(EtcdError::LeaseTtlTooLarge)
    } else if request.id == 0 {
        // The proposer chooses an id; 0 means none.
        Err(EtcdError::LeaseNotFound)
    } else {
        Ok(())
    }
}

/// Each operation by itself, and their number: a nested transaction gets what its parent left. And how deep they
/// are: a transaction that decodes here and not in the log would keep every member from starting again.
fn operations(request: &TxnRequest, max_ops: usize, levels: usize) -> Result<(), EtcdError> {
    let used = request
        .compare
        .len()
        .max(request.success.len())
        .max(request.failure.len());
    let left = max_ops.checked_sub(used).ok_or(EtcdError::TooManyOps)?;
    if request.compare.iter().any(|compare| compare.key.is_empty()) {
        return Err(EtcdError::EmptyKey);
    }
    for operation in request.success.iter().chain(&request.failure) {
        match &operation.request {
            None => return Err(EtcdError::KeyNotFound),
            Some(Request::RequestRange(request)) => range(request)?,
            Some(Request::RequestPut(request)) => put(request)?,
            Some(Request::RequestDeleteRange(request)) => delete_range(request)?,
            Some(Request::RequestTxn(request)) => {
                let levels = levels.checked_sub(1).ok_or(EtcdError::TooManyOps)?;
                operations(request, left, levels)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;

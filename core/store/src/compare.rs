//! A transaction's compares, and the way it takes through its branches.
//!
//! All compares, nested ones too, look at the state before the transaction.

use std::cmp::Ordering;

use quorate_proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use quorate_proto::etcdserverpb::request_op::Request;
use quorate_proto::etcdserverpb::{Compare, RequestOp, TxnRequest};
use redb::ReadableTable;

use crate::error::{Stop, StoreFault};
use crate::index::Head;
use crate::key_range::KeyRange;
use crate::record::Record;
use crate::revision::{Revision, RowKey};
use crate::view::{Reader, read_row};

/// The operations of the branch that runs.
pub(crate) fn branch(request: &TxnRequest, succeeded: bool) -> &[RequestOp] {
    if succeeded {
        &request.success
    } else {
        &request.failure
    }
}

impl<T> Reader<'_, T>
where
    T: ReadableTable<&'static RowKey, &'static [u8]>,
{
    /// Decides every transaction that will run, outer before inner, in the order they run.
    pub(crate) fn decide(&self, request: &TxnRequest, path: &mut Vec<bool>) -> Result<(), Stop> {
        let mut succeeded = true;
        for compare in &request.compare {
            if !self.compare(compare)? {
                succeeded = false;
                break;
            }
        }
        path.push(succeeded);
        for operation in branch(request, succeeded) {
            if let Some(Request::RequestTxn(nested)) = &operation.request {
                self.decide(nested, path)?;
            }
        }
        Ok(())
    }

    /// Whether a compare holds for every key of its range; a range without keys counts as one
    /// key of zeros, except that nothing can be said of a value that does not exist.
    fn compare(&self, compare: &Compare) -> Result<bool, Stop> {
        let range = KeyRange::borrowed(&compare.key, &compare.range_end);
        let Some(key) = range.single() else {
            let found = self.live(&range, self.revision, usize::MAX)?.versions;
            if found.is_empty() {
                return Ok(holds_without_key(compare));
            }
            for seen in found {
                if !self.compare_version(compare, seen.revision, None)? {
                    return Ok(false);
                }
            }
            return Ok(true);
        };
        match self.lookup(key, self.revision)? {
            None => Ok(holds_without_key(compare)),
            Some((revision, head)) => Ok(self.compare_version(compare, revision, head)?),
        }
    }

    fn compare_version(
        &self,
        compare: &Compare,
        revision: Revision,
        head: Option<Head>,
    ) -> Result<bool, StoreFault> {
        match (CompareTarget::try_from(compare.target), head) {
            (Ok(CompareTarget::Mod), _) => Ok(holds(compare, revision.main.cmp(&number(compare)))),
            (Ok(CompareTarget::Version), Some(head)) => {
                Ok(holds(compare, head.version.cmp(&number(compare))))
            }
            (Ok(CompareTarget::Create), Some(head)) => {
                Ok(holds(compare, head.create_revision.cmp(&number(compare))))
            }
            (Ok(CompareTarget::Lease), Some(head)) => {
                Ok(holds(compare, head.lease.cmp(&number(compare))))
            }
            _ => read_row(self.rows, revision, |record| {
                compare_record(compare, record)
            }),
        }
    }
}

fn compare_record(compare: &Compare, record: Record<'_>) -> bool {
    let Record::Put {
        value,
        create_revision,
        version,
        lease,
        ..
    } = record
    else {
        return holds_without_key(compare);
    };
    let order = match CompareTarget::try_from(compare.target) {
        Ok(CompareTarget::Version) => version.cmp(&number(compare)),
        Ok(CompareTarget::Create) => create_revision.cmp(&number(compare)),
        Ok(CompareTarget::Lease) => lease.cmp(&number(compare)),
        Ok(CompareTarget::Value) => match &compare.target_union {
            Some(TargetUnion::Value(wanted)) => value.cmp(&wanted[..]),
            _ => value.cmp(&[]),
        },
        // The modification revision is in the index; an unknown target compares as equal.
        Ok(CompareTarget::Mod) | Err(_) => Ordering::Equal,
    };
    holds(compare, order)
}

fn holds_without_key(compare: &Compare) -> bool {
    match CompareTarget::try_from(compare.target) {
        Ok(CompareTarget::Value) => false,
        Ok(_) => holds(compare, 0.cmp(&number(compare))),
        Err(_) => holds(compare, Ordering::Equal),
    }
}

/// The number to compare with: 0 unless the request has the one that fits its target.
fn number(compare: &Compare) -> i64 {
    match (
        CompareTarget::try_from(compare.target),
        &compare.target_union,
    ) {
        (Ok(CompareTarget::Version), Some(TargetUnion::Version(number)))
        | (Ok(CompareTarget::Create), Some(TargetUnion::CreateRevision(number)))
        | (Ok(CompareTarget::Mod), Some(TargetUnion::ModRevision(number)))
        | (Ok(CompareTarget::Lease), Some(TargetUnion::Lease(number))) => *number,
        _ => 0,
    }
}

/// An unknown result holds, as in etcd.
fn holds(compare: &Compare, order: Ordering) -> bool {
    match CompareResult::try_from(compare.result) {
        Ok(CompareResult::Equal) => order.is_eq(),
        Ok(CompareResult::NotEqual) => order.is_ne(),
        Ok(CompareResult::Greater) => order.is_gt(),
        Ok(CompareResult::Less) => order.is_lt(),
        Err(_) => true,
    }
}

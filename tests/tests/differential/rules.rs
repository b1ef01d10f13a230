//! Where Quorate, which follows etcd 3.6, may differ from the etcd it is compared with (3.5.1),
//! and why. Everything else must be the same.
//!
//! Not asked, as the two would be in different states from then on (see [`super::generate`]):
//!
//! - A watch from a negative revision. Refused in 3.6; 3.5.1 creates it, then cancels it.
//! - A watch from exactly the compacted revision. 3.6 delivers that revision's deletes; 3.5.1's
//!   compaction has dropped them.
//! - A progress request on a stream that has watchers of the future. 3.6 answers once the future
//!   is there; 3.5.1 answers at once, which lets a client resume behind what it was not told.
//! - A compaction at revision 0 of a store never compacted. It compacts nothing, so Quorate
//!   refuses it, as etcd does every time but the first.
//! - A transaction with a put and a delete to the end of the key space. Quorate refuses it if
//!   they overlap. etcd means to, but takes the range end `\0` for an empty range there.
//! - A transaction with a put in one nested transaction, and a delete in a later one beside it.
//!   Quorate refuses it if they overlap. etcd does so only if the put comes later.
//! - A limit with a sort target but no order. Quorate sorts all, then takes the first; etcd takes
//!   one more than the limit in the order of the keys, then sorts those.
//! - A read of a negative revision in a transaction. It means the newest, as it does alone; etcd
//!   calls it compacted there, once anything is.
//! - Watch requests on a stream after one of its watchers was cancelled for a compaction. Quorate
//!   has forgotten its id; etcd has not, and answers its cancellation a second time.
//!
//! Not compared:
//!
//! - How events are batched, and the revision in the headers above them. etcd's is the newest
//!   when the response was made, Quorate's is the last event's, so that a client may resume
//!   behind it without missing anything. Neither is before an event's ([`super::watches`]).
//! - The order of records that are equal in what they are sorted by, and which of them a limit
//!   leaves out: etcd's sort is not stable ([`forgive`]).
//! - Ids, terms, hashes, the order of leases and of a lease's keys ([`super::normal`]).

use bytes::Bytes;
use quorate_proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use quorate_proto::etcdserverpb::request_op::Request;
use quorate_proto::etcdserverpb::response_op::Response;
use quorate_proto::etcdserverpb::{
    RangeRequest, RangeResponse, TxnRequest, TxnResponse, WatchResponse,
};
use quorate_proto::mvccpb::KeyValue;
use tonic::Code;

use crate::step::{Answer, Step};

/// The answer to what etcd 3.5.1 must not be asked.
///
/// An unknown sort order or target: 3.6 refuses it; 3.5.1 ignores it, or crashes.
pub(crate) fn known_answer(step: &Step) -> Option<Answer> {
    let Step::Range(request) = step else {
        return None;
    };
    let known = SortOrder::try_from(request.sort_order).is_ok()
        && SortTarget::try_from(request.sort_target).is_ok();
    let why = match (known, request.key.is_empty()) {
        (true, _) => return None,
        (false, true) => "etcdserver: key is not provided",
        (false, false) => "etcdserver: invalid sort option",
    };
    Some(Answer::Refused(Code::InvalidArgument, why.to_owned()))
}

/// Takes out of an answer what may differ.
pub(crate) fn forgive(step: &Step, answer: &mut Answer) {
    match (step, answer) {
        (Step::Range(request), Answer::Range(answer)) => ties(request, answer),
        (Step::Txn(request), Answer::Txn(answer)) => nested(request, answer),
        (_, Answer::Refused(code, why)) if is_too_large_for_grpc(why) => {
            *code = Code::ResourceExhausted;
            "too large for gRPC".clone_into(why);
        }
        _ => {}
    }
}

/// Messages larger than 2 MiB are refused before anyone looks at them: by grpc-go and by tonic,
/// each with its own code and text.
fn is_too_large_for_grpc(why: &str) -> bool {
    why.starts_with("grpc: received message larger than max")
        || why.starts_with("Error, decoded message length too large")
}

/// The same for what a watch stream told. etcd leaves the revision out of the header when it
/// cancels a watcher whose history is compacted.
pub(crate) fn forgive_watch(response: &mut WatchResponse) {
    if response.canceled
        && response.compact_revision != 0
        && let Some(header) = &mut response.header
    {
        header.revision = 0;
    }
}

/// Headers of answers within a transaction's carry the revision, and etcd forgets it in those
/// of nested transactions.
fn nested(request: &TxnRequest, answer: &mut TxnResponse) {
    let branch = if answer.succeeded {
        &request.success
    } else {
        &request.failure
    };
    for (asked, told) in branch.iter().zip(&mut answer.responses) {
        match (&asked.request, &mut told.response) {
            (Some(Request::RequestRange(request)), Some(Response::ResponseRange(answer))) => {
                ties(request, answer);
            }
            (Some(Request::RequestTxn(request)), Some(Response::ResponseTxn(answer))) => {
                if let Some(header) = &mut answer.header {
                    header.revision = 0;
                }
                nested(request, answer);
            }
            _ => {}
        }
    }
}

/// Puts records that follow each other, and are equal in what they are sorted by, in the order
/// of their keys; and empties the last of them if more were left out.
fn ties(request: &RangeRequest, answer: &mut RangeResponse) {
    let by = |kv: &KeyValue| match SortTarget::try_from(request.sort_target) {
        Ok(SortTarget::Version) => (kv.version, Bytes::new()),
        Ok(SortTarget::Create) => (kv.create_revision, Bytes::new()),
        Ok(SortTarget::Mod) => (kv.mod_revision, Bytes::new()),
        Ok(SortTarget::Value) => (0, kv.value.clone()),
        // No two are equal.
        Ok(SortTarget::Key) | Err(_) => (0, kv.key.clone()),
    };
    let sorted_by_key = request.sort_target == SortTarget::Key as i32;
    let mut groups = answer.kvs.chunk_by_mut(|a, b| by(a) == by(b)).peekable();
    while let Some(group) = groups.next() {
        group.sort_by(|a, b| a.key.cmp(&b.key));
        if answer.more && groups.peek().is_none() && !sorted_by_key {
            group.fill(KeyValue::default());
        }
    }
}

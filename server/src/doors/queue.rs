//! The queue behind locks and elections: keys under a prefix, first come first, by create revision.
//!
//! The layout is that of etcd's `concurrency` package, so that its users and ours share a queue:
//! a ticket is the key `<prefix><lease id in hexadecimal>`, and lives as long as its lease. One
//! waits for the deletion of the ticket right before one's own, so a release wakes one waiter.

use quorate_proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use quorate_proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use quorate_proto::etcdserverpb::request_op::Request;
use quorate_proto::etcdserverpb::response_op::Response;
use quorate_proto::etcdserverpb::{
    Compare, DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, ResponseHeader, TxnRequest,
    TxnResponse,
};
use quorate_proto::log::LeaseRevoke;
use quorate_proto::mvccpb::event::EventType;
use quorate_proto::mvccpb::{Event, KeyValue};
use tokio::sync::oneshot;
use tonic::Status;

use super::etcd_lease;
use super::key_events::KeyEvents;
use super::member::Member;

/// What etcd grants who brings no lease of his own.
const DEFAULT_TTL_SECONDS: i64 = 60;

/// A place in a queue. Dropped, it is given up; [`Ticket::keep`] keeps it.
pub(super) struct Ticket {
    member: Member,
    prefix: Vec<u8>,
    place: Place,
    lease: i64,
    /// Nobody else knows the lease: giving up ends it.
    own_lease: bool,
    kept: bool,
}

/// Where a ticket stands.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) key: Vec<u8>,
    /// Its create revision: the order, and the fencing token.
    pub(super) revision: i64,
    /// Which of several calls with the same lease spoke last; only that one may give up the key.
    written: i64,
    /// Of the transaction that took the place.
    header: ResponseHeader,
    is_first: bool,
}

impl Ticket {
    /// Takes a place in the queue of `name`, or the one its lease has already.
    ///
    /// Safe to drop at any moment: a place taken for nobody is given up.
    pub(super) async fn take(
        member: &Member,
        name: &[u8],
        lease: i64,
        value: Vec<u8>,
    ) -> Result<Self, Status> {
        let (answer, taken) = oneshot::channel();
        let prefix = prefix(name);
        let enter = enter(member.clone(), prefix, lease, value);
        // A proposal can't be taken back. It runs to its end, and if nobody waits any more for
        // the ticket, it is dropped unsent.
        member.spawn_chore(async move { drop(answer.send(enter.await)) });
        taken
            .await
            .map_err(|_| Status::internal("a queue's ticket was lost; report it"))?
    }

    /// Waits until no ticket is before this one. The header is that of the last read.
    pub(super) async fn wait_for_turn(&self) -> Result<ResponseHeader, Status> {
        if self.place.is_first {
            return Ok(self.place.header);
        }
        loop {
            let (before, revision) = self.ticket_before()?;
            let Some(before) = before else { break };
            let mut events =
                KeyEvents::of(&self.member, before.key.to_vec(), Vec::new(), revision + 1);
            let goes_on = |event: Event| event.r#type() != EventType::Delete;
            while events.next().await?.is_some_and(goes_on) {}
        }
        // The lease may have ended while waiting, and the ticket with it.
        self.member.read_barrier().await?;
        let own = self.member.range(&RangeRequest {
            key: self.place.key.clone(),
            ..RangeRequest::default()
        })?;
        let still = own
            .kvs
            .first()
            .is_some_and(|kv| kv.create_revision == self.place.revision);
        if still {
            Ok(own.header.unwrap_or_default())
        } else {
            Err(Status::failed_precondition("mutex: session is expired"))
        }
    }

    /// The newest ticket older than this one, and the revision it was seen at.
    fn ticket_before(&self) -> Result<(Option<KeyValue>, i64), Status> {
        let mut older = self.member.range(&RangeRequest {
            limit: 1,
            sort_order: SortOrder::Descend as i32,
            sort_target: SortTarget::Create as i32,
            max_create_revision: self.place.revision - 1,
            ..within(self.prefix.clone())
        })?;
        let revision = older.header.as_ref().map_or(0, |header| header.revision);
        Ok((older.kvs.pop(), revision))
    }

    /// The place is wanted: from here on it belongs to its lease alone.
    pub(super) fn keep(mut self) -> (Place, i64) {
        self.kept = true;
        (self.place.clone(), self.lease)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        let member = self.member.clone();
        let (place, lease) = (self.place.clone(), self.lease);
        let own_lease = self.own_lease;
        self.member.spawn_chore(async move {
            let given_up = if own_lease {
                let id = lease;
                member.lease_revoke(LeaseRevoke { id }).await.map(drop)
            } else {
                let unchanged = equals(
                    &place.key,
                    CompareTarget::Mod,
                    TargetUnion::ModRevision(place.written),
                );
                let delete = TxnRequest {
                    compare: vec![unchanged],
                    success: vec![delete(place.key)],
                    failure: Vec::new(),
                };
                member.txn(delete).await.map(drop)
            };
            if let Err(status) = given_up {
                tracing::warn!(%status, lease, "an abandoned ticket is left to its lease");
            }
        });
    }
}

/// Writes the ticket, and looks who is first, in one log entry.
async fn enter(
    member: Member,
    prefix: Vec<u8>,
    lease: i64,
    value: Vec<u8>,
) -> Result<Ticket, Status> {
    let own_lease = lease == 0;
    let lease = if own_lease {
        etcd_lease::grant(&member, 0, DEFAULT_TTL_SECONDS).await?.id
    } else {
        lease
    };
    let key = [&prefix[..], ticket_name(lease).as_bytes()].concat();
    let put = RequestOp {
        request: Some(Request::RequestPut(PutRequest {
            key: key.clone(),
            value,
            lease,
            ..PutRequest::default()
        })),
    };
    let own = range(RangeRequest {
        key: key.clone(),
        ..RangeRequest::default()
    });
    // Put in both branches: a second call with this lease takes the ticket over from the first.
    let response = member
        .txn(TxnRequest {
            compare: vec![equals(
                &key,
                CompareTarget::Create,
                TargetUnion::CreateRevision(0),
            )],
            success: vec![put.clone(), own.clone(), range(first_in(prefix.clone()))],
            failure: vec![put, own, range(first_in(prefix.clone()))],
        })
        .await?;
    let (own, first) = (kv_of(&response, 1), kv_of(&response, 2));
    let own = own.ok_or_else(|| Status::internal("a ticket just written is not there"))?;
    let is_first = first.is_none_or(|first| first.create_revision == own.create_revision);
    let place = Place {
        key,
        revision: own.create_revision,
        written: own.mod_revision,
        is_first,
        header: response.header.unwrap_or_default(),
    };
    Ok(Ticket {
        member,
        prefix,
        place,
        lease,
        own_lease,
        // Its lease holds the lock already, by an earlier call: giving this one up must not end that.
        kept: is_first && !response.succeeded,
    })
}

/// A lease id as Go prints it with `%x`: negative ones with a sign.
fn ticket_name(lease: i64) -> String {
    let sign = if lease < 0 { "-" } else { "" };
    format!("{sign}{:x}", lease.unsigned_abs())
}

/// Where the tickets of a name are.
pub(super) fn prefix(name: &[u8]) -> Vec<u8> {
    [name, b"/"].concat()
}

/// A range over all tickets of a prefix.
pub(super) fn within(prefix: Vec<u8>) -> RangeRequest {
    let mut range_end = prefix.clone();
    // Prefixes end in '/', so the last byte can grow by one.
    if let Some(last) = range_end.last_mut() {
        *last += 1;
    }
    RangeRequest {
        key: prefix,
        range_end,
        ..RangeRequest::default()
    }
}

/// The range that finds the first ticket: the owner, the leader.
pub(super) fn first_in(prefix: Vec<u8>) -> RangeRequest {
    RangeRequest {
        limit: 1,
        sort_order: SortOrder::Ascend as i32,
        sort_target: SortTarget::Create as i32,
        ..within(prefix)
    }
}

/// A compare that holds if the key's `target` equals `value`.
pub(super) fn equals(key: &[u8], target: CompareTarget, value: TargetUnion) -> Compare {
    Compare {
        result: CompareResult::Equal as i32,
        target: target as i32,
        key: key.to_vec(),
        range_end: Vec::new(),
        target_union: Some(value),
    }
}

/// An operation that deletes one key.
pub(super) fn delete(key: Vec<u8>) -> RequestOp {
    RequestOp {
        request: Some(Request::RequestDeleteRange(DeleteRangeRequest {
            key,
            ..DeleteRangeRequest::default()
        })),
    }
}

fn range(request: RangeRequest) -> RequestOp {
    RequestOp {
        request: Some(Request::RequestRange(request)),
    }
}

/// The first key-value of a transaction's n-th answer, if that is a range.
fn kv_of(response: &TxnResponse, n: usize) -> Option<&KeyValue> {
    match response.responses.get(n)?.response.as_ref()? {
        Response::ResponseRange(range) => range.kvs.first(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_names_tickets_are_between_slash_and_what_follows() {
        let range = within(prefix(b"job"));
        assert_eq!(range.key, b"job/");
        assert_eq!(range.range_end, b"job0");
    }

    #[test]
    fn tickets_are_named_as_go_names_them() {
        assert_eq!(ticket_name(0x326963a02758b52d), "326963a02758b52d");
        assert_eq!(ticket_name(-255), "-ff");
        assert_eq!(ticket_name(i64::MIN), "-8000000000000000");
    }
}

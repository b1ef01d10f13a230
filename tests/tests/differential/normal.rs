//! The common form of answers: without what two servers can't agree on.

use std::collections::HashMap;

use quorate_proto::etcdserverpb::compare::TargetUnion;
use quorate_proto::etcdserverpb::request_op::Request;
use quorate_proto::etcdserverpb::response_op::Response;
use quorate_proto::etcdserverpb::{
    RequestOp, ResponseHeader, ResponseOp, TxnRequest, WatchResponse,
};
use quorate_proto::mvccpb::KeyValue;

use crate::step::{Answer, CHOSEN, Step, chosen};

/// Remaining TTLs this close to the granted one are taken for it: a sequence takes seconds.
const JUST_RENEWED: i64 = 60;

/// The leases whose ids one server has chosen, in the order of their grants.
#[derive(Default)]
pub(crate) struct ChosenLeases {
    real: Vec<i64>,
    names: HashMap<i64, i64>,
}

impl ChosenLeases {
    fn real(&self, lease: &mut i64) {
        let number = usize::try_from(lease.saturating_sub(CHOSEN)).ok();
        if let Some(real) = number.and_then(|number| self.real.get(number)) {
            *lease = *real;
        }
    }

    fn name(&self, lease: &mut i64) {
        if let Some(name) = self.names.get(lease) {
            *lease = *name;
        }
    }

    fn chose(&mut self, lease: i64) {
        self.names.insert(lease, chosen(self.real.len()));
        self.real.push(lease);
    }

    /// A step as this server has to be asked it.
    pub(crate) fn request(&self, step: &Step) -> Step {
        let mut step = step.clone();
        match &mut step {
            Step::Put(request) => self.real(&mut request.lease),
            Step::Txn(request) => self.txn(request),
            Step::LeaseRevoke(request) => self.real(&mut request.id),
            Step::LeaseTimeToLive(request) => self.real(&mut request.id),
            Step::LeaseKeepAlive(request) => self.real(&mut request.id),
            _ => {}
        }
        step
    }

    fn txn(&self, request: &mut TxnRequest) {
        for compare in &mut request.compare {
            if let Some(TargetUnion::Lease(lease)) = &mut compare.target_union {
                self.real(lease);
            }
        }
        for RequestOp { request } in request.success.iter_mut().chain(&mut request.failure) {
            match request {
                Some(Request::RequestPut(request)) => self.real(&mut request.lease),
                Some(Request::RequestTxn(request)) => self.txn(request),
                _ => {}
            }
        }
    }

    /// An answer in the common form.
    pub(crate) fn answer(&mut self, step: &Step, answer: &mut Answer) {
        match answer {
            Answer::Range(answer) => {
                header(&mut answer.header);
                self.records(&mut answer.kvs);
            }
            Answer::Put(answer) => {
                header(&mut answer.header);
                self.records(&mut answer.prev_kv);
            }
            Answer::DeleteRange(answer) => {
                header(&mut answer.header);
                self.records(&mut answer.prev_kvs);
            }
            Answer::Txn(answer) => {
                header(&mut answer.header);
                self.responses(&mut answer.responses);
            }
            Answer::Compact(answer) => header(&mut answer.header),
            Answer::HashKv(answer) => {
                header(&mut answer.header);
                // Each has its own hash, and 3.5 does not say of which revision.
                (answer.hash, answer.hash_revision) = (0, 0);
            }
            Answer::LeaseGrant(answer) => {
                header(&mut answer.header);
                if matches!(step, Step::LeaseGrant(request) if request.id == 0) {
                    self.chose(answer.id);
                }
                self.name(&mut answer.id);
            }
            Answer::LeaseRevoke(answer) => header(&mut answer.header),
            Answer::LeaseTimeToLive(answer) => {
                header(&mut answer.header);
                self.name(&mut answer.id);
                if answer.ttl >= answer.granted_ttl - JUST_RENEWED && answer.ttl > 0 {
                    answer.ttl = answer.granted_ttl;
                }
                // etcd's come out of a hash map.
                answer.keys.sort();
            }
            Answer::LeaseLeases(answer) => {
                header(&mut answer.header);
                for lease in &mut answer.leases {
                    self.name(&mut lease.id);
                }
                // etcd's come in the order of their expiry.
                answer.leases.sort_by_key(|lease| lease.id);
            }
            Answer::LeaseKeepAlive(answer) => {
                header(&mut answer.header);
                self.name(&mut answer.id);
            }
            Answer::Sent | Answer::Refused(..) => {}
        }
    }

    fn responses(&self, responses: &mut [ResponseOp]) {
        for ResponseOp { response } in responses {
            match response {
                Some(Response::ResponseRange(answer)) => self.records(&mut answer.kvs),
                Some(Response::ResponsePut(answer)) => self.records(&mut answer.prev_kv),
                Some(Response::ResponseDeleteRange(answer)) => self.records(&mut answer.prev_kvs),
                Some(Response::ResponseTxn(answer)) => self.responses(&mut answer.responses),
                None => {}
            }
        }
    }

    /// A watch response in the common form.
    pub(crate) fn watched(&self, response: &mut WatchResponse) {
        header(&mut response.header);
        for event in &mut response.events {
            self.records(event.kv.iter_mut().chain(&mut event.prev_kv));
        }
    }

    fn records<'a>(&self, records: impl IntoIterator<Item = &'a mut KeyValue>) {
        for record in records {
            self.name(&mut record.lease);
        }
    }
}

/// Ids and terms differ, but whether they are there must not.
fn header(header: &mut Option<ResponseHeader>) {
    if let Some(header) = header {
        header.cluster_id = header.cluster_id.min(1);
        header.member_id = header.member_id.min(1);
        header.raft_term = header.raft_term.min(1);
    }
}

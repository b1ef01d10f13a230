//! What the store should do, in the simplest way: a whole map for every revision.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use quorate_proto::etcdserverpb::compare::TargetUnion;
use quorate_proto::etcdserverpb::request_op::Request;
use quorate_proto::etcdserverpb::response_op::Response;
use quorate_proto::etcdserverpb::*;
use quorate_proto::log::command::Op;
use quorate_proto::mvccpb::event::EventType;
use quorate_proto::mvccpb::{Event, KeyValue};

use crate::apply::{Outcome, Reply};
use crate::error::EtcdError;

type Map = BTreeMap<Vec<u8>, KeyValue>;

#[derive(Clone)]
pub(crate) struct Model {
    /// The map at every revision; the first is revision 1.
    states: Vec<Map>,
    /// The events of every revision, with `prev_kv`.
    events: Vec<Vec<Event>>,
    pub(crate) compacted: i64,
    pub(crate) leases: BTreeMap<i64, (i64, i64)>,
    /// The transaction under way.
    working: Map,
    changes: Vec<Event>,
}

fn header(revision: i64) -> Option<ResponseHeader> {
    Some(ResponseHeader {
        revision,
        ..ResponseHeader::default()
    })
}

fn inside(key: &[u8], start: &[u8], end: &[u8]) -> bool {
    match end {
        [] => key == start,
        [0] => key >= start,
        end => key >= start && key < end,
    }
}

impl Model {
    pub(crate) fn new() -> Self {
        Self {
            states: vec![Map::new()],
            events: vec![Vec::new()],
            compacted: 0,
            leases: BTreeMap::new(),
            working: Map::new(),
            changes: Vec::new(),
        }
    }

    pub(crate) fn revision(&self) -> i64 {
        self.states.len() as i64
    }

    fn newest(&self) -> &Map {
        self.states.last().unwrap()
    }

    /// The events of a revision, with their previous versions.
    pub(crate) fn events(&self, revision: i64) -> &[Event] {
        &self.events[revision as usize - 1]
    }

    pub(crate) fn keys_of(&self, lease: i64) -> Vec<Vec<u8>> {
        let attached = self.newest().values().filter(|kv| kv.lease == lease);
        attached.map(|kv| kv.key.to_vec()).collect()
    }

    pub(crate) fn apply(&mut self, op: Op) -> Outcome {
        self.working = self.newest().clone();
        let reply = match op {
            Op::Put(request) => {
                self.check_lease(&request)?;
                self.check_put(&request)?;
                Reply::Put(self.put(request))
            }
            Op::DeleteRange(request) => Reply::DeleteRange(self.delete(&request)),
            Op::Txn(request) => {
                self.check(&request)?;
                Reply::Txn(self.run(request)?)
            }
            Op::Compact(request) => {
                if request.revision <= self.compacted {
                    return Err(EtcdError::Compacted);
                }
                if request.revision > self.revision() {
                    return Err(EtcdError::FutureRevision);
                }
                self.compacted = request.revision;
                Reply::Compact(CompactionResponse {
                    header: header(self.revision()),
                })
            }
            Op::LeaseGrant(request) => {
                if self.leases.contains_key(&request.id) {
                    return Err(EtcdError::LeaseExists);
                }
                let ttl = request.ttl_seconds.max(2);
                self.leases.insert(request.id, (ttl, 0));
                Reply::LeaseGrant(LeaseGrantResponse {
                    header: header(self.revision()),
                    id: request.id,
                    ttl,
                    error: String::new(),
                })
            }
            Op::LeaseRevoke(request) => {
                if self.leases.remove(&request.id).is_none() {
                    return Err(EtcdError::LeaseNotFound);
                }
                for key in self.keys_of(request.id) {
                    self.delete(&DeleteRangeRequest {
                        key,
                        ..DeleteRangeRequest::default()
                    });
                }
                Reply::LeaseRevoke(LeaseRevokeResponse {
                    header: header(self.current()),
                })
            }
            Op::LeaseCheckpoint(request) => {
                for lease in request.leases {
                    if let Some((ttl, left)) = self.leases.get_mut(&lease.id) {
                        let remaining = lease.remaining_seconds;
                        *left = if remaining >= *ttl {
                            0
                        } else {
                            remaining.max(1)
                        };
                    }
                }
                Reply::LeaseCheckpoint
            }
        };
        if !self.changes.is_empty() {
            self.states.push(std::mem::take(&mut self.working));
            self.events.push(std::mem::take(&mut self.changes));
        }
        Ok(reply)
    }

    /// The revision as the transaction under way sees it.
    fn current(&self) -> i64 {
        self.revision() + i64::from(!self.changes.is_empty())
    }

    fn check_put(&self, request: &PutRequest) -> Result<(), EtcdError> {
        if (request.ignore_value || request.ignore_lease)
            && !self.newest().contains_key(&request.key)
        {
            return Err(EtcdError::KeyNotFound);
        }
        self.check_lease(request)
    }

    fn check_lease(&self, request: &PutRequest) -> Result<(), EtcdError> {
        if request.lease != 0 && !self.leases.contains_key(&request.lease) {
            return Err(EtcdError::LeaseNotFound);
        }
        Ok(())
    }

    fn put(&mut self, request: PutRequest) -> PutResponse {
        let main = self.revision() + 1;
        let old = self.working.get(&request.key).cloned();
        let kv = KeyValue {
            key: request.key.clone().into(),
            value: match &old {
                Some(old) if request.ignore_value => old.value.clone(),
                _ => request.value.into(),
            },
            lease: match &old {
                Some(old) if request.ignore_lease => old.lease,
                _ => request.lease,
            },
            create_revision: old.as_ref().map_or(main, |old| old.create_revision),
            mod_revision: main,
            version: old.as_ref().map_or(1, |old| old.version + 1),
        };
        self.working.insert(request.key, kv.clone());
        self.changes.push(Event {
            r#type: EventType::Put.into(),
            kv: Some(kv),
            prev_kv: old.clone(),
        });
        PutResponse {
            header: header(main),
            prev_kv: old.filter(|_| request.prev_kv),
        }
    }

    fn delete(&mut self, request: &DeleteRangeRequest) -> DeleteRangeResponse {
        let main = self.revision() + 1;
        let doomed: Vec<_> = self
            .working
            .values()
            .filter(|kv| inside(&kv.key, &request.key, &request.range_end))
            .cloned()
            .collect();
        for kv in &doomed {
            self.working.remove(&kv.key[..]);
            self.changes.push(Event {
                r#type: EventType::Delete.into(),
                kv: Some(KeyValue {
                    key: kv.key.clone(),
                    mod_revision: main,
                    ..KeyValue::default()
                }),
                prev_kv: Some(kv.clone()),
            });
        }
        DeleteRangeResponse {
            header: header(self.current()),
            deleted: doomed.len() as i64,
            prev_kvs: if request.prev_kv { doomed } else { Vec::new() },
        }
    }

    pub(crate) fn range(&self, request: &RangeRequest) -> Result<RangeResponse, EtcdError> {
        let current = self.revision();
        range_in(self.newest(), self, current, request)
    }

    fn holds(&self, compare: &Compare) -> bool {
        let found: Vec<_> = self
            .newest()
            .values()
            .filter(|kv| inside(&kv.key, &compare.key, &compare.range_end))
            .collect();
        let one = |kv: &KeyValue| {
            let order = match (compare.target, &compare.target_union) {
                (0, Some(TargetUnion::Version(wanted))) => kv.version.cmp(wanted),
                (1, Some(TargetUnion::CreateRevision(wanted))) => kv.create_revision.cmp(wanted),
                (2, Some(TargetUnion::ModRevision(wanted))) => kv.mod_revision.cmp(wanted),
                (3, Some(TargetUnion::Value(wanted))) => kv.value[..].cmp(&wanted[..]),
                (4, Some(TargetUnion::Lease(wanted))) => kv.lease.cmp(wanted),
                other => panic!("the generator does not make {other:?}"),
            };
            match compare.result {
                0 => order == Ordering::Equal,
                1 => order == Ordering::Greater,
                2 => order == Ordering::Less,
                _ => order != Ordering::Equal,
            }
        };
        if found.is_empty() {
            compare.target != 3 && one(&KeyValue::default())
        } else {
            found.into_iter().all(one)
        }
    }

    fn branch<'a>(&self, request: &'a TxnRequest) -> (bool, &'a [RequestOp]) {
        let holds = request.compare.iter().all(|compare| self.holds(compare));
        let branch = if holds {
            &request.success
        } else {
            &request.failure
        };
        (holds, branch)
    }

    fn check(&self, request: &TxnRequest) -> Result<(), EtcdError> {
        for operation in self.branch(request).1 {
            match operation.request.as_ref().unwrap() {
                Request::RequestRange(request) => {
                    if request.revision > self.revision() {
                        return Err(EtcdError::FutureRevision);
                    }
                    if request.revision > 0 && request.revision < self.compacted {
                        return Err(EtcdError::Compacted);
                    }
                }
                Request::RequestPut(request) => self.check_put(request)?,
                Request::RequestDeleteRange(_) => {}
                Request::RequestTxn(request) => self.check(request)?,
            }
        }
        Ok(())
    }

    fn run(&mut self, request: TxnRequest) -> Result<TxnResponse, EtcdError> {
        let (succeeded, branch) = self.branch(&request);
        let mut responses = Vec::new();
        for operation in branch.iter().cloned() {
            let response = match operation.request.unwrap() {
                Request::RequestRange(request) => {
                    let current = self.current();
                    Response::ResponseRange(range_in(&self.working, self, current, &request)?)
                }
                Request::RequestPut(request) => Response::ResponsePut(self.put(request)),
                Request::RequestDeleteRange(request) => {
                    Response::ResponseDeleteRange(self.delete(&request))
                }
                Request::RequestTxn(request) => Response::ResponseTxn(self.run(request)?),
            };
            responses.push(ResponseOp {
                response: Some(response),
            });
        }
        Ok(TxnResponse {
            header: header(self.current()),
            succeeded,
            responses,
        })
    }
}

fn range_in(
    newest: &Map,
    model: &Model,
    current: i64,
    request: &RangeRequest,
) -> Result<RangeResponse, EtcdError> {
    let map = match request.revision {
        revision if revision <= 0 || revision == current => newest,
        revision if revision > current => return Err(EtcdError::FutureRevision),
        revision if revision < model.compacted => return Err(EtcdError::Compacted),
        revision => &model.states[revision as usize - 1],
    };
    let mut kvs: Vec<_> = map
        .values()
        .filter(|kv| inside(&kv.key, &request.key, &request.range_end))
        .cloned()
        .collect();
    let count = kvs.len() as i64;
    if request.count_only {
        kvs.clear();
    }
    let at_least = |number: i64, minimum: i64| minimum == 0 || number >= minimum;
    let at_most = |number: i64, maximum: i64| maximum == 0 || number <= maximum;
    kvs.retain(|kv| {
        at_least(kv.mod_revision, request.min_mod_revision)
            && at_most(kv.mod_revision, request.max_mod_revision)
            && at_least(kv.create_revision, request.min_create_revision)
            && at_most(kv.create_revision, request.max_create_revision)
    });
    // Equal ones stay in key order.
    kvs.sort_by(|a, b| {
        let order = match request.sort_target {
            0 => a.key.cmp(&b.key),
            1 => a.version.cmp(&b.version),
            2 => a.create_revision.cmp(&b.create_revision),
            3 => a.mod_revision.cmp(&b.mod_revision),
            _ => a.value.cmp(&b.value),
        };
        if request.sort_order == 2 {
            order.reverse()
        } else {
            order
        }
    });
    let limit = request.limit.max(0) as usize;
    let more = limit > 0 && kvs.len() > limit;
    if more {
        kvs.truncate(limit);
    }
    if request.keys_only {
        for kv in &mut kvs {
            kv.value.clear();
        }
    }
    Ok(RangeResponse {
        header: header(current),
        kvs,
        more,
        count,
    })
}

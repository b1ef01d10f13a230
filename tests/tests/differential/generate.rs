//! Random steps, over few keys and leases so that they meet, and now and then wrong.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;
use quorate_proto::etcdserverpb::compare::TargetUnion;
use quorate_proto::etcdserverpb::request_op::Request;
use quorate_proto::etcdserverpb::watch_request::RequestUnion;
use quorate_proto::etcdserverpb::*;

use crate::step::{Answer, Step, chosen};

/// What is known of the servers' state, to ask about what is there, and what just isn't.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) revision: i64,
    pub(crate) compacted: i64,
    /// Streams not to be used any more; see the rules.
    pub(crate) compacted_streams: BTreeSet<usize>,
    /// Leases the servers have chosen ids for.
    chosen: usize,
    /// The latest start of each stream's watchers.
    starts: BTreeMap<usize, i64>,
    /// A lease with a TTL so short that it must go before it expires by itself.
    short_lived: Option<i64>,
}

impl Seen {
    /// The streams that are open.
    pub(crate) fn streams(&self) -> Vec<usize> {
        self.starts.keys().copied().collect()
    }

    pub(crate) fn note(&mut self, step: &Step, answer: &Answer) {
        self.revision = self.revision.max(answer.revision().unwrap_or(0));
        match (step, answer) {
            (Step::Compact(request), Answer::Compact(_)) => self.compacted = request.revision,
            (Step::LeaseGrant(request), Answer::LeaseGrant(granted)) => {
                self.chosen += usize::from(request.id == 0);
                self.short_lived = (granted.ttl < SAFE_TTL).then_some(granted.id);
            }
            (Step::LeaseRevoke(_), _) => self.short_lived = None,
            (Step::Watch(stream, request), _) => {
                let start = self.starts.entry(*stream).or_default();
                if let Some(RequestUnion::CreateRequest(request)) = &request.request_union {
                    *start = (*start).max(request.start_revision);
                }
            }
            _ => {}
        }
    }
}

/// Seconds no sequence takes.
const SAFE_TTL: i64 = 600;

const KEYS: &[&[u8]] = &[
    b"a", b"a\0", b"ab", b"b", b"ba", b"bb", b"c", b"d", b"\0", b"\xff",
];
const ENDS: &[&[u8]] = &[b"a", b"b", b"bb", b"c", b"e", b"\xff\xff", b"a\0"];

fn one_in(random: &mut Rng, n: u32) -> bool {
    random.u32(0..n) == 0
}

fn any<'a>(random: &mut Rng, of: &[&'a [u8]]) -> &'a [u8] {
    of[random.usize(0..of.len())]
}

fn key(random: &mut Rng) -> Vec<u8> {
    match random.u32(0..60) {
        0 => Vec::new(),
        1 => random.u8(..).to_string().into_bytes(),
        _ => any(random, KEYS).to_vec(),
    }
}

/// A key, and an end that is often none, sometimes before it.
fn range(random: &mut Rng) -> (Vec<u8>, Vec<u8>) {
    let key = key(random);
    let end = match random.u32(0..10) {
        0..=3 => Vec::new(),
        4 => b"\0".to_vec(),
        5 => return (b"\0".to_vec(), b"\0".to_vec()),
        6 => key.clone(),
        _ => any(random, ENDS).to_vec(),
    };
    (key, end)
}

fn value(random: &mut Rng) -> Vec<u8> {
    match random.u32(0..300) {
        // More than a request may have.
        0 => vec![b'x'; 1600 << 10],
        // A few of these are more than a watch response has, unless it may not be split.
        1 | 2 => vec![b'y'; 700 << 10],
        _ => (0..random.usize(0..4))
            .map(|_| random.u8(b'x'..=b'z'))
            .collect(),
    }
}

fn lease(random: &mut Rng, seen: &Seen) -> i64 {
    match random.u32(0..8) {
        0 if seen.chosen > 0 => chosen(random.usize(0..seen.chosen)),
        1 => 77,
        _ => random.i64(1..=4),
    }
}

/// A revision: mostly one that can be read, else one compacted, of the future, or none at all.
fn revision(random: &mut Rng, seen: &Seen) -> i64 {
    match random.u32(0..12) {
        0 => seen.revision + random.i64(1..=3),
        1 => random.i64(0..=seen.compacted),
        2 => seen.compacted,
        3 => seen.revision,
        _ => random.i64(seen.compacted..=seen.revision.max(seen.compacted)),
    }
}

/// Mostly 0, else near the revisions that there are.
fn bound(random: &mut Rng, seen: &Seen) -> i64 {
    if one_in(random, 5) {
        random.i64(-1..=seen.revision + 1)
    } else {
        0
    }
}

fn range_request(random: &mut Rng, seen: &Seen, in_txn: bool) -> RangeRequest {
    let (key, range_end) = range(random);
    let limit = match random.u32(0..6) {
        0 => -1,
        1 | 2 => random.i64(1..5),
        _ => 0,
    };
    let sort_target = random.i32(0..5);
    // See the rules.
    let no_order = limit <= 0 || sort_target == 0;
    RangeRequest {
        key,
        range_end,
        limit,
        revision: match random.u32(0..20) {
            0 if !in_txn => -1,
            1..=7 => revision(random, seen),
            _ => 0,
        },
        sort_order: random.i32(i32::from(!no_order)..3),
        sort_target,
        serializable: one_in(random, 4),
        keys_only: one_in(random, 5),
        count_only: one_in(random, 5),
        min_mod_revision: bound(random, seen),
        max_mod_revision: bound(random, seen),
        min_create_revision: bound(random, seen),
        max_create_revision: bound(random, seen),
    }
}

/// A read with an order or a target that there is not.
fn unknown_order(random: &mut Rng, seen: &Seen) -> RangeRequest {
    let mut request = range_request(random, seen, false);
    if random.bool() {
        request.sort_order = 7;
    } else {
        request.sort_target = 9;
    }
    request
}

fn put(random: &mut Rng, seen: &Seen) -> PutRequest {
    let ignore_value = one_in(random, 8);
    let ignore_lease = one_in(random, 8);
    PutRequest {
        key: key(random),
        value: if ignore_value && !one_in(random, 8) {
            Vec::new()
        } else {
            value(random)
        },
        lease: if one_in(random, 4) && (!ignore_lease || one_in(random, 8)) {
            lease(random, seen)
        } else {
            0
        },
        prev_kv: random.bool(),
        ignore_value,
        ignore_lease,
    }
}

fn delete_range(random: &mut Rng) -> DeleteRangeRequest {
    let (key, mut range_end) = range(random);
    if one_in(random, 2) {
        range_end.clear();
    }
    DeleteRangeRequest {
        key,
        range_end,
        prev_kv: random.bool(),
    }
}

fn compare(random: &mut Rng, seen: &Seen) -> Compare {
    let (key, mut range_end) = range(random);
    if one_in(random, 2) {
        range_end.clear();
    }
    let target = random.i32(0..5);
    // A target and a value of another kind, or none, now and then.
    let kind = if one_in(random, 15) {
        random.i32(0..6)
    } else {
        target
    };
    let mut result = random.i32(0..4);
    if one_in(random, 40) {
        result = 6;
    }
    let target_union = match kind {
        0 => Some(TargetUnion::Version(random.i64(-1..4))),
        1 => Some(TargetUnion::CreateRevision(bound(random, seen))),
        2 => Some(TargetUnion::ModRevision(revision(random, seen))),
        3 => Some(TargetUnion::Value(value(random))),
        4 if one_in(random, 2) => Some(TargetUnion::Lease(0)),
        // The servers choose different ids, so only equality means the same.
        4 if result == 0 || result == 3 => Some(TargetUnion::Lease(lease(random, seen))),
        4 => Some(TargetUnion::Lease(random.i64(0..5))),
        _ => None,
    };
    Compare {
        result,
        target,
        key,
        range_end,
        target_union,
    }
}

fn operations(random: &mut Rng, seen: &Seen, depth: u32) -> Vec<RequestOp> {
    let count = match random.u32(0..150) {
        0 => random.usize(60..140),
        _ => random.usize(0..4),
    };
    let many = count > 10;
    (0..count)
        .map(|_| {
            let request = match random.u32(0..20) {
                _ if many => Some(Request::RequestRange(range_request(random, seen, true))),
                0 if one_in(random, 4) => None,
                0..=5 => Some(Request::RequestRange(range_request(random, seen, true))),
                6..=12 => Some(Request::RequestPut(put(random, seen))),
                13..=16 => Some(Request::RequestDeleteRange(delete_range(random))),
                _ if depth < 3 => Some(Request::RequestTxn(txn(random, seen, depth + 1))),
                _ => Some(Request::RequestDeleteRange(delete_range(random))),
            };
            RequestOp { request }
        })
        .collect()
}

fn txn(random: &mut Rng, seen: &Seen, depth: u32) -> TxnRequest {
    let compares = match random.u32(0..100) {
        0 => random.usize(100..140),
        _ => random.usize(0..3),
    };
    TxnRequest {
        compare: (0..compares).map(|_| compare(random, seen)).collect(),
        success: operations(random, seen, depth),
        failure: operations(random, seen, depth),
    }
}

/// Whether there is a put in it, however deep.
fn puts(request: &TxnRequest) -> bool {
    let mut operations = request.success.iter().chain(&request.failure);
    operations.any(|operation| match &operation.request {
        Some(Request::RequestPut(_)) => true,
        Some(Request::RequestTxn(nested)) => puts(nested),
        _ => false,
    })
}

/// Gives deletes to the end of the key space an end behind all keys; see the rules.
fn end_deletes(request: &mut TxnRequest) {
    for operation in request.success.iter_mut().chain(&mut request.failure) {
        match &mut operation.request {
            Some(Request::RequestDeleteRange(delete)) if delete.range_end == b"\0" => {
                delete.range_end = b"\xff\xff".to_vec();
            }
            Some(Request::RequestTxn(nested)) => end_deletes(nested),
            _ => {}
        }
    }
}

/// Takes deletes away that are in a nested transaction after one with puts; see the rules.
fn order_deletes(request: &mut TxnRequest) {
    for branch in [&mut request.success, &mut request.failure] {
        let mut put_before = false;
        for operation in branch {
            if let Some(Request::RequestTxn(nested)) = &mut operation.request {
                if put_before {
                    take_deletes(nested);
                }
                put_before |= puts(nested);
                order_deletes(nested);
            }
        }
    }
}

fn take_deletes(request: &mut TxnRequest) {
    for branch in [&mut request.success, &mut request.failure] {
        branch.retain_mut(|operation| match &mut operation.request {
            Some(Request::RequestDeleteRange(_)) => false,
            Some(Request::RequestTxn(nested)) => {
                take_deletes(nested);
                true
            }
            _ => true,
        });
    }
}

fn grant(random: &mut Rng) -> LeaseGrantRequest {
    LeaseGrantRequest {
        ttl: match random.u32(0..12) {
            0 => random.i64(-1..=1),
            1 => 9_000_000_000,
            2 => 9_000_000_001,
            _ => random.i64(1000..2000),
        },
        id: match random.u32(0..10) {
            0..=2 => 0,
            _ => random.i64(1..=4),
        },
    }
}

fn watch(random: &mut Rng, seen: &Seen) -> Step {
    let mut stream = random.usize(0..3);
    while seen.compacted_streams.contains(&stream) {
        stream += 3;
    }
    let latest = seen.starts.get(&stream).copied();
    let union = match random.u32(0..10) {
        0 | 1 => RequestUnion::CancelRequest(WatchCancelRequest {
            watch_id: random.i64(0..10),
        }),
        2 if latest.is_some_and(|start| start <= seen.revision + 1) => {
            RequestUnion::ProgressRequest(WatchProgressRequest {})
        }
        _ => RequestUnion::CreateRequest(create(random, seen)),
    };
    Step::Watch(
        stream,
        WatchRequest {
            request_union: Some(union),
        },
    )
}

fn create(random: &mut Rng, seen: &Seen) -> WatchCreateRequest {
    let (key, range_end) = range(random);
    let mut start_revision = match random.u32(0..2) {
        0 => 0,
        _ => revision(random, seen),
    };
    // See the rules.
    if start_revision == seen.compacted {
        start_revision = 0;
    }
    let mut filters = Vec::new();
    for filter in 0..3 {
        if one_in(random, 8) {
            filters.push(filter);
        }
    }
    WatchCreateRequest {
        key,
        range_end,
        start_revision,
        progress_notify: one_in(random, 8),
        filters,
        prev_kv: random.bool(),
        watch_id: if one_in(random, 3) {
            random.i64(1..10)
        } else {
            0
        },
        fragment: one_in(random, 3),
    }
}

fn compact(random: &mut Rng, seen: &Seen) -> CompactionRequest {
    let mut revision = match random.u32(0..8) {
        0 => random.i64(-1..=1),
        1 => seen.revision,
        _ => revision(random, seen),
    };
    // See the rules.
    if revision == 0 && seen.compacted == 0 {
        revision = -1;
    }
    CompactionRequest {
        revision,
        physical: random.bool(),
    }
}

/// The next step.
pub(crate) fn step(random: &mut Rng, seen: &Seen) -> Step {
    if let Some(id) = seen.short_lived {
        return Step::LeaseRevoke(LeaseRevokeRequest { id });
    }
    // With the newest revision compacted nothing is left to wait for; see `Pair::mark`.
    if seen.revision <= seen.compacted.max(1) {
        return Step::Put(PutRequest {
            key: b"a".to_vec(),
            value: value(random),
            ..PutRequest::default()
        });
    }
    let id = lease(random, seen);
    match random.u32(0..100) {
        0..=17 => Step::Put(put(random, seen)),
        18..=36 => Step::Range(range_request(random, seen, false)),
        37 => Step::Range(unknown_order(random, seen)),
        38..=44 => Step::DeleteRange(delete_range(random)),
        45..=66 => {
            let mut request = txn(random, seen, 0);
            if puts(&request) {
                end_deletes(&mut request);
                order_deletes(&mut request);
            }
            Step::Txn(request)
        }
        67..=69 => Step::Compact(compact(random, seen)),
        70..=74 => Step::LeaseGrant(grant(random)),
        75..=76 => Step::LeaseRevoke(LeaseRevokeRequest { id }),
        77..=79 => Step::LeaseTimeToLive(LeaseTimeToLiveRequest {
            id,
            keys: random.bool(),
        }),
        80 => Step::LeaseLeases,
        81..=82 => Step::LeaseKeepAlive(LeaseKeepAliveRequest { id }),
        83 => Step::HashKv(HashKvRequest {
            revision: revision(random, seen).max(0),
        }),
        _ => watch(random, seen),
    }
}

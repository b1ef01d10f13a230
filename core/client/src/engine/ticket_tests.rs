//! Tests of [`Ticket`] against a model of the store: many programs in one line, in every order of
//! steps, with leases that end and answers that are lost.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::kv::KeyValue;

/// As much of etcd as tickets need.
#[derive(Debug, Default)]
struct Model {
    revision: i64,
    /// Key to (creation revision, lease).
    keys: BTreeMap<Vec<u8>, (i64, i64)>,
    /// Deletions: revision and key.
    deleted: Vec<(i64, Vec<u8>)>,
}

impl Model {
    fn range(&self, request: &RangeRequest) -> RangeResult {
        let mut kvs: Vec<KeyValue> = self
            .keys
            .iter()
            .filter(|(key, _)| {
                if request.range_end.is_empty() {
                    **key == request.key
                } else {
                    **key >= request.key && **key < request.range_end
                }
            })
            .map(|(key, &(created, lease))| {
                let mut kv = KeyValue::from(quorate_proto::mvccpb::KeyValue::default());
                kv.key = key.clone().into();
                kv.create_revision = created;
                kv.lease = lease;
                kv
            })
            .filter(|kv| {
                request.max_create_revision == 0
                    || kv.create_revision <= request.max_create_revision
            })
            .collect();
        kvs.sort_by_key(|kv| kv.create_revision);
        if request.sort_order() == SortOrder::Descend {
            kvs.reverse();
        }
        if request.limit > 0 {
            kvs.truncate(request.limit as usize);
        }
        RangeResult {
            kvs,
            revision: self.revision,
            ..RangeResult::default()
        }
    }

    fn txn(&mut self, request: &TxnRequest) -> TxnResult {
        let compare = &request.compare[0];
        let created = self
            .keys
            .get(&compare.key)
            .map_or(0, |&(created, _)| created);
        let succeeded = compare.target_union == Some(TargetUnion::CreateRevision(created));
        let ops = if succeeded {
            &request.success
        } else {
            &request.failure
        };
        let mut responses = Vec::new();
        for op in ops {
            match op.request.as_ref().unwrap() {
                Request::RequestPut(put) => {
                    self.revision += 1;
                    let created = (self.revision, put.lease);
                    self.keys.entry(put.key.clone()).or_insert(created);
                    responses.push(OpResult::Deleted(0));
                }
                Request::RequestRange(range) => responses.push(OpResult::Range(self.range(range))),
                _ => panic!("no other operation is used"),
            }
        }
        TxnResult {
            succeeded,
            revision: self.revision,
            responses,
        }
    }

    /// The end of a lease.
    fn revoke(&mut self, lease: i64) {
        let gone: Vec<_> = self
            .keys
            .iter()
            .filter(|(_, (_, l))| *l == lease)
            .map(|(key, _)| key.clone())
            .collect();
        for key in gone {
            self.revision += 1;
            self.keys.remove(&key);
            self.deleted.push((self.revision, key));
        }
    }

    fn was_deleted(&self, key: &[u8], from: i64) -> bool {
        self.deleted
            .iter()
            .any(|(at, gone)| *at >= from && gone == key)
    }

    /// Carries out one step; `None` while it must wait.
    fn advance(&mut self, ticket: &mut Ticket, step: &Step) -> Option<Step> {
        Some(match step {
            Step::Enter(txn) => ticket.entered(&self.txn(txn)),
            Step::Find(range) => ticket.found(&self.range(range)),
            Step::Verify(range) => ticket.verified(&self.range(range)),
            Step::Await { key, revision } if self.was_deleted(key, *revision) => ticket.deleted(),
            _ => return None,
        })
    }
}

fn ticket(lease: i64) -> Ticket {
    Ticket::new("jobs", lease, Vec::new(), true)
}

/// Walks until it holds or must wait.
fn walk(model: &mut Model, ticket: &mut Ticket, mut step: Step) -> Step {
    while let Some(next) = model.advance(ticket, &step) {
        step = next;
    }
    step
}

#[test]
fn keys_are_laid_out_as_etcd_lays_them_out() {
    assert_eq!(ticket(0x1a2b).key(), b"jobs/1a2b");
    assert_eq!(prefix_of("jobs"), b"jobs/");
}

#[test]
fn the_first_holds_at_once_with_the_revision_of_its_ticket_as_token() {
    let mut model = Model {
        revision: 41,
        ..Model::default()
    };
    let mut first = ticket(1);
    let step = first.enter();
    assert_eq!(walk(&mut model, &mut first, step), Step::Held(42));
}

#[test]
fn each_waits_for_exactly_the_one_before_it() {
    let mut model = Model::default();
    let mut tickets: Vec<_> = (1..=4).map(ticket).collect();
    let steps: Vec<_> = tickets
        .iter_mut()
        .map(|ticket| {
            let step = ticket.enter();
            walk(&mut model, ticket, step)
        })
        .collect();
    assert_eq!(steps[0], Step::Held(1));
    for (waiting, before) in [(1, "jobs/1"), (2, "jobs/2"), (3, "jobs/3")] {
        let Step::Await { key, .. } = &steps[waiting] else {
            panic!("{:?}", steps[waiting]);
        };
        assert_eq!(key, before.as_bytes());
    }
    // One in the middle leaves: the one behind it moves up, and does not hold.
    model.revoke(2);
    let step = walk(&mut model, &mut tickets[2], steps[2].clone());
    assert!(matches!(&step, Step::Await { key, .. } if key == b"jobs/1"));
    model.revoke(1);
    assert_eq!(walk(&mut model, &mut tickets[2], step), Step::Held(3));
}

#[test]
fn without_waiting_it_is_busy() {
    let mut model = Model::default();
    let mut first = ticket(1);
    let step = first.enter();
    walk(&mut model, &mut first, step);
    let mut second = Ticket::new("jobs", 2, Vec::new(), false);
    let step = second.enter();
    assert_eq!(walk(&mut model, &mut second, step), Step::Busy);
}

#[test]
fn a_ticket_whose_creation_nobody_answered_is_found_again() {
    let mut model = Model::default();
    let mut first = ticket(1);
    let Step::Enter(txn) = first.enter() else {
        panic!("a transaction");
    };
    model.txn(&txn); // The answer is lost.
    let mut second = ticket(2);
    let step = second.enter();
    walk(&mut model, &mut second, step);
    let again = first.enter();
    assert_eq!(
        walk(&mut model, &mut first, again),
        Step::Held(1),
        "with its old place"
    );
    assert_eq!(model.keys.len(), 2);
}

#[test]
fn a_ticket_that_vanished_while_waiting_never_holds() {
    let mut model = Model::default();
    let (mut first, mut second) = (ticket(1), ticket(2));
    let step = first.enter();
    walk(&mut model, &mut first, step);
    let step = second.enter();
    let waiting = walk(&mut model, &mut second, step);
    model.revoke(2);
    model.revoke(1);
    assert_eq!(walk(&mut model, &mut second, waiting), Step::Gone);
}

#[test]
fn another_name_is_another_line() {
    let mut model = Model::default();
    for (name, lease) in [("a", 1), ("b", 2), ("ab", 3)] {
        let mut ticket = Ticket::new(name, lease, Vec::new(), true);
        let step = ticket.enter();
        assert!(matches!(walk(&mut model, &mut ticket, step), Step::Held(_)));
    }
}

proptest! {
    /// Whatever the order of steps: the tickets that believe to hold and still have their key are
    /// never two, tokens only grow, and the line never stops.
    #[test]
    fn one_at_a_time_in_order_of_arrival(
        moves in proptest::collection::vec((0usize..5, 0u8..8), 1..300),
    ) {
        let mut model = Model::default();
        let mut tickets: Vec<Ticket> = (1..=5).map(ticket).collect();
        let mut steps: Vec<Step> = tickets.iter().map(Ticket::enter).collect();
        let mut next_lease = 100;
        let mut last_token = 0;
        let drain = (0..400).map(|n| (n % 5, 7));
        let mut ended = 0;
        for (turn, (index, action)) in moves.iter().copied().chain(drain).enumerate() {
            let draining = turn >= moves.len();
            let ticket = &mut tickets[index];
            match action {
                // The lease ends, and it starts over with another.
                0 => {
                    model.revoke(ticket.lease);
                    next_lease += 1;
                    *ticket = Ticket::new("jobs", next_lease, Vec::new(), true);
                    steps[index] = ticket.enter();
                }
                // The answer to entering is lost.
                1 => if let Step::Enter(txn) = &steps[index] { model.txn(txn); },
                // The one who holds is done.
                2 | 7 if matches!(steps[index], Step::Held(_)) && (action == 2 || draining) => {
                    model.revoke(ticket.lease);
                    steps[index] = Step::Gone;
                    ended += 1;
                }
                _ => if let Some(next) = model.advance(ticket, &steps[index]) {
                    if let Step::Held(token) = next {
                        prop_assert!(token > last_token, "tokens only grow");
                        last_token = token;
                    }
                    steps[index] = next;
                },
            }
            let holders = steps
                .iter()
                .zip(&tickets)
                .filter(|(step, t)| matches!(step, Step::Held(_)) && model.keys.contains_key(t.key()))
                .count();
            prop_assert!(holders <= 1, "{holders} hold at once");
        }
        prop_assert!(steps.iter().all(|step| *step == Step::Gone), "the line stopped: {steps:?}");
        prop_assert!(ended >= 1);
    }
}

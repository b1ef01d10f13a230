//! Whatever is asked in whatever order, the store does what the model does.

use std::collections::VecDeque;

use proptest::prelude::*;
use quorate_proto::etcdserverpb::RangeRequest;
use quorate_proto::log::Command;
use quorate_proto::log::command::Op;

use crate::store::Store;
use crate::testing::model::Model;
use crate::testing::{Fixture, apply, random};

/// Only what would get into the log.
fn valid(store: &Store, ops: Vec<Op>) -> Vec<Op> {
    let mut ops = ops;
    ops.retain(|op| {
        let command = Command {
            op: Some(op.clone()),
        };
        store.validate(&command).is_ok()
    });
    ops
}

fn everything_at(revision: i64) -> RangeRequest {
    RangeRequest {
        key: vec![0],
        range_end: vec![0],
        revision,
        ..RangeRequest::default()
    }
}

/// All that can be seen from outside is the same.
fn assert_same(store: &Store, model: &Model) {
    assert_eq!(store.revision(), model.revision());
    assert_eq!(store.compacted_revision(), model.compacted);
    for revision in 0..model.revision() + 2 {
        let request = everything_at(revision);
        assert_eq!(store.range(&request), model.range(&request), "{revision}");
    }
    let ids: Vec<_> = model.leases.keys().copied().collect();
    assert_eq!(store.leases().ids(), ids);
    for (&id, &(ttl, left)) in &model.leases {
        let info = store.leases().remaining(id).unwrap();
        assert_eq!(info.granted, ttl);
        assert_eq!(info.remaining, if left == 0 { ttl } else { left });
        assert_eq!(info.keys, model.keys_of(id));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn answers_and_states_are_the_models(
        ops in prop::collection::vec(random::op(), 1..40),
        ranges in prop::collection::vec(random::range(), 8),
        steps in 0_usize..3,
    ) {
        let fixture = Fixture::new();
        let mut model = Model::new();
        for op in valid(&fixture.store, ops) {
            let expected = model.apply(op.clone());
            prop_assert_eq!(fixture.apply(op), expected);
            for _ in 0..steps {
                fixture.store.compaction_step().unwrap();
            }
            for range in &ranges {
                prop_assert_eq!(fixture.range(range), model.range(range), "{:?}", range);
            }
        }
        assert_same(&fixture.store, &model);
        fixture.finish_compaction();
        assert_same(&fixture.store, &model);
    }

    #[test]
    fn how_the_log_is_cut_makes_no_difference(
        ops in prop::collection::vec(random::op(), 1..40),
        cuts in prop::collection::vec(1_usize..6, 40),
    ) {
        let (one, other) = (Fixture::new(), Fixture::new());
        let mut ops = VecDeque::from(valid(&one.store, ops));
        for cut in cuts {
            let batch: Vec<_> = ops.drain(..cut.min(ops.len())).collect();
            let together = one.batch(batch.clone());
            let singly: Vec<_> = batch.into_iter().map(|op| other.apply(op)).collect();
            prop_assert_eq!(together, singly);
            // Compaction's progress is each node's own affair.
            other.store.compaction_step().unwrap();
        }
        prop_assert_eq!(one.store.hash_kv(0), other.store.hash_kv(0));
        other.finish_compaction();
        prop_assert_eq!(one.store.hash_kv(0), other.store.hash_kv(0));
        one.finish_compaction();
        prop_assert_eq!(one.store.hash_kv(0), other.store.hash_kv(0));
        prop_assert_eq!(one.store.hash_state(), other.store.hash_state());
    }

    #[test]
    fn after_a_crash_the_log_leads_to_the_same_state(
        before in prop::collection::vec(random::op(), 0..20),
        after in prop::collection::vec(random::op(), 0..20),
    ) {
        let fixture = Fixture::new();
        let mut model = Model::new();
        for op in valid(&fixture.store, before) {
            let _ = (fixture.apply(op.clone()), model.apply(op));
        }
        let durable = fixture.store.checkpoint().unwrap();
        let at_checkpoint = model.clone();
        let after = valid(&fixture.store, after);
        for op in &after {
            let _ = (fixture.apply(op.clone()), model.apply(op.clone()));
            fixture.store.compaction_step().unwrap();
        }
        let crashed = fixture.crashed();
        prop_assert_eq!(crashed.store.applied(), durable);
        assert_same(&crashed.store, &at_checkpoint);
        for op in after {
            apply(&crashed.store, vec![op]);
        }
        assert_same(&crashed.store, &model);
        prop_assert_eq!(crashed.store.hash_kv(0), fixture.store.hash_kv(0));
        prop_assert_eq!(crashed.store.hash_state(), fixture.store.hash_state());
        // A store closed in order loses nothing.
        let applied = fixture.store.applied();
        let reopened = fixture.reopened();
        prop_assert_eq!(reopened.store.applied(), applied);
        assert_same(&reopened.store, &model);
    }
}

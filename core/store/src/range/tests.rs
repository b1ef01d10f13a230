use quorate_proto::etcdserverpb::RangeRequest;
use quorate_proto::etcdserverpb::range_request::{SortOrder, SortTarget};

use crate::error::EtcdError;
use crate::testing::*;
use crate::view::ROWS_READ;

/// b, a, c at revisions 2, 3, 4; then b again at 5.
fn filled() -> Fixture {
    let fixture = Fixture::new();
    for (key, value) in [("b", "x"), ("a", "z"), ("c", "y"), ("b", "w")] {
        fixture.put(key, value);
    }
    fixture
}

fn keys(fixture: &Fixture, request: RangeRequest) -> String {
    let kvs = fixture.range(&request).unwrap().kvs;
    kvs.iter()
        .map(|kv| String::from_utf8_lossy(&kv.key))
        .collect()
}

fn all() -> RangeRequest {
    range("\0", "\0")
}

#[test]
fn an_empty_store_is_at_revision_one() {
    let fixture = Fixture::new();
    let response = fixture.range(&all()).unwrap();
    assert_eq!(response.header.unwrap().revision, 1);
    assert_eq!((response.count, response.more), (0, false));
    assert_eq!(fixture.store.revision(), 1);
}

#[test]
fn a_key_carries_its_numbers() {
    let fixture = filled();
    let kv = fixture.get("b").unwrap();
    assert_eq!((kv.create_revision, kv.mod_revision, kv.version), (2, 5, 2));
    assert_eq!(kv.value, "w");
    fixture.delete("b", "");
    assert_eq!(fixture.get("b"), None);
    fixture.put("b", "again");
    let kv = fixture.get("b").unwrap();
    assert_eq!((kv.create_revision, kv.mod_revision, kv.version), (7, 7, 1));
}

#[test]
fn an_empty_key_is_refused() {
    let fixture = filled();
    assert_eq!(fixture.range(&range("", "z")), Err(EtcdError::EmptyKey));
}

#[test]
fn ends_are_exclusive_open_or_absent() {
    let fixture = filled();
    assert_eq!(keys(&fixture, range("a", "c")), "ab");
    assert_eq!(keys(&fixture, range("b", "\0")), "bc");
    assert_eq!(keys(&fixture, all()), "abc");
    assert_eq!(keys(&fixture, range("c", "a")), "");
    assert_eq!(keys(&fixture, range("a", "")), "a");
}

#[test]
fn the_count_ignores_limit_and_filters_and_more_needs_a_limit() {
    let fixture = filled();
    let limited = RangeRequest { limit: 2, ..all() };
    let response = fixture.range(&limited).unwrap();
    assert_eq!((response.kvs.len(), response.count), (2, 3));
    assert!(response.more);
    let exact = RangeRequest { limit: 3, ..all() };
    assert!(!fixture.range(&exact).unwrap().more);
    let filtered = RangeRequest {
        min_mod_revision: 4,
        ..all()
    };
    let response = fixture.range(&filtered).unwrap();
    assert_eq!((response.kvs.len(), response.count), (2, 3));
    assert!(!response.more);
    let counted = RangeRequest {
        count_only: true,
        limit: 1,
        ..all()
    };
    let response = fixture.range(&counted).unwrap();
    assert_eq!((response.kvs.len(), response.count), (0, 3));
    assert!(!response.more);
}

#[test]
fn filters_are_inclusive_on_both_sides() {
    let fixture = filled();
    let modified = RangeRequest {
        min_mod_revision: 3,
        max_mod_revision: 4,
        ..all()
    };
    assert_eq!(keys(&fixture, modified), "ac");
    let created = RangeRequest {
        min_create_revision: 2,
        max_create_revision: 3,
        ..all()
    };
    assert_eq!(keys(&fixture, created), "ab");
}

#[test]
fn keys_only_leaves_out_the_values() {
    let fixture = filled();
    for sort_target in [SortTarget::Key, SortTarget::Value] {
        let request = RangeRequest {
            keys_only: true,
            sort_target: sort_target.into(),
            ..all()
        };
        let kvs = fixture.range(&request).unwrap().kvs;
        assert!(kvs.iter().all(|kv| kv.value.is_empty() && kv.version > 0));
    }
}

#[test]
fn sorting_by_all_targets_both_ways_and_none_is_ascending() {
    let fixture = filled();
    for (target, ascending) in [
        (SortTarget::Key, "abc"),
        (SortTarget::Version, "acb"),
        (SortTarget::Create, "bac"),
        (SortTarget::Mod, "acb"),
        (SortTarget::Value, "bca"),
    ] {
        for order in [SortOrder::None, SortOrder::Ascend] {
            let request = RangeRequest {
                sort_target: target.into(),
                sort_order: order.into(),
                ..all()
            };
            assert_eq!(keys(&fixture, request), ascending, "{target:?}");
        }
    }
    let descending = RangeRequest {
        sort_target: SortTarget::Mod.into(),
        sort_order: SortOrder::Descend.into(),
        limit: 2,
        ..all()
    };
    assert_eq!(keys(&fixture, descending), "bc");
}

fn by_creation(order: SortOrder, limit: i64) -> RangeRequest {
    RangeRequest {
        sort_target: SortTarget::Create.into(),
        sort_order: order.into(),
        limit,
        ..all()
    }
}

#[test]
fn of_those_created_at_once_the_first_by_key_comes_first() {
    let fixture = Fixture::new();
    fixture.put("d", "alone");
    let at_once = ["c", "a", "b"].map(|key| op_put(key, "together"));
    let at_once = quorate_proto::etcdserverpb::TxnRequest {
        success: at_once.into(),
        ..Default::default()
    };
    fixture.txn(at_once).unwrap();
    for (order, sorted) in [(SortOrder::Ascend, "dabc"), (SortOrder::Descend, "abcd")] {
        for limit in 1..=4 {
            let response = fixture.range(&by_creation(order, limit)).unwrap();
            assert_eq!((response.count, response.more), (4, limit < 4));
            let found = keys(&fixture, by_creation(order, limit));
            assert_eq!(found, sorted[..limit as usize], "{order:?}");
        }
    }
}

#[test]
fn the_past_is_sorted_by_when_its_keys_were_created() {
    let fixture = filled();
    fixture.delete("b", "");
    fixture.put("b", "anew");
    fixture.put("c", "changed");
    assert_eq!(keys(&fixture, by_creation(SortOrder::Ascend, 0)), "acb");
    let past = RangeRequest {
        revision: 5,
        ..by_creation(SortOrder::Ascend, 0)
    };
    assert_eq!(keys(&fixture, past.clone()), "bac");
    let past = RangeRequest {
        max_create_revision: 3,
        sort_order: SortOrder::Descend.into(),
        limit: 1,
        ..past
    };
    assert_eq!(keys(&fixture, past), "a");
}

#[test]
fn finding_the_oldest_and_the_one_before_reads_one_row_however_many_are_in_line() {
    let fixture = Fixture::new();
    fixture.batch(
        (0..500)
            .map(|n| put(&format!("k{:03}", n * 7 % 500), "v"))
            .collect(),
    );
    let oldest = by_creation(SortOrder::Ascend, 1);
    let before = RangeRequest {
        max_create_revision: 400,
        ..by_creation(SortOrder::Descend, 1)
    };
    for (request, created) in [(oldest, 2), (before, 400)] {
        let read = ROWS_READ.get();
        let response = fixture.range(&request).unwrap();
        assert_eq!(response.kvs[0].create_revision, created);
        assert_eq!((response.count, response.more), (500, true));
        assert_eq!(ROWS_READ.get() - read, 1);
    }
}

#[test]
fn an_answer_that_is_too_large_is_refused_and_its_parts_are_not() {
    let fixture = Fixture::new();
    let value = "v".repeat(1000);
    fixture.batch((0..100).map(|n| put(&format!("k{n:02}"), &value)).collect());
    let fixture = fixture.reopened_with(|options| options.most_answer_bytes = 50_000);
    let refused = Err(EtcdError::AnswerTooLarge);
    let read = |request: RangeRequest| fixture.range(&request).map(|found| found.kvs.len());
    assert_eq!(read(all()), refused);
    let limit = RangeRequest { limit: 40, ..all() };
    assert_eq!(read(limit), Ok(40));
    let keys_only = RangeRequest {
        keys_only: true,
        ..all()
    };
    assert_eq!(read(keys_only), Ok(100));
    let counted = RangeRequest {
        count_only: true,
        ..all()
    };
    assert_eq!(read(counted), Ok(0));
    // All ranges of a transaction are one answer.
    let twice = |end: &str| quorate_proto::etcdserverpb::TxnRequest {
        success: vec![op_range("k", end), op_range("k", end)],
        ..Default::default()
    };
    assert!(fixture.store.read_txn(&twice("k20")).is_ok());
    let error = fixture.store.read_txn(&twice("k30")).unwrap_err();
    assert_eq!(error, EtcdError::AnswerTooLarge);
    // What is in the log has the same outcome on every node, whatever its options.
    assert!(fixture.txn(twice("k30")).is_ok());
}

#[test]
fn unknown_sort_options_are_refused() {
    let fixture = filled();
    for (sort_order, sort_target) in [(3, 0), (0, 5), (-1, 0)] {
        let request = RangeRequest {
            sort_order,
            sort_target,
            ..all()
        };
        assert_eq!(fixture.range(&request), Err(EtcdError::InvalidSortOption));
    }
}

#[test]
fn the_past_is_readable_and_the_header_is_of_the_present() {
    let fixture = filled();
    let past = RangeRequest {
        revision: 3,
        ..all()
    };
    let response = fixture.range(&past).unwrap();
    assert_eq!(response.header.unwrap().revision, 5);
    assert_eq!(response.kvs.len(), 2);
    assert_eq!(response.kvs[1].value, "x");
}

#[test]
fn future_and_compacted_revisions_are_different_errors() {
    let fixture = filled();
    let at = |revision| {
        let request = RangeRequest { revision, ..all() };
        fixture.range(&request).map(|response| response.count)
    };
    assert_eq!(at(6), Err(EtcdError::FutureRevision));
    fixture.compact(4).unwrap();
    assert_eq!(at(3), Err(EtcdError::Compacted));
    assert_eq!(at(4), Ok(3), "the compacted revision itself is readable");
    fixture.finish_compaction();
    assert_eq!((at(4), at(0)), (Ok(3), Ok(3)));
}

#[test]
fn a_range_of_more_keys_than_one_lock_allows_is_whole() {
    let fixture = Fixture::new();
    fixture.batch((0..5000).map(|n| put(&format!("k{n:05}"), "v")).collect());
    let response = fixture.range(&range("k", "l")).unwrap();
    assert_eq!((response.kvs.len(), response.count), (5000, 5000));
    assert!(
        response
            .kvs
            .windows(2)
            .all(|pair| pair[0].key < pair[1].key)
    );
}

#[test]
fn readers_see_whole_batches_of_a_busy_writer() {
    let fixture = Fixture::new();
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let (store, stop) = (fixture.store.clone(), stop.clone());
            std::thread::spawn(move || {
                let mut newest = 0;
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    let response = store.range(&range("k", "l")).unwrap();
                    let revision = response.header.unwrap().revision;
                    assert!(revision >= newest, "time went back");
                    newest = revision;
                    // Each transaction gives all keys one value, its own revision's.
                    let values: std::collections::BTreeSet<_> =
                        response.kvs.iter().map(|kv| kv.value.clone()).collect();
                    assert!(values.len() <= 1, "half a transaction: {values:?}");
                    assert!(response.kvs.iter().all(|kv| kv.mod_revision == revision));
                }
                newest
            })
        })
        .collect();
    for number in 0..300 {
        let success = (0..20).map(|n| op_put(&format!("k{n}"), &number.to_string()));
        let txn = quorate_proto::etcdserverpb::TxnRequest {
            success: success.collect(),
            ..Default::default()
        };
        fixture.txn(txn).unwrap();
        if number % 50 == 49 {
            fixture.compact(fixture.store.revision()).unwrap();
        }
        fixture.store.compaction_step().unwrap();
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    for reader in readers {
        assert!(reader.join().unwrap() > 1);
    }
}

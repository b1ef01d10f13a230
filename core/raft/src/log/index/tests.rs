//! The index against a plain map, and its edges.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use quorate_wal::crash_disk::CrashDisk;
use quorate_wal::{Batch, Wal, WalOptions};

use super::*;
use crate::testing::log_id;
use crate::types::Payload;

/// Places of records of 100 bytes, as a log gives them.
fn places(count: usize) -> Vec<Position> {
    let options = WalOptions {
        segment_bytes: 1 << 20,
        ..WalOptions::default()
    };
    let (wal, _) = Wal::open_on(Arc::new(CrashDisk::new()), options, |_| Ok(())).unwrap();
    let mut batch = Batch::new();
    for _ in 0..count {
        batch.push(1, &[0; 100]);
    }
    wal.append_relaxed(batch).unwrap().positions
}

fn entry(term: u64, index: u64) -> Entry {
    Entry {
        log_id: log_id(term, index),
        payload: EntryPayload::Normal(Payload::received(vec![0; 100].into())),
    }
}

fn filled(count: u64) -> LogIndex {
    let mut index = LogIndex::default();
    for (number, place) in places(count as usize).into_iter().enumerate() {
        index.push(entry(1, number as u64), place);
    }
    index
}

#[derive(Clone, Debug)]
enum Step {
    Push { new_term: bool },
    Truncate { back: u64 },
    Purge { ahead: u64 },
    Evict { limit: usize },
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => any::<bool>().prop_map(|new_term| Step::Push { new_term }),
        1 => (0..6u64).prop_map(|back| Step::Truncate { back }),
        1 => (0..6u64).prop_map(|ahead| Step::Purge { ahead }),
        1 => (0..2000usize).prop_map(|limit| Step::Evict { limit }),
    ]
}

proptest! {
    #[test]
    fn holds_what_a_map_holds(steps in prop::collection::vec(steps(), 0..80)) {
        let places = places(steps.len());
        let mut index = LogIndex::default();
        let mut model: BTreeMap<u64, (Entry, Position)> = BTreeMap::new();
        let (mut purged, mut term, mut next) = (None::<LogId>, 1, 0);
        for (step, place) in steps.into_iter().zip(places) {
            match step {
                Step::Push { new_term } => {
                    term += u64::from(new_term);
                    let entry = entry(term, next);
                    index.push(entry.clone(), place);
                    model.insert(next, (entry, place));
                    next += 1;
                }
                Step::Truncate { back } => {
                    let floor = purged.map_or(0, |id| id.index + 1);
                    next = next.saturating_sub(back).max(floor);
                    model.split_off(&next);
                    index.truncate_after(next.checked_sub(1));
                }
                Step::Purge { ahead } => {
                    let upto = log_id(term, purged.map_or(0, |id| id.index) + ahead);
                    if purged.is_none_or(|purged| purged.index < upto.index) {
                        purged = Some(upto);
                    }
                    model = model.split_off(&(upto.index + 1));
                    next = next.max(upto.index + 1);
                    index.purge(upto);
                }
                Step::Evict { limit } => {
                    index.evict(u64::MAX, limit);
                    prop_assert!(index.cache_bytes <= limit);
                }
            }
            let last = model.values().next_back().map(|(entry, _)| entry.log_id);
            prop_assert_eq!(index.last_log_id(), last.or(purged));
            prop_assert_eq!(index.purged(), purged);
            prop_assert_eq!(index.first(), model.keys().next().copied());
            prop_assert_eq!(index.oldest(), model.values().next().map(|(_, place)| *place));
            let located = index.locate(0..u64::MAX, usize::MAX);
            prop_assert_eq!(located.len(), model.len());
            for (located, (entry, place)) in located.into_iter().zip(model.values()) {
                match located {
                    Located::Cached(cached) => prop_assert_eq!(&cached, entry),
                    Located::OnDisk(position) => prop_assert_eq!(&position, place),
                }
            }
            let cached: usize = index.cache.iter().map(cost).sum();
            prop_assert_eq!(index.cache_bytes, cached);
        }
    }
}

#[test]
fn only_what_is_on_disk_leaves_the_cache() {
    let mut index = filled(4);
    let third = index.position(2).unwrap().sequence;
    index.evict(third - 1, 0);
    let located = index.locate(0..4, usize::MAX);
    assert!(matches!(located[1], Located::OnDisk(_)));
    assert!(matches!(located[2], Located::Cached(_)));
}

#[test]
fn an_answer_may_be_short_but_is_never_empty() {
    let index = filled(5);
    assert_eq!(index.locate(0..5, 250).len(), 2);
    assert_eq!(index.locate(3..5, 0).len(), 1);
    assert_eq!(index.locate(5..9, 0).len(), 0);
}

#[test]
fn leaders_are_told_by_their_last_entries() {
    let mut index = LogIndex::default();
    for (place, (term, number)) in
        places(5)
            .into_iter()
            .zip([(2, 2), (2, 3), (5, 4), (5, 5), (5, 6)])
    {
        index.push(entry(term, number), place);
    }
    let expected = [log_id(2, 3), log_id(5, 6)];
    assert_eq!(index.leaders(2, 6), expected);
    assert_eq!(index.leaders(4, 4), [log_id(5, 4)]);
}

#[test]
fn the_purge_point_leaves_a_bounded_tail() {
    let index = filled(10);
    assert_eq!(index.purge_point(8, 300, 100), Some(5), "6, 7, 8 stay");
    assert_eq!(index.purge_point(8, 1000, 2), Some(6), "by count");
    assert_eq!(index.purge_point(8, 900, 9), None, "all of it fits");
    assert_eq!(
        index.purge_point(99, 100, 100),
        Some(8),
        "not behind the end"
    );
    assert_eq!(LogIndex::default().purge_point(5, 0, 0), None);
    let mut index = filled(10);
    index.purge(log_id(1, 5));
    assert_eq!(
        index.purge_point(8, 300, 100),
        None,
        "what is gone counts no more"
    );
    assert_eq!(index.purge_point(3, 0, 0), None);
}

//! Reading on for a lagging watcher: a bounded piece of the history.

use quorate_proto::mvccpb::Event;
use quorate_proto::mvccpb::event::EventType;

use super::queue::Watcher;
use super::response::with_previous;
use super::stream::WatchLimits;
use crate::error::{StoreFault, disk};
use crate::record::Record;
use crate::revision::{Revision, RowKey};
use crate::store::Shared;
use crate::view::{View, read_row};

/// What was found.
pub(crate) struct Piece {
    pub(crate) events: Vec<Event>,
    /// The revision of the last event.
    pub(crate) revision: i64,
    /// Where to go on.
    pub(crate) next: i64,
    /// The newest revision that could be read; beyond it the hub may know more.
    pub(crate) newest: i64,
}

/// Collects events, and says when it is enough; but never within a revision.
struct Collector<'a> {
    shared: &'a Shared,
    limits: &'a WatchLimits,
    view: &'a View,
    watcher: &'a Watcher,
    piece: Piece,
    rows: usize,
    bytes: usize,
}

impl Collector<'_> {
    /// Whether a row of revision `main` has to wait for the next piece.
    fn is_full(&mut self, main: i64) -> bool {
        // All rows before `next` were seen; within a revision it can't stop.
        let boundary = main >= self.piece.next;
        let enough = self.rows >= self.limits.history_rows
            || self.piece.events.len() >= self.limits.response_events
            || self.bytes >= self.limits.response_bytes;
        if boundary && enough {
            self.piece.next = main;
            return true;
        }
        self.piece.next = self.piece.next.max(main + 1);
        self.rows += 1;
        false
    }

    fn add(&mut self, revision: Revision, record: Record<'_>) -> Result<(), StoreFault> {
        let kind = match record {
            Record::Put { .. } => EventType::Put,
            Record::Tombstone { .. } => EventType::Delete,
        };
        let key = record.key();
        if !self.watcher.range.contains(key) || !self.watcher.filters.pass(kind) {
            return Ok(());
        }
        let kv = record.to_key_value(revision);
        self.bytes += kv.key.len() + kv.value.len();
        let mut event = Event {
            r#type: kind.into(),
            kv: Some(kv),
            prev_kv: None,
        };
        if self.watcher.prev_kv {
            let state = self.shared.state.read();
            // The index may be compacted further than the view is.
            let kept = revision.main > state.view.compacted;
            let previous = state.index.before(key, revision.main);
            drop(state);
            event = with_previous(self.view, &event, previous.filter(|_| kept))?;
        }
        self.piece.revision = revision.main;
        self.piece.events.push(event);
        Ok(())
    }
}

/// What reading came to.
pub(crate) enum Read {
    Piece(Piece),
    /// The history wanted is not kept any more; it begins at this revision now.
    Compacted(i64),
}

/// Reads the next piece of `watcher`'s history from revision `next` on.
pub(crate) fn read(
    shared: &Shared,
    limits: &WatchLimits,
    watcher: &Watcher,
    next: i64,
) -> Result<Read, StoreFault> {
    let view = shared.view();
    let few = {
        let state = shared.state.read();
        if next < state.view.compacted {
            return Ok(Read::Compacted(state.view.compacted));
        }
        state.index.changes_of_few(
            &watcher.range,
            (next, view.revision),
            limits.indexed_keys,
            limits.response_events,
        )
    };
    let mut collector = Collector {
        shared,
        limits,
        view: &view,
        watcher,
        piece: Piece {
            events: Vec::new(),
            revision: next,
            next,
            newest: view.revision,
        },
        rows: 0,
        bytes: 0,
    };
    match few {
        Some((changes, complete_to)) => read_few(&mut collector, changes, complete_to)?,
        None => scan(&mut collector)?,
    }
    Ok(Read::Piece(collector.piece))
}

/// Reads the rows the index named; it named all up to revision `complete_to`.
fn read_few(
    collector: &mut Collector<'_>,
    mut changes: Vec<Revision>,
    complete_to: i64,
) -> Result<(), StoreFault> {
    changes.sort_unstable();
    let rows = &collector.view.rows;
    for revision in changes {
        if revision.main > complete_to {
            break;
        }
        if collector.is_full(revision.main) {
            return Ok(());
        }
        read_row(rows, revision, |record| collector.add(revision, record))??;
    }
    collector.piece.next = complete_to + 1;
    Ok(())
}

/// Looks at all rows.
fn scan(collector: &mut Collector<'_>) -> Result<(), StoreFault> {
    let first = Revision::new(collector.piece.next, 0).row_key();
    let last = Revision::new(collector.piece.newest, u32::MAX).row_key();
    let rows = collector.view.rows.range::<&RowKey>(&first..=&last);
    for row in rows.map_err(disk("reading the rows"))? {
        let (key, row) = row.map_err(disk("reading the rows"))?;
        let revision = Revision::from_row_key(key.value())
            .ok_or_else(|| StoreFault::damaged("a row has an impossible revision"))?;
        if collector.is_full(revision.main) {
            return Ok(());
        }
        collector.add(revision, Record::decode(row.value())?)?;
    }
    collector.piece.next = collector.piece.newest + 1;
    Ok(())
}

//! What the log holds, in memory: for every entry its id and where it is on disk, and the newest entries whole.
//!
//! Pure: no I/O. An entry leaves the cache only when it can be read from the disk.

use std::collections::VecDeque;
use std::ops::Range;

use quorate_wal::Position;

use crate::types::{Entry, EntryPayload, LeaderId, LogId};

/// A rough size of an entry's fixed parts, so that small ones count too.
const ENTRY_OVERHEAD: usize = 128;

/// One entry, as it is found.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Located {
    /// In memory.
    Cached(Entry),
    /// To be read.
    OnDisk(Position),
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    leader: LeaderId,
    position: Position,
}

/// The entries `(purged, last]`, without holes.
#[derive(Debug, Default)]
pub(crate) struct LogIndex {
    /// Index of the first slot; of the next entry if there is none.
    first: u64,
    slots: VecDeque<Slot>,
    /// The newest entries: a suffix of the slots.
    cache: VecDeque<Entry>,
    cache_bytes: usize,
    purged: Option<LogId>,
}

fn cost(entry: &Entry) -> usize {
    ENTRY_OVERHEAD
        + match &entry.payload {
            EntryPayload::Normal(payload) => payload.encoded().len(),
            EntryPayload::Blank | EntryPayload::Membership(_) => 0,
        }
}

impl LogIndex {
    /// The index one above the last entry.
    fn end(&self) -> u64 {
        self.first + self.slots.len() as u64
    }

    fn slot(&self, index: u64) -> Option<&Slot> {
        let offset = index.checked_sub(self.first)?;
        self.slots.get(usize::try_from(offset).ok()?)
    }

    /// Where an entry is on disk.
    pub(crate) fn position(&self, index: u64) -> Option<Position> {
        self.slot(index).map(|slot| slot.position)
    }

    /// The oldest entry's place.
    pub(crate) fn oldest(&self) -> Option<Position> {
        self.slots.front().map(|slot| slot.position)
    }

    pub(crate) fn purged(&self) -> Option<LogId> {
        self.purged
    }

    /// The id of the last entry; the purged position if there is none.
    pub(crate) fn last_log_id(&self) -> Option<LogId> {
        match self.slots.back() {
            Some(slot) => Some(LogId::new(slot.leader, self.end() - 1)),
            None => self.purged,
        }
    }

    /// Which index must come next; `None` if there is no entry to follow. Replay may then begin anywhere: what
    /// was before may be gone with its segment, and the purged position that says so comes later.
    pub(crate) fn expected(&self) -> Option<u64> {
        (!self.slots.is_empty()).then(|| self.end())
    }

    /// The index of the first entry, if there is one.
    pub(crate) fn first(&self) -> Option<u64> {
        (!self.slots.is_empty()).then_some(self.first)
    }

    /// Adds the next entry. The caller sees to it that it is the next one.
    pub(crate) fn push(&mut self, entry: Entry, position: Position) {
        if self.slots.is_empty() {
            self.first = entry.log_id.index;
        }
        debug_assert_eq!(entry.log_id.index, self.end(), "the log would have a hole");
        self.slots.push_back(Slot {
            leader: entry.log_id.leader_id,
            position,
        });
        self.cache_bytes += cost(&entry);
        self.cache.push_back(entry);
    }

    /// Forgets entries behind this index; all if there is none.
    pub(crate) fn truncate_after(&mut self, last: Option<u64>) {
        let end = last.map_or(0, |last| last + 1);
        while self.end() > end && self.slots.pop_back().is_some() {
            if let Some(entry) = self.cache.pop_back() {
                self.cache_bytes -= cost(&entry);
            }
        }
    }

    /// Forgets entries up to and including this one, whether they are there or not.
    pub(crate) fn purge(&mut self, upto: LogId) {
        if self.purged.is_some_and(|purged| purged.index >= upto.index) {
            return;
        }
        self.purged = Some(upto);
        let end = upto.index + 1;
        while self.first < end && !self.slots.is_empty() {
            if self.cache.len() == self.slots.len() {
                self.evict_one();
            }
            self.slots.pop_front();
            self.first += 1;
        }
        if self.slots.is_empty() {
            self.first = end;
        }
    }

    /// Drops the oldest cached entries while the cache is too large, if they can be read from the disk.
    pub(crate) fn evict(&mut self, flushed: u64, limit: usize) {
        while self.cache_bytes > limit {
            let oldest = self.end() - self.cache.len() as u64;
            match self.position(oldest) {
                Some(position) if position.sequence <= flushed => self.evict_one(),
                _ => return,
            }
        }
    }

    fn evict_one(&mut self) {
        if let Some(entry) = self.cache.pop_front() {
            self.cache_bytes -= cost(&entry);
        }
    }

    /// The entries of this range that exist, until they are together larger than `limit`; at least one.
    pub(crate) fn locate(&self, range: Range<u64>, limit: usize) -> Vec<Located> {
        let begin = range.start.max(self.first);
        let end = range.end.min(self.end());
        let cached_from = self.end() - self.cache.len() as u64;
        let mut located = Vec::with_capacity(end.saturating_sub(begin).min(1 << 16) as usize);
        let mut bytes = 0;
        for index in begin..end {
            let Some(slot) = self.slot(index) else { break };
            bytes += slot.position.payload_bytes();
            if bytes > limit && !located.is_empty() {
                break;
            }
            let cached = index
                .checked_sub(cached_from)
                .and_then(|offset| self.cache.get(offset as usize));
            located.push(match cached {
                Some(entry) => Located::Cached(entry.clone()),
                None => Located::OnDisk(slot.position),
            });
        }
        located
    }

    /// The last entry of every leader in this inclusive range. (openraft's trait speaks of the first; its engine
    /// and its tests want the last.)
    pub(crate) fn leaders(&self, first: u64, last: u64) -> Vec<LogId> {
        let mut ids: Vec<LogId> = Vec::new();
        for index in first..=last {
            let Some(slot) = self.slot(index) else {
                continue;
            };
            let id = LogId::new(slot.leader, index);
            match ids.last_mut() {
                Some(newest) if newest.leader_id == slot.leader => *newest = id,
                _ => ids.push(id),
            }
        }
        ids
    }

    /// The highest index to purge, at most `durable`, such that the entries left up to `durable` are within
    /// both limits. `None` if they already are.
    pub(crate) fn purge_point(
        &self,
        durable: u64,
        kept_bytes: usize,
        kept_entries: usize,
    ) -> Option<u64> {
        let mut index = durable.min(self.end().checked_sub(1)?);
        let (mut bytes, mut entries) = (0, 0);
        loop {
            // Below the first slot there is nothing to purge.
            bytes += self.slot(index)?.position.payload_bytes();
            entries += 1;
            if bytes > kept_bytes || entries > kept_entries {
                return Some(index);
            }
            index = index.checked_sub(1)?;
        }
    }
}

#[cfg(test)]
mod tests;

//! The ordered index in memory: key → the revisions it changed at.
//!
//! Values stay on the disk; the index says where. It is rebuilt by one scan of the rows at open.
//! It is itself multi-version: a reader at revision R ignores what is newer, so the writer may
//! insert while a transaction is under way, and nobody sees half of it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Bound;

use bytes::Bytes;

use crate::key_range::KeyRange;
use crate::revision::Revision;

/// What is known of a key's newest version without reading its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) revision: Revision,
    pub(crate) create_revision: i64,
    pub(crate) version: i64,
    pub(crate) lease: i64,
}

/// A version that a reader finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) revision: Revision,
    /// Known of the newest versions; 0 of others, whose rows have it.
    pub(crate) create_revision: i64,
}

#[derive(Clone, Copy, Debug)]
struct Change {
    revision: Revision,
    tombstone: bool,
}

/// A key's changes, oldest first, and the numbers of its newest version (0 after a delete).
#[derive(Debug, Default)]
struct History {
    changes: Vec<Change>,
    create_revision: i64,
    version: i64,
    lease: i64,
}

impl History {
    /// The version that is visible at `at`, unless the key is deleted then.
    fn live_at(&self, at: i64) -> Option<Revision> {
        let newer = self.changes.partition_point(|c| c.revision.main <= at);
        let change = self.changes[..newer].last()?;
        (!change.tombstone).then_some(change.revision)
    }

    /// The same, with when the key was created if that is known without its row.
    fn seen_at(&self, at: i64) -> Option<Seen> {
        let revision = self.live_at(at)?;
        let newest = self.changes.last().is_some_and(|c| c.revision == revision);
        Some(Seen {
            revision,
            create_revision: if newest { self.create_revision } else { 0 },
        })
    }

    fn head(&self) -> Option<Head> {
        let change = self.changes.last().filter(|c| !c.tombstone)?;
        Some(Head {
            revision: change.revision,
            create_revision: self.create_revision,
            version: self.version,
            lease: self.lease,
        })
    }

    /// How many of the oldest changes nobody may read once `compacted` is compacted. The newest
    /// at or below it stays, as it is what a read there finds; a tombstone only if it is exactly
    /// there, for a watch that starts there must still see it.
    fn superseded(&self, compacted: i64) -> usize {
        let old = self
            .changes
            .partition_point(|c| c.revision.main <= compacted);
        match self.changes[..old].last() {
            None => 0,
            Some(last) if last.tombstone && last.revision.main < compacted => old,
            // A transaction's earlier changes of the same key belong to the kept revision.
            Some(last) => self
                .changes
                .partition_point(|c| c.revision.main < last.revision.main),
        }
    }
}

/// Every key that ever was since the last compaction.
#[derive(Debug, Default)]
pub(crate) struct Index {
    keys: BTreeMap<Bytes, History>,
}

/// What lives in a range: all of it is counted, only as much as is wanted is kept.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) wanted: usize,
    pub(crate) versions: Vec<Seen>,
    pub(crate) count: usize,
}

impl Found {
    pub(crate) fn up_to(wanted: usize) -> Self {
        Self {
            wanted,
            versions: Vec::new(),
            count: 0,
        }
    }
}

/// One step of compaction: rows to delete, and where to go on.
pub(crate) struct Superseded {
    pub(crate) rows: Vec<Revision>,
    /// Keys that lose changes, and how many of their oldest.
    pub(crate) keys: Vec<(Bytes, usize)>,
    /// The next key to look at; `None` when the end was reached.
    pub(crate) resume: Option<Bytes>,
}

impl Index {
    /// The newest version of a key, if it is not deleted.
    pub(crate) fn head(&self, key: &[u8]) -> Option<Head> {
        self.keys.get(key)?.head()
    }

    /// The version of a key that is visible at `at`; with its [`Head`] if it is the newest.
    pub(crate) fn live_at(&self, key: &[u8], at: i64) -> Option<(Revision, Option<Head>)> {
        let history = self.keys.get(key)?;
        let revision = history.live_at(at)?;
        let head = history.head().filter(|head| head.revision == revision);
        Some((revision, head))
    }

    /// The version before `main`, if the key existed then.
    pub(crate) fn before(&self, key: &[u8], main: i64) -> Option<Revision> {
        self.keys.get(key)?.live_at(main - 1)
    }

    /// Finds what lives in `range` at `at`, in key order, looking at no more than `keys` keys
    /// after `resume`. Returns where to go on; `None` at the end.
    pub(crate) fn collect_live(
        &self,
        range: &KeyRange,
        at: i64,
        resume: Option<&Bytes>,
        keys: usize,
        found: &mut Found,
    ) -> Option<Bytes> {
        let mut left = keys;
        for (key, history) in self.iterate(range, resume) {
            if let Some(seen) = history.seen_at(at) {
                found.count += 1;
                if found.versions.len() < found.wanted {
                    found.versions.push(seen);
                }
            }
            left -= 1;
            if left == 0 {
                return Some(key.clone());
            }
        }
        None
    }

    /// The living keys of `range`, newest versions only, in key order.
    pub(crate) fn heads(&self, range: &KeyRange) -> impl Iterator<Item = (&Bytes, Head)> {
        self.iterate(range, None)
            .filter_map(|(key, history)| Some((key, history.head()?)))
    }

    /// The changes in `range` between two revisions, both included, unordered, if the range has
    /// at most `keys` keys; and up to which revision they are complete, as there are at most
    /// `per_key` of each. `None` if it has more keys: scan the rows instead.
    pub(crate) fn changes_of_few(
        &self,
        range: &KeyRange,
        (from, to): (i64, i64),
        keys: usize,
        per_key: usize,
    ) -> Option<(Vec<Revision>, i64)> {
        let mut found = Vec::new();
        let mut complete_to = to;
        for (number, (_, history)) in self.iterate(range, None).enumerate() {
            if number == keys {
                return None;
            }
            let first = history.changes.partition_point(|c| c.revision.main < from);
            let last = history.changes.partition_point(|c| c.revision.main <= to);
            let wanted = &history.changes[first.min(last)..last];
            if let Some(missing) = wanted.get(per_key) {
                complete_to = complete_to.min(missing.revision.main - 1);
            }
            found.extend(wanted.iter().take(per_key).map(|c| c.revision));
        }
        Some((found, complete_to))
    }

    fn iterate(
        &self,
        range: &KeyRange,
        resume: Option<&Bytes>,
    ) -> impl Iterator<Item = (&Bytes, &History)> {
        // An ordered map panics on a range that ends before it starts.
        let nothing = range.is_empty()
            || resume.is_some_and(|key| range.single().is_some() || !range.contains(key));
        let (start, end) = range.bounds();
        let start = resume.map_or(start, |key| Bound::Excluded(&key[..]));
        (!nothing)
            .then(|| self.keys.range::<[u8], _>((start, end)))
            .into_iter()
            .flatten()
    }

    /// Records a put. Revisions of a key only grow.
    pub(crate) fn put(&mut self, key: Bytes, revision: Revision, lease: i64) -> Head {
        let history = self.keys.entry(key).or_default();
        if history.version == 0 {
            history.create_revision = revision.main;
        }
        history.version += 1;
        history.lease = lease;
        history.changes.push(Change {
            revision,
            tombstone: false,
        });
        Head {
            revision,
            create_revision: history.create_revision,
            version: history.version,
            lease,
        }
    }

    /// Records a delete of a living key.
    pub(crate) fn delete(&mut self, key: &[u8], revision: Revision) {
        if let Some(history) = self.keys.get_mut(key) {
            history.bury(revision);
        }
    }

    /// Takes a row in while the index is rebuilt; rows come in the order of their revisions.
    pub(crate) fn load(&mut self, key: &[u8], revision: Revision, head: Option<Head>) {
        let history = match self.keys.get_mut(key) {
            Some(history) => history,
            None => match self.keys.entry(Bytes::copy_from_slice(key)) {
                Entry::Occupied(entry) => entry.into_mut(),
                Entry::Vacant(entry) => entry.insert(History::default()),
            },
        };
        match head {
            Some(head) => {
                history.create_revision = head.create_revision;
                history.version = head.version;
                history.lease = head.lease;
                history.changes.push(Change {
                    revision,
                    tombstone: false,
                });
            }
            None => history.bury(revision),
        }
    }

    /// Every living key with a lease, to attach them again after a rebuild.
    pub(crate) fn leased(&self) -> impl Iterator<Item = (&Bytes, i64)> {
        self.keys
            .iter()
            .filter_map(|(key, history)| Some((key, history.head()?.lease)))
            .filter(|&(_, lease)| lease != 0)
    }

    /// How many keys there are, deleted ones that are still in the history included.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether a row at or below `compacted` survives that compaction.
    pub(crate) fn keeps(&self, key: &[u8], revision: Revision, compacted: i64) -> bool {
        self.keys.get(key).is_some_and(|history| {
            let kept = &history.changes[history.superseded(compacted)..];
            kept.binary_search_by_key(&revision, |change| change.revision)
                .is_ok()
        })
    }

    /// Finds changes that `compacted` supersedes, from the key `resume` on: at most `rows` of
    /// them, looking at no more than `keys` keys.
    pub(crate) fn superseded(
        &self,
        compacted: i64,
        resume: Option<&Bytes>,
        rows: usize,
        keys: usize,
    ) -> Superseded {
        let mut found = Superseded {
            rows: Vec::new(),
            keys: Vec::new(),
            resume: None,
        };
        let start = resume.map_or(Bound::Unbounded, Bound::Included);
        let from_start = self.keys.range::<Bytes, _>((start, Bound::Unbounded));
        for (number, (key, history)) in from_start.enumerate() {
            let room = rows - found.rows.len();
            let old = history.superseded(compacted);
            let count = old.min(room);
            if number == keys || (old > 0 && room == 0) {
                found.resume = Some(key.clone());
                break;
            }
            if count > 0 {
                let changes = history.changes[..count].iter();
                found.rows.extend(changes.map(|change| change.revision));
                found.keys.push((key.clone(), count));
            }
            if count < old {
                found.resume = Some(key.clone());
                break;
            }
        }
        found
    }

    /// Forgets what [`Self::superseded`] found, once its rows are gone.
    pub(crate) fn forget(&mut self, keys: &[(Bytes, usize)]) {
        for (key, count) in keys {
            if let Some(history) = self.keys.get_mut(key) {
                history.changes.drain(..*count);
                if history.changes.is_empty() {
                    self.keys.remove(key);
                } else if history.changes.len() * 4 < history.changes.capacity() {
                    history.changes.shrink_to_fit();
                }
            }
        }
    }
}

impl History {
    fn bury(&mut self, revision: Revision) {
        self.create_revision = 0;
        self.version = 0;
        self.lease = 0;
        self.changes.push(Change {
            revision,
            tombstone: true,
        });
    }
}

#[cfg(test)]
mod tests;

//! What is on the crashing disk, and what a power loss leaves of it.

use std::collections::BTreeMap;
use std::io;

use super::Operation;

/// Everything there is, and everything that is planned for it.
#[derive(Clone, Default)]
pub(super) struct World {
    pub(super) files: Vec<Contents>,
    /// Names as programs see them, and as a power loss would leave them.
    pub(super) names: BTreeMap<String, usize>,
    pub(super) durable_names: BTreeMap<String, usize>,
    pub(super) unsynced_names: Vec<NameChange>,
    pub(super) operations: Vec<Operation>,
    pub(super) crash_at: Option<usize>,
    pub(super) crashed: bool,
    pub(super) faults: Vec<Fault>,
    pub(super) space: Option<u64>,
    pub(super) syncs_held: bool,
    /// How many syncs wait for that to end.
    pub(super) syncs_waiting: usize,
}

/// A file's bytes, whatever its name.
#[derive(Clone, Default)]
pub(super) struct Contents {
    pub(super) seen: Vec<u8>,
    pub(super) durable: Vec<u8>,
    pub(super) unsynced: Vec<Change>,
}

/// A change of a file that a power loss may take back.
#[derive(Clone)]
pub(super) enum Change {
    Size(usize),
    Bytes { offset: usize, bytes: Vec<u8> },
}

/// A change of the directory that a power loss may take back.
#[derive(Clone)]
pub(super) enum NameChange {
    Add(String, usize),
    Move(String, String, usize),
    Remove(String),
}

/// An operation that is to fail.
#[derive(Clone)]
pub(super) struct Fault {
    pub(super) operation: Operation,
    /// How many more of these succeed.
    pub(super) after: usize,
    pub(super) error: io::ErrorKind,
}

impl World {
    pub(super) fn check(&self) -> io::Result<()> {
        if self.crashed {
            return Err(io::Error::other("the disk has crashed"));
        }
        Ok(())
    }

    pub(super) fn count(&self, operation: Operation) -> usize {
        self.operations
            .iter()
            .filter(|&&each| each == operation)
            .count()
    }

    /// Counts an operation. The outer error says that it has no effect; the inner one that it was cut off, and
    /// takes effect as far as the dice allow.
    pub(super) fn begin(&mut self, operation: Operation) -> io::Result<io::Result<()>> {
        self.check()?;
        self.crashed = self.crash_at == Some(self.operations.len());
        self.operations.push(operation);
        if self.crashed {
            return Ok(self.check());
        }
        let due = self
            .faults
            .iter()
            .position(|fault| fault.operation == operation && fault.after == 0);
        for fault in &mut self.faults {
            if fault.operation == operation {
                fault.after = fault.after.saturating_sub(1);
            }
        }
        match due {
            Some(index) => Err(self.faults.remove(index).error.into()),
            None => Ok(Ok(())),
        }
    }

    pub(super) fn change_names(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.unsynced_names.push(change);
    }

    /// The same files for a new process; what was planned for the old one is off.
    pub(super) fn restarted(&self) -> Self {
        Self {
            crash_at: None,
            crashed: false,
            faults: Vec::new(),
            operations: Vec::new(),
            syncs_held: false,
            syncs_waiting: 0,
            ..self.clone()
        }
    }
}

impl NameChange {
    pub(super) fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Self::Add(name, file) => {
                names.insert(name.clone(), *file);
            }
            Self::Move(from, to, file) => {
                names.remove(from);
                names.insert(to.clone(), *file);
            }
            Self::Remove(name) => {
                names.remove(name);
            }
        }
    }
}

impl Change {
    pub(super) fn apply(&self, contents: &mut Vec<u8>) {
        match self {
            Self::Size(size) => contents.resize(*size, 0),
            Self::Bytes { offset, bytes } => put(contents, *offset, bytes),
        }
    }
}

impl Contents {
    pub(super) fn change(&mut self, change: Change) {
        change.apply(&mut self.seen);
        self.unsynced.push(change);
    }

    pub(super) fn lose_power(&mut self, sector: usize, dice: &mut Dice) {
        let mut size = self.durable.len();
        let mut writes = Vec::new();
        for change in std::mem::take(&mut self.unsynced) {
            match change {
                Change::Size(to) if dice.below(2) == 0 => size = to,
                Change::Size(_) => {}
                Change::Bytes { offset, bytes } => writes.push((offset, bytes)),
            }
        }
        let mut left = std::mem::take(&mut self.durable);
        for start in (0..self.seen.len()).step_by(sector) {
            let pieces: Vec<_> = writes
                .iter()
                .filter_map(|(offset, bytes)| overlap(*offset, bytes, start, sector))
                .collect();
            if pieces.is_empty() {
                continue;
            }
            let kept = dice.below(pieces.len() as u64 + 1) as usize;
            for (offset, bytes) in &pieces[..kept] {
                put(&mut left, *offset, bytes);
            }
            if let Some((offset, bytes)) = pieces.get(kept) {
                dice.tear(&mut left, *offset, bytes);
            }
        }
        left.resize(size, 0);
        self.seen = left.clone();
        self.durable = left;
    }
}

/// Writes into a buffer that grows as needed.
fn put(into: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if into.len() < end {
        into.resize(end, 0);
    }
    into[offset..end].copy_from_slice(bytes);
}

/// The part of a write that falls into a sector.
fn overlap(offset: usize, bytes: &[u8], start: usize, sector: usize) -> Option<(usize, &[u8])> {
    let from = offset.max(start);
    let to = (offset + bytes.len()).min(start + sector);
    (from < to).then(|| (from, &bytes[from - offset..to - offset]))
}

/// Repeatable chance (SplitMix64, Steele, Lea and Flood 2014).
pub(super) struct Dice(pub(super) u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// Applies none, the front, the back, or a garbled version of a write; nothing outside of it changes.
    fn tear(&mut self, into: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
        let cut = self.below(bytes.len() as u64 + 1) as usize;
        match self.below(6) {
            0 => put(into, offset, &bytes[..cut]),
            1 => put(into, offset + cut, &bytes[cut..]),
            2 => {
                let garbled: Vec<u8> = bytes.iter().map(|_| self.next() as u8).collect();
                put(into, offset, &garbled);
            }
            _ => {}
        }
    }
}

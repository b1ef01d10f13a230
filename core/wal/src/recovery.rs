//! Opening: replays the segments in order and finds the log's end.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;

use crate::cursor::Cursor;
use crate::disk::Disk;
use crate::error::{Attempt, WalError};
use crate::options::WalOptions;
use crate::record::{HEADER, Header, Position, Record, Role, stored_size};
use crate::segment::{self, HEADER_BLOCK, Segment, SegmentHeader};
use crate::tail;
use crate::window::Window;

/// What opening found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// Number of segments.
    pub segments: usize,
    /// Number of records replayed.
    pub records: u64,
    /// Sequence of the oldest record kept, or of the next one if there is none.
    pub first_sequence: u64,
    /// Sequence of the newest record; one below `first_sequence` if there is none.
    pub last_sequence: u64,
    /// The end of an interrupted write that was erased: records that no one was told are durable.
    pub torn: Option<TornTail>,
}

/// What was erased from the end of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// The segment.
    pub path: PathBuf,
    /// Where the erased bytes began.
    pub offset: u64,
    /// The first sequence among them; it will be given again.
    pub sequence: u64,
    /// From the first to the last byte that was not zero.
    pub bytes: u64,
}

/// The log's end, from where appending goes on.
pub(crate) struct Recovered {
    pub(crate) open: BTreeMap<u64, Segment>,
    pub(crate) active: Segment,
    pub(crate) cursor: Cursor,
    pub(crate) end: End,
    pub(crate) report: Recovery,
}

/// Where the chain of whole records ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    /// The offset behind the last record.
    pub(crate) offset: u32,
    /// The next sequence.
    pub(crate) sequence: u64,
    /// The header CRC of the last record.
    pub(crate) chain: u32,
}

/// Replays the log and repairs its tail, or starts a new log at sequence 1.
pub(crate) fn recover(
    disk: &dyn Disk,
    options: &WalOptions,
    visit: &mut dyn FnMut(Record<'_>) -> Result<(), WalError>,
) -> Result<Recovered, WalError> {
    let mut firsts = Vec::new();
    for name in disk.list().attempt("list", disk.directory())? {
        firsts.extend(segment::first_by_name(disk, &name)?);
    }
    firsts.sort_unstable();
    let mut open = BTreeMap::new();
    let mut last: Option<(Segment, End)> = None;
    for &first in &firsts {
        let segment = Segment::open(disk, first)?;
        if let Some((before, end)) = &last {
            check_joint(disk, before, *end, &segment.header)?;
        }
        if Some(&first) == firsts.last() {
            settle(disk, &segment)?;
        }
        let end = replay(disk, &segment, visit)?;
        open.insert(first, segment.clone());
        last = Some((segment, end));
    }
    let (active, end, torn) = match last {
        Some((segment, end)) => {
            let torn = finish(disk, &segment, end)?;
            (segment, end, torn)
        }
        None => {
            let (segment, end) = begin(disk, options)?;
            open.insert(segment.header.first, segment.clone());
            (segment, end, None)
        }
    };
    segment::discard_spare(disk)?;
    let first_sequence = *open.keys().next().expect("one was opened or begun");
    let report = Recovery {
        segments: open.len(),
        records: end.sequence - first_sequence,
        first_sequence,
        last_sequence: end.sequence - 1,
        torn,
    };
    Ok(Recovered {
        cursor: Cursor::new(end.offset, active.header.capacity, options.segment_bytes),
        open,
        active,
        end,
        report,
    })
}

/// The first segment of a new log.
fn begin(disk: &dyn Disk, options: &WalOptions) -> Result<(Segment, End), WalError> {
    let file = segment::prepare(disk, options.segment_bytes)?;
    let header = SegmentHeader {
        capacity: options.segment_bytes,
        first: 1,
        // Random, so that no two logs have a chain in common. std's hash keys are the only source needed.
        chain_seed: RandomState::new().hash_one(0) as u32,
    };
    let end = End {
        offset: HEADER_BLOCK,
        sequence: header.first,
        chain: header.chain_seed,
    };
    Ok((Segment::activate(disk, file, header)?, end))
}

/// Makes what a process before this one wrote last durable, and sees to it that the replay reads what is: after
/// a failed sync the operating system may hold in memory, as if it were on disk, what the disk never got. The
/// segments before the last one were durable before it existed.
fn settle(disk: &dyn Disk, last: &Segment) -> Result<(), WalError> {
    let path = disk.directory().join(segment::name(last.header.first));
    last.file.sync_data().attempt("sync", &path)?;
    last.file.drop_cache().attempt("read from disk", &path)?;
    disk.sync_dir().attempt("sync", disk.directory())
}

/// A segment must go on exactly where the one before ended: that one was durable as a whole.
fn check_joint(
    disk: &dyn Disk,
    before: &Segment,
    end: End,
    after: &SegmentHeader,
) -> Result<(), WalError> {
    if after.first == end.sequence && after.chain_seed == end.chain {
        return Ok(());
    }
    let path = disk.directory().join(segment::name(before.header.first));
    let reason = if after.first == end.sequence {
        "the next segment belongs to another log".to_owned()
    } else {
        format!("the next segment begins with record {}", after.first)
    };
    Err(WalError::corrupt(path, end.offset, end.sequence, reason))
}

/// Judges what is behind the last record, and erases it if it is torn.
fn finish(disk: &dyn Disk, segment: &Segment, end: End) -> Result<Option<TornTail>, WalError> {
    let path = disk.directory().join(segment::name(segment.header.first));
    let tail = tail::inspect(disk, segment, end)?;
    if tail.sealed {
        let reason = "the segment is complete and the next one is missing";
        return Err(WalError::corrupt(path, end.offset, end.sequence, reason));
    }
    if tail.durable >= end.sequence {
        let reason = format!(
            "it is not whole, but what follows proves that record {} was durable",
            tail.durable
        );
        return Err(WalError::corrupt(path, end.offset, end.sequence, reason));
    }
    let Some(dirty_end) = tail.dirty_end() else {
        return Ok(None);
    };
    tail::erase(disk, segment, &tail)?;
    let torn = TornTail {
        path,
        offset: end.offset.into(),
        sequence: end.sequence,
        bytes: u64::from(dirty_end - end.offset),
    };
    tracing::warn!(
        path = %torn.path.display(),
        offset = torn.offset,
        sequence = torn.sequence,
        bytes = torn.bytes,
        "erased the unacknowledged end of an interrupted log write"
    );
    Ok(Some(torn))
}

/// Visits the whole and chained records from the start of a segment.
fn replay(
    disk: &dyn Disk,
    segment: &Segment,
    visit: &mut dyn FnMut(Record<'_>) -> Result<(), WalError>,
) -> Result<End, WalError> {
    let mut window = Window::new(disk, segment);
    let mut end = End {
        offset: HEADER_BLOCK,
        sequence: segment.header.first,
        chain: segment.header.chain_seed,
    };
    while let Some(bytes) = window.get(end.offset, HEADER)? {
        let bytes = bytes.first_chunk().expect("as long as a header");
        let Some((header, crc)) = Header::decode(bytes, segment.crc, end.offset) else {
            break;
        };
        if !end.continues_with(&header, Role::Record) {
            break;
        }
        // The offset is at most 1 GiB, and so is the length by the next line.
        let length = header.length as usize;
        let Some(payload) = window.get(end.offset + HEADER as u32, length)? else {
            break;
        };
        if !header.matches(payload) {
            break;
        }
        visit(Record {
            sequence: end.sequence,
            kind: header.kind,
            payload,
            position: Position {
                sequence: end.sequence,
                offset: end.offset,
                length: header.length,
            },
        })?;
        end = End {
            offset: end.offset + stored_size(length) as u32,
            sequence: end.sequence + 1,
            chain: crc,
        };
    }
    Ok(end)
}

impl End {
    /// Whether a header is this, at the end of the chain.
    pub(crate) fn continues_with(&self, header: &Header, role: Role) -> bool {
        header.role == role && header.sequence == self.sequence && header.previous == self.chain
    }
}

//! A segment file: its name, its header block, and its way into the log.

use std::io;
use std::sync::Arc;

use crc32c::crc32c;

use crate::disk::{Disk, SegmentFile};
use crate::error::{Attempt, WalError};

/// The block at the start of a segment; records begin behind it.
pub(crate) const HEADER_BLOCK: u32 = 4096;
/// Where, in the header block, a clean close notes how far the log is durable: in another sector than the last
/// record, and than the header.
pub(crate) const CLOSING_NOTE: u32 = 2048;
/// The one format there is.
pub(crate) const FORMAT: u32 = 1;
/// The name of a segment that is prepared and not yet part of the log.
pub(crate) const SPARE: &str = "spare.tmp";

const MAGIC: [u8; 8] = *b"quowal\r\n";
const SUFFIX: &str = ".wal";
const FIELDS: usize = 32;
/// How much is zero-filled with one write.
const ZEROS: usize = 1 << 20;
/// How much is zero-filled between two syncs: little enough not to hold up the syncs of the active segment.
const SYNC_EVERY: u64 = 8 << 20;

/// The file name of the segment that begins with this record.
pub(crate) fn name(first: u64) -> String {
    format!("{first:016x}{SUFFIX}")
}

/// The first record by a file's name: `None` if it is no log file, an error if it looks like one and is not.
pub(crate) fn first_by_name(disk: &dyn Disk, file_name: &str) -> Result<Option<u64>, WalError> {
    let Some(stem) = file_name.strip_suffix(SUFFIX) else {
        return Ok(None);
    };
    match u64::from_str_radix(stem, 16) {
        Ok(first) if name(first) == file_name => Ok(Some(first)),
        _ => Err(WalError::Foreign {
            path: disk.directory().join(file_name),
            reason: "its name is not a sequence in 16 hex digits",
        }),
    }
}

/// What a header block says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) capacity: u32,
    pub(crate) first: u64,
    pub(crate) chain_seed: u32,
}

/// A segment of the log, open.
#[derive(Clone)]
pub(crate) struct Segment {
    pub(crate) header: SegmentHeader,
    /// The header block's CRC; it seeds those of the records.
    pub(crate) crc: u32,
    pub(crate) file: Arc<dyn SegmentFile>,
}

impl SegmentHeader {
    fn encode(&self) -> ([u8; FIELDS], u32) {
        let mut bytes = [0; FIELDS];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.capacity.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.first.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.chain_seed.to_le_bytes());
        let crc = crc32c(&bytes[..28]);
        bytes[28..].copy_from_slice(&crc.to_le_bytes());
        (bytes, crc)
    }
}

impl Segment {
    /// Opens the segment that begins with `first` and checks its header block.
    pub(crate) fn open(disk: &dyn Disk, first: u64) -> Result<Self, WalError> {
        let file_name = name(first);
        let path = disk.directory().join(&file_name);
        let file = disk.open(&file_name).attempt("open", &path)?;
        let size = file.size().attempt("read the size of", &path)?;
        if size < u64::from(HEADER_BLOCK) {
            return Err(WalError::corrupt(path, 0, first, "the file is cut short"));
        }
        let mut bytes = [0; FIELDS];
        file.read_at(0, &mut bytes).attempt("read", &path)?;
        let word = |at: usize| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        if bytes[..8] != MAGIC {
            return Err(WalError::Foreign {
                path,
                reason: "its first bytes are not ours",
            });
        }
        let found = word(8);
        if found > FORMAT {
            return Err(WalError::NewerFormat {
                path,
                found,
                known: FORMAT,
            });
        }
        let header = SegmentHeader {
            capacity: word(12),
            first: u64::from(word(16)) | u64::from(word(20)) << 32,
            chain_seed: word(24),
        };
        let (expected, crc) = header.encode();
        if bytes != expected {
            return Err(WalError::corrupt(
                path,
                0,
                first,
                "the segment's header fails its checksum",
            ));
        }
        if header.first != first {
            let reason = format!("the file belongs to record {}", header.first);
            return Err(WalError::corrupt(path, 0, first, reason));
        }
        if u64::from(header.capacity) != size {
            let reason = format!("the file has {size} bytes instead of {}", header.capacity);
            return Err(WalError::corrupt(path, 0, first, reason));
        }
        Ok(Self { header, crc, file })
    }

    /// Makes a prepared file part of the log: when this returns, the segment is durable under its name.
    pub(crate) fn activate(
        disk: &dyn Disk,
        file: Arc<dyn SegmentFile>,
        header: SegmentHeader,
    ) -> Result<Self, WalError> {
        let spare = disk.directory().join(SPARE);
        let (bytes, crc) = header.encode();
        file.write_at(0, &bytes).attempt("write", &spare)?;
        file.sync_data().attempt("sync", &spare)?;
        disk.rename(SPARE, &name(header.first))
            .attempt("rename", &spare)?;
        disk.sync_dir().attempt("sync", disk.directory())?;
        Ok(Self { header, crc, file })
    }
}

/// Creates a file for a segment to come: space taken, filled with zeros, durable. What fails leaves no file.
pub(crate) fn prepare(disk: &dyn Disk, bytes: u32) -> Result<Arc<dyn SegmentFile>, WalError> {
    discard_spare(disk)?;
    let result = fill(disk, bytes.into());
    if result.is_err() {
        // The space it took may be what is missing. The first error is the one to tell.
        let _ = disk.remove(SPARE);
    }
    result.map_err(|source| {
        if source.kind() == io::ErrorKind::StorageFull {
            WalError::NoSpace {
                directory: disk.directory().to_owned(),
                bytes: bytes.into(),
            }
        } else {
            WalError::Io {
                action: "prepare",
                path: disk.directory().join(SPARE),
                source: Arc::new(source),
            }
        }
    })
}

/// Removes a prepared file that an earlier run left.
pub(crate) fn discard_spare(disk: &dyn Disk) -> Result<(), WalError> {
    match disk.remove(SPARE) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).attempt("remove", disk.directory().join(SPARE))
        }
        _ => Ok(()),
    }
}

fn fill(disk: &dyn Disk, bytes: u64) -> io::Result<Arc<dyn SegmentFile>> {
    let file = disk.create(SPARE)?;
    file.allocate(bytes)?;
    let zeros = vec![0; ZEROS.min(bytes as usize)];
    let mut offset = 0;
    while offset < bytes {
        let count = (bytes - offset).min(zeros.len() as u64);
        file.write_at(offset, &zeros[..count as usize])?;
        offset += count;
        if offset % SYNC_EVERY == 0 && offset < bytes {
            file.sync_data()?;
        }
    }
    file.sync_data()?;
    Ok(file)
}

//! Taking a snapshot apart: first the checksum over all of it, then part by part.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use prost::Message;
use quorate_proto::snapshot::part::Part as Kind;
use quorate_proto::snapshot::{End, Head, Part};
use sha2::{Digest, Sha256};
use xxhash_rust::xxh3::Xxh3;

use super::{BLOCK, CHECKSUM, FORMAT, LARGEST_PART, MAGIC, SnapshotError};
use crate::hash;
use crate::record::Record;
use crate::revision::Revision;

/// What a snapshot holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotSummary {
    /// It is as of this revision.
    pub revision: i64,
    /// History below this revision is not in it; 0 if nothing was compacted yet.
    pub compacted_revision: i64,
    /// Living keys.
    pub keys: u64,
    /// Leases.
    pub leases: u64,
    /// Changes in the history.
    pub rows: u64,
    /// The file's size.
    pub bytes: u64,
    /// The history's hash, as [`crate::HashKv`] has it.
    pub hash: u64,
    /// The program that wrote it.
    pub written_by: String,
}

impl SnapshotSummary {
    /// The history's hash as Maintenance.HashKV tells it.
    #[must_use]
    pub fn short_hash(&self) -> u32 {
        hash::fold(self.hash)
    }
}

/// Checks a snapshot from its first byte to its last, and tells what it holds.
///
/// Calls `progress` now and then with how much of the file's two readings is done.
///
/// # Errors
/// It can't be read, or is not what was saved.
pub fn inspect_snapshot(
    path: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<SnapshotSummary, SnapshotError> {
    read(path, progress, &mut |_| Ok(()))
}

/// How far a long reading is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes done.
    pub done: u64,
    /// Bytes there are.
    pub total: u64,
}

/// Reads a snapshot, and hands over its parts in order once the checksum is right. What it has
/// handed over is consistent only if it succeeds.
pub(super) fn read(
    path: &Path,
    progress: &mut dyn FnMut(Progress),
    take: &mut dyn FnMut(Kind) -> Result<(), SnapshotError>,
) -> Result<SnapshotSummary, SnapshotError> {
    let mut file = Input::open(path, progress)?;
    file.verify()?;
    file.parts(take)
}

struct Input<'a> {
    path: PathBuf,
    file: BufReader<File>,
    /// All of it.
    bytes: u64,
    progress: &'a mut dyn FnMut(Progress),
    done: u64,
}

impl<'a> Input<'a> {
    fn open(path: &Path, progress: &'a mut dyn FnMut(Progress)) -> Result<Self, SnapshotError> {
        let opened = File::open(path).and_then(|file| Ok((file.metadata()?.len(), file)));
        let (bytes, file) = opened.map_err(|cause| SnapshotError::Read {
            path: path.to_owned(),
            cause,
        })?;
        Ok(Self {
            path: path.to_owned(),
            file: BufReader::with_capacity(256 << 10, file),
            bytes,
            progress,
            done: 0,
        })
    }

    fn damaged(&self, what: impl Into<String>) -> SnapshotError {
        SnapshotError::Damaged {
            path: self.path.clone(),
            what: what.into(),
        }
    }

    fn failed(&self, cause: io::Error) -> SnapshotError {
        if cause.kind() == io::ErrorKind::UnexpectedEof {
            return self.damaged("it ends too early");
        }
        SnapshotError::Read {
            path: self.path.clone(),
            cause,
        }
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), SnapshotError> {
        let read = self.file.read_exact(buffer);
        read.map_err(|cause| self.failed(cause))?;
        self.done += buffer.len() as u64;
        Ok(())
    }

    fn tell(&mut self) {
        let (done, total) = (self.done, self.bytes.saturating_mul(2));
        (self.progress)(Progress { done, total });
    }

    /// How much there is before the checksum.
    fn content(&self) -> u64 {
        self.bytes.saturating_sub(CHECKSUM as u64)
    }

    /// Reads all of it once: what it is, and whether all of it is as it was saved.
    fn verify(&mut self) -> Result<(), SnapshotError> {
        let mut magic = [0; MAGIC.len()];
        let begins = self.bytes >= magic.len() as u64;
        if begins {
            self.fill(&mut magic)?;
        }
        if magic != *MAGIC {
            return Err(SnapshotError::Foreign {
                path: self.path.clone(),
            });
        }
        if self.bytes % BLOCK as u64 != CHECKSUM as u64 {
            return Err(self.damaged("its end is missing"));
        }
        let mut checksum = Sha256::new();
        checksum.update(magic);
        let mut buffer = vec![0; 256 << 10];
        while self.done < self.content() {
            let left = usize::try_from(self.content() - self.done).unwrap_or(usize::MAX);
            let wanted = left.min(buffer.len());
            self.fill(&mut buffer[..wanted])?;
            checksum.update(&buffer[..wanted]);
            self.tell();
        }
        let mut expected = [0; CHECKSUM];
        self.fill(&mut expected)?;
        if checksum.finalize()[..] != expected {
            return Err(self.damaged("its checksum is wrong"));
        }
        Ok(())
    }

    /// Reads all of it again, part by part.
    fn parts(
        &mut self,
        take: &mut dyn FnMut(Kind) -> Result<(), SnapshotError>,
    ) -> Result<SnapshotSummary, SnapshotError> {
        let start = SeekFrom::Start(MAGIC.len() as u64);
        let seek = self.file.seek(start);
        seek.map_err(|cause| self.failed(cause))?;
        let mut contents = Contents::default();
        loop {
            let part = self.part()?;
            self.tell();
            let ends = matches!(part, Kind::End(_));
            contents.add(&part).map_err(|problem| match problem {
                Problem::Newer(found) => SnapshotError::Newer {
                    path: self.path.clone(),
                    found,
                    known: FORMAT,
                },
                Problem::Damage(what) => self.damaged(what),
            })?;
            if ends {
                break;
            }
            take(part)?;
        }
        contents
            .summary(self.bytes)
            .ok_or_else(|| self.damaged("it has no head"))
    }

    fn part(&mut self) -> Result<Kind, SnapshotError> {
        let mut length = 0_usize;
        for shift in (0..35).step_by(7) {
            let mut byte = [0];
            self.fill(&mut byte)?;
            length |= usize::from(byte[0] & 0x7f) << shift;
            if byte[0] & 0x80 == 0 {
                break;
            }
        }
        if length == 0 || length > LARGEST_PART {
            return Err(self.damaged(format!("a part of {length} bytes")));
        }
        // Not more than there is, whatever it says.
        let left = (self.bytes + self.content()).saturating_sub(self.done);
        if length as u64 > left {
            return Err(self.damaged("a part is longer than the file"));
        }
        let mut part = vec![0; length];
        self.fill(&mut part)?;
        Part::decode(Bytes::from(part))
            .ok()
            .and_then(|part| part.part)
            .ok_or_else(|| self.damaged("a part does not read"))
    }
}

enum Problem {
    Newer(u32),
    Damage(String),
}

/// What has been read, and whether it makes sense.
#[derive(Default)]
struct Contents {
    head: Option<Head>,
    end: Option<End>,
    leases: u64,
    rows: u64,
    last: Option<Revision>,
    history: Xxh3,
}

impl Contents {
    fn add(&mut self, part: &Kind) -> Result<(), Problem> {
        let damage = |what: &str| Err(Problem::Damage(what.to_owned()));
        match (part, &self.head) {
            (Kind::Head(head), None) => {
                if head.format > FORMAT {
                    return Err(Problem::Newer(head.format));
                }
                if head.revision < 1 || !(0..=head.revision).contains(&head.compacted_revision) {
                    return damage("its revisions make no sense");
                }
                self.head = Some(head.clone());
            }
            (Kind::Head(_), Some(_)) => return damage("it has two heads"),
            (_, None) => return damage("it has no head"),
            (Kind::Leases(leases), Some(_)) => self.leases += leases.leases.len() as u64,
            (Kind::Rows(rows), Some(head)) => {
                for row in &rows.rows {
                    let at = Revision::new(row.main, row.sub);
                    if row.main < 1 || row.main > head.revision || self.last >= Some(at) {
                        return damage("its rows are not in order");
                    }
                    if Record::decode(&row.record).is_err() {
                        return damage("a row does not read");
                    }
                    self.last = Some(at);
                    hash::add_row(&mut self.history, &at.row_key(), &row.record);
                }
                self.rows += rows.rows.len() as u64;
            }
            (Kind::End(end), Some(_)) => {
                let read = (self.rows, self.leases, self.history.digest());
                if read != (end.rows, end.leases, end.hash) {
                    return damage("it does not hold what it says it does");
                }
                self.end = Some(*end);
            }
        }
        Ok(())
    }

    fn summary(self, bytes: u64) -> Option<SnapshotSummary> {
        let (head, end) = (self.head?, self.end?);
        Some(SnapshotSummary {
            revision: head.revision,
            compacted_revision: head.compacted_revision,
            keys: head.keys,
            leases: end.leases,
            rows: end.rows,
            bytes,
            hash: end.hash,
            written_by: head.written_by,
        })
    }
}

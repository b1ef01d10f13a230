//! What can go wrong with the log, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use quorate_types::ErrorCode;

/// An error of the log. Cheap to clone: one failure is told to many waiters.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WalError {
    /// The operating system refused a file operation.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb phrase.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Why not.
        source: Arc<io::Error>,
    },
    /// The file system is full.
    #[error("no space left in {} for a log segment of {bytes} bytes; free at least that much, then restart", directory.display())]
    NoSpace {
        /// The log's directory.
        directory: PathBuf,
        /// How much a segment needs.
        bytes: u64,
    },
    /// Data that was once durable is damaged or gone. Opening changes nothing.
    #[error(
        "log segment {} is damaged at offset {offset}, where record {sequence} should be: {reason}; \
         restore this member's data directory from a backup, or remove it and let the member join again as a new one",
        path.display()
    )]
    Corrupt {
        /// The segment.
        path: PathBuf,
        /// Where in it, in bytes.
        offset: u64,
        /// The first sequence that is lost.
        sequence: u64,
        /// How it is known.
        reason: String,
    },
    /// A file in the log's place that this log did not write.
    #[error(
        "{} is not a log segment of Quorate ({reason}); check that this is the right data directory",
        path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A segment written by a later release.
    #[error(
        "log segment {} has format {found}, and this release knows up to {known}; start the newer release again",
        path.display()
    )]
    NewerFormat {
        /// The segment.
        path: PathBuf,
        /// Its format version.
        found: u32,
        /// The highest version known here.
        known: u32,
    },
    /// The options contradict themselves.
    #[error("invalid log options: {0}")]
    InvalidOptions(&'static str),
    /// A payload that does not fit into a segment.
    #[error("a record of {bytes} bytes is over the limit of {limit}")]
    RecordTooLarge {
        /// The payload's size.
        bytes: usize,
        /// The largest payload a segment takes.
        limit: usize,
    },
    /// Asked for a sequence that no append has returned.
    #[error("record {0} was never appended")]
    NotAppended(u64),
    /// Asked to read a record that is still queued; the caller has it.
    #[error("record {0} is not written yet")]
    NotWritten(u64),
    /// Asked to read a record whose segment was released.
    #[error("record {0} was released")]
    Released(u64),
    /// The replay visitor refused a record.
    #[error("cannot replay record {sequence}: {reason}")]
    Rejected {
        /// The record.
        sequence: u64,
        /// The visitor's words.
        reason: String,
    },
    /// The writer thread ended by a panic: a completion's, or a defect.
    #[error("the log's writer thread panicked")]
    WriterPanicked,
    /// The log is shutting down.
    #[error("the log is closed")]
    Closed,
}

impl WalError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Io { .. } => ErrorCode::Io,
            Self::NoSpace { .. } => ErrorCode::ResourceExhausted,
            Self::Corrupt { .. } | Self::Rejected { .. } => ErrorCode::Corrupt,
            Self::Foreign { .. } | Self::NewerFormat { .. } => ErrorCode::FailedPrecondition,
            Self::InvalidOptions(_) | Self::RecordTooLarge { .. } | Self::NotAppended(_) => {
                ErrorCode::InvalidArgument
            }
            Self::NotWritten(_) => ErrorCode::Unavailable,
            Self::Released(_) => ErrorCode::OutOfRange,
            Self::WriterPanicked => ErrorCode::Internal,
            Self::Closed => ErrorCode::Closed,
        }
    }

    /// Whether the same call may succeed later on this open log. Only reading a record that is on its way to
    /// the disk does: every failure to write is final until the log is opened again.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::NotWritten(_))
    }

    pub(crate) fn corrupt(
        path: PathBuf,
        offset: u32,
        sequence: u64,
        reason: impl Into<String>,
    ) -> Self {
        Self::Corrupt {
            path,
            offset: offset.into(),
            sequence,
            reason: reason.into(),
        }
    }
}

impl From<WalError> for quorate_types::Error {
    fn from(error: WalError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

/// Says what was tried on which file when the operating system refuses.
pub(crate) trait Attempt<T> {
    /// Turns the refusal into an error that names action and path.
    fn attempt(self, action: &'static str, path: impl AsRef<Path>) -> Result<T, WalError>;
}

impl<T> Attempt<T> for io::Result<T> {
    fn attempt(self, action: &'static str, path: impl AsRef<Path>) -> Result<T, WalError> {
        self.map_err(|source| WalError::Io {
            action,
            path: path.as_ref().to_owned(),
            source: Arc::new(source),
        })
    }
}

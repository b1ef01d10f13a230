//! Why a snapshot can't be used.

use std::io;
use std::path::PathBuf;

use quorate_types::ErrorCode;

use crate::error::StoreFault;

/// A snapshot can't be read, or no store made of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// The file can't be read.
    #[error("cannot read {path}: {cause}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The file is something else.
    #[error("{path} is not a snapshot of Quorate's; save one with 'quorate snapshot save'")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file is not what was saved.
    #[error("{path} is damaged: {what}; use another copy of it")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The file was written by a newer version.
    #[error("{path} has format {found}, this version reads up to {known}; use the newer version")]
    Newer {
        /// The file.
        path: PathBuf,
        /// The format of the file.
        found: u32,
        /// The newest format this version reads.
        known: u32,
    },
    /// The new store can't be written.
    #[error(transparent)]
    Store(#[from] StoreFault),
}

impl SnapshotError {
    /// The same in Quorate's own list of codes.
    #[must_use]
    pub fn error_code(&self) -> ErrorCode {
        match self {
            Self::Read { .. } => ErrorCode::Io,
            Self::Foreign { .. } => ErrorCode::InvalidArgument,
            Self::Damaged { .. } => ErrorCode::Corrupt,
            Self::Newer { .. } => ErrorCode::FailedPrecondition,
            Self::Store(fault) => fault.error_code(),
        }
    }
}

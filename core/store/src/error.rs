//! What can go wrong: errors etcd's clients know by their text, and faults that stop the node.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use quorate_types::ErrorCode;

/// A gRPC status code; the number is the one on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum GrpcCode {
    /// The request can never be right.
    InvalidArgument = 3,
    /// What the request names does not exist.
    NotFound = 5,
    /// The state does not allow it.
    FailedPrecondition = 9,
    /// More than the server is willing to hold in memory.
    ResourceExhausted = 8,
    /// A revision or a duration is outside of what is allowed.
    OutOfRange = 11,
    /// Not now; the same may be answered later.
    Unavailable = 14,
    /// Stored data is damaged.
    DataLoss = 15,
}

macro_rules! errors {
    ($($(#[$doc:meta])* $variant:ident = $grpc:ident, $code:ident, $message:literal;)*) => {
        /// A request was refused. The state is as if it had never been made.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum EtcdError {
            $($(#[$doc])* $variant,)*
        }

        impl EtcdError {
            /// Every error, for tables and tests.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// etcd's exact text: its clients match on it.
            #[must_use]
            pub const fn message(self) -> &'static str {
                match self { $(Self::$variant => concat!("etcdserver: ", $message),)* }
            }

            /// The gRPC status etcd answers with.
            #[must_use]
            pub const fn code(self) -> GrpcCode {
                match self { $(Self::$variant => GrpcCode::$grpc,)* }
            }

            /// The same in Quorate's own list of codes.
            #[must_use]
            pub const fn error_code(self) -> ErrorCode {
                match self { $(Self::$variant => ErrorCode::$code,)* }
            }
        }
    };
}

errors! {
    /// A read whose answer would be larger than [`crate::StoreOptions::most_answer_bytes`].
    AnswerTooLarge = ResourceExhausted, ResourceExhausted, "answer is too large: read it in parts, with a limit";
    /// The key is empty.
    EmptyKey = InvalidArgument, InvalidArgument, "key is not provided";
    /// `ignore_value` or `ignore_lease` on a key that does not exist, or an empty operation.
    KeyNotFound = InvalidArgument, InvalidArgument, "key not found";
    /// `ignore_value` together with a value.
    ValueProvided = InvalidArgument, InvalidArgument, "value is provided";
    /// `ignore_lease` together with a lease.
    LeaseProvided = InvalidArgument, InvalidArgument, "lease is provided";
    /// More than the allowed number of operations in a transaction.
    TooManyOps = InvalidArgument, InvalidArgument, "too many operations in txn request";
    /// A transaction that would change one key twice.
    DuplicateKey = InvalidArgument, InvalidArgument, "duplicate key given in txn request";
    /// An unknown sort order or target.
    InvalidSortOption = InvalidArgument, InvalidArgument, "invalid sort option";
    /// The revision is no longer kept.
    Compacted = OutOfRange, OutOfRange, "mvcc: required revision has been compacted";
    /// The revision does not exist yet.
    FutureRevision = OutOfRange, OutOfRange, "mvcc: required revision is a future revision";
    /// A lease longer than 9,000,000,000 s.
    LeaseTtlTooLarge = OutOfRange, OutOfRange, "too large lease TTL";
    /// The lease does not exist, or has expired.
    LeaseNotFound = NotFound, NotFound, "requested lease not found";
    /// The lease id is taken.
    LeaseExists = FailedPrecondition, Conflict, "lease already exists";
    /// Only the leader knows how long leases have left.
    NotLeader = FailedPrecondition, Unavailable, "not leader";
    /// Another member's state took the place of the one that was being saved.
    TakenOver = Unavailable, Unavailable, "this member took another's state over meanwhile: try again";
    /// The local state could not be read; see [`crate::Store::fault`].
    Corrupt = DataLoss, Corrupt, "corrupt cluster";
}

impl std::fmt::Display for EtcdError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.message())
    }
}

impl std::error::Error for EtcdError {}

/// The state on the disk can't be read or written. The node must stop: a retry would run on
/// from a state that is not known.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreFault {
    /// Reading or writing failed, or redb found its file damaged.
    #[error("the store failed while {action}: {cause}")]
    Disk {
        /// What was being done.
        action: &'static str,
        /// What redb or the system said.
        cause: Arc<redb::Error>,
    },
    /// A row is not what this program writes.
    #[error("the store is damaged: {what}; restore it from a backup or another member")]
    Damaged {
        /// Where, and what was found.
        what: String,
    },
    /// The file is not a store of Quorate's.
    #[error("{path} is not a Quorate store; choose another data directory")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file was written by a newer version.
    #[error(
        "{path} has format {found}, this version reads up to {known}; start the newer version again"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The format of the file.
        found: u32,
        /// The newest format this version reads.
        known: u32,
    },
    /// Another process has the file open.
    #[error("{path} is in use by another process")]
    InUse {
        /// The file.
        path: PathBuf,
    },
}

impl StoreFault {
    /// The same in Quorate's own list of codes.
    #[must_use]
    pub fn error_code(&self) -> ErrorCode {
        match self {
            Self::Disk { .. } => ErrorCode::Io,
            Self::Damaged { .. } => ErrorCode::Corrupt,
            Self::Foreign { .. } | Self::Newer { .. } | Self::InUse { .. } => {
                ErrorCode::FailedPrecondition
            }
        }
    }

    pub(crate) fn damaged(what: impl Into<String>) -> Self {
        Self::Damaged { what: what.into() }
    }

    pub(crate) fn opening(path: &Path, error: redb::DatabaseError) -> Self {
        let path = path.to_owned();
        match error {
            redb::DatabaseError::DatabaseAlreadyOpen => Self::InUse { path },
            // redb answers so for a file without its magic number.
            redb::DatabaseError::Storage(redb::StorageError::Io(error))
                if error.kind() == std::io::ErrorKind::InvalidData =>
            {
                Self::Foreign { path }
            }
            other => disk("opening the database")(other),
        }
    }
}

/// Turns any of redb's errors into a fault that says what was being done.
pub(crate) fn disk<E: Into<redb::Error>>(action: &'static str) -> impl FnOnce(E) -> StoreFault {
    move |cause| StoreFault::Disk {
        action,
        cause: Arc::new(cause.into()),
    }
}

/// Why an operation inside `apply` stopped: refused (the state is untouched), or a fault.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Stop {
    #[error(transparent)]
    Refused(#[from] EtcdError),
    #[error(transparent)]
    Fault(#[from] StoreFault),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_etcds() {
        assert_eq!(
            EtcdError::Compacted.message(),
            "etcdserver: mvcc: required revision has been compacted"
        );
        assert_eq!(EtcdError::Compacted.code() as i32, 11);
        assert_eq!(
            EtcdError::LeaseNotFound.to_string(),
            "etcdserver: requested lease not found"
        );
        assert_eq!(EtcdError::LeaseExists.code() as i32, 9);
        let mut texts: Vec<_> = EtcdError::ALL.iter().map(|error| error.message()).collect();
        texts.sort_unstable();
        texts.dedup();
        assert_eq!(texts.len(), EtcdError::ALL.len());
    }
}

//! Why a node doesn't start, and why a proposal or a read has no answer.

use std::io;
use std::path::PathBuf;

use quorate_store::{EtcdError, StoreFault};
use quorate_types::ErrorCode;
use quorate_wal::WalError;

use crate::encoding::Identity;
use crate::fault::Fault;

/// Why a node doesn't start. Nothing was changed, but for the creation of an empty log.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RaftFault {
    /// The configuration contradicts itself.
    #[error("invalid configuration: {0}")]
    InvalidConfig(String),
    /// The log can't be opened.
    #[error(transparent)]
    Log(#[from] WalError),
    /// The state can't be read.
    #[error(transparent)]
    Store(#[from] StoreFault),
    /// The log is another member's.
    #[error(
        "the log in {} belongs to member {:x} of cluster {:x}, and this is member {:x} of cluster {:x}; \
         check that this is the right data directory",
        directory.display(), found.member_id, found.cluster_id, expected.member_id, expected.cluster_id
    )]
    Foreign {
        /// The log's directory.
        directory: PathBuf,
        /// Whose it is.
        found: Identity,
        /// Whose it should be.
        expected: Identity,
    },
    /// Log and state don't fit together, or hold what makes no sense.
    #[error(
        "{what}; restore this member's data directory from a backup, or remove it and start anew"
    )]
    Damaged {
        /// What was found, and where.
        what: String,
    },
    /// The system refuses a thread.
    #[error("can't start a thread: {0}")]
    Thread(#[from] io::Error),
    /// Consensus did not start.
    #[error(transparent)]
    Failed(#[from] Fault),
    /// A single voter must become the leader at once, and did not.
    #[error("no leader after {0:?}")]
    NoLeader(std::time::Duration),
}

impl RaftFault {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::InvalidConfig(_) => ErrorCode::InvalidArgument,
            Self::Log(error) => error.code(),
            Self::Store(error) => error.error_code(),
            Self::Foreign { .. } => ErrorCode::FailedPrecondition,
            Self::Damaged { .. } => ErrorCode::Corrupt,
            Self::Thread(_) => ErrorCode::ResourceExhausted,
            Self::Failed(fault) => fault.code(),
            Self::NoLeader(_) => ErrorCode::Unavailable,
        }
    }
}

/// Why a proposal or a linearizable read has no answer.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProposeError {
    /// The command was refused, before or after it was proposed; the state is as if it had not been.
    #[error("{0}")]
    Etcd(EtcdError),
    /// This member does not lead; nothing was proposed.
    #[error("this member is not the leader")]
    NoLeader {
        /// Who leads, if that is known.
        leader: Option<u64>,
    },
    /// The leadership changed while the command was under way; it may still take effect.
    #[error("the leader changed; the command may or may not have taken effect")]
    LeaderChanged,
    /// The deadline passed; the command may still take effect.
    #[error("no answer within the time allowed; the command may or may not have taken effect")]
    Timeout,
    /// The command is larger than a log entry may be; nothing was proposed.
    #[error("a command of {bytes} bytes is over the limit of {limit}")]
    TooLarge {
        /// The command's size.
        bytes: usize,
        /// The largest one the log takes.
        limit: usize,
    },
    /// Too much is waiting; nothing was proposed.
    #[error("too many commands are waiting")]
    TooManyRequests,
    /// The node is shutting down; a command that was under way may still take effect.
    #[error("this member is shutting down")]
    Stopped,
    /// The node can't go on; a command that was under way may still take effect.
    #[error("this member has failed: {0}")]
    Fault(Fault),
}

impl ProposeError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Etcd(error) => error.error_code(),
            Self::NoLeader { .. } | Self::LeaderChanged | Self::Stopped => ErrorCode::Unavailable,
            Self::Timeout => ErrorCode::Timeout,
            Self::TooLarge { .. } => ErrorCode::InvalidArgument,
            Self::TooManyRequests => ErrorCode::ResourceExhausted,
            Self::Fault(_) => ErrorCode::Unavailable,
        }
    }
}

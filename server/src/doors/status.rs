//! From what went wrong inside to what a gRPC client is told. The only place that knows both.

use quorate_raft::ProposeError;
use quorate_store::EtcdError;
use quorate_types::ErrorCode;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Status};

use super::member::Member;

/// A refusal, with etcd's code and exact text.
pub(crate) fn refused(error: EtcdError) -> Status {
    Status::new(Code::from(error.code() as i32), error.message())
}

/// A proposal or a linearizable read without an answer, in etcd's words.
pub(crate) fn unanswered(error: ProposeError) -> Status {
    match error {
        ProposeError::Etcd(error) => refused(error),
        ProposeError::NoLeader { .. } => no_leader(),
        ProposeError::LeaderChanged => Status::unavailable("etcdserver: leader changed"),
        ProposeError::Timeout => Status::unavailable("etcdserver: request timed out"),
        ProposeError::TooManyRequests => {
            Status::resource_exhausted("etcdserver: too many requests")
        }
        ProposeError::TooLarge { .. } => too_large(),
        ProposeError::Stopped => server_stopped(),
        // The process is about to end with the whole story in its log.
        _ => Status::unavailable(format!("etcdserver: server stopped: {error}")),
    }
}

/// This member is on its way down; another, or this one later, will answer.
pub(crate) fn server_stopped() -> Status {
    Status::unavailable("etcdserver: server stopped")
}

/// Nobody leads, as far as this member knows.
pub(crate) fn no_leader() -> Status {
    Status::unavailable("etcdserver: no leader")
}

/// Larger than `max_request_bytes`, or than the log takes.
pub(crate) fn too_large() -> Status {
    Status::invalid_argument("etcdserver: request is too large")
}

/// An RPC of etcd's that this version does not have.
pub(crate) fn unimplemented(name: &str) -> Status {
    Status::unimplemented(format!(
        "quorate {} does not implement {name}",
        env!("CARGO_PKG_VERSION")
    ))
}

/// The metadata that carries the name of one of our own error codes: some share a gRPC code.
const CODE: &str = "quorate-code";

/// One of our own errors.
pub(crate) fn from_code(code: ErrorCode, message: &str) -> Status {
    let grpc = match code {
        ErrorCode::InvalidArgument => Code::InvalidArgument,
        ErrorCode::Unavailable | ErrorCode::NoEndpoints | ErrorCode::Closed => Code::Unavailable,
        ErrorCode::Timeout => Code::DeadlineExceeded,
        ErrorCode::Conflict => Code::AlreadyExists,
        ErrorCode::NotFound => Code::NotFound,
        ErrorCode::Unauthenticated => Code::Unauthenticated,
        ErrorCode::PermissionDenied => Code::PermissionDenied,
        ErrorCode::LockLost | ErrorCode::SessionExpired | ErrorCode::FailedPrecondition => {
            Code::FailedPrecondition
        }
        ErrorCode::Cancelled => Code::Cancelled,
        ErrorCode::ResourceExhausted => Code::ResourceExhausted,
        ErrorCode::OutOfRange => Code::OutOfRange,
        ErrorCode::Unimplemented => Code::Unimplemented,
        ErrorCode::Corrupt => Code::DataLoss,
        _ => Code::Internal,
    };
    let mut status = Status::new(grpc, message);
    let name = MetadataValue::from_static(code.name());
    status.metadata_mut().insert(CODE, name);
    status
}

/// What clients ask for with the metadata `hasleader`: an error at once, not an answer of old,
/// where there is no leader.
pub(crate) fn require_leader(metadata: &MetadataMap, member: &Member) -> Result<(), Status> {
    let wanted = metadata
        .get("hasleader")
        .is_some_and(|value| value == "true");
    if wanted && !member.has_leader() {
        return Err(no_leader());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_carry_etcds_code_and_text() {
        for &error in EtcdError::ALL {
            let status = refused(error);
            assert_eq!(status.message(), error.message());
            assert_eq!(status.code() as i32, error.code() as i32);
            assert_ne!(status.code(), Code::Unknown);
        }
    }

    #[test]
    fn unanswered_proposals_speak_etcds_words() {
        for (error, code, text) in [
            (
                ProposeError::NoLeader { leader: None },
                Code::Unavailable,
                "etcdserver: no leader",
            ),
            (
                ProposeError::Timeout,
                Code::Unavailable,
                "etcdserver: request timed out",
            ),
            (
                ProposeError::TooManyRequests,
                Code::ResourceExhausted,
                "etcdserver: too many requests",
            ),
            (
                ProposeError::TooLarge { bytes: 2, limit: 1 },
                Code::InvalidArgument,
                "etcdserver: request is too large",
            ),
            (
                ProposeError::Stopped,
                Code::Unavailable,
                "etcdserver: server stopped",
            ),
            (
                ProposeError::Etcd(EtcdError::Compacted),
                Code::OutOfRange,
                "etcdserver: mvcc: required revision has been compacted",
            ),
        ] {
            let status = unanswered(error);
            assert_eq!((status.code(), status.message()), (code, text));
        }
    }

    #[test]
    fn every_code_of_ours_has_a_grpc_code() {
        for &code in ErrorCode::ALL {
            let status = from_code(code, "what happened");
            assert_eq!(status.message(), "what happened");
            assert_eq!(status.metadata().get(CODE).unwrap(), code.name());
            let internal = matches!(
                code,
                ErrorCode::Internal | ErrorCode::Io | ErrorCode::Forked
            );
            assert_eq!(status.code() == Code::Internal, internal, "{code}");
        }
    }
}

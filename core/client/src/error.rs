//! From a gRPC status to the one error type: what went wrong, whether the request can have taken
//! effect, and which server and operation it was.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

pub use quorate_types::{Error, ErrorCode};
use tonic::{Code, Status};

/// Longest part of a key shown in a message, in bytes.
const SHOWN_KEY: usize = 64;
/// Longest pause a server may ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(300);

/// What a call does to what, for messages: `put "config/a"`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operation<'a> {
    verb: &'static str,
    subject: &'a [u8],
}

impl<'a> Operation<'a> {
    /// An operation on a key or a name.
    pub(crate) fn on(verb: &'static str, subject: &'a [u8]) -> Self {
        Self { verb, subject }
    }

    /// An operation that needs no subject.
    pub(crate) fn plain(verb: &'static str) -> Self {
        Self { verb, subject: &[] }
    }
}

impl fmt::Display for Operation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.verb)?;
        if self.subject.is_empty() {
            return Ok(());
        }
        let shown = &self.subject[..self.subject.len().min(SHOWN_KEY)];
        write!(f, " \"{}\"", shown.escape_ascii())?;
        if shown.len() < self.subject.len() {
            f.write_str("…")?;
        }
        Ok(())
    }
}

/// How far a failed request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// It never left: no connection. Repeating it elsewhere is always safe.
    NotSent,
    /// It left, and whether it took effect is not known.
    Unknown,
    /// The server answered; this error is the outcome.
    Answered,
}

/// One failed attempt at a call.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) code: ErrorCode,
    pub(crate) reach: Reach,
    /// The cause alone, without server and operation.
    pub(crate) cause: String,
    /// How long the server asks to be left alone.
    pub(crate) retry_after: Option<Duration>,
}

impl Failure {
    /// Reads a status, telling what a server said from what the connection did.
    pub(crate) fn from_status(status: &Status) -> Self {
        let transport = transport_failure(status);
        let (code, reach) = match transport {
            Some(broken) => broken,
            None => {
                let code = code_of(status.code(), status.message());
                let reach = match code {
                    ErrorCode::Unavailable | ErrorCode::Timeout => Reach::Unknown,
                    _ => Reach::Answered,
                };
                (code, reach)
            }
        };
        Self {
            code,
            reach,
            cause: if transport.is_some() {
                root_cause(status)
            } else {
                status.message().to_owned()
            },
            retry_after: retry_after(status),
        }
    }

    /// No answer within the time given to the attempt.
    pub(crate) fn no_answer(waited: Duration) -> Self {
        Self {
            code: ErrorCode::Timeout,
            reach: Reach::Unknown,
            cause: format!("no answer within {} ms", waited.as_millis()),
            retry_after: None,
        }
    }

    /// The error of a call that ends with this failure.
    pub(crate) fn into_error(self, operation: Operation<'_>, server: &str, writes: bool) -> Error {
        let outcome = if writes && self.reach == Reach::Unknown {
            "; the outcome is unknown: it may have taken effect"
        } else {
            ""
        };
        Error::new(
            self.code,
            format!("{operation} at {server}: {}{outcome}", self.cause),
        )
    }
}

/// The code of what a server said. etcd's clients match on its strings; where a string says more
/// than the gRPC code, the string decides.
pub(crate) fn code_of(code: Code, message: &str) -> ErrorCode {
    let text = message.strip_prefix("etcdserver: ").unwrap_or(message);
    match code {
        Code::Ok | Code::Internal | Code::Unknown => {
            code_of_text(text).unwrap_or(ErrorCode::Internal)
        }
        // What tonic's servers say when the deadline in the request has passed.
        Code::Cancelled if text == "Timeout expired" => ErrorCode::Timeout,
        Code::Cancelled => code_of_text(text).unwrap_or(ErrorCode::Cancelled),
        Code::InvalidArgument if text == "key not found" => ErrorCode::NotFound,
        Code::InvalidArgument if text.starts_with("authentication failed") => {
            ErrorCode::Unauthenticated
        }
        Code::InvalidArgument if text == "user name is empty" => ErrorCode::Unauthenticated,
        Code::InvalidArgument if text.starts_with("revision of auth store is old") => {
            ErrorCode::Unauthenticated
        }
        Code::InvalidArgument if text == "request is too large" => ErrorCode::ResourceExhausted,
        Code::InvalidArgument => ErrorCode::InvalidArgument,
        Code::DeadlineExceeded => ErrorCode::Timeout,
        Code::NotFound => ErrorCode::NotFound,
        Code::AlreadyExists | Code::Aborted => ErrorCode::Conflict,
        Code::PermissionDenied => ErrorCode::PermissionDenied,
        Code::ResourceExhausted => ErrorCode::ResourceExhausted,
        Code::FailedPrecondition if text == "lease already exists" => ErrorCode::Conflict,
        Code::FailedPrecondition if text == "not leader" => ErrorCode::Unavailable,
        Code::FailedPrecondition => ErrorCode::FailedPrecondition,
        Code::OutOfRange if text == "too large lease TTL" => ErrorCode::InvalidArgument,
        // tonic's limit on a message; etcd's Go says ResourceExhausted.
        Code::OutOfRange if text.contains("message length too large") => {
            ErrorCode::ResourceExhausted
        }
        Code::OutOfRange => ErrorCode::OutOfRange,
        Code::Unimplemented => ErrorCode::Unimplemented,
        Code::Unavailable => ErrorCode::Unavailable,
        Code::DataLoss => ErrorCode::Corrupt,
        Code::Unauthenticated => ErrorCode::Unauthenticated,
    }
}

/// The code of a message that came without a telling gRPC code, as a watch's cancel reason does.
pub(crate) fn code_of_text(text: &str) -> Option<ErrorCode> {
    let text = text.strip_prefix("etcdserver: ").unwrap_or(text);
    Some(match text {
        "permission denied" => ErrorCode::PermissionDenied,
        "invalid auth token" | "revision of auth store is old" => ErrorCode::Unauthenticated,
        "requested lease not found" => ErrorCode::NotFound,
        "mvcc: required revision has been compacted"
        | "mvcc: required revision is a future revision" => ErrorCode::OutOfRange,
        "mvcc: watcher range is empty" | "mvcc: duplicate watch ID provided on the WatchStream" => {
            ErrorCode::InvalidArgument
        }
        "mvcc: database space exceeded" | "too many requests" => ErrorCode::ResourceExhausted,
        "no leader" | "leader changed" | "server stopped" | "unhealthy cluster" => {
            ErrorCode::Unavailable
        }
        text if text.starts_with("request timed out") => ErrorCode::Unavailable,
        _ => return None,
    })
}

/// The code, and how far the request came, if this side and not the server made this status.
fn transport_failure(status: &Status) -> Option<(ErrorCode, Reach)> {
    let mut source = status.source();
    source?;
    while let Some(error) = source {
        if error.is::<tonic::ConnectError>() {
            return Some((ErrorCode::Unavailable, Reach::NotSent));
        }
        // hyper cancels what was still in its queue when the connection closed.
        if let Some(hyper) = error.downcast_ref::<hyper::Error>()
            && hyper.is_canceled()
        {
            return Some((ErrorCode::Unavailable, Reach::NotSent));
        }
        if error.is::<tonic::TimeoutExpired>() {
            return Some((ErrorCode::Timeout, Reach::Unknown));
        }
        source = error.source();
    }
    Some((ErrorCode::Unavailable, Reach::Unknown))
}

/// The innermost error: "connection refused" says more than "transport error".
fn root_cause(status: &Status) -> String {
    let mut cause: Option<&dyn StdError> = status.source();
    let mut text = status.message().to_owned();
    while let Some(error) = cause {
        text = error.to_string();
        cause = error.source();
    }
    text
}

/// The pause a server asks for: gRFC A6's pushback in milliseconds, or `retry-after` in seconds.
fn retry_after(status: &Status) -> Option<Duration> {
    let number = |name| -> Option<u64> { status.metadata().get(name)?.to_str().ok()?.parse().ok() };
    number("grpc-retry-pushback-ms")
        .map(Duration::from_millis)
        .or_else(|| number("retry-after").map(Duration::from_secs))
        .map(|pause| pause.min(MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn etcd_strings_have_codes() {
        for (code, message, expected) in [
            (
                Code::OutOfRange,
                "etcdserver: mvcc: required revision has been compacted",
                ErrorCode::OutOfRange,
            ),
            (
                Code::OutOfRange,
                "etcdserver: too large lease TTL",
                ErrorCode::InvalidArgument,
            ),
            (
                Code::NotFound,
                "etcdserver: requested lease not found",
                ErrorCode::NotFound,
            ),
            (
                Code::InvalidArgument,
                "etcdserver: key is not provided",
                ErrorCode::InvalidArgument,
            ),
            (
                Code::InvalidArgument,
                "etcdserver: key not found",
                ErrorCode::NotFound,
            ),
            (
                Code::FailedPrecondition,
                "etcdserver: lease already exists",
                ErrorCode::Conflict,
            ),
            (
                Code::ResourceExhausted,
                "etcdserver: mvcc: database space exceeded",
                ErrorCode::ResourceExhausted,
            ),
            (
                Code::InvalidArgument,
                "etcdserver: request is too large",
                ErrorCode::ResourceExhausted,
            ),
            (
                Code::OutOfRange,
                "Error, decoded message length too large: found 3000008 bytes, the limit is: 2097152 bytes",
                ErrorCode::ResourceExhausted,
            ),
            (
                Code::Unavailable,
                "etcdserver: no leader",
                ErrorCode::Unavailable,
            ),
            (
                Code::Unavailable,
                "etcdserver: request timed out",
                ErrorCode::Unavailable,
            ),
            (
                Code::DeadlineExceeded,
                "context deadline exceeded",
                ErrorCode::Timeout,
            ),
            (
                Code::PermissionDenied,
                "etcdserver: permission denied",
                ErrorCode::PermissionDenied,
            ),
            (
                Code::Unauthenticated,
                "etcdserver: invalid auth token",
                ErrorCode::Unauthenticated,
            ),
            (
                Code::DataLoss,
                "etcdserver: corrupt cluster",
                ErrorCode::Corrupt,
            ),
            (
                Code::Unknown,
                "etcdserver: leader changed",
                ErrorCode::Unavailable,
            ),
            (Code::Unknown, "whatever", ErrorCode::Internal),
            (Code::Unimplemented, "", ErrorCode::Unimplemented),
        ] {
            assert_eq!(code_of(code, message), expected, "{message}");
        }
    }

    #[test]
    fn what_the_server_answered_is_an_outcome_and_unavailable_is_not() {
        let answered =
            Failure::from_status(&Status::not_found("etcdserver: requested lease not found"));
        assert_eq!(answered.reach, Reach::Answered);
        let unknown = Failure::from_status(&Status::unavailable("etcdserver: leader changed"));
        assert_eq!(unknown.reach, Reach::Unknown);
        let late = Failure::from_status(&Status::deadline_exceeded("context deadline exceeded"));
        assert_eq!(
            (late.code, late.reach),
            (ErrorCode::Timeout, Reach::Unknown)
        );
    }

    #[test]
    fn a_failed_connection_was_not_sent() {
        let refused =
            std::io::Error::new(std::io::ErrorKind::ConnectionRefused, "connection refused");
        let status = Status::from_error(Box::new(tonic::ConnectError(Box::new(refused))));
        let failure = Failure::from_status(&status);
        assert_eq!(
            (failure.code, failure.reach),
            (ErrorCode::Unavailable, Reach::NotSent)
        );
        assert_eq!(failure.cause, "connection refused");
    }

    #[test]
    fn a_broken_connection_leaves_the_outcome_open() {
        let reset = std::io::Error::new(
            std::io::ErrorKind::ConnectionReset,
            "connection reset by peer",
        );
        let failure = Failure::from_status(&Status::from_error(Box::new(reset)));
        assert_eq!(
            (failure.code, failure.reach),
            (ErrorCode::Unavailable, Reach::Unknown)
        );
        let error = failure.into_error(Operation::on("put", b"a\n"), "10.0.0.1:2379", true);
        assert_eq!(
            error.message(),
            "put \"a\\n\" at 10.0.0.1:2379: connection reset by peer; \
             the outcome is unknown: it may have taken effect"
        );
    }

    #[test]
    fn long_keys_are_cut_in_messages() {
        let text = Operation::on("get", &[b'x'; 100]).to_string();
        assert_eq!(text, format!("get \"{}\"…", "x".repeat(SHOWN_KEY)));
        assert_eq!(Operation::plain("status").to_string(), "status");
    }

    #[test]
    fn servers_may_ask_for_a_pause() {
        let mut status = Status::unavailable("draining");
        assert_eq!(Failure::from_status(&status).retry_after, None);
        status
            .metadata_mut()
            .insert("retry-after", "7".parse().unwrap());
        assert_eq!(
            Failure::from_status(&status).retry_after,
            Some(Duration::from_secs(7))
        );
        status
            .metadata_mut()
            .insert("grpc-retry-pushback-ms", "250".parse().unwrap());
        assert_eq!(
            Failure::from_status(&status).retry_after,
            Some(Duration::from_millis(250))
        );
        status
            .metadata_mut()
            .insert("grpc-retry-pushback-ms", "99999999".parse().unwrap());
        assert_eq!(
            Failure::from_status(&status).retry_after,
            Some(MAX_RETRY_AFTER)
        );
        status
            .metadata_mut()
            .insert("grpc-retry-pushback-ms", "-1".parse().unwrap());
        assert_eq!(
            Failure::from_status(&status).retry_after,
            Some(Duration::from_secs(7))
        );
    }
}

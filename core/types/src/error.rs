//! Errors with a stable code, whether a retry helps, and what to do next.

use std::fmt;

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $number:literal, $name:literal, retry $retry:literal, $next:literal;)*) => {
        /// What went wrong, as a number and a name that never change their meaning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u16)]
        #[non_exhaustive]
        pub enum ErrorCode {
            $($(#[$doc])* $variant = $number,)*
        }

        impl ErrorCode {
            /// All codes, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The stable number, as bindings and the wire carry it. Never 0: that is success.
            #[must_use]
            pub const fn number(self) -> u16 {
                self as u16
            }

            /// The code of a number; `None` if this version does not know it.
            #[must_use]
            pub const fn from_number(number: u16) -> Option<Self> {
                match number {
                    $($number => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// The stable name, in `snake_case`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// Whether the same call may succeed later, without a change by the caller.
            #[must_use]
            pub const fn is_retryable(self) -> bool {
                match self {
                    $(Self::$variant => $retry,)*
                }
            }

            /// What the caller can do next, as one clause for a person.
            #[must_use]
            pub const fn next_step(self) -> &'static str {
                match self {
                    $(Self::$variant => $next,)*
                }
            }
        }
    };
}

codes! {
    /// The arguments can never be right.
    InvalidArgument = 1, "invalid_argument", retry false, "correct the arguments";
    /// No server answers, or the cluster has no leader.
    Unavailable = 2, "unavailable", retry true, "check the server addresses and that a server is up, then retry";
    /// The caller's deadline passed; the call may or may not have taken effect.
    Timeout = 3, "timeout", retry true, "retry with a longer timeout";
    /// Somebody else was first: a lock is held, a compare failed, an id is taken.
    Conflict = 4, "conflict", retry false, "read the current state and decide again";
    /// There is no such thing.
    NotFound = 5, "not_found", retry false, "check the name";
    /// Not known who calls.
    Unauthenticated = 6, "unauthenticated", retry false, "log in again";
    /// Known who calls, and it is not allowed.
    PermissionDenied = 7, "permission_denied", retry false, "ask for the permission";
    /// A lock or leadership is no longer held.
    LockLost = 8, "lock_lost", retry false, "stop the protected work, then acquire again";
    /// The session or lease behind a handle has ended.
    SessionExpired = 9, "session_expired", retry false, "open a new session";
    /// The client was closed.
    Closed = 10, "closed", retry false, "open a new client";
    /// The handle was inherited across a fork; only the parent may use it.
    Forked = 11, "forked", retry false, "open a new client in the child process";
    /// The caller cancelled it.
    Cancelled = 12, "cancelled", retry false, "nothing: it was asked for";
    /// A limit was reached: size, rate, quota, queue.
    ResourceExhausted = 13, "resource_exhausted", retry true, "slow down, or ask for less";
    /// The revision asked for is compacted away or in the future.
    OutOfRange = 14, "out_of_range", retry false, "start again from the current revision";
    /// There are no instances to choose from.
    NoEndpoints = 15, "no_endpoints", retry true, "wait for an instance, or check the service name";
    /// This server does not have the operation.
    Unimplemented = 16, "unimplemented", retry false, "use a newer server";
    /// The state of the system does not allow it.
    FailedPrecondition = 17, "failed_precondition", retry false, "change the state first";
    /// Stored data is damaged.
    Corrupt = 18, "corrupt", retry false, "restore from a backup or another member";
    /// Reading or writing local files failed.
    Io = 19, "io", retry false, "check the path, its permissions and the free space";
    /// A defect in Quorate.
    Internal = 20, "internal", retry false, "report it with the message";
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A code and a message for a person. The message says what and where; the code says what kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    code: ErrorCode,
    message: String,
}

impl Error {
    /// An error of this kind; `message` is one line, without a full stop.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// What kind of error it is.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        self.code
    }

    /// The message, without the code.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.code.is_retryable()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn numbers_and_names_are_unique_and_read_back() {
        let names: HashSet<_> = ErrorCode::ALL.iter().map(|code| code.name()).collect();
        assert_eq!(names.len(), ErrorCode::ALL.len());
        for &code in ErrorCode::ALL {
            assert_eq!(ErrorCode::from_number(code.number()), Some(code));
            assert_ne!(code.number(), 0);
        }
    }

    #[test]
    fn an_unknown_number_has_no_code() {
        assert_eq!(ErrorCode::from_number(0), None);
        assert_eq!(ErrorCode::from_number(9999), None);
    }
}

//! Errors as plain data, for a language to make an exception of.

use quorate_types::{Error, ErrorCode};

/// What a binding needs of an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The stable number; never 0.
    pub code: u16,
    /// The stable name, in `snake_case`.
    pub name: &'static str,
    /// One line for a person: what, and where.
    pub message: String,
    /// Whether the same call may succeed later.
    pub retryable: bool,
    /// What the caller can do next.
    pub next_step: &'static str,
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        let code = error.code();
        Self {
            code: code.number(),
            name: code.name(),
            message: error.message().to_owned(),
            retryable: error.is_retryable(),
            next_step: code.next_step(),
        }
    }
}

impl From<ErrorCode> for Failure {
    fn from(code: ErrorCode) -> Self {
        Self::from(&Error::new(code, code.name()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_on_the_way() {
        let failure = Failure::from(&Error::new(ErrorCode::LockLost, "lock \"a\" is gone"));
        assert_eq!(failure.code, ErrorCode::LockLost.number());
        assert_eq!(failure.name, "lock_lost");
        assert_eq!(failure.message, "lock \"a\" is gone");
        assert!(!failure.retryable);
        assert!(!failure.next_step.is_empty());
    }
}

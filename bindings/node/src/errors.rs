//! Errors with a stable code, thrown as plain `Error`s with it; the TypeScript makes classes of them.

use napi_derive::napi;
use quorate::{Error, ErrorCode};
use quorate_bridge::Failure;

/// What a JavaScript error carries as its `code`.
pub struct Code(&'static str);

impl AsRef<str> for Code {
    fn as_ref(&self) -> &str {
        self.0
    }
}

/// An error on its way to JavaScript.
pub(crate) type Raised = napi::Error<Code>;
pub(crate) type Result<T> = std::result::Result<T, Raised>;

/// The JavaScript error for an error.
pub(crate) fn raise(error: &Error) -> Raised {
    let failure = Failure::from(error);
    napi::Error::new(Code(failure.name), failure.message)
}

/// An `InvalidArgumentError`.
pub(crate) fn invalid(message: impl Into<String>) -> Raised {
    raise(&Error::new(ErrorCode::InvalidArgument, message))
}

/// The engine refused something that it never should, except while it ends.
pub(crate) fn of_node(error: napi::Error) -> Raised {
    let message = format!("Node-API: {error}");
    raise(&Error::new(ErrorCode::Internal, message))
}

/// One of the stable codes.
#[napi(object, object_from_js = false)]
pub struct CodeInfo {
    /// The stable name.
    pub code: &'static str,
    /// The stable number.
    pub number: u32,
    /// Whether the same call may succeed later.
    pub retryable: bool,
    /// What the caller can do next.
    pub next_step: &'static str,
}

/// All codes.
#[napi]
pub fn error_codes() -> Vec<CodeInfo> {
    let all = ErrorCode::ALL.iter();
    all.map(|code| CodeInfo {
        code: code.name(),
        number: u32::from(code.number()),
        retryable: code.is_retryable(),
        next_step: code.next_step(),
    })
    .collect()
}

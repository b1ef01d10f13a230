//! Codes, the error object, and the frame around every exported function.

use std::any::Any;
use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::LazyLock;

use bumpalo::Bump;
use quorate::{Error, ErrorCode};
use quorate_bridge::Failure;

use crate::memory;

/// What a function answers: QUORATE_OK, or why it failed. The numbers never change their meaning;
/// there may be more of them in a newer library.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum quorate_code_t {
    /// It succeeded.
    QUORATE_OK = 0,
    /// The arguments can never be right.
    QUORATE_INVALID_ARGUMENT = 1,
    /// No server answers, or the cluster has no leader.
    QUORATE_UNAVAILABLE = 2,
    /// The time was up; the call may or may not have taken effect.
    QUORATE_TIMEOUT = 3,
    /// Somebody else was first: a lock is held, a compare failed, an id is taken.
    QUORATE_CONFLICT = 4,
    /// There is no such thing.
    QUORATE_NOT_FOUND = 5,
    /// Not known who calls.
    QUORATE_UNAUTHENTICATED = 6,
    /// Known who calls, and it is not allowed.
    QUORATE_PERMISSION_DENIED = 7,
    /// A lock or leadership is no longer held.
    QUORATE_LOCK_LOST = 8,
    /// The session or lease behind a handle has ended.
    QUORATE_SESSION_EXPIRED = 9,
    /// The client or the queue was closed, or the process is exiting.
    QUORATE_CLOSED = 10,
    /// The handle was made before this process was forked; only the parent may use it.
    QUORATE_FORKED = 11,
    /// It was cancelled.
    QUORATE_CANCELLED = 12,
    /// A limit was reached: size, rate, quota, queue.
    QUORATE_RESOURCE_EXHAUSTED = 13,
    /// The revision asked for is compacted away or in the future.
    QUORATE_OUT_OF_RANGE = 14,
    /// There are no instances to choose from.
    QUORATE_NO_ENDPOINTS = 15,
    /// This server does not have the operation.
    QUORATE_UNIMPLEMENTED = 16,
    /// The state of the system does not allow it.
    QUORATE_FAILED_PRECONDITION = 17,
    /// Stored data is damaged.
    QUORATE_CORRUPT = 18,
    /// Reading or writing local files failed.
    QUORATE_IO = 19,
    /// A defect in Quorate.
    QUORATE_INTERNAL = 20,
}

impl From<ErrorCode> for quorate_code_t {
    fn from(code: ErrorCode) -> Self {
        match code {
            ErrorCode::InvalidArgument => Self::QUORATE_INVALID_ARGUMENT,
            ErrorCode::Unavailable => Self::QUORATE_UNAVAILABLE,
            ErrorCode::Timeout => Self::QUORATE_TIMEOUT,
            ErrorCode::Conflict => Self::QUORATE_CONFLICT,
            ErrorCode::NotFound => Self::QUORATE_NOT_FOUND,
            ErrorCode::Unauthenticated => Self::QUORATE_UNAUTHENTICATED,
            ErrorCode::PermissionDenied => Self::QUORATE_PERMISSION_DENIED,
            ErrorCode::LockLost => Self::QUORATE_LOCK_LOST,
            ErrorCode::SessionExpired => Self::QUORATE_SESSION_EXPIRED,
            ErrorCode::Closed => Self::QUORATE_CLOSED,
            ErrorCode::Forked => Self::QUORATE_FORKED,
            ErrorCode::Cancelled => Self::QUORATE_CANCELLED,
            ErrorCode::ResourceExhausted => Self::QUORATE_RESOURCE_EXHAUSTED,
            ErrorCode::OutOfRange => Self::QUORATE_OUT_OF_RANGE,
            ErrorCode::NoEndpoints => Self::QUORATE_NO_ENDPOINTS,
            ErrorCode::Unimplemented => Self::QUORATE_UNIMPLEMENTED,
            ErrorCode::FailedPrecondition => Self::QUORATE_FAILED_PRECONDITION,
            ErrorCode::Corrupt => Self::QUORATE_CORRUPT,
            ErrorCode::Io => Self::QUORATE_IO,
            // The test below finds a code without a line here.
            _ => Self::QUORATE_INTERNAL,
        }
    }
}

/// An error, made by the library and freed with quorate_error_free(). More fields may follow in a
/// newer library.
#[repr(C)]
pub struct quorate_error_t {
    /// What kind of error it is; the same as the function returned.
    pub code: quorate_code_t,
    /// Whether the same call may succeed later.
    pub retryable: bool,
    /// One line for a person: what, and where.
    pub message: *const c_char,
    /// The code's stable name, such as `invalid_argument`.
    pub name: *const c_char,
    /// What the caller can do next, as one clause for a person.
    pub next_step: *const c_char,
}

/// The error as C reads it.
pub(crate) fn read(memory: &Bump, error: &Error) -> quorate_error_t {
    let failure = Failure::from(error);
    quorate_error_t {
        code: error.code().into(),
        retryable: failure.retryable,
        message: memory::text(memory, &failure.message),
        name: memory::text(memory, failure.name),
        next_step: memory::text(memory, failure.next_step),
    }
}

/// Runs the body of an exported function: what goes wrong, a defect's panic included, becomes a
/// code and, if wanted, an error object.
///
/// # Safety
/// `error` is null or can be written to.
pub(crate) unsafe fn entry(
    error: *mut *mut quorate_error_t,
    body: impl FnOnce() -> Result<(), Error>,
) -> quorate_code_t {
    let result = catch_unwind(AssertUnwindSafe(body));
    let failed = match result {
        Ok(Ok(())) => None,
        Ok(Err(failed)) => Some(failed),
        Err(panic) => Some(defect(panic)),
    };
    let object = |failed: &Error| memory::own(|memory| read(memory, failed));
    if !error.is_null() {
        let object = failed.as_ref().map_or(std::ptr::null_mut(), object);
        // SAFETY: as the caller promises.
        unsafe { error.write(object) };
    }
    failed.map_or(quorate_code_t::QUORATE_OK, |failed| failed.code().into())
}

/// Runs the body of an exported function that cannot fail; `otherwise` after a defect's panic.
pub(crate) fn plain<T>(otherwise: T, body: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or(otherwise)
}

fn defect(panic: Box<dyn Any + Send>) -> Error {
    let what = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("of unknown kind");
    Error::new(ErrorCode::Internal, format!("panic: {what}"))
}

/// Frees an error and sets the program's pointer to NULL. Does nothing with NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_error_free(error: *mut *mut quorate_error_t) {
    // SAFETY: as the crate's page asks of every caller.
    plain((), || unsafe { memory::free(error) });
}

/// The stable name of a code, such as `invalid_argument`; `ok` for 0, `unknown` for a number this
/// library does not know. The text lives as long as the library.
#[unsafe(no_mangle)]
pub extern "C" fn quorate_code_name(code: i32) -> *const c_char {
    plain(c"unknown", || names(code)).as_ptr()
}

fn names(code: i32) -> &'static CStr {
    static NAMES: LazyLock<HashMap<i32, CString>> = LazyLock::new(|| {
        let names = ErrorCode::ALL.iter().filter_map(|code| {
            let name = CString::new(code.name()).ok()?;
            Some((i32::from(code.number()), name))
        });
        names.chain([(0, c"ok".to_owned())]).collect()
    });
    NAMES.get(&code).map_or(c"unknown", CString::as_c_str)
}

#[cfg(test)]
mod tests {
    use std::ptr;

    use super::*;

    #[test]
    fn every_code_has_its_number_and_name() {
        for &code in ErrorCode::ALL {
            assert_eq!(quorate_code_t::from(code) as i32, i32::from(code.number()));
            let name = names(i32::from(code.number()));
            assert_eq!(name.to_str().unwrap(), code.name());
        }
        assert_eq!((names(0), names(-1)), (c"ok", c"unknown"));
    }

    #[test]
    fn a_panic_is_an_internal_error_and_success_is_none() {
        let mut error = ptr::null_mut();
        // SAFETY: a place that can be written to.
        unsafe {
            let code = entry(&raw mut error, || panic!("at the disco"));
            assert_eq!(code, quorate_code_t::QUORATE_INTERNAL);
            let message = CStr::from_ptr((*error).message);
            assert_eq!(message, c"panic: at the disco");
            quorate_error_free(&raw mut error);
            assert!(error.is_null());
            assert_eq!(entry(&raw mut error, || Ok(())), quorate_code_t::QUORATE_OK);
            assert!(error.is_null());
            let code = entry(ptr::null_mut(), || Err(crate::arguments::invalid("no")));
            assert_eq!(code, quorate_code_t::QUORATE_INVALID_ARGUMENT);
        }
        assert_eq!(plain(3, || panic!("again")), 3);
    }
}

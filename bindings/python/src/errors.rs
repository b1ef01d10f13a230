//! Errors with a stable code, raised as the exception classes of `quorate._errors`.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyAny, PyList};
use quorate::{Error, ErrorCode};
use quorate_bridge::Failure;

static FROM_CODE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// The exception for an error. Takes the interpreter if the thread does not hold it.
pub(crate) fn raise(error: &Error) -> PyErr {
    let failure = Failure::from(error);
    Python::attach(|py| {
        let make = FROM_CODE.get_or_try_init(py, || {
            Ok::<_, PyErr>(py.import("quorate._errors")?.getattr("from_code")?.unbind())
        });
        let made = make.and_then(|make| make.call1(py, (failure.code, failure.message)));
        match made {
            Ok(exception) => PyErr::from_value(exception.into_bound(py)),
            Err(error) => error,
        }
    })
}

/// The exception for a code and a message.
pub(crate) fn raised(code: ErrorCode, message: impl Into<String>) -> PyErr {
    raise(&Error::new(code, message))
}

/// All codes as (number, name, retryable, next step).
#[pyfunction]
pub(crate) fn error_codes(py: Python<'_>) -> PyResult<Bound<'_, PyList>> {
    let codes = PyList::empty(py);
    for code in ErrorCode::ALL {
        codes.append((
            code.number(),
            code.name(),
            code.is_retryable(),
            code.next_step(),
        ))?;
    }
    Ok(codes)
}

//! Locks, leaderships and leases that are held.

use futures::FutureExt;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use quorate::election;
use quorate::lease;
use quorate::lock::LockGuard;
use quorate::{Error, ErrorCode};

use crate::arguments::Bytes;
use crate::holding::Holding;
use crate::operation::Operation;

/// A held lock.
#[pyclass(frozen, module = "quorate._quorate")]
pub(crate) struct Guard {
    #[pyo3(get)]
    name: String,
    key: Vec<u8>,
    #[pyo3(get)]
    token: i64,
    holding: Holding<LockGuard>,
}

impl Guard {
    pub(crate) fn new(guard: LockGuard) -> Self {
        let lost = guard.lost();
        Self {
            name: guard.name().to_owned(),
            key: guard.key().to_vec(),
            token: guard.token(),
            holding: Holding::new(guard, lost),
        }
    }
}

#[pymethods]
impl Guard {
    #[getter]
    fn key<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.key)
    }

    fn is_lost(&self) -> PyResult<bool> {
        self.holding.is_lost()
    }

    fn wait_lost(&self, timeout: Option<f64>) -> PyResult<Operation> {
        self.holding.wait_lost(timeout)
    }

    fn unlock(&self) -> PyResult<Operation> {
        self.holding.give_up(LockGuard::unlock)
    }
}

/// Leadership that is held.
#[pyclass(frozen, module = "quorate._quorate")]
pub(crate) struct Leadership {
    #[pyo3(get)]
    name: String,
    key: Vec<u8>,
    #[pyo3(get)]
    token: i64,
    holding: Holding<election::Leadership>,
}

impl Leadership {
    pub(crate) fn new(leadership: election::Leadership) -> Self {
        let lost = leadership.lost();
        Self {
            name: leadership.name().to_owned(),
            key: leadership.key().to_vec(),
            token: leadership.token(),
            holding: Holding::new(leadership, lost),
        }
    }
}

#[pymethods]
impl Leadership {
    #[getter]
    fn key<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.key)
    }

    fn is_lost(&self) -> PyResult<bool> {
        self.holding.is_lost()
    }

    fn wait_lost(&self, timeout: Option<f64>) -> PyResult<Operation> {
        self.holding.wait_lost(timeout)
    }

    fn proclaim(&self, value: Bytes) -> PyResult<Operation> {
        let name = self.name.clone();
        self.holding.using(
            |leadership| leadership.proclaim(value.0).boxed(),
            move || {
                Error::new(
                    ErrorCode::LockLost,
                    format!("leadership of \"{name}\" was given up before"),
                )
            },
        )
    }

    fn resign(&self) -> PyResult<Operation> {
        self.holding.give_up(election::Leadership::resign)
    }
}

/// A lease that is renewed.
#[pyclass(frozen, module = "quorate._quorate")]
pub(crate) struct Lease {
    #[pyo3(get)]
    id: i64,
    /// Seconds.
    #[pyo3(get)]
    ttl: f64,
    holding: Holding<lease::Lease>,
}

impl Lease {
    pub(crate) fn new(lease: lease::Lease) -> Self {
        let lost = lease.lost();
        Self {
            id: lease.id(),
            ttl: lease.ttl().as_secs_f64(),
            holding: Holding::new(lease, lost),
        }
    }
}

#[pymethods]
impl Lease {
    fn is_lost(&self) -> PyResult<bool> {
        self.holding.is_lost()
    }

    fn wait_lost(&self, timeout: Option<f64>) -> PyResult<Operation> {
        self.holding.wait_lost(timeout)
    }

    fn revoke(&self) -> PyResult<Operation> {
        self.holding.give_up(lease::Lease::revoke)
    }
}

//! Reading what Python passes.

use std::time::Duration;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::{PyByteArray, PyBytes, PyString};
use quorate::{Algorithm, ErrorCode, InstanceStatus, PickOptions, Setting};

use crate::errors::{raise, raised};

/// A key, a value, a name of a leader: `str` is taken as UTF-8.
pub(crate) struct Bytes(pub(crate) Vec<u8>);

impl<'a, 'py> FromPyObject<'a, 'py> for Bytes {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(text) = object.cast::<PyString>() {
            return Ok(Self(text.to_str()?.as_bytes().to_vec()));
        }
        if let Ok(bytes) = object.cast::<PyBytes>() {
            return Ok(Self(bytes.as_bytes().to_vec()));
        }
        if let Ok(bytes) = object.cast::<PyByteArray>() {
            return Ok(Self(bytes.to_vec()));
        }
        let given = object.get_type().name()?;
        Err(PyTypeError::new_err(format!(
            "expected str or bytes, not {given}"
        )))
    }
}

/// A lease's number, or anything with an `id` that is one.
pub(crate) struct LeaseId(pub(crate) i64);

impl<'a, 'py> FromPyObject<'a, 'py> for LeaseId {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(id) = object.extract() {
            return Ok(Self(id));
        }
        let id = object.getattr("id").and_then(|id| id.extract());
        id.map(Self).map_err(|_| {
            PyTypeError::new_err("expected a lease, as Client.lease() returns it, or its id")
        })
    }
}

/// What sticks to one instance: a hash, or text to be hashed.
pub(crate) struct Hash(pub(crate) u64);

impl<'a, 'py> FromPyObject<'a, 'py> for Hash {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(hash) = object.extract() {
            return Ok(Self(hash));
        }
        let key: Bytes = object.extract()?;
        Ok(Self(PickOptions::sticky(key.0).hash.unwrap_or_default()))
    }
}

/// The ids to avoid, of any iterable of them.
pub(crate) fn ids(object: Option<&Bound<'_, PyAny>>) -> PyResult<Vec<PyBackedStr>> {
    let Some(object) = object else {
        return Ok(Vec::new());
    };
    if object.is_instance_of::<PyString>() {
        return Err(PyTypeError::new_err(
            "exclude is a collection of instance ids, not one id",
        ));
    }
    object.try_iter()?.map(|id| id?.extract()).collect()
}

/// Seconds as Python has them.
pub(crate) fn duration(seconds: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(seconds)
        .map_err(|_| invalid(format!("{seconds} is not a number of seconds from 0 on")))
}

pub(crate) fn status(name: &str) -> PyResult<InstanceStatus> {
    name.parse().map_err(|error| raise(&error))
}

pub(crate) fn weight(weight: i64) -> PyResult<u16> {
    u16::try_from(weight).map_err(|_| invalid(format!("weight {weight} is not within 0 and 65535")))
}

pub(crate) fn algorithm(name: &str) -> PyResult<Algorithm> {
    name.parse()
        .map_err(|error: quorate::UnknownAlgorithm| invalid(error.to_string()))
}

/// The balancer's settings: name, what it does, least, most, default.
#[pyfunction]
pub(crate) fn balancer_settings() -> Vec<(&'static str, &'static str, f64, f64, f64)> {
    Setting::ALL
        .iter()
        .map(|setting| {
            let default = setting.default_value();
            let (least, most) = (setting.least, setting.most);
            (setting.name, setting.meaning, least, most, default)
        })
        .collect()
}

/// An `InvalidArgumentError`.
pub(crate) fn invalid(message: impl Into<String>) -> PyErr {
    raised(ErrorCode::InvalidArgument, message)
}

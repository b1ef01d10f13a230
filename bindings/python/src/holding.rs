//! What is held until it is given up: the bridge's [`Holding`] with operations for Python.

use std::future::Future;

use futures::future::BoxFuture;
use pyo3::prelude::*;
use quorate::Error;

use crate::arguments::duration;
use crate::errors::raise;
use crate::operation::Operation;

/// A lock, leadership, a lease, a registration.
pub(crate) struct Holding<T>(quorate_bridge::Holding<T>);

impl<T: Send + Sync + 'static> Holding<T> {
    pub(crate) fn new(held: T, lost: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(quorate_bridge::Holding::new(held, lost))
    }

    /// Looks at it; `None` once it was given up, or while it is being.
    pub(crate) fn ask<R>(&self, question: impl FnOnce(&T) -> R) -> PyResult<Option<R>> {
        self.0.ask(question).map_err(|error| raise(&error))
    }

    /// Uses it, or fails with `gone` once it was given up.
    pub(crate) fn using<C>(
        &self,
        call: C,
        gone: impl FnOnce() -> Error + Send + 'static,
    ) -> PyResult<Operation>
    where
        C: for<'a> FnOnce(&'a T) -> BoxFuture<'a, Result<(), Error>> + Send + 'static,
    {
        let using = self.0.using(call, gone);
        Ok(Operation::unit(using.map_err(|error| raise(&error))?))
    }

    pub(crate) fn is_lost(&self) -> PyResult<bool> {
        self.0.is_lost().map_err(|error| raise(&error))
    }

    /// `True` when it is lost; `False` when the seconds are up or it was given up.
    pub(crate) fn wait_lost(&self, timeout: Option<f64>) -> PyResult<Operation> {
        let timeout = timeout.map(duration).transpose()?;
        let lost = self.0.wait_lost(timeout).map_err(|error| raise(&error))?;
        Ok(Operation::new(
            async move { Ok(lost.await) },
            |py, lost: bool| Ok(lost.into_pyobject(py)?.to_owned().into_any().unbind()),
        ))
    }

    /// Gives it up with `how`; does nothing the second time.
    pub(crate) fn give_up<F>(
        &self,
        how: impl FnOnce(T) -> F + Send + 'static,
    ) -> PyResult<Operation>
    where
        F: Future<Output = Result<(), Error>> + Send + 'static,
    {
        let given_up = self.0.give_up(how).map_err(|error| raise(&error))?;
        Ok(Operation::unit(given_up))
    }
}

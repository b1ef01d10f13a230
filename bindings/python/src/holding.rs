//! What is held until it is given up: a lock, leadership, a lease, a registration.

use std::future::Future;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use pyo3::prelude::*;
use quorate::Error;
use quorate_bridge::Inherited;
use tokio::sync::RwLock;
use tokio_util::sync::CancellationToken;

use crate::arguments::duration;
use crate::errors::raise;
use crate::operation::Operation;

/// Something of the core that is consumed when it is given up, and given up in the background
/// when it is dropped; except in a forked child, where it is neither used nor dropped.
pub(crate) struct Holding<T> {
    inner: Inherited<Inner<T>>,
}

struct Inner<T> {
    /// Read by those who use it, written by the one who gives it up; then `None`.
    held: Arc<RwLock<Option<T>>>,
    lost: Shared<BoxFuture<'static, ()>>,
    /// Given up: nobody needs to wait for the loss any more.
    given_up: CancellationToken,
}

impl<T: Send + Sync + 'static> Holding<T> {
    pub(crate) fn new(held: T, lost: impl Future<Output = ()> + Send + 'static) -> Self {
        Self {
            inner: Inherited::new(Inner {
                held: Arc::new(RwLock::new(Some(held))),
                lost: lost.boxed().shared(),
                given_up: CancellationToken::new(),
            }),
        }
    }

    fn inner(&self) -> PyResult<&Inner<T>> {
        self.inner.get().map_err(|error| raise(&error))
    }

    /// What is held; `None` inside once it was given up.
    pub(crate) fn held(&self) -> PyResult<Arc<RwLock<Option<T>>>> {
        Ok(Arc::clone(&self.inner()?.held))
    }

    /// Whether it was lost before it was given up.
    pub(crate) fn is_lost(&self) -> PyResult<bool> {
        Ok(self.inner()?.lost.clone().now_or_never().is_some())
    }

    /// Waits until it is lost, and answers `True`; `False` when the time is up or it was given
    /// up.
    pub(crate) fn wait_lost(&self, timeout: Option<f64>) -> PyResult<Operation> {
        let inner = self.inner()?;
        let timeout = timeout.map(duration).transpose()?;
        let (lost, given_up) = (inner.lost.clone(), inner.given_up.clone());
        let wait = async move {
            let given_up = given_up.cancelled_owned();
            let end = async {
                tokio::select! {
                    biased;
                    () = lost => true,
                    () = given_up => false,
                }
            };
            Ok(match timeout {
                Some(timeout) => tokio::time::timeout(timeout, end).await.unwrap_or(false),
                None => end.await,
            })
        };
        Ok(Operation::new(wait, |py, lost: bool| {
            Ok(lost.into_pyobject(py)?.to_owned().into_any().unbind())
        }))
    }

    /// Gives it up with `how`; does nothing the second time.
    pub(crate) fn give_up<F>(
        &self,
        how: impl FnOnce(T) -> F + Send + 'static,
    ) -> PyResult<Operation>
    where
        F: Future<Output = Result<(), Error>> + Send + 'static,
    {
        let inner = self.inner()?;
        let (held, given_up) = (Arc::clone(&inner.held), inner.given_up.clone());
        Ok(Operation::unit(async move {
            let Some(held) = held.write().await.take() else {
                return Ok(());
            };
            given_up.cancel();
            how(held).await
        }))
    }
}

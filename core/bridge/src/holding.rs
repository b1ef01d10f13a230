//! What is held until it is given up: a lock, leadership, a lease, a registration.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use quorate_types::Error;
use tokio::sync::RwLock;
use tokio_util::sync::CancellationToken;

use crate::fork::Inherited;

/// Something of the client that is consumed when it is given up, and given up in the background
/// when it is dropped; except in a forked child, where it is neither used nor dropped.
///
/// Every method answers [`Forked`](quorate_types::ErrorCode::Forked) there.
pub struct Holding<T> {
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
    /// Holds `held`; `lost` is done when it is lost without having been given up.
    pub fn new(held: T, lost: impl Future<Output = ()> + Send + 'static) -> Self {
        Self {
            inner: Inherited::new(Inner {
                held: Arc::new(RwLock::new(Some(held))),
                lost: lost.boxed().shared(),
                given_up: CancellationToken::new(),
            }),
        }
    }

    /// Looks at it without waiting; `None` once it was given up, or while it is being.
    ///
    /// # Errors
    /// `Forked` in a child process.
    pub fn ask<R>(&self, question: impl FnOnce(&T) -> R) -> Result<Option<R>, Error> {
        let held = self.inner.get()?.held.try_read().ok();
        Ok(held.as_deref().and_then(Option::as_ref).map(question))
    }

    /// Uses it; it is not given up meanwhile. Once it was, the answer is `gone`.
    ///
    /// # Errors
    /// `Forked` in a child process; inside what `call` and `gone` give.
    pub fn using<R, C>(
        &self,
        call: C,
        gone: impl FnOnce() -> Error + Send + 'static,
    ) -> Result<impl Future<Output = Result<R, Error>> + Send + 'static, Error>
    where
        R: Send + 'static,
        C: for<'a> FnOnce(&'a T) -> BoxFuture<'a, Result<R, Error>> + Send + 'static,
    {
        let held = Arc::clone(&self.inner.get()?.held);
        Ok(async move {
            match &*held.read().await {
                Some(held) => call(held).await,
                None => Err(gone()),
            }
        })
    }

    /// Whether it was lost before it was given up.
    ///
    /// # Errors
    /// `Forked` in a child process.
    pub fn is_lost(&self) -> Result<bool, Error> {
        Ok(self.inner.get()?.lost.clone().now_or_never().is_some())
    }

    /// Waits until it is lost, and answers `true`; `false` when the time is up or it was given
    /// up.
    ///
    /// # Errors
    /// `Forked` in a child process.
    pub fn wait_lost(
        &self,
        timeout: Option<Duration>,
    ) -> Result<impl Future<Output = bool> + Send + use<T>, Error> {
        let inner = self.inner.get()?;
        let (lost, given_up) = (inner.lost.clone(), inner.given_up.clone());
        Ok(async move {
            let end = async {
                tokio::select! {
                    biased;
                    () = lost => true,
                    () = given_up.cancelled() => false,
                }
            };
            match timeout {
                Some(timeout) => tokio::time::timeout(timeout, end).await.unwrap_or(false),
                None => end.await,
            }
        })
    }

    /// Gives it up with `how`, when nobody uses it; does nothing the second time.
    ///
    /// # Errors
    /// `Forked` in a child process; inside what `how` gives.
    pub fn give_up<F>(
        &self,
        how: impl FnOnce(T) -> F + Send + 'static,
    ) -> Result<impl Future<Output = Result<(), Error>> + Send + 'static, Error>
    where
        F: Future<Output = Result<(), Error>> + Send + 'static,
    {
        let inner = self.inner.get()?;
        let (held, given_up) = (Arc::clone(&inner.held), inner.given_up.clone());
        Ok(async move {
            let Some(held) = held.write().await.take() else {
                return Ok(());
            };
            given_up.cancel();
            how(held).await
        })
    }
}

impl<T> fmt::Debug for Holding<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let given_up = self.inner.get().map(|inner| inner.given_up.is_cancelled());
        f.debug_struct("Holding")
            .field("given_up", &given_up)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::pin::pin;

    use futures::channel::oneshot;
    use futures::poll;
    use quorate_types::ErrorCode;

    use super::*;

    fn gone() -> Error {
        Error::new(ErrorCode::LockLost, "it was given up before")
    }

    #[tokio::test]
    async fn it_is_used_until_it_is_given_up_and_that_once() {
        let value = Arc::new(7);
        let holding = Holding::new(value.clone(), pending());
        assert_eq!(holding.ask(|held| **held), Ok(Some(7)));
        let used = holding.using(|held| async { Ok(**held) }.boxed(), gone);
        assert_eq!(used.unwrap().await, Ok(7));
        let how = |held: Arc<i32>| async move {
            drop(held);
            Err(Error::new(ErrorCode::LockLost, "too late"))
        };
        let first = holding.give_up(how).unwrap().await.unwrap_err();
        assert_eq!(first.message(), "too late");
        assert_eq!(Arc::strong_count(&value), 1);
        assert_eq!(holding.give_up(how).unwrap().await, Ok(()));
        assert_eq!(holding.ask(|held| **held), Ok(None));
        let used = holding.using(|held| async { Ok(**held) }.boxed(), gone);
        assert_eq!(used.unwrap().await, Err(gone()));
    }

    #[tokio::test]
    async fn it_is_not_given_up_under_whom_uses_it() {
        let (done, wait) = oneshot::channel();
        let holding = Holding::new(Arc::new(7), pending());
        let mut using = pin!(
            holding
                .using(
                    |held| {
                        async {
                            wait.await.unwrap();
                            Ok(Arc::strong_count(held))
                        }
                        .boxed()
                    },
                    gone
                )
                .unwrap()
        );
        assert!(poll!(&mut using).is_pending());
        let mut giving_up = pin!(holding.give_up(|_| async { Ok(()) }).unwrap());
        assert!(poll!(&mut giving_up).is_pending());
        assert_eq!(holding.ask(|_| ()), Ok(None), "it is being given up");
        done.send(()).unwrap();
        assert_eq!(using.await, Ok(1));
        assert_eq!(giving_up.await, Ok(()));
    }

    #[tokio::test]
    async fn a_loss_is_told_to_all_who_ask_or_wait() {
        let (lose, lost) = oneshot::channel::<()>();
        let holding = Holding::new((), lost.map(drop));
        assert_eq!(holding.is_lost(), Ok(false));
        assert!(!holding.wait_lost(Some(Duration::ZERO)).unwrap().await);
        let mut waiting = pin!(holding.wait_lost(None).unwrap());
        assert!(poll!(&mut waiting).is_pending());
        drop(lose);
        assert!(waiting.await);
        assert_eq!(holding.is_lost(), Ok(true));
        assert!(holding.wait_lost(Some(Duration::ZERO)).unwrap().await);
    }

    #[tokio::test]
    async fn giving_it_up_ends_the_wait_for_its_loss() {
        let holding = Holding::new((), pending());
        let mut waiting = pin!(holding.wait_lost(None).unwrap());
        assert!(poll!(&mut waiting).is_pending());
        let given_up = holding.give_up(|()| async { Ok(()) }).unwrap();
        given_up.await.unwrap();
        assert!(!waiting.await);
        assert_eq!(holding.is_lost(), Ok(false));
    }
}

//! The threads the client works on: made at first use, stopped within a bound.

use std::sync::OnceLock;
use std::time::Duration;

use parking_lot::Mutex;
use quorate_types::{Error, ErrorCode};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio_util::task::TaskTracker;

use crate::fork::{self, MAX_DEPTH};

/// Heartbeats and streams are little work; a second thread keeps one slow task from delaying
/// them. Not one per core: we are a guest in this process.
const WORKERS: usize = 2;

/// One runtime per process, also after forks: a child makes its own and never touches the
/// parent's, whose lock another thread may have held when it forked.
#[derive(Debug, Default)]
pub struct Runtimes {
    by_depth: [OnceLock<Mutex<State>>; MAX_DEPTH],
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Unused,
    Running(Runtime, TaskTracker),
    Stopped,
}

impl Runtimes {
    /// None yet; to be put into a `static`.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            by_depth: [const { OnceLock::new() }; MAX_DEPTH],
        }
    }

    /// The runtime of this process, made if need be.
    ///
    /// # Errors
    /// [`ErrorCode::Closed`] after [`shut_down`](Self::shut_down); [`ErrorCode::Internal`] if
    /// the system gives no threads; [`ErrorCode::ResourceExhausted`] 16 forks deep.
    pub fn handle(&self) -> Result<Handle, Error> {
        let mut state = self.state()?.lock();
        if let State::Unused = *state {
            let runtime = Builder::new_multi_thread()
                .worker_threads(WORKERS)
                .thread_name("quorate")
                .enable_all()
                .build()
                .map_err(|error| {
                    Error::new(
                        ErrorCode::Internal,
                        format!("cannot start the client's threads: {error}"),
                    )
                })?;
            *state = State::Running(runtime, TaskTracker::new());
        }
        match &*state {
            State::Running(runtime, _) => Ok(runtime.handle().clone()),
            State::Unused | State::Stopped => Err(Error::new(
                ErrorCode::Closed,
                "the process is exiting; no client can be used any more",
            )),
        }
    }

    /// The runtime of this process, if there is one.
    #[must_use]
    pub fn running(&self) -> Option<Handle> {
        match &*self.state().ok()?.lock() {
            State::Running(runtime, _) => Some(runtime.handle().clone()),
            State::Unused | State::Stopped => None,
        }
    }

    /// Has [`departures`](Self::departures) wait for this. For the end of each client: one that is
    /// dropped still has to say goodbye to its server, when nothing refers to it any more.
    pub fn accompany(&self, end: impl Future<Output = ()> + Send + 'static) {
        let Ok(state) = self.state() else { return };
        if let State::Running(runtime, ends) = &*state.lock() {
            ends.spawn_on(end, runtime.handle());
        }
    }

    /// Resolves when everything accompanied has ended. Bound it with a timeout.
    pub fn departures(&self) -> impl Future<Output = ()> + Send + 'static {
        let ends = match self.state().map(|state| state.lock()).as_deref() {
            Ok(State::Running(_, ends)) => ends.clone(),
            _ => TaskTracker::new(),
        };
        // Only one that is closed can be waited for; more may still come.
        ends.close();
        async move { ends.wait().await }
    }

    /// Ends this process's runtime; what still runs has this long to finish. Does nothing if
    /// there is none. For the host's exit hook.
    pub fn shut_down(&self, at_most: Duration) {
        let Ok(state) = self.state() else { return };
        let state = std::mem::replace(&mut *state.lock(), State::Stopped);
        if let State::Running(runtime, _) = state {
            runtime.shutdown_timeout(at_most);
        }
    }

    fn state(&self) -> Result<&Mutex<State>, Error> {
        let cell = self.by_depth.get(fork::depth()).ok_or_else(|| {
            Error::new(
                ErrorCode::ResourceExhausted,
                format!("this process is more than {MAX_DEPTH} forks deep"),
            )
        })?;
        Ok(cell.get_or_init(Mutex::default))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use futures::FutureExt;

    use super::*;

    #[test]
    fn one_runtime_serves_all_until_it_is_shut_down() {
        let runtimes = Runtimes::new();
        let handle = runtimes.handle().unwrap();
        assert_eq!(handle.id(), runtimes.handle().unwrap().id());
        assert_eq!(handle.block_on(async { 1 + 1 }), 2);
        runtimes.shut_down(Duration::from_millis(100));
        assert_eq!(runtimes.handle().unwrap_err().code(), ErrorCode::Closed);
        runtimes.shut_down(Duration::from_millis(100));
    }

    #[test]
    fn shutting_down_ends_tasks_that_never_end_by_themselves() {
        struct Noticed(Arc<AtomicBool>);
        impl Drop for Noticed {
            fn drop(&mut self) {
                self.0.store(true, Ordering::SeqCst);
            }
        }
        let runtimes = Runtimes::new();
        let ended = Arc::new(AtomicBool::new(false));
        let noticed = Noticed(ended.clone());
        let started = Arc::new(tokio::sync::Notify::new());
        let handle = runtimes.handle().unwrap();
        handle.spawn({
            let started = started.clone();
            async move {
                let _noticed = noticed;
                started.notify_one();
                std::future::pending::<()>().await;
            }
        });
        handle.block_on(started.notified());
        runtimes.shut_down(Duration::from_secs(10));
        assert!(ended.load(Ordering::SeqCst));
    }

    #[test]
    fn departures_are_waited_for() {
        let runtimes = Runtimes::new();
        assert!(runtimes.departures().now_or_never().is_some());
        assert!(runtimes.running().is_none());
        let handle = runtimes.handle().unwrap();
        for _ in 0..2 {
            let (gone, end) = tokio::sync::oneshot::channel::<()>();
            runtimes.accompany(async { drop(end.await) });
            let mut departures = Box::pin(runtimes.departures());
            handle.block_on(async {
                tokio::select! {
                    biased;
                    () = &mut departures => panic!("one has not gone"),
                    () = tokio::task::yield_now() => {}
                }
                drop(gone);
                departures.await;
            });
        }
    }

    #[test]
    fn shutting_down_an_unused_one_makes_none() {
        let runtimes = Runtimes::new();
        runtimes.shut_down(Duration::from_millis(1));
        assert_eq!(runtimes.handle().unwrap_err().code(), ErrorCode::Closed);
    }
}

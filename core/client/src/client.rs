//! The client a program holds: shared parts, their start and their end.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;

use quorate_proto::etcdserverpb::StatusRequest;
use quorate_proto::etcdserverpb::maintenance_client::MaintenanceClient;
use quorate_types::{Error, ErrorCode};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::builder::{Builder, Options};
use crate::driver::call::{Calls, Repeat, timed};
use crate::driver::leases::LeaseKeeper;
use crate::driver::servers::Servers;
use crate::driver::session::SessionDriver;
use crate::driver::watches::WatchHub;
use crate::error::Operation;
use crate::metrics::{Counters, Metrics};

/// A connection to a Quorate or etcd cluster: cheap to clone, safe to share between tasks.
///
/// Handles made from a client (locks, leases, watches, registrations) keep what they need of it
/// alive: the background work ends when the last clone and the last handle are gone, or with
/// [`Client::close`].
#[derive(Clone)]
pub struct Client {
    pub(crate) inner: Arc<Inner>,
}

/// What all clones and handles share.
pub(crate) struct Inner {
    pub(crate) options: Options,
    pub(crate) calls: Calls,
    pub(crate) counters: Arc<Counters>,
    pub(crate) leases: LeaseKeeper,
    pub(crate) watches: WatchHub,
    /// Seeded so that a forked process, which starts with a copy of everything, draws otherwise.
    rng: Mutex<fastrand::Rng>,
    pub(crate) session: SessionDriver,
    /// Cancelled first when closing: new calls are refused, waiting ones end.
    pub(crate) closing: CancellationToken,
    /// Background tasks; they hold no reference to this, and end by `closing`.
    pub(crate) tasks: TaskTracker,
    /// The task that revokes leases, which outlives the others: they hand it the last ones.
    revocation: TaskTracker,
    /// Cancelled when nobody will ask for another revocation.
    finish: CancellationToken,
    /// Cancelled when closing has taken long enough.
    abandon: CancellationToken,
}

impl Client {
    /// The options of a new client, each with its default.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn start(options: Options) -> Result<Self, Error> {
        let counters = Arc::new(Counters::default());
        let mut rng = fastrand::Rng::with_seed(seed());
        let servers = Servers::new(&options, rng.fork(), counters.clone())?;
        Handle::try_current().map_err(|_| {
            Error::new(
                ErrorCode::FailedPrecondition,
                "a client must be built inside a tokio runtime",
            )
        })?;
        let closing = CancellationToken::new();
        let calls = Calls::new(
            servers.clone(),
            options.request_timeout,
            closing.clone(),
            counters.clone(),
        );
        let (finish, abandon) = (CancellationToken::new(), CancellationToken::new());
        let (tasks, revocation) = (TaskTracker::new(), TaskTracker::new());

        let (leases, queues) = LeaseKeeper::new();
        let last_calls = calls.with_gate(abandon.clone());
        let (renew, revoke) = queues.start(&last_calls, closing.clone(), &leases, finish.clone());
        tasks.spawn(renew);
        revocation.spawn(revoke);
        let (watches, watching) = WatchHub::new(&calls);
        tasks.spawn(watching);

        let (session, task) =
            SessionDriver::start(&options, &servers, rng.fork(), closing.clone())?;
        tasks.spawn(task.run());
        Ok(Self {
            inner: Arc::new(Inner {
                options,
                calls,
                counters,
                leases,
                watches,
                rng: Mutex::new(rng),
                closing,
                tasks,
                revocation,
                finish,
                abandon,
                session,
            }),
        })
    }

    /// Waits until a server answers, at most the request timeout. Useful at a program's start;
    /// no other call needs it.
    ///
    /// # Errors
    /// [`ErrorCode::Unavailable`] or [`ErrorCode::Timeout`] if none answers in time.
    pub async fn connected(&self) -> Result<(), Error> {
        let attempt = |channel, time| async move {
            let mut maintenance = MaintenanceClient::new(channel);
            maintenance.status(timed(StatusRequest {}, time)).await
        };
        let operation = Operation::plain("connect");
        self.inner
            .calls
            .call(operation, Repeat::Safe, attempt)
            .await?;
        Ok(())
    }

    /// Ends everything this client does for the program, within the request timeout: locks are
    /// released, leadership is given up, leases are revoked, watches end. Afterwards every call on
    /// it, its clones and its handles is [`ErrorCode::Closed`].
    pub async fn close(&self) {
        let inner = &self.inner;
        inner.closing.cancel();
        inner.tasks.close();
        inner.revocation.close();
        let end = async {
            inner.tasks.wait().await;
            inner.finish.cancel();
            inner.revocation.wait().await;
        };
        let limit = inner.options.request_timeout;
        if tokio::time::timeout(limit, end).await.is_err() {
            tracing::warn!("closed before everything was given up; leases end by their time");
            inner.abandon.cancel();
        }
    }

    /// Resolves when this client's background work has ended: after [`Client::close`], or after its
    /// last clone and last handle were dropped and everything was given up. For those who end a
    /// process and must not do so before.
    pub fn ended(&self) -> impl Future<Output = ()> + Send + 'static {
        let (tasks, revocation) = (self.inner.tasks.clone(), self.inner.revocation.clone());
        async move {
            tasks.wait().await;
            revocation.wait().await;
        }
    }

    /// What this client has counted so far.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        let mut metrics = self.inner.counters.snapshot();
        self.inner.session.count(&mut metrics);
        metrics
    }
}

impl Inner {
    /// A lease id of this side's choice: greater than 0, and of no other client.
    pub(crate) fn new_lease_id(&self) -> i64 {
        self.rng.lock().i64(1..)
    }

    /// Randomness to draw from without the lock.
    pub(crate) fn fork_rng(&self) -> fastrand::Rng {
        self.rng.lock().fork()
    }
}

/// A seed that differs between processes even if one is a copy of the other.
fn seed() -> u64 {
    let mut hasher = RandomState::new().build_hasher();
    std::process::id().hash(&mut hasher);
    SystemTime::now().hash(&mut hasher);
    std::time::Instant::now().hash(&mut hasher);
    hasher.finish()
}

impl Drop for Inner {
    /// The tasks end; revocation goes on until what was handed to it is done.
    fn drop(&mut self) {
        self.closing.cancel();
        self.tasks.close();
        self.revocation.close();
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("endpoints", &self.inner.options.endpoints)
            .finish_non_exhaustive()
    }
}

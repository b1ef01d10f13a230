//! Standing in line and holding: what locks and elections have in common.
//!
//! Each place in line has a lease of its own, so that one that is lost takes nothing else with it.
//! If it is lost while waiting, which takes an outage longer than its time to live, a new place is
//! taken at the end of the line. Nothing is ever leaked: whoever stops waiting drops the lease, and
//! with it the ticket.

use std::sync::Arc;
use std::time::Duration;

use quorate_proto::etcdserverpb::RangeRequest;
use quorate_types::{Error, ErrorCode};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::client::Inner;
use crate::driver::call::{Repeat, closed};
use crate::engine::backoff::Backoff;
use crate::engine::ticket::{Step, Ticket, oldest, prefix_of};
use crate::engine::watches::WatchSpec;
use crate::error::Operation;
use crate::kv::{RangeResult, range, txn_call};
use crate::lease::{Lease, grant};
use crate::watch::{EventKind, KeyWatch, watch};

/// The time to live of a place that names none.
pub const DEFAULT_TTL: Duration = Duration::from_secs(10);
/// How long a caller whose own time is up waits for its ticket to be withdrawn; after that it is
/// withdrawn behind its back.
const WITHDRAWAL: Duration = Duration::from_millis(500);

/// What is wanted.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) name: String,
    pub(crate) value: Vec<u8>,
    pub(crate) ttl: Duration,
    /// `None` waits as long as it takes.
    pub(crate) timeout: Option<Duration>,
    /// What it is called in messages: `lock`, `election`.
    pub(crate) kind: &'static str,
}

/// A held lock or leadership. Dropping it gives it up in the background.
#[derive(Debug)]
pub(crate) struct Holding {
    /// Ends the task that watches the key. First, so that what this side does to the key is not
    /// taken for a loss.
    watching: DropGuard,
    lease: Lease,
    key: Vec<u8>,
    /// The revision at which the ticket was created: the fencing token.
    token: i64,
    /// Cancelled with the lease, or when the key is gone.
    lost: CancellationToken,
}

impl Wanted {
    /// Stands in line until it is this one's turn.
    pub(crate) async fn acquire(self, inner: &Arc<Inner>) -> Result<Holding, Error> {
        self.check()?;
        let mut lease = None;
        let turn = self.turn(inner, &mut lease, true);
        let Some(timeout) = self.timeout else {
            return turn.await;
        };
        if let Ok(result) = tokio::time::timeout(timeout, turn).await {
            return result;
        }
        withdraw(lease).await;
        let waited = timeout.as_millis();
        let message = format!(
            "{} \"{}\": not acquired within {waited} ms",
            self.kind, self.name
        );
        Err(Error::new(ErrorCode::Timeout, message))
    }

    /// Takes it if nobody holds it.
    pub(crate) async fn try_acquire(self, inner: &Arc<Inner>) -> Result<Holding, Error> {
        self.check()?;
        // A look first: a ticket that only comes and goes would disturb those who wait.
        let holder = range(&inner.calls, &oldest(&prefix_of(&self.name))).await?;
        if !holder.kvs.is_empty() {
            return Err(self.busy());
        }
        let mut lease = None;
        let result = self.turn(inner, &mut lease, false).await;
        withdraw(lease).await;
        result
    }

    fn check(&self) -> Result<(), Error> {
        if self.name.is_empty() {
            let message = format!("the name of the {} is empty", self.kind);
            return Err(Error::new(ErrorCode::InvalidArgument, message));
        }
        Ok(())
    }

    fn busy(&self) -> Error {
        let message = format!("{} \"{}\" is held by somebody else", self.kind, self.name);
        Error::new(ErrorCode::Conflict, message)
    }

    /// The lease is kept in `slot` while in line, where the caller can withdraw it.
    async fn turn(
        &self,
        inner: &Arc<Inner>,
        slot: &mut Option<Lease>,
        waits: bool,
    ) -> Result<Holding, Error> {
        let mut backoff = Backoff::default();
        loop {
            let lease = slot.insert(grant(inner, self.ttl).await?);
            let mut ticket = Ticket::new(&self.name, lease.id(), self.value.clone(), waits);
            let lost = lease.lost();
            let end = tokio::select! {
                biased;
                () = lost => Step::Gone,
                end = walk(inner, &mut ticket) => match end {
                    Ok(end) => end,
                    // The lease, gone before the ticket could be attached to it.
                    Err(error) if error.code() == ErrorCode::NotFound => Step::Gone,
                    Err(error) => return Err(error),
                },
            };
            match end {
                Step::Held(token) => {
                    let lease = slot.take().expect("put there above, and borrowed since");
                    return Ok(Holding::new(inner, lease, ticket.key(), token));
                }
                Step::Busy => return Err(self.busy()),
                _ if inner.closing.is_cancelled() => {
                    return Err(closed(Operation::on(self.kind, self.name.as_bytes())));
                }
                _ => {
                    tracing::info!(name = self.name, "place in line lost, taking a new one");
                    *slot = None;
                    let wait = backoff.next(&mut inner.fork_rng());
                    tokio::time::sleep(wait).await;
                }
            }
        }
    }
}

/// Gives up a place in line, and waits a moment for it.
async fn withdraw(lease: Option<Lease>) {
    if let Some(lease) = lease {
        // If it fails or takes longer, the dropped lease is revoked in the background.
        let _ = tokio::time::timeout(WITHDRAWAL, lease.revoke()).await;
    }
}

/// Goes from step to step until one of the last three.
async fn walk(inner: &Arc<Inner>, ticket: &mut Ticket) -> Result<Step, Error> {
    let mut step = ticket.enter();
    loop {
        step = match step {
            Step::Enter(txn) => ticket.entered(&txn_call(&inner.calls, &txn, Repeat::Safe).await?),
            Step::Find(request) => ticket.found(&patient_range(inner, &request).await?),
            Step::Verify(request) => ticket.verified(&patient_range(inner, &request).await?),
            Step::Await { key, revision } => {
                deletion(inner, key, revision).await?;
                ticket.deleted()
            }
            end => return Ok(end),
        };
    }
}

/// A read that goes on while no server answers: whoever stands in line already waits, and its lease
/// says how long that makes sense.
pub(crate) async fn patient_range(
    inner: &Arc<Inner>,
    request: &RangeRequest,
) -> Result<RangeResult, Error> {
    let mut backoff = Backoff::default();
    loop {
        match range(&inner.calls, request).await {
            Err(error) if matches!(error.code(), ErrorCode::Unavailable | ErrorCode::Timeout) => {
                tracing::debug!(%error, "asking again");
                let wait = backoff.next(&mut inner.fork_rng());
                tokio::time::sleep(wait).await;
            }
            result => return result,
        }
    }
}

fn watch_key(inner: &Arc<Inner>, key: Vec<u8>, revision: i64) -> KeyWatch {
    let spec = WatchSpec {
        key,
        ..WatchSpec::default()
    };
    watch(inner, spec, revision)
}

/// Waits until the key is deleted at `revision` or later, or the history that would tell is gone.
async fn deletion(inner: &Arc<Inner>, key: Vec<u8>, revision: i64) -> Result<(), Error> {
    let mut watch = watch_key(inner, key, revision);
    while let Some(batch) = watch.next().await {
        match batch {
            Ok(batch) => {
                if batch.events.iter().any(|e| e.kind == EventKind::Delete) {
                    return Ok(());
                }
            }
            Err(error) if error.code() == ErrorCode::OutOfRange => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

impl Holding {
    fn new(inner: &Arc<Inner>, lease: Lease, key: &[u8], token: i64) -> Self {
        let lost = lease.lost_token().child_token();
        let released = CancellationToken::new();
        inner.tasks.spawn(watch_over(
            inner.clone(),
            key.to_vec(),
            token,
            lost.clone(),
            released.clone(),
        ));
        Self {
            watching: released.drop_guard(),
            lease,
            key: key.to_vec(),
            token,
            lost,
        }
    }

    pub(crate) fn key(&self) -> &[u8] {
        &self.key
    }

    pub(crate) fn token(&self) -> i64 {
        self.token
    }

    pub(crate) fn lease(&self) -> i64 {
        self.lease.id()
    }

    pub(crate) fn lost_token(&self) -> &CancellationToken {
        &self.lost
    }

    /// Gives it up now.
    ///
    /// # Errors
    /// [`ErrorCode::LockLost`] if it was lost before; [`ErrorCode::Unavailable`] or
    /// [`ErrorCode::Timeout`] if no server answers: it then ends by its time to live at the latest.
    pub(crate) async fn release(self, what: &str) -> Result<(), Error> {
        let was_lost = self.lost.is_cancelled();
        let closed = self.lease.client_is_closed();
        drop(self.watching);
        match self.lease.revoke().await {
            Ok(()) if !was_lost => Ok(()),
            Err(error) if error.code() != ErrorCode::SessionExpired => {
                if was_lost && !closed {
                    return Err(lost_before(what));
                }
                Err(error)
            }
            _ => Err(lost_before(what)),
        }
    }
}

pub(crate) fn lost_before(what: &str) -> Error {
    Error::new(
        ErrorCode::LockLost,
        format!("{what} was lost before: its lease ended or its key was deleted"),
    )
}

/// Tells the holder when its key goes although its lease lives: somebody deleted it, and the next
/// in line holds now.
async fn watch_over(
    inner: Arc<Inner>,
    key: Vec<u8>,
    token: i64,
    lost: CancellationToken,
    released: CancellationToken,
) {
    let gone = async {
        let mut from = token + 1;
        loop {
            match deletion(&inner, key.clone(), from).await {
                Ok(()) => {}
                Err(error) => {
                    tracing::debug!(%error, "a held key is not watched");
                    return std::future::pending().await;
                }
            }
            // Deleted, or the history is gone: the key itself decides.
            let request = RangeRequest {
                key: key.clone(),
                ..RangeRequest::default()
            };
            match patient_range(&inner, &request).await {
                Ok(result) if result.kvs.iter().any(|kv| kv.create_revision == token) => {
                    from = result.revision + 1;
                }
                Ok(_) => return,
                Err(_) => return std::future::pending().await,
            }
        }
    };
    tokio::select! {
        () = released.cancelled() => {}
        () = lost.cancelled() => {}
        () = inner.closing.cancelled() => {}
        () = gone => {
            tracing::warn!(key = %key.escape_ascii(), "the key of a held lock was deleted");
            lost.cancel();
        }
    }
}

//! Leases: a time to live that this client renews; keys attached to one go with it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quorate_proto::etcdserverpb::lease_client::LeaseClient;
use quorate_proto::etcdserverpb::{LeaseGrantRequest, LeaseTimeToLiveRequest};
use quorate_types::{Error, ErrorCode};
use tokio_util::sync::CancellationToken;

use crate::Client;
use crate::client::Inner;
use crate::driver::call::{Repeat, closed, timed};
use crate::driver::{leases, now};
use crate::error::Operation;

/// A lease this client renews every third of its time to live. Dropping it revokes it in the
/// background; then its keys are deleted.
#[must_use = "a dropped lease is revoked"]
pub struct Lease {
    inner: Arc<Inner>,
    id: i64,
    ttl: Duration,
    lost: CancellationToken,
    /// Whether there is something left to give up.
    held: bool,
}

impl Lease {
    /// The id, by which keys are attached; see [`PutOptions::lease`](crate::kv::PutOptions::lease).
    #[must_use]
    pub fn id(&self) -> i64 {
        self.id
    }

    /// The time to live the server granted, which may be more than was asked for.
    #[must_use]
    pub fn ttl(&self) -> Duration {
        self.ttl
    }

    /// Whether it is lost.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.lost.is_cancelled()
    }

    /// Resolves when the lease is lost: the server no longer has it, it could not be renewed in
    /// time, or the client was closed. It never resolves because of [`Lease::revoke`].
    pub fn lost(&self) -> impl Future<Output = ()> + Send + 'static {
        self.lost.clone().cancelled_owned()
    }

    pub(crate) fn lost_token(&self) -> &CancellationToken {
        &self.lost
    }

    pub(crate) fn client_is_closed(&self) -> bool {
        self.inner.closing.is_cancelled()
    }

    /// Ends it now; its keys are deleted.
    ///
    /// # Errors
    /// [`ErrorCode::SessionExpired`] if it had ended before;
    /// [`ErrorCode::Unavailable`] or [`ErrorCode::Timeout`] if no server answers: it then ends by
    /// its time to live at the latest.
    pub async fn revoke(mut self) -> Result<(), Error> {
        let outcome = leases::revoke(&self.inner.calls, self.id).await;
        match outcome {
            Ok(()) => {
                self.give_up();
                Ok(())
            }
            Err(error) if error.code() == ErrorCode::NotFound => {
                self.give_up();
                let message = error.message();
                Err(Error::new(ErrorCode::SessionExpired, message))
            }
            Err(error) => Err(error),
        }
    }

    fn give_up(&mut self) {
        self.held = false;
        self.inner.leases.remove(self.id);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.held {
            self.inner.leases.revoke(self.id);
        }
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("id", &format_args!("{:x}", self.id))
            .field("ttl", &self.ttl)
            .field("lost", &self.is_lost())
            .finish()
    }
}

/// What a server knows of a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeaseInfo {
    /// Its id.
    pub id: i64,
    /// The time to live it was granted.
    pub granted: Duration,
    /// What is left of it, in whole seconds.
    pub remaining: Duration,
    /// The keys that go with it.
    pub keys: Vec<Bytes>,
}

impl Client {
    /// Takes a lease and renews it until it is dropped. `ttl` is rounded up to whole seconds; the
    /// server may raise it.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArgument`] for a zero `ttl` or one the server finds too long;
    /// [`ErrorCode::Unavailable`], [`ErrorCode::Timeout`].
    pub async fn lease(&self, ttl: Duration) -> Result<Lease, Error> {
        grant(&self.inner, ttl).await
    }

    /// What is left of a lease, and which keys it has; `None` if there is no such lease.
    ///
    /// # Errors
    /// [`ErrorCode::Unavailable`], [`ErrorCode::Timeout`].
    pub async fn lease_time_to_live(&self, id: i64) -> Result<Option<LeaseInfo>, Error> {
        let request = LeaseTimeToLiveRequest { id, keys: true };
        let attempt = |channel, time| async move {
            let mut client = LeaseClient::new(channel);
            client.lease_time_to_live(timed(request, time)).await
        };
        let name = format!("{id:x}");
        let operation = Operation::on("lease time to live", name.as_bytes());
        let calls = &self.inner.calls;
        let answer = match calls.call(operation, Repeat::Safe, attempt).await {
            Ok(answer) => answer,
            Err(error) if error.code() == ErrorCode::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let Ok(remaining) = u64::try_from(answer.ttl) else {
            return Ok(None);
        };
        Ok(Some(LeaseInfo {
            id,
            granted: Duration::from_secs(u64::try_from(answer.granted_ttl).unwrap_or(0)),
            remaining: Duration::from_secs(remaining),
            keys: answer.keys.into_iter().map(Bytes::from).collect(),
        }))
    }
}

/// Whole seconds, rounded up.
fn whole_seconds(ttl: Duration) -> Result<i64, Error> {
    let part = u64::from(ttl.subsec_nanos() > 0);
    let seconds = ttl.as_secs().saturating_add(part);
    match i64::try_from(seconds) {
        Ok(seconds) if seconds > 0 => Ok(seconds),
        _ => Err(Error::new(
            ErrorCode::InvalidArgument,
            format!("a time to live of {seconds} s is not possible"),
        )),
    }
}

/// Takes a lease. This side chooses the id, so that the request can be repeated when its answer was
/// lost, and revoked when the caller has gone meanwhile.
pub(crate) async fn grant(inner: &Arc<Inner>, ttl: Duration) -> Result<Lease, Error> {
    let seconds = whole_seconds(ttl)?;
    loop {
        let id = inner.new_lease_id();
        // From here on, dropping this future revokes the lease it may have made.
        let mut lease = Lease {
            inner: inner.clone(),
            id,
            ttl: Duration::from_secs(seconds.unsigned_abs()),
            lost: CancellationToken::new(),
            held: true,
        };
        let operation = Operation::plain("grant lease");
        if !inner.leases.ask(id) {
            lease.held = false;
            return Err(closed(operation));
        }
        let sent = now();
        let mut tries = 0u32;
        let request = LeaseGrantRequest { ttl: seconds, id };
        let attempt = |channel, time| {
            tries += 1;
            async move {
                let mut client = LeaseClient::new(channel);
                client.lease_grant(timed(request, time)).await
            }
        };
        match inner.calls.call(operation, Repeat::Safe, attempt).await {
            Ok(answer) => {
                let granted = u64::try_from(answer.ttl).unwrap_or(0);
                lease.ttl = Duration::from_secs(granted.max(1));
            }
            // An earlier attempt, whose answer was lost, made it.
            Err(error) if error.code() == ErrorCode::Conflict && tries > 1 => {}
            // Dropping it revokes what a server may have granted meanwhile.
            Err(error) if error.code() == ErrorCode::Closed => return Err(error),
            // Should it exist after all, it has no keys and expires unnoticed.
            Err(error) => {
                lease.give_up();
                // Somebody else has this id; a matter of one in 2^63.
                if error.code() == ErrorCode::Conflict {
                    continue;
                }
                return Err(error);
            }
        }
        let keeper = &inner.leases;
        keeper.add(id, lease.ttl, sent, lease.lost.clone());
        return Ok(lease);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rounded_up_to_seconds() {
        let seconds = |millis| whole_seconds(Duration::from_millis(millis));
        assert_eq!(seconds(1).unwrap(), 1);
        assert_eq!(seconds(1000).unwrap(), 1);
        assert_eq!(seconds(1001).unwrap(), 2);
        for wrong in [Duration::ZERO, Duration::MAX] {
            let error = whole_seconds(wrong).unwrap_err();
            assert_eq!(error.code(), ErrorCode::InvalidArgument);
        }
    }
}

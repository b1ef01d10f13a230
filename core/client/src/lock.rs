//! Locks: mutual exclusion between programs, in any language.
//!
//! ```no_run
//! # async fn example(client: quorate::Client) -> Result<(), quorate::Error> {
//! let guard = client.lock("nightly-report").acquire().await?;
//! // Resources that take part compare tokens and refuse older ones.
//! println!("working with fencing token {}", guard.token());
//! guard.unlock().await?;
//! # Ok(())
//! # }
//! ```
//!
//! The keys are those of etcd's concurrency package, `<name>/<lease id>`, so programs that use it
//! contend for the same lock. As there, one lock's name must not be another's plus `/` and more.
//!
//! A lock is a lease: a program that stalls for longer than the time to live loses it, and may not
//! know yet. What must never happen twice needs the fencing token checked where it happens.

use std::fmt;
use std::time::Duration;

use quorate_types::Error;

use crate::Client;
pub use crate::holding::DEFAULT_TTL;
use crate::holding::{Holding, Wanted};

/// A lock to be acquired; see [`Client::lock`].
#[derive(Clone)]
#[must_use = "nothing happens until acquire() or try_acquire()"]
pub struct LockRequest {
    client: Client,
    wanted: Wanted,
}

impl Client {
    /// The lock of this name.
    pub fn lock(&self, name: impl Into<String>) -> LockRequest {
        LockRequest {
            client: self.clone(),
            wanted: Wanted {
                name: name.into(),
                value: Vec::new(),
                ttl: DEFAULT_TTL,
                timeout: None,
                kind: "lock",
            },
        }
    }
}

impl LockRequest {
    /// How long the lock outlives a program that vanishes. Default: 10 s; rounded up to whole
    /// seconds; the server may raise it.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.wanted.ttl = ttl;
        self
    }

    /// How long to stand in line. Default: as long as it takes.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.wanted.timeout = Some(timeout);
        self
    }

    /// Waits for the lock, first come, first served. Dropping the future leaves the line.
    ///
    /// If the place in line is lost because no server answered for the time to live, a new one is
    /// taken at the end of the line.
    ///
    /// # Errors
    /// [`ErrorCode::Timeout`](crate::ErrorCode) after [`LockRequest::timeout`], with the place in
    /// line given up; `Unavailable` if no server answers when it enters the line; `InvalidArgument`
    /// for an empty name; `Closed`.
    pub async fn acquire(self) -> Result<LockGuard, Error> {
        let name = self.wanted.name.clone();
        let holding = self.wanted.acquire(&self.client.inner).await?;
        Ok(LockGuard { name, holding })
    }

    /// Takes the lock if nobody holds it and nobody waits for it.
    ///
    /// # Errors
    /// [`ErrorCode::Conflict`](crate::ErrorCode) if somebody does; otherwise as
    /// [`LockRequest::acquire`].
    pub async fn try_acquire(self) -> Result<LockGuard, Error> {
        let name = self.wanted.name.clone();
        let holding = self.wanted.try_acquire(&self.client.inner).await?;
        Ok(LockGuard { name, holding })
    }
}

impl fmt::Debug for LockRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LockRequest").field(&self.wanted).finish()
    }
}

/// A held lock, renewed in the background. Dropping it releases it in the background.
#[must_use = "a dropped guard releases the lock"]
pub struct LockGuard {
    name: String,
    holding: Holding,
}

impl LockGuard {
    /// The lock's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key that stands for this holder.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        self.holding.key()
    }

    /// The fencing token: greater than that of every earlier holder. It is the revision at which
    /// the key was created.
    #[must_use]
    pub fn token(&self) -> i64 {
        self.holding.token()
    }

    /// Whether the lock is lost. `false` is a snapshot, not a promise: see [`LockGuard::token`].
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.holding.lost_token().is_cancelled()
    }

    /// Resolves when the lock is lost: it could not be renewed in time, its lease was revoked or its
    /// key deleted by somebody else, or the client was closed. It never resolves for what was given
    /// up.
    pub fn lost(&self) -> impl Future<Output = ()> + Send + 'static {
        self.holding.lost_token().clone().cancelled_owned()
    }

    /// Releases the lock; the next in line has it when this returns.
    ///
    /// # Errors
    /// [`ErrorCode::LockLost`](crate::ErrorCode) if it was lost before; `Unavailable` or `Timeout`
    /// if no server answers: it is then released in the background, by its time to live at the latest.
    pub async fn unlock(self) -> Result<(), Error> {
        let what = format!("lock \"{}\"", self.name);
        self.holding.release(&what).await
    }
}

impl fmt::Debug for LockGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockGuard")
            .field("name", &self.name)
            .field("token", &self.token())
            .field("lost", &self.is_lost())
            .finish()
    }
}

//! A client process as the registry sees it: what it registered, and when it was heard last.
//!
//! A [`SessionState`] outlives its connections: while none is attached it waits, until its TTL,
//! to be resumed by its token. A [`Session`] is one connection to it; the newest counts, older
//! ones are told that they ended. Its parts:
//! - `held`: what the session registered, by which TTLs, and what it must be told on resuming;
//! - `commands`: what a client can say;
//! - `open`: beginning, resuming, detaching, closing;
//! - `loss`: how registrations go without its asking: by silence, or to others.

mod commands;
mod held;
mod loss;
mod open;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use quorate_proto::v1;
use quorate_types::{Error, ErrorCode, ServiceKey};

use crate::plane::Plane;
use crate::subscription::{Mailbox, Subscription, Taken};
use held::Held;
pub(crate) use open::Sessions;

/// Events in one message, beside views: enough for any batch, small enough to be sent at once.
const EVENTS_PER_MESSAGE: usize = 4_096;

/// A client process, across its connections.
pub(crate) struct SessionState {
    id: u64,
    token: [u8; 16],
    client_id: Box<str>,
    /// On the lease clock.
    last_sign: AtomicU64,
    /// Locked before any slot.
    held: Mutex<Held>,
}

/// One connection to a session. Dropping it detaches: registrations stand until their TTL, and
/// the client can resume.
///
/// [`handle`](Self::handle) and [`next`](Self::next) may be called from two tasks, each from one.
pub struct Session {
    plane: Arc<Plane>,
    state: Arc<SessionState>,
    mailbox: Arc<Mailbox>,
    subscriptions: Mutex<HashMap<Arc<ServiceKey>, Arc<Subscription>>>,
}

/// Why a connection has nothing more to say.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionEnd {
    /// The client closed the session.
    Closed,
    /// This connection was detached.
    Detached,
    /// A newer connection presented the same token.
    Superseded,
    /// No sign of life for too long: everything the session registered is gone.
    Expired,
    /// The server stops.
    Stopped,
    /// The client broke the rules of the stream.
    Refused(Error),
}

// === impl SessionEnd ===

impl SessionEnd {
    /// The error to end the stream with; `None` if it ends well.
    #[must_use]
    pub fn error(&self) -> Option<Error> {
        let (code, message) = match self {
            Self::Closed | Self::Detached => return None,
            Self::Superseded => (
                ErrorCode::Conflict,
                "a newer connection resumed this session",
            ),
            Self::Expired => (
                ErrorCode::SessionExpired,
                "no sign of life came within the session's TTL",
            ),
            Self::Stopped => (ErrorCode::Unavailable, "the server is stopping"),
            Self::Refused(error) => return Some(error.clone()),
        };
        Some(Error::new(code, message))
    }
}

// === impl SessionState ===

impl SessionState {
    fn touch(&self, now: u64) {
        self.last_sign.fetch_max(now, Ordering::AcqRel);
    }

    fn last_sign(&self) -> u64 {
        self.last_sign.load(Ordering::Acquire)
    }
}

impl fmt::Debug for SessionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the token: whoever has it can take the session over.
        f.debug_struct("SessionState")
            .field("id", &self.id)
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

// === impl Session ===

impl Session {
    /// The number the client is told; the same after resuming.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.state.id
    }

    /// The next message to the client: answers first, then what is new of the services it
    /// subscribes to, in bounded portions. Dropping the future loses nothing.
    ///
    /// # Errors
    /// Why nothing will come any more, after everything else was taken.
    pub async fn next(&self) -> Result<v1::SessionResponse, SessionEnd> {
        loop {
            if let Some(response) = self.try_next()? {
                return Ok(response);
            }
            self.mailbox.woken().await;
        }
    }

    /// Resolves when [`handle`](Self::handle) may be called: the client reads its answers, or the
    /// session has ended. Waiting here before reading on is what slows down a client that only
    /// talks.
    pub async fn ready(&self) {
        let limit = self.plane.options.limits.queued_acks / 2;
        while self.mailbox.waiting() > limit && self.mailbox.ended().is_none() {
            self.mailbox.drained().await;
        }
    }

    pub(crate) fn try_next(&self) -> Result<Option<v1::SessionResponse>, SessionEnd> {
        let mut events = match self.mailbox.take(EVENTS_PER_MESSAGE) {
            None => return Ok(None),
            Some(Taken::Ended(why)) => return Err(why),
            Some(Taken::Events(events)) => events,
        };
        let limits = &self.plane.options.limits;
        let mut bytes = 0;
        let mut services = 0;
        while bytes < limits.message_bytes && services < limits.services_per_message {
            let Some(subscription) = self.mailbox.take_changed() else {
                break;
            };
            if let Some(view) = self.plane.news(&subscription) {
                bytes += view.size();
                services += 1;
                events.push(view.to_session_event());
            }
        }
        Ok((!events.is_empty()).then_some(v1::SessionResponse { events }))
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.detach();
    }
}

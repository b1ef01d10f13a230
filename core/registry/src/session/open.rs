//! Beginning a session, resuming it by its token, detaching from it, closing it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use quorate_proto::v1;
use quorate_proto::v1::session_command::Body as Command;
use quorate_proto::v1::session_event::Body as Event;
use quorate_types::{Error, ErrorCode, RemovalReason};

use super::held::Held;
use super::{Session, SessionEnd, SessionState};
use crate::plane::Plane;
use crate::subscription::Mailbox;
use crate::sweep::{Deadlines, Due};

/// Longest client id and client name, in bytes.
const MAX_CLIENT_TEXT: usize = 255;

/// Every session, by its token.
#[derive(Default)]
pub(crate) struct Sessions {
    /// Locked before any session's registrations.
    known: Mutex<Known>,
    last_id: AtomicU64,
}

#[derive(Default)]
struct Known {
    by_token: HashMap<[u8; 16], Arc<SessionState>>,
    /// Why no session can be opened any more.
    closed: Option<String>,
}

// === impl Sessions ===

impl Sessions {
    /// Opens no session from here on, and returns those that are.
    pub(crate) fn close(&self, why: &str) -> Vec<Arc<SessionState>> {
        let mut known = self.known.lock();
        known.closed.get_or_insert_with(|| why.to_owned());
        known.by_token.values().cloned().collect()
    }

    #[cfg(test)]
    pub(crate) fn ids(&self) -> Vec<u64> {
        let known = self.known.lock();
        known.by_token.values().map(|state| state.id).collect()
    }

    pub(super) fn remove(&self, state: &SessionState) {
        self.known.lock().by_token.remove(&state.token);
    }
}

// === impl SessionState ===

impl SessionState {
    /// Tells the attached connection that the server is about to stop.
    pub(crate) fn drain(&self, reconnect_after: Duration, reason: &str) {
        if let Some(mailbox) = &self.held.lock().mailbox {
            mailbox.push([event(Event::Drain(v1::SessionDrain {
                reconnect_after_ms: u32::try_from(reconnect_after.as_millis()).unwrap_or(u32::MAX),
                reason: reason.to_owned(),
            }))]);
        }
    }

    /// Ends the attached connection.
    pub(crate) fn end_connection(&self, why: SessionEnd) {
        if let Some(mailbox) = &self.held.lock().mailbox {
            mailbox.end(why);
        }
    }
}

// === impl Session ===

impl Session {
    /// Begins a stream with its first message, which must start with Open; the commands behind it
    /// are handled too.
    pub(crate) fn open(plane: &Arc<Plane>, first: v1::SessionRequest) -> Result<Self, Error> {
        let mut commands = first.commands.into_iter();
        let Some(v1::SessionCommand {
            request_id,
            body: Some(Command::Open(open)),
        }) = commands.next()
        else {
            return Err(Error::new(
                ErrorCode::FailedPrecondition,
                "the first command of a session must be Open",
            ));
        };
        check_client_text("client id", &open.client_id, 1)?;
        check_client_text("client name", &open.client_name, 0)?;
        let session = Self::attach(plane, &open, request_id)?;
        let rest = v1::SessionRequest {
            commands: commands.collect(),
        };
        if !rest.commands.is_empty() {
            // If this ends the session, `next` says why, after the answers so far.
            let _ended = session.handle(rest);
        }
        Ok(session)
    }

    fn attach(plane: &Arc<Plane>, open: &v1::SessionOpen, request_id: u64) -> Result<Self, Error> {
        let now = plane.lease.now();
        let mut known = plane.sessions.known.lock();
        if let Some(why) = &known.closed {
            return Err(Error::new(ErrorCode::Unavailable, why.clone()));
        }
        let found = <[u8; 16]>::try_from(&*open.resume_token)
            .ok()
            .and_then(|token| known.by_token.get(&token))
            .filter(|state| *state.client_id == *open.client_id)
            .cloned();
        let mailbox = Arc::new(Mailbox::default());
        if let Some(state) = found {
            let mut held = state.held.lock();
            // Between its end and its removal from `known` a session is not resumed.
            if !held.ended {
                state.touch(now);
                if let Some(older) = held.mailbox.replace(mailbox.clone()) {
                    older.end(SessionEnd::Superseded);
                }
                let resumed = !held.evictions_lost;
                let evictions = held.evictions();
                if !resumed {
                    held.forget_evictions();
                }
                mailbox.push([plane.opened(&state, &mut held, resumed)]);
                mailbox.push(ack_of_open(request_id));
                mailbox.push(evictions);
                drop(held);
                drop(known);
                plane.counters.sessions_resumed.add(1);
                return Ok(Self::new(plane, state, mailbox));
            }
        }
        let limit = plane.options.limits.sessions;
        if known.by_token.len() >= limit {
            return Err(Error::new(
                ErrorCode::ResourceExhausted,
                format!("the server has {limit} sessions, the limit"),
            ));
        }
        let state = Arc::new(SessionState {
            id: plane.sessions.last_id.fetch_add(1, Ordering::Relaxed) + 1,
            token: new_token()?,
            client_id: open.client_id.as_str().into(),
            last_sign: AtomicU64::new(now),
            held: Mutex::new(Held::new()),
        });
        known.by_token.insert(state.token, state.clone());
        let mut held = state.held.lock();
        held.mailbox = Some(mailbox.clone());
        mailbox.push([plane.opened(&state, &mut held, false)]);
        mailbox.push(ack_of_open(request_id));
        plane.schedule_session(&state, &mut held, now);
        drop(held);
        drop(known);
        plane.counters.sessions.add(1);
        plane.counters.sessions_opened.add(1);
        tracing::debug!(session = state.id, client_id = %open.client_id, client_name = %open.client_name, "session opened");
        Ok(Self::new(plane, state, mailbox))
    }

    fn new(plane: &Arc<Plane>, state: Arc<SessionState>, mailbox: Arc<Mailbox>) -> Self {
        Self {
            plane: plane.clone(),
            state,
            mailbox,
            subscriptions: Mutex::default(),
        }
    }

    /// Ends this connection, not the session: registrations stand until their TTL, and the client
    /// can resume. Subscriptions end; the client subscribes again in any case.
    pub fn detach(&self) {
        self.mailbox.end(SessionEnd::Detached);
        let mut held = self.state.held.lock();
        if held
            .mailbox
            .as_ref()
            .is_some_and(|current| Arc::ptr_eq(current, &self.mailbox))
        {
            held.mailbox = None;
        }
        drop(held);
        self.unsubscribe_all();
    }

    /// The clean end: removes all registrations at once.
    pub(super) fn close(&self) {
        let mut held = self.lock_held();
        if held.ended {
            return;
        }
        held.ended = true;
        for registration in held.take_all() {
            self.plane.remove(
                &registration.key,
                registration.record.id(),
                RemovalReason::Deregistered,
                |_, owner| owner.is(&self.state),
            );
        }
        held.forget_evictions();
        drop(held);
        self.plane.sessions.remove(&self.state);
        self.plane.counters.sessions.subtract(1);
        self.unsubscribe_all();
    }

    pub(super) fn lock_held(&self) -> MutexGuard<'_, Held> {
        self.state.held.lock()
    }

    fn unsubscribe_all(&self) {
        let subscriptions = std::mem::take(&mut *self.subscriptions.lock());
        for subscription in subscriptions.values() {
            self.plane.unsubscribe(subscription);
        }
    }
}

// === impl Plane ===

impl Plane {
    /// How long a broken session waits to be resumed, in milliseconds.
    pub(super) fn session_ttl(&self, held: &Held) -> u64 {
        let min = self.options.min_session_ttl.as_millis() as u64;
        held.longest_ttl().unwrap_or(min).max(min)
    }

    /// How often to send a sign of life, in milliseconds: three times in the shortest TTL.
    pub(super) fn heartbeat_interval(&self, held: &Held) -> u32 {
        let shortest = held
            .shortest_ttl()
            .unwrap_or_else(|| self.session_ttl(held));
        (shortest / 3).clamp(500, 10_000) as u32
    }

    /// Has the sweeper look at a session when its shortest TTL ends, if it will not come earlier
    /// anyway.
    pub(super) fn schedule_session(&self, state: &Arc<SessionState>, held: &mut Held, now: u64) {
        let ttl = held
            .shortest_ttl()
            .unwrap_or_else(|| self.session_ttl(held));
        let at = Deadlines::within_horizon(state.last_sign() + ttl, now);
        if at < held.scheduled {
            held.scheduled = at;
            self.deadlines.add(at, Due::Session(Arc::downgrade(state)));
        }
    }

    fn opened(&self, state: &SessionState, held: &mut Held, resumed: bool) -> v1::SessionEvent {
        held.told_interval = self.heartbeat_interval(held);
        event(Event::Opened(v1::SessionOpened {
            session_id: state.id,
            resume_token: state.token.to_vec().into(),
            resumed,
            heartbeat_interval_ms: held.told_interval,
            session_ttl_ms: self.session_ttl(held) as u32,
            cluster_id: self.options.cluster_id,
            member_id: self.options.member_id,
            epoch: self.options.epoch,
        }))
    }
}

fn event(body: Event) -> v1::SessionEvent {
    v1::SessionEvent { body: Some(body) }
}

fn ack_of_open(request_id: u64) -> Option<v1::SessionEvent> {
    (request_id != 0).then(|| {
        event(Event::Ack(v1::SessionAck {
            request_id,
            ..Default::default()
        }))
    })
}

fn check_client_text(what: &str, text: &str, min: usize) -> Result<(), Error> {
    if text.len() < min || text.len() > MAX_CLIENT_TEXT || text.chars().any(char::is_control) {
        return Err(Error::new(
            ErrorCode::InvalidArgument,
            format!("{what} must be {min} to {MAX_CLIENT_TEXT} bytes without control characters"),
        ));
    }
    Ok(())
}

/// Unguessable: whoever presents it takes the session over.
fn new_token() -> Result<[u8; 16], Error> {
    let mut token = [0; 16];
    getrandom::fill(&mut token).map_err(|error| {
        Error::new(
            ErrorCode::Internal,
            format!("the operating system gives no randomness: {error}"),
        )
    })?;
    Ok(token)
}

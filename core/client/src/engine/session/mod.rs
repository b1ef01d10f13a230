//! The available plane's engine: one session with a server, the registrations and the services
//! that go over it, and their life across broken streams.
//!
//! ```text
//!   callers ──► register, follow, … ─┐                   ┌─► outputs: answers, changed views,
//!                                    ▼                   │            connect, disconnect
//!   driver ──► dialled, received, ► Session ─────────────┤
//!              ended, timer          │  connection       └─► next_message: what to say now,
//!                                    │  registrations            everything queued in one message
//!                                    │  subscriptions ─► views
//! ```
//!
//! Messages are pulled, not pushed: the driver asks for the next one when the stream has room.
//! What is queued is therefore never a list of calls but the difference between what is wanted and
//! what the server acknowledged, and bounded by it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use prost::Message;
use quorate_proto::v1::{self, session_command::Body};
use quorate_types::{Error, ErrorCode, ServiceKey};

use self::connection::{Phase, Verdict};
use self::deadlines::Deadlines;
use self::registrations::{Name, Notice, Registrations};
use self::subscriptions::{ResyncCounts, Subscription, Subscriptions};
use crate::engine::backoff::Backoff;

mod calls;
mod connection;
mod deadlines;
mod events;
pub(crate) mod registrations;
mod subscriptions;
#[cfg(test)]
mod tests;

/// Names a caller that waits for an answer.
pub(crate) type Ticket = u64;

/// Most commands in one message, and about how many bytes.
const BATCH: usize = 512;
const BATCH_BYTES: usize = 1024 * 1024;

/// What the engine is told once.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Random, and the same for the life of the process.
    pub(crate) client_id: String,
    /// For people.
    pub(crate) client_name: String,
    /// How long callers wait, and how long an answer may take.
    pub(crate) request_timeout: Duration,
    /// Mean age at which a session moves to another server; `None` with a single one.
    pub(crate) rotate_after: Option<Duration>,
}

/// Why a stream is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Parting {
    /// It broke, or is as good as broken.
    Failed,
    /// The server is about to stop, and wants to be left alone for this long.
    Drained(Duration),
    /// To spread the load.
    Rotated,
    /// The client closes.
    Closed,
}

/// What the driver must do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// Find a server, then call [`Session::dialled`].
    Connect,
    /// Drop the stream, or the search for one.
    Disconnect(Parting),
    /// Something for callers or handles.
    Notice(Notice),
    /// A service's view or standing changed.
    Changed(ServiceKey),
    /// The server has answered: it works.
    Opened,
    /// Nothing more will come.
    Closed,
}

/// What a request was about, to make sense of its answer.
#[derive(Clone, Debug)]
enum Request {
    Registration(Name, u64),
    Subscription(ServiceKey),
    Close,
}

/// Counts of a session's life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SessionCounts {
    /// Streams on which a server answered.
    pub(crate) opened: u64,
    /// Of these, those that found everything as it was.
    pub(crate) resumed: u64,
    /// Streams that broke or fell silent.
    pub(crate) broken: u64,
    /// Heartbeats sent.
    pub(crate) heartbeats: u64,
}

#[derive(Clone, Copy, Debug)]
struct Closing {
    deadline: Instant,
    said: bool,
}

/// The engine: see the module.
#[derive(Debug)]
pub(crate) struct Session {
    settings: Settings,
    random: fastrand::Rng,
    phase: Phase,
    /// Whether `Open` is still to be pulled on the present stream.
    open_unsent: bool,
    resume_token: Bytes,
    cluster: Option<u64>,
    /// Against sessions that open and break at once; connecting has a backoff of its own.
    flapping: Backoff,
    last_request: u64,
    requests: BTreeMap<u64, Request>,
    answers_due: Deadlines<u64>,
    callers_due: Deadlines<Ticket>,
    registrations: Registrations,
    subscriptions: Subscriptions,
    closing: Option<Closing>,
    last_failure: Option<String>,
    outputs: Vec<Output>,
    counts: SessionCounts,
}

impl Session {
    pub(crate) fn new(settings: Settings, random: fastrand::Rng) -> Self {
        Self {
            settings,
            random,
            phase: Phase::Idle,
            open_unsent: false,
            resume_token: Bytes::new(),
            cluster: None,
            flapping: Backoff::default(),
            last_request: 0,
            requests: BTreeMap::new(),
            answers_due: Deadlines::default(),
            callers_due: Deadlines::default(),
            registrations: Registrations::default(),
            subscriptions: Subscriptions::default(),
            closing: None,
            last_failure: None,
            outputs: Vec::new(),
            counts: SessionCounts::default(),
        }
    }

    // === What the driver tells ===

    /// A server was found; its stream takes messages now.
    pub(crate) fn dialled(&mut self, now: Instant) {
        if matches!(self.phase, Phase::Connecting) {
            self.open_unsent = true;
            self.phase = Phase::Opening {
                deadline: now + self.settings.request_timeout,
            };
        }
    }

    /// The stream ended, or never began.
    pub(crate) fn ended(&mut self, now: Instant, why: &str) {
        if matches!(self.phase, Phase::Live(_) | Phase::Opening { .. }) {
            if self.closing.is_some_and(|closing| closing.said) {
                self.finish();
            } else {
                self.part(now, Parting::Failed, why);
            }
        }
        self.settle();
    }

    /// The server said something.
    pub(crate) fn received(&mut self, now: Instant, response: v1::SessionResponse) {
        match &mut self.phase {
            Phase::Live(live) => {
                live.observe(now);
                live.received();
            }
            Phase::Opening { .. } => {}
            _ => return,
        }
        for event in response.events {
            if let Some(body) = event.body {
                self.event(now, body);
            }
        }
        self.settle();
    }

    /// To be called when [`next_timer`](Self::next_timer) has come.
    pub(crate) fn timer(&mut self, now: Instant) {
        match &mut self.phase {
            Phase::Opening { deadline } if *deadline <= now => {
                self.part(now, Parting::Failed, "the server did not answer");
            }
            Phase::Live(live) => {
                live.observe(now);
                match live.check(now) {
                    Verdict::Fine => {}
                    Verdict::Silent => self.part(now, Parting::Failed, "the server fell silent"),
                    Verdict::Rotate => {
                        tracing::debug!("moving the session to another server");
                        self.part(now, Parting::Rotated, "moved to another server");
                    }
                }
            }
            Phase::Broken { until } if *until <= now => self.connect(),
            _ => {}
        }
        while let Some(id) = self.answers_due.pop_due(now) {
            match self.requests.remove(&id) {
                Some(Request::Registration(name, version)) => {
                    self.registrations.unanswered(&name, version);
                }
                Some(Request::Subscription(service)) => self.subscriptions.unanswered(&service),
                Some(Request::Close) | None => {}
            }
        }
        while let Some(ticket) = self.callers_due.pop_due(now) {
            self.registrations.abandon(ticket);
            let error = self.timed_out();
            self.outputs
                .push(Output::Notice(Notice::Answer(ticket, Err(error))));
        }
        self.registrations.retry_due(now);
        self.subscriptions.fetch_due(now);
        if self.closing.is_some_and(|closing| closing.deadline <= now) {
            self.finish();
        }
        self.settle();
    }

    /// When [`timer`](Self::timer) must be called next.
    pub(crate) fn next_timer(&self) -> Option<Instant> {
        let phase = match &self.phase {
            Phase::Opening { deadline } => Some(*deadline),
            Phase::Live(live) => Some(live.next_check()),
            Phase::Broken { until } => Some(*until),
            Phase::Idle | Phase::Connecting | Phase::Closed => None,
        };
        // Retries and fetches can only be sent on a live stream.
        let live = matches!(self.phase, Phase::Live(_));
        [
            phase,
            self.answers_due.next(),
            self.callers_due.next(),
            self.registrations.next_retry().filter(|_| live),
            self.subscriptions.next_fetch().filter(|_| live),
            self.closing.map(|closing| closing.deadline),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// What to say now, if anything. To be called when the stream has room.
    pub(crate) fn next_message(&mut self, now: Instant) -> Option<v1::SessionRequest> {
        if std::mem::take(&mut self.open_unsent) {
            return Some(one(
                0,
                Body::Open(v1::SessionOpen {
                    client_id: self.settings.client_id.clone(),
                    resume_token: self.resume_token.clone(),
                    client_name: self.settings.client_name.clone(),
                }),
            ));
        }
        let Phase::Live(live) = &mut self.phase else {
            return None;
        };
        live.observe(now);
        let heartbeat_wanted = live.heartbeat_wanted();
        let mut commands = Vec::new();
        if let Some(closing) = &mut self.closing {
            if !std::mem::replace(&mut closing.said, true) {
                let id = self.request(now, Request::Close);
                commands.push(command(id, Body::Close(v1::SessionClose {})));
            }
        } else {
            self.collect(now, &mut commands);
        }
        if commands.is_empty() && heartbeat_wanted {
            self.counts.heartbeats += 1;
            commands.push(command(0, Body::Heartbeat(v1::SessionHeartbeat {})));
        }
        if commands.is_empty() {
            return None;
        }
        if let Phase::Live(live) = &mut self.phase {
            live.sent(now, &mut self.random);
        }
        Some(v1::SessionRequest { commands })
    }

    /// Takes out what the driver must do.
    pub(crate) fn take_outputs(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.outputs)
    }

    // === What can be looked at ===

    /// A followed service.
    pub(crate) fn subscription(&self, service: &ServiceKey) -> Option<&Subscription> {
        self.subscriptions.get(service)
    }

    /// The cluster that last answered.
    pub(crate) fn cluster(&self) -> Option<u64> {
        self.cluster
    }

    /// Why there is no server, if there is none and one was tried.
    pub(crate) fn last_failure(&self) -> Option<&str> {
        match self.phase {
            Phase::Live(_) => None,
            _ => self.last_failure.as_deref(),
        }
    }

    pub(crate) fn counts(&self) -> SessionCounts {
        self.counts
    }

    pub(crate) fn resync_counts(&self) -> ResyncCounts {
        self.subscriptions.counts()
    }

    /// Registrations wanted.
    pub(crate) fn registered(&self) -> usize {
        self.registrations.wanted()
    }

    // === Inside ===

    fn collect(&mut self, now: Instant, commands: &mut Vec<v1::SessionCommand>) {
        let mut bytes = 0;
        while commands.len() < BATCH && bytes < BATCH_BYTES {
            let next = if let Some((name, version, body)) = self.registrations.next_to_send() {
                let id = self.request(now, Request::Registration(name, version));
                command(id, body)
            } else if let Some(service) = self.subscriptions.next_ended() {
                let service = Some((&service).into());
                command(0, Body::Unsubscribe(v1::SessionUnsubscribe { service }))
            } else if let Some((service, body)) = self.subscriptions.next_to_send(now) {
                let id = self.request(now, Request::Subscription(service));
                command(id, Body::Subscribe(body))
            } else {
                break;
            };
            bytes += next.encoded_len();
            commands.push(next);
        }
    }

    fn request(&mut self, now: Instant, request: Request) -> u64 {
        self.last_request += 1;
        self.requests.insert(self.last_request, request);
        self.answers_due
            .set(self.last_request, now + self.settings.request_timeout);
        self.last_request
    }

    fn await_answer(&mut self, now: Instant, ticket: Ticket) {
        self.callers_due
            .set(ticket, now + self.settings.request_timeout);
    }

    fn need_server(&mut self) {
        if matches!(self.phase, Phase::Idle) && self.closing.is_none() {
            self.connect();
        }
    }

    fn connect(&mut self) {
        self.phase = Phase::Connecting;
        self.outputs.push(Output::Connect);
    }

    /// Leaves the stream and decides when to come back.
    fn part(&mut self, now: Instant, parting: Parting, why: &str) {
        let lasted = matches!(&self.phase, Phase::Live(live) if live.lasted(now));
        if lasted {
            self.flapping.reset();
        }
        let was_live = matches!(self.phase, Phase::Live(_));
        let wait = match parting {
            Parting::Failed if was_live && !lasted => self.flapping.next(&mut self.random),
            _ => Duration::ZERO,
        };
        if parting == Parting::Failed && was_live {
            self.counts.broken += 1;
            tracing::info!(why, "session broken; opening another");
        }
        self.last_failure = Some(why.to_owned());
        self.open_unsent = false;
        self.requests.clear();
        self.answers_due.clear_all();
        self.registrations.session_broken();
        self.subscriptions.session_broken();
        self.outputs.push(Output::Disconnect(parting));
        self.phase = Phase::Broken { until: now + wait };
        if wait.is_zero() {
            self.connect();
        }
    }

    fn finish(&mut self) {
        let error = Error::new(ErrorCode::Closed, "the client was closed");
        self.registrations.close(&error);
        self.subscriptions.session_broken();
        self.phase = Phase::Closed;
        self.closing = None;
        self.requests.clear();
        self.answers_due.clear_all();
        self.outputs.push(Output::Disconnect(Parting::Closed));
        self.settle();
        self.outputs.push(Output::Closed);
    }

    /// Turns what the parts have to say into outputs.
    fn settle(&mut self) {
        for notice in self.registrations.take_notices() {
            if let Notice::Answer(ticket, _) = &notice {
                self.callers_due.clear(ticket);
            }
            self.outputs.push(Output::Notice(notice));
        }
        for service in self.subscriptions.take_changed() {
            self.outputs.push(Output::Changed(service));
        }
    }

    fn timed_out(&self) -> Error {
        let seconds = self.settings.request_timeout.as_secs_f32();
        match (&self.phase, &self.last_failure) {
            (Phase::Live(_), _) => Error::new(
                ErrorCode::Timeout,
                format!("the server did not answer within {seconds} s"),
            ),
            (_, Some(why)) => Error::new(
                ErrorCode::Unavailable,
                format!("no server answered within {seconds} s: {why}"),
            ),
            (_, None) => Error::new(
                ErrorCode::Unavailable,
                format!("no server answered within {seconds} s"),
            ),
        }
    }
}

fn command(request_id: u64, body: Body) -> v1::SessionCommand {
    v1::SessionCommand {
        request_id,
        body: Some(body),
    }
}

fn one(request_id: u64, body: Body) -> v1::SessionRequest {
    v1::SessionRequest {
        commands: vec![command(request_id, body)],
    }
}

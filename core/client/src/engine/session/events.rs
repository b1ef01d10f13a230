//! What the server says, and what it means for the parts.

use std::time::{Duration, Instant};

use bytes::Bytes;
use quorate_proto::convert;
use quorate_proto::v1::{self, session_event};
use quorate_types::{Error, ErrorCode, ServiceKey};

use super::connection::{Live, Phase};
use super::registrations::Name;
use super::{Output, Parting, Request, Session};

impl Session {
    /// Takes one event in.
    pub(super) fn event(&mut self, now: Instant, event: session_event::Body) {
        match event {
            session_event::Body::Opened(opened) => self.opened(now, opened),
            _ if !matches!(self.phase, Phase::Live(_)) => {}
            session_event::Body::Ack(ack) => self.answered(now, ack),
            session_event::Body::Snapshot(snapshot) => {
                if let Some(service) = read_service(snapshot.service.as_ref()) {
                    self.subscriptions.snapshot(
                        now,
                        &service,
                        snapshot,
                        self.cluster,
                        &mut self.random,
                    );
                }
            }
            session_event::Body::Delta(delta) => {
                if let Some(service) = read_service(delta.service.as_ref()) {
                    self.subscriptions
                        .delta(now, &service, delta, self.cluster, &mut self.random);
                }
            }
            session_event::Body::HeartbeatAck(ack) => {
                if let Phase::Live(live) = &mut self.phase
                    && ack.heartbeat_interval_ms > 0
                {
                    live.set_interval(now, ack.heartbeat_interval_ms, &mut self.random);
                }
            }
            session_event::Body::Evicted(evicted) => {
                if let (Some(service), Some(removal)) =
                    (read_service(evicted.service.as_ref()), evicted.removal)
                {
                    let reason = convert::removal_reason(removal.reason);
                    self.registrations.evicted(
                        &Name::new((service, removal.id)),
                        reason,
                        removal.revision,
                    );
                }
            }
            session_event::Body::Drain(drain) => {
                let after = Duration::from_millis(u64::from(drain.reconnect_after_ms));
                let why = format!("the server is about to stop: {}", drain.reason);
                self.part(now, Parting::Drained(after), &why);
            }
        }
    }

    fn opened(&mut self, now: Instant, opened: v1::SessionOpened) {
        if !matches!(self.phase, Phase::Opening { .. }) {
            return;
        }
        self.phase = Phase::Live(Live::new(
            now,
            opened.heartbeat_interval_ms,
            self.settings.rotate_after,
            &mut self.random,
        ));
        self.counts.opened += 1;
        self.counts.resumed += u64::from(opened.resumed);
        self.resume_token = opened.resume_token;
        self.cluster = Some(opened.cluster_id);
        self.last_failure = None;
        self.registrations.session_opened(opened.resumed);
        self.subscriptions.session_opened(opened.cluster_id);
        self.outputs.push(Output::Opened);
        tracing::debug!(
            session = opened.session_id,
            resumed = opened.resumed,
            "session open"
        );
    }

    fn answered(&mut self, now: Instant, ack: v1::SessionAck) {
        let Some(request) = self.requests.remove(&ack.request_id) else {
            return;
        };
        self.answers_due.clear(&ack.request_id);
        let answer = read_answer(&ack);
        if let Err(error) = &answer
            && error.code() == ErrorCode::SessionExpired
        {
            // The server does not know the session: a fresh one, with everything said again.
            self.resume_token = Bytes::new();
            self.part(now, Parting::Failed, error.message());
            return;
        }
        match request {
            Request::Registration(name, version) => {
                self.registrations
                    .acknowledged(now, &name, version, answer, &mut self.random);
            }
            Request::Subscription(service) => {
                self.subscriptions
                    .acknowledged(now, &service, answer, &mut self.random);
            }
            Request::Close => self.finish(),
        }
    }
}

/// A service we cannot read is one we cannot follow: nothing to do with it.
fn read_service(wire: Option<&v1::ServiceKey>) -> Option<ServiceKey> {
    convert::service_key(wire).ok()
}

fn read_answer(ack: &v1::SessionAck) -> Result<u64, Error> {
    if ack.code == 0 {
        return Ok(ack.revision);
    }
    let code = u16::try_from(ack.code)
        .ok()
        .and_then(ErrorCode::from_number)
        .unwrap_or(ErrorCode::Internal);
    Err(Error::new(code, ack.message.clone()))
}

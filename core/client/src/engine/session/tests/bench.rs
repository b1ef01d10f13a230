//! A session without driver or server: the test plays both, and the clock.

use std::time::{Duration, Instant};

use quorate_proto::v1::session_command::Body;
use quorate_proto::v1::session_event;
use quorate_proto::v1::{self, SessionCommand};
use quorate_types::{ContentHash, Error, ErrorCode, Instance, ServiceKey};

use crate::engine::session::registrations::{Name, Notice};
use crate::engine::session::{Output, Parting, Session, Settings, Ticket};

pub(super) const INTERVAL: Duration = Duration::from_millis(1000);
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) struct Bench {
    pub(super) session: Session,
    pub(super) now: Instant,
    outputs: Vec<Output>,
    last_ticket: Ticket,
}

impl Bench {
    pub(super) fn new() -> Self {
        Self::with(|_| ())
    }

    pub(super) fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings {
            client_id: "client".to_owned(),
            client_name: "test".to_owned(),
            request_timeout: REQUEST_TIMEOUT,
            rotate_after: None,
        };
        change(&mut settings);
        Self {
            session: Session::new(settings, fastrand::Rng::with_seed(42)),
            now: Instant::now(),
            outputs: Vec::new(),
            last_ticket: 0,
        }
    }

    /// With an open session that needs nothing more.
    pub(super) fn live() -> Self {
        let mut bench = Self::new();
        bench.follow("other");
        bench.connect();
        bench.open(false);
        let told = bench.pull();
        bench.ack(&told[0], 0);
        bench.snapshot("other", 1, &[]);
        bench.drain_outputs();
        bench
    }

    pub(super) fn drain_outputs(&mut self) -> Vec<Output> {
        self.outputs.extend(self.session.take_outputs());
        std::mem::take(&mut self.outputs)
    }

    /// Whether the session has asked for a server; it gets one.
    pub(super) fn connect(&mut self) {
        assert!(self.wants_server(), "asks for a server");
        self.session.dialled(self.now);
    }

    pub(super) fn wants_server(&mut self) -> bool {
        self.outputs.extend(self.session.take_outputs());
        let wants = self.outputs.contains(&Output::Connect);
        self.outputs.retain(|output| *output != Output::Connect);
        wants
    }

    /// Why the stream was left, if it was.
    pub(super) fn parted(&mut self) -> Option<Parting> {
        self.outputs.extend(self.session.take_outputs());
        let place = self
            .outputs
            .iter()
            .position(|output| matches!(output, Output::Disconnect(_)))?;
        match self.outputs.remove(place) {
            Output::Disconnect(parting) => Some(parting),
            _ => None,
        }
    }

    /// The server answers `Open`, which must be all that was said so far.
    pub(super) fn open(&mut self, resumed: bool) -> v1::SessionOpen {
        self.open_cluster(resumed, 7)
    }

    pub(super) fn open_cluster(&mut self, resumed: bool, cluster_id: u64) -> v1::SessionOpen {
        let said = self.pull();
        let [
            SessionCommand {
                body: Some(Body::Open(open)),
                ..
            },
        ] = said.as_slice()
        else {
            panic!("only Open: {said:?}");
        };
        self.hear(session_event::Body::Opened(v1::SessionOpened {
            session_id: 1,
            resume_token: "token".into(),
            resumed,
            heartbeat_interval_ms: INTERVAL.as_millis() as u32,
            cluster_id,
            ..Default::default()
        }));
        open.clone()
    }

    /// Everything the session wants to say now.
    pub(super) fn pull(&mut self) -> Vec<SessionCommand> {
        let mut commands = Vec::new();
        while let Some(message) = self.session.next_message(self.now) {
            commands.extend(message.commands);
        }
        commands
    }

    pub(super) fn hear(&mut self, event: session_event::Body) {
        let response = v1::SessionResponse {
            events: vec![v1::SessionEvent { body: Some(event) }],
        };
        self.session.received(self.now, response);
    }

    pub(super) fn ack(&mut self, command: &SessionCommand, revision: u64) {
        self.hear(session_event::Body::Ack(v1::SessionAck {
            request_id: command.request_id,
            revision,
            ..Default::default()
        }));
    }

    pub(super) fn refuse(&mut self, command: &SessionCommand, code: ErrorCode) {
        self.hear(session_event::Body::Ack(v1::SessionAck {
            request_id: command.request_id,
            code: code.number().into(),
            message: "no".to_owned(),
            ..Default::default()
        }));
    }

    /// Time goes by; the driver calls when it is asked to. The server keeps quiet, but answers
    /// heartbeats if `alive`. Returns what the session said.
    pub(super) fn pass(&mut self, time: Duration, alive: bool) -> Vec<SessionCommand> {
        let end = self.now + time;
        let mut said = Vec::new();
        for _ in 0..10_000 {
            let next = self.session.next_timer().filter(|at| *at <= end);
            self.now = next.map_or(end, |at| at.max(self.now));
            self.session.timer(self.now);
            let commands = self.pull();
            let heartbeats = commands
                .iter()
                .filter(|c| matches!(c.body, Some(Body::Heartbeat(_))))
                .count();
            if alive && heartbeats > 0 {
                self.hear(session_event::Body::HeartbeatAck(Default::default()));
            }
            said.extend(commands);
            if next.is_none() {
                return said;
            }
        }
        panic!("the session keeps its driver busy");
    }

    /// Breaks the stream, and has the session ask for another at once or soon.
    pub(super) fn break_stream(&mut self) {
        self.session.ended(self.now, "broken");
        assert_eq!(self.parted(), Some(Parting::Failed));
        self.pass(Duration::from_millis(100), false);
    }

    pub(super) fn ticket(&mut self) -> Ticket {
        self.last_ticket += 1;
        self.last_ticket
    }

    /// Asks for a registration; the ticket is also the owner.
    pub(super) fn register(&mut self, id: &str, weight: u16) -> Ticket {
        let ticket = self.ticket();
        let instance = instance(id, weight);
        self.session
            .register(self.now, &service("web"), instance, ticket, ticket);
        ticket
    }

    /// The answer a ticket got.
    pub(super) fn answer(&mut self, ticket: Ticket) -> Option<Result<u64, Error>> {
        self.outputs.extend(self.session.take_outputs());
        let place = self.outputs.iter().position(
            |output| matches!(output, Output::Notice(Notice::Answer(t, _)) if *t == ticket),
        )?;
        match self.outputs.remove(place) {
            Output::Notice(Notice::Answer(_, answer)) => Some(answer),
            _ => None,
        }
    }

    pub(super) fn follow(&mut self, name: &str) {
        self.session.follow(&service(name), Vec::new(), false);
    }

    /// The server sends all of a service, with everything at revision 1.
    pub(super) fn snapshot(&mut self, name: &str, revision: u64, ids: &[&str]) {
        let instances: Vec<Instance> = ids.iter().map(|id| instance(id, 1)).collect();
        let snapshot = snapshot(name, 1, revision, &instances);
        self.hear(session_event::Body::Snapshot(snapshot));
    }

    /// The ids offered of a service.
    pub(super) fn ids(&self, name: &str) -> Vec<String> {
        let subscription = self.session.subscription(&service(name)).unwrap();
        let instances = subscription.view.instances();
        instances.iter().map(|i| i.id.clone()).collect()
    }

    pub(super) fn in_contact(&self, name: &str) -> bool {
        self.session
            .subscription(&service(name))
            .unwrap()
            .in_contact
    }
}

pub(super) fn snapshot(
    name: &str,
    epoch: u64,
    revision: u64,
    instances: &[Instance],
) -> v1::ServiceSnapshot {
    v1::ServiceSnapshot {
        service: Some((&service(name)).into()),
        version: Some(v1::ViewVersion {
            epoch,
            revision,
            content_hash: ContentHash::of(instances).value(),
        }),
        instances: instances.iter().map(Into::into).collect(),
        complete: true,
        absent_reason: v1::RemovalReason::SessionLost as i32,
        ..Default::default()
    }
}

pub(super) fn service(name: &str) -> ServiceKey {
    ServiceKey::new("", name).unwrap()
}

pub(super) fn name(id: &str) -> Name {
    Name::new((service("web"), id.to_owned()))
}

pub(super) fn instance(id: &str, weight: u16) -> Instance {
    let mut instance = Instance::new("h:1");
    instance.id = id.to_owned();
    instance.weight = weight;
    instance.revision = 1;
    instance
}

/// What a command is, in short.
pub(super) fn shown(commands: &[SessionCommand]) -> Vec<String> {
    commands
        .iter()
        .map(|command| match command.body.as_ref().unwrap() {
            Body::Open(_) => "open".to_owned(),
            Body::Register(register) => {
                let instance = register.instance.as_ref().unwrap();
                format!("register {} {}", instance.id, instance.weight)
            }
            Body::Update(_) => "update".to_owned(),
            Body::Deregister(deregister) => format!("deregister {}", deregister.id),
            Body::Heartbeat(_) => "heartbeat".to_owned(),
            Body::Subscribe(subscribe) => {
                let known = subscribe.known.map(|known| known.revision);
                let name = &subscribe.service.as_ref().unwrap().name;
                match known {
                    Some(revision) => format!("subscribe {name} {revision}"),
                    None => format!("subscribe {name}"),
                }
            }
            Body::Unsubscribe(unsubscribe) => {
                format!("unsubscribe {}", unsubscribe.service.as_ref().unwrap().name)
            }
            Body::Close(_) => "close".to_owned(),
        })
        .collect()
}

//! A clock that moves when told, and clients that check all they are sent.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use quorate_proto::convert;
use quorate_proto::v1;
use quorate_proto::v1::session_command::Body as Command;
use quorate_proto::v1::session_event::Body as Event;
use quorate_types::{ContentHash, ErrorCode};

use crate::{Clock, Registry, RegistryOptions, Session, SessionEnd};

pub(crate) const EPOCH: u64 = 1_700_000_000_000;

/// Moves when told.
pub(crate) struct FakeClock {
    monotonic_ms: AtomicU64,
    unix_ms: AtomicI64,
}

impl FakeClock {
    pub(crate) fn new() -> Self {
        Self {
            monotonic_ms: AtomicU64::new(77_000),
            unix_ms: AtomicI64::new(EPOCH as i64),
        }
    }

    pub(crate) fn advance(&self, ms: u64) {
        self.monotonic_ms.fetch_add(ms, Ordering::SeqCst);
        self.unix_ms.fetch_add(ms as i64, Ordering::SeqCst);
    }

    /// Somebody sets the machine's clock.
    pub(crate) fn set_wall_clock_back(&self, ms: u64) {
        self.unix_ms.fetch_sub(ms as i64, Ordering::SeqCst);
    }
}

impl Clock for FakeClock {
    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.monotonic_ms.load(Ordering::SeqCst))
    }

    fn unix(&self) -> Duration {
        Duration::from_millis(self.unix_ms.load(Ordering::SeqCst) as u64)
    }
}

/// A registry, its clock, and a sweeper that comes when it promised.
pub(crate) struct World {
    pub(crate) clock: Arc<FakeClock>,
    pub(crate) registry: Registry,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(|_| ())
    }

    pub(crate) fn with(change: impl FnOnce(&mut RegistryOptions)) -> Self {
        let clock = Arc::new(FakeClock::new());
        let mut options = RegistryOptions::new(EPOCH, 7, 8);
        change(&mut options);
        let registry = Registry::new(options, clock.clone());
        let world = Self { clock, registry };
        world.sweep();
        world
    }

    /// Sweeps until there is something to wait for.
    pub(crate) fn sweep(&self) -> u64 {
        loop {
            let wait = self.registry.sweep().as_millis() as u64;
            if wait > 0 {
                return wait;
            }
        }
    }

    /// Time passes, with all the sweeps that belong to it.
    pub(crate) fn pass(&self, mut ms: u64) {
        loop {
            let step = self.sweep().min(ms);
            if step == 0 {
                return;
            }
            self.clock.advance(step);
            ms -= step;
        }
    }

    /// Milliseconds on the monotonic clock.
    pub(crate) fn elapsed(&self) -> u64 {
        self.clock.monotonic().as_millis() as u64
    }

    /// Whether the session is still known, attached or waiting.
    pub(crate) fn lives(&self, session: u64) -> bool {
        self.registry.session_ids().contains(&session)
    }

    pub(crate) fn open(&self, client_id: &str) -> Client {
        self.resume(client_id, &[])
    }

    pub(crate) fn resume(&self, client_id: &str, token: &[u8]) -> Client {
        let open = v1::SessionOpen {
            client_id: client_id.into(),
            resume_token: token.to_vec().into(),
            client_name: "test".into(),
        };
        let session = self
            .registry
            .open(request([(0, Command::Open(open))]))
            .unwrap();
        let mut events = session.try_next().unwrap().unwrap().events.into_iter();
        let Some(Event::Opened(opened)) = events.next().unwrap().body else {
            panic!("not opened");
        };
        Client {
            session,
            opened,
            last_request: Cell::new(0),
            inbox: RefCell::new(events.map(|event| event.body.unwrap()).collect()),
        }
    }

    pub(crate) fn discover(&self, name: &str) -> v1::ServiceSnapshot {
        let request = v1::DiscoverRequest { service: key(name) };
        self.registry.discover(&request).unwrap().snapshot.unwrap()
    }

    /// The ids of a service's instances, in order.
    pub(crate) fn ids(&self, name: &str) -> Vec<String> {
        let mut ids: Vec<_> = self
            .discover(name)
            .instances
            .into_iter()
            .map(|i| i.id)
            .collect();
        ids.sort();
        ids
    }

    /// Registers without a session.
    pub(crate) fn register(&self, name: &str, instance: v1::Instance) -> v1::RegisterResponse {
        self.registry
            .register(v1::RegisterRequest {
                service: key(name),
                instance: Some(instance),
            })
            .unwrap()
    }

    pub(crate) fn deregister(&self, name: &str, id: &str) -> bool {
        let request = v1::DeregisterRequest {
            service: key(name),
            id: id.into(),
        };
        self.registry.deregister(&request).unwrap().removed
    }

    pub(crate) fn heartbeat(&self, name: &str, id: &str) -> Result<u32, ErrorCode> {
        let request = v1::HeartbeatRequest {
            service: key(name),
            id: id.into(),
        };
        self.registry
            .heartbeat(&request)
            .map(|response| response.ttl_ms)
            .map_err(|error| error.code())
    }
}

pub(crate) fn key(name: &str) -> Option<v1::ServiceKey> {
    Some(v1::ServiceKey {
        namespace: String::new(),
        name: name.into(),
    })
}

/// An instance whose id is its address, with a TTL of so many seconds.
pub(crate) fn instance(id: &str, ttl_s: u32) -> v1::Instance {
    v1::Instance {
        id: id.into(),
        address: format!("{id}:80"),
        weight: 100,
        ttl_ms: ttl_s * 1_000,
        ..Default::default()
    }
}

pub(crate) fn request(commands: impl IntoIterator<Item = (u64, Command)>) -> v1::SessionRequest {
    v1::SessionRequest {
        commands: commands
            .into_iter()
            .map(|(request_id, body)| v1::SessionCommand {
                request_id,
                body: Some(body),
            })
            .collect(),
    }
}

pub(crate) fn register(name: &str, instance: v1::Instance) -> Command {
    Command::Register(v1::SessionRegister {
        service: key(name),
        instance: Some(instance),
    })
}

pub(crate) fn deregister(name: &str, id: &str) -> Command {
    Command::Deregister(v1::SessionDeregister {
        service: key(name),
        id: id.into(),
    })
}

pub(crate) fn subscribe(name: &str, known: Option<v1::ViewVersion>) -> Command {
    Command::Subscribe(v1::SessionSubscribe {
        service: key(name),
        known,
    })
}

pub(crate) fn heartbeat() -> Command {
    Command::Heartbeat(v1::SessionHeartbeat {})
}

/// A client with one session.
pub(crate) struct Client {
    pub(crate) session: Session,
    pub(crate) opened: v1::SessionOpened,
    last_request: Cell<u64>,
    inbox: RefCell<Vec<Event>>,
}

impl Client {
    /// Sends one command and returns its Ack; what else arrived is for [`take`](Self::take).
    pub(crate) fn call(&self, command: Command) -> v1::SessionAck {
        let id = self.last_request.get() + 1;
        self.last_request.set(id);
        self.session.handle(request([(id, command)])).unwrap();
        self.receive();
        let mut inbox = self.inbox.borrow_mut();
        let at = inbox
            .iter()
            .position(|event| matches!(event, Event::Ack(ack) if ack.request_id == id))
            .expect("an Ack");
        match inbox.remove(at) {
            Event::Ack(ack) => ack,
            _ => unreachable!(),
        }
    }

    /// Like [`call`](Self::call), which must succeed.
    pub(crate) fn ok(&self, command: Command) -> v1::SessionAck {
        let ack = self.call(command);
        assert_eq!(ack.code, 0, "{}", ack.message);
        ack
    }

    /// Like [`call`](Self::call), which must fail.
    pub(crate) fn fails(&self, command: Command) -> ErrorCode {
        let ack = self.call(command);
        assert!(!ack.message.is_empty());
        ErrorCode::from_number(ack.code as u16).expect("an error")
    }

    /// A sign of life that wants no answer; what is answered anyway is swallowed.
    pub(crate) fn beat(&self) {
        self.session.handle(request([(0, heartbeat())])).unwrap();
        self.receive();
        self.inbox
            .borrow_mut()
            .retain(|event| !matches!(event, Event::HeartbeatAck(_)));
    }

    /// All that has arrived.
    pub(crate) fn take(&self) -> Vec<Event> {
        self.receive();
        self.inbox.take()
    }

    pub(crate) fn ended(&self) -> Option<SessionEnd> {
        loop {
            match self.session.try_next() {
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(why) => return Some(why),
            }
        }
    }

    fn receive(&self) {
        while let Ok(Some(response)) = self.session.try_next() {
            assert!(!response.events.is_empty());
            let events = response.events.into_iter().map(|event| event.body.unwrap());
            self.inbox.borrow_mut().extend(events);
        }
    }
}

/// What a subscriber knows of its services: applies what it is sent and checks every step.
#[derive(Clone, Default)]
pub(crate) struct Views(pub(crate) BTreeMap<String, View>);

#[derive(Clone, Default)]
pub(crate) struct View {
    pub(crate) version: v1::ViewVersion,
    pub(crate) instances: BTreeMap<String, v1::Instance>,
    pub(crate) complete: bool,
    /// The newest removal of each id that this subscriber was told.
    pub(crate) removed: BTreeMap<String, u64>,
}

impl Views {
    /// Applies one event; if it was a push, returns the service and whether its version grew.
    pub(crate) fn apply(&mut self, event: &Event) -> Option<(String, bool)> {
        let service = match event {
            Event::Snapshot(snapshot) => snapshot.service.clone()?.name,
            Event::Delta(delta) => delta.service.clone()?.name,
            _ => return None,
        };
        let before = self.0.get(&service).map(|view| view.version.revision);
        match event {
            Event::Snapshot(snapshot) => self.snapshot(snapshot),
            Event::Delta(delta) => self.delta(delta),
            _ => {}
        }
        let is_news = before.is_none_or(|before| self.0[&service].version.revision > before);
        Some((service, is_news))
    }

    pub(crate) fn snapshot(&mut self, snapshot: &v1::ServiceSnapshot) {
        let view = self
            .0
            .entry(snapshot.service.clone().unwrap().name)
            .or_default();
        view.step_to(snapshot.version.unwrap());
        view.instances.clear();
        view.change(&snapshot.instances, &snapshot.removed);
        view.complete = snapshot.complete;
        view.check();
    }

    pub(crate) fn delta(&mut self, delta: &v1::ServiceDelta) {
        let view = self
            .0
            .get_mut(&delta.service.clone().unwrap().name)
            .expect("a delta follows a snapshot");
        let version = delta.version.unwrap();
        assert_eq!(view.version.epoch, version.epoch);
        assert_eq!(view.version.revision, delta.from_revision, "a gap");
        assert!(version.revision > delta.from_revision, "an empty delta");
        view.step_to(version);
        view.change(&delta.upserted, &delta.removed);
        view.check();
    }
}

impl View {
    fn step_to(&mut self, version: v1::ViewVersion) {
        if self.version.epoch == version.epoch {
            assert!(
                version.revision >= self.version.revision,
                "a version went back"
            );
        }
        self.version = version;
    }

    fn change(&mut self, upserted: &[v1::Instance], removed: &[v1::Removal]) {
        for removal in removed {
            assert!(
                !upserted.iter().any(|instance| instance.id == removal.id),
                "both there and removed"
            );
            self.instances.remove(&removal.id);
            self.removed.insert(removal.id.clone(), removal.revision);
        }
        for instance in upserted {
            let removal = self.removed.get(&instance.id);
            assert!(
                removal.is_none_or(|removal| instance.revision > *removal),
                "back from the dead"
            );
            self.instances.insert(instance.id.clone(), instance.clone());
        }
    }

    fn check(&self) {
        let instances: Vec<_> = self
            .instances
            .values()
            .map(|wire| convert::instance(Some(wire.clone())).unwrap())
            .collect();
        let hash = ContentHash::of(&instances);
        assert_eq!(hash.value(), self.version.content_hash, "content hash");
    }
}

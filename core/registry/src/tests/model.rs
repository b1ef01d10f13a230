//! The registry against a model a page long: random clients, random silence, random slowness.
//!
//! After every step the registry must show exactly the model's instances, with revisions and
//! versions that only grow and change only when something did. Every subscriber that catches up
//! must stand where the model stands, by applying what it was sent; [`Views`] checks each step.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use quorate_proto::v1;
use quorate_proto::v1::session_command::Body as Command;
use quorate_proto::v1::session_event::Body as Event;
use quorate_types::ErrorCode;

use super::clients::*;
use crate::SessionEnd;

const SERVICES: [&str; 2] = ["web", "api"];
const IDS: [&str; 4] = ["i", "j", "k", "l"];
const TTLS_S: [u32; 4] = [1, 3, 12, 30];
const CLIENTS: usize = 3;
const MIN_SESSION_TTL: u64 = 10_000;

type Name = (&'static str, &'static str);

#[derive(Clone, Debug)]
enum Step {
    /// Opens a session, or resumes the one that was; an attached one is superseded.
    Connect(usize),
    Detach(usize),
    Close(usize),
    Register(usize, Name, u32, u32),
    Update(usize, Name, u32),
    Deregister(usize, Name),
    Heartbeat(usize),
    /// Whether the client says what it knows.
    Subscribe(usize, &'static str, bool),
    Unsubscribe(usize, &'static str),
    CatchUp(usize),
    UnaryRegister(Name, u32, u32),
    UnaryHeartbeat(Name),
    UnaryDeregister(Name),
    Pass(u64),
    Stall(u64),
    WallClockBack(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    use Step::*;
    let client = 0..CLIENTS;
    let service = || prop::sample::select(&SERVICES[..]);
    let name = || (service(), prop::sample::select(&IDS[..]));
    let ttl = || prop::sample::select(&TTLS_S[..]);
    let weight = 1..3u32;
    let step = prop_oneof![
        4 => client.clone().prop_map(Connect),
        1 => client.clone().prop_map(Detach),
        1 => client.clone().prop_map(Close),
        8 => (client.clone(), name(), weight.clone(), ttl())
            .prop_map(|(c, n, w, t)| Register(c, n, w, t)),
        3 => (client.clone(), name(), weight.clone()).prop_map(|(c, n, w)| Update(c, n, w)),
        3 => (client.clone(), name()).prop_map(|(c, n)| Deregister(c, n)),
        4 => client.clone().prop_map(Heartbeat),
        3 => (client.clone(), service(), any::<bool>()).prop_map(|(c, s, k)| Subscribe(c, s, k)),
        1 => (client.clone(), service()).prop_map(|(c, s)| Unsubscribe(c, s)),
        5 => client.prop_map(CatchUp),
        2 => (name(), weight, ttl()).prop_map(|(n, w, t)| UnaryRegister(n, w, t)),
        2 => name().prop_map(UnaryHeartbeat),
        2 => name().prop_map(UnaryDeregister),
        6 => prop_oneof![1..900u64, 900..4_000u64, 4_000..40_000u64].prop_map(Pass),
        1 => (2_000..60_000u64).prop_map(Stall),
        1 => (1..100_000u64).prop_map(WallClockBack),
    ];
    prop::collection::vec(step, 1..120)
}

/// Who keeps an instance: a session by its number, or its own heartbeats since then.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Keeper {
    Session(u64),
    Lease(u64),
}

#[derive(Clone, Copy, Debug)]
struct Expected {
    weight: u32,
    ttl_s: u32,
    keeper: Keeper,
}

#[derive(Default)]
struct ExpectedSession {
    last_sign: u64,
    /// Lost to others or to silence, not settled yet.
    evicted: BTreeSet<Name>,
}

/// A client process: its connection if it has one, and what it remembers across connections.
#[derive(Default)]
struct Process {
    client: Option<Client>,
    session: Option<u64>,
    token: Vec<u8>,
    views: Views,
    /// Subscribed services, and whether a snapshot is due whatever is known.
    subscribed: BTreeMap<&'static str, bool>,
}

struct Run {
    world: World,
    started: u64,
    instances: BTreeMap<Name, Expected>,
    sessions: BTreeMap<u64, ExpectedSession>,
    processes: Vec<Process>,
    /// What the last step left of each service: version, completeness, revisions.
    last: BTreeMap<&'static str, v1::ServiceSnapshot>,
    highest: BTreeMap<Name, u64>,
    changed: BTreeSet<&'static str>,
}

impl Run {
    fn new(warm_up: bool) -> Self {
        let world = World::with(|options| {
            options.limits.tombstones_per_service = 3;
            options.tombstone_retention = std::time::Duration::from_secs(20);
            options.warm_up = warm_up.then_some(std::time::Duration::from_secs(15));
        });
        let last = SERVICES.map(|name| (name, world.discover(name))).into();
        Self {
            started: world.elapsed(),
            world,
            instances: BTreeMap::new(),
            sessions: BTreeMap::new(),
            processes: (0..CLIENTS).map(|_| Process::default()).collect(),
            last,
            highest: BTreeMap::new(),
            changed: BTreeSet::new(),
        }
    }

    /// The time by which things live: without stalls.
    fn now(&self) -> u64 {
        self.world.elapsed() - self.started - self.world.registry.metrics().stall_credited_ms
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Connect(n) => self.connect(n),
            Step::Detach(n) => {
                self.processes[n].client = None;
                self.processes[n].subscribed.clear();
            }
            Step::Close(n) => self.close(n),
            Step::Register(n, name, weight, ttl_s) => self.register(n, name, weight, ttl_s),
            Step::Update(n, name, weight) => self.update(n, name, weight),
            Step::Deregister(n, name) => self.deregister(n, name),
            Step::Heartbeat(n) => {
                if let Some(client) = self.speaks(n) {
                    client.ok(heartbeat());
                }
            }
            Step::Subscribe(n, service, known) => self.subscribe(n, service, known),
            Step::Unsubscribe(n, service) => {
                self.catch_up(n);
                if let Some(client) = self.speaks(n) {
                    client.ok(Command::Unsubscribe(v1::SessionUnsubscribe {
                        service: key(service),
                    }));
                }
                self.processes[n].subscribed.remove(service);
            }
            Step::CatchUp(n) => self.catch_up(n),
            Step::UnaryRegister(name, weight, ttl_s) => {
                let keeper = Keeper::Lease(self.now());
                let wire = v1::Instance {
                    weight,
                    ..instance(name.1, ttl_s)
                };
                let answer = self.world.register(name.0, wire);
                self.put(name, weight, ttl_s, keeper);
                self.answered(name, answer.revision);
            }
            Step::UnaryHeartbeat(name) => self.unary_heartbeat(name),
            Step::UnaryDeregister(name) => {
                let removed = self.world.deregister(name.0, name.1);
                assert_eq!(removed, self.instances.contains_key(&name));
                self.lose(name);
            }
            Step::Pass(ms) => {
                self.world.pass(ms);
                self.expire();
            }
            Step::Stall(ms) => {
                let credited = || self.world.registry.metrics().stall_credited_ms;
                let before = credited();
                self.world.clock.advance(ms);
                self.world.sweep();
                let stall = credited() - before;
                // Whole, and up to as much again for the clients' way back.
                assert!(stall <= 2 * ms && stall + 500 >= ms, "{stall} of {ms}");
                self.expire();
            }
            Step::WallClockBack(ms) => self.world.clock.set_wall_clock_back(ms),
        }
        self.check();
    }

    /// The client, if it is connected; what it says next is a sign of life.
    fn speaks(&mut self, n: usize) -> Option<&Client> {
        let now = self.now();
        let process = &self.processes[n];
        let client = process.client.as_ref()?;
        if let Some(session) = self.sessions.get_mut(&process.session?) {
            session.last_sign = session.last_sign.max(now);
        }
        Some(client)
    }

    fn connect(&mut self, n: usize) {
        let now = self.now();
        let process = &mut self.processes[n];
        let client = self.world.resume(&format!("client-{n}"), &process.token);
        if let Some(older) = process.client.replace(client) {
            assert_eq!(older.ended(), Some(SessionEnd::Superseded));
        }
        process.subscribed.clear();
        let client = process.client.as_ref().expect("just connected");
        process.token = client.opened.resume_token.to_vec();
        let id = client.session.id();
        let before = process.session.replace(id);
        // As long as the model has it, it must be found; and never one that the model has not.
        let expected = before.is_some_and(|session| self.sessions.contains_key(&session));
        assert_eq!(client.opened.resumed, expected);
        let session = self.sessions.entry(id).or_default();
        session.last_sign = session.last_sign.max(now);
        let told: BTreeSet<_> = client
            .take()
            .into_iter()
            .map(|event| match event {
                Event::Evicted(evicted) => {
                    (evicted.service.unwrap().name, evicted.removal.unwrap().id)
                }
                other => panic!("{other:?}"),
            })
            .collect();
        let lost = session.evicted.iter();
        assert_eq!(
            told,
            lost.map(|(s, i)| ((*s).into(), (*i).into())).collect()
        );
    }

    fn close(&mut self, n: usize) {
        let Some(client) = self.speaks(n) else { return };
        let close = Command::Close(v1::SessionClose {});
        assert_eq!(
            client.session.handle(request([(0, close)])),
            Err(SessionEnd::Closed)
        );
        let process = &mut self.processes[n];
        process.client = None;
        process.subscribed.clear();
        let session = process.session.expect("was open");
        self.sessions.remove(&session);
        for name in self.kept_by(session) {
            self.lose(name);
        }
    }

    fn register(&mut self, n: usize, name: Name, weight: u32, ttl_s: u32) {
        let Some(client) = self.speaks(n) else { return };
        let wire = v1::Instance {
            weight,
            ..instance(name.1, ttl_s)
        };
        let answer = client.ok(register(name.0, wire));
        assert_eq!((answer.id.as_str(), answer.ttl_ms), (name.1, ttl_s * 1_000));
        let session = self.processes[n].session.expect("open");
        self.put(name, weight, ttl_s, Keeper::Session(session));
        self.sessions
            .get_mut(&session)
            .unwrap()
            .evicted
            .remove(&name);
        self.answered(name, answer.revision);
    }

    fn update(&mut self, n: usize, name: Name, weight: u32) {
        let Some(client) = self.speaks(n) else { return };
        let answer = client.call(Command::Update(v1::SessionUpdate {
            service: key(name.0),
            id: name.1.into(),
            weight: Some(weight),
            ..Default::default()
        }));
        let session = self.processes[n].session.expect("open");
        match self.instances.get(&name).copied() {
            None => assert_eq!(answer.code, u32::from(ErrorCode::NotFound.number())),
            Some(held) if held.keeper != Keeper::Session(session) => {
                assert_eq!(answer.code, u32::from(ErrorCode::Conflict.number()));
            }
            Some(held) => {
                assert_eq!(answer.code, 0);
                self.put(name, weight, held.ttl_s, held.keeper);
                self.answered(name, answer.revision);
            }
        }
    }

    fn deregister(&mut self, n: usize, name: Name) {
        let Some(client) = self.speaks(n) else { return };
        let answer = client.ok(deregister(name.0, name.1));
        let session = self.processes[n].session.expect("open");
        let keeper = self.instances.get(&name).map(|held| held.keeper);
        let own = keeper == Some(Keeper::Session(session));
        assert_eq!(answer.revision > 0, own);
        if own {
            self.lose(name);
        }
        self.sessions
            .get_mut(&session)
            .unwrap()
            .evicted
            .remove(&name);
    }

    fn subscribe(&mut self, n: usize, service: &'static str, known: bool) {
        self.catch_up(n);
        let view = self.processes[n].views.0.get(service);
        let known = view.filter(|_| known).map(|view| view.version);
        let Some(client) = self.speaks(n) else { return };
        client.ok(subscribe(service, known));
        self.processes[n]
            .subscribed
            .insert(service, known.is_none());
    }

    /// Everything sent so far is applied; afterwards the views are the model's.
    fn catch_up(&mut self, n: usize) {
        let process = &mut self.processes[n];
        let Some(client) = &process.client else {
            return;
        };
        let mut pushes: BTreeMap<String, Vec<bool>> = BTreeMap::new();
        for event in client.take() {
            if let Some((service, is_news)) = process.views.apply(&event) {
                pushes.entry(service).or_default().push(is_news);
            }
        }
        for (&service, snapshot_due) in &mut process.subscribed {
            let now = &self.last[service];
            let view = &process.views.0[service];
            assert_eq!(Some(view.version), now.version);
            assert_eq!(view.complete, now.complete);
            let instances = now.instances.iter().map(|i| (i.id.clone(), i.clone()));
            assert_eq!(view.instances, instances.collect());
            let due = std::mem::take(snapshot_due);
            let pushes = pushes.remove(service).unwrap_or_default();
            assert!(!due || !pushes.is_empty(), "no snapshot");
            let idle = pushes.iter().filter(|is_news| !**is_news).count();
            assert!(idle <= usize::from(due), "a push without news");
        }
        assert!(pushes.is_empty(), "a push without a subscription");
    }

    fn unary_heartbeat(&mut self, name: Name) {
        let now = self.now();
        let answer = self.world.heartbeat(name.0, name.1);
        match self.instances.get_mut(&name) {
            None => assert_eq!(answer, Err(ErrorCode::NotFound)),
            Some(held) => match &mut held.keeper {
                Keeper::Session(_) => assert_eq!(answer, Err(ErrorCode::Conflict)),
                Keeper::Lease(last_sign) => {
                    assert_eq!(answer, Ok(held.ttl_s * 1_000));
                    *last_sign = now.max(*last_sign);
                }
            },
        }
    }

    fn put(&mut self, name: Name, weight: u32, ttl_s: u32, keeper: Keeper) {
        let now = Expected {
            weight,
            ttl_s,
            keeper,
        };
        let before = self.instances.insert(name, now);
        if before.is_none_or(|b| (b.weight, b.ttl_s) != (weight, ttl_s)) {
            self.changed.insert(name.0);
        }
    }

    /// An instance goes, and its session, if it still is one, is told.
    fn lose(&mut self, name: Name) {
        let Some(held) = self.instances.remove(&name) else {
            return;
        };
        self.changed.insert(name.0);
        if let Keeper::Session(session) = held.keeper
            && let Some(session) = self.sessions.get_mut(&session)
        {
            session.evicted.insert(name);
        }
    }

    fn answered(&mut self, name: Name, revision: u64) {
        let snapshot = self.world.discover(name.0);
        let found = snapshot.instances.iter().find(|i| i.id == name.1);
        assert_eq!(found.map(|i| i.revision), Some(revision));
    }

    fn kept_by(&self, session: u64) -> Vec<Name> {
        let kept = |held: &Expected| held.keeper == Keeper::Session(session);
        let instances = self.instances.iter();
        instances
            .filter(|(_, held)| kept(held))
            .map(|(name, _)| *name)
            .collect()
    }

    /// What silence has outlived is gone, and sessions with nothing left to wait for have ended.
    fn expire(&mut self) {
        let now = self.now();
        let mut longest: BTreeMap<u64, u64> = BTreeMap::new();
        for name in self.instances.keys().copied().collect::<Vec<_>>() {
            let held = self.instances[&name];
            let ttl = u64::from(held.ttl_s) * 1_000;
            let last_sign = match held.keeper {
                Keeper::Lease(last_sign) => last_sign,
                Keeper::Session(session) => {
                    let longest = longest.entry(session).or_default();
                    *longest = ttl.max(*longest);
                    self.sessions[&session].last_sign
                }
            };
            if now >= last_sign + ttl {
                self.lose(name);
            }
        }
        for (session, expected) in std::mem::take(&mut self.sessions) {
            let longest = longest.get(&session).copied().unwrap_or(0);
            let silence = now.saturating_sub(expected.last_sign);
            let must_live = silence < MIN_SESSION_TTL.max(longest);
            // One that lost its longest TTL to others may be looked at later: it lives on then.
            let lives = self.world.lives(session);
            assert!(
                lives || !must_live,
                "session {session} ended after {silence} ms"
            );
            if lives {
                self.sessions.insert(session, expected);
                continue;
            }
            for process in &mut self.processes {
                if process.session == Some(session)
                    && let Some(client) = process.client.take()
                {
                    assert_eq!(client.ended(), Some(SessionEnd::Expired));
                    process.subscribed.clear();
                }
            }
        }
        // Half an hour is beyond every TTL and the horizon of the sweeper.
        let silent = |s: &ExpectedSession| now.saturating_sub(s.last_sign) > 100_000;
        assert!(
            !self.sessions.values().any(silent),
            "a session outlives everything"
        );
    }

    fn check(&mut self) {
        for service in SERVICES {
            let snapshot = self.world.discover(service);
            let expected: Vec<_> = self
                .instances
                .iter()
                .filter(|(name, _)| name.0 == service)
                .map(|(name, held)| (name.1, held.weight, held.ttl_s * 1_000))
                .collect();
            let mut found: Vec<_> = snapshot.instances.iter().collect();
            found.sort_by(|a, b| a.id.cmp(&b.id));
            let found: Vec<_> = found.iter().map(|i| (&*i.id, i.weight, i.ttl_ms)).collect();
            assert_eq!(found, expected, "{service}");
            Views::default().snapshot(&snapshot);

            let last = self.last.insert(service, snapshot.clone()).unwrap();
            let (before, now) = (last.version.unwrap(), snapshot.version.unwrap());
            let changed = self.changed.remove(service) || last.complete != snapshot.complete;
            assert_eq!(
                now.revision > before.revision,
                changed,
                "{before:?} {now:?}"
            );
            assert!(now.revision >= before.revision);
            for instance in &snapshot.instances {
                assert!(instance.revision <= now.revision);
            }
            for (id, revision) in snapshot
                .instances
                .iter()
                .map(|i| (&i.id, i.revision))
                .chain(snapshot.removed.iter().map(|r| (&r.id, r.revision)))
            {
                let id = IDS.into_iter().find(|known| known == id).unwrap();
                let highest = self.highest.entry((service, id)).or_default();
                assert!(revision >= *highest, "{id} went back");
                *highest = revision;
            }
        }
        let metrics = self.world.registry.metrics();
        assert_eq!(metrics.instances, self.instances.len() as u64);
        let subscribed = self.processes.iter().map(|p| p.subscribed.len() as u64);
        assert_eq!(metrics.subscriptions, subscribed.sum::<u64>());
    }

    /// Everything ends, and nothing is left behind.
    fn finish(mut self) {
        for n in 0..CLIENTS {
            self.catch_up(n);
        }
        self.processes.clear();
        for _ in 0..4 {
            self.world.pass(60_000);
        }
        let metrics = self.world.registry.metrics();
        let left = (metrics.sessions, metrics.instances, metrics.services);
        assert_eq!((left, metrics.subscriptions), ((0, 0, 0), 0));
    }
}

proptest! {
    #[test]
    fn the_registry_does_what_the_model_does(warm_up: bool, steps in steps()) {
        let mut run = Run::new(warm_up);
        for step in &steps {
            run.step(step);
        }
        run.finish();
    }
}

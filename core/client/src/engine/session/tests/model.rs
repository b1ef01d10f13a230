//! A session against a small model of a server, under everything that can happen at once: other
//! clients come and go, messages are lost and falsified, streams break, the server forgets.
//!
//! Always: a view is never emptied without a reason. In the end, when contact holds: the view is
//! exactly the server's, and what is wanted registered is exactly what is registered.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use proptest::prelude::*;
use quorate_proto::v1::session_command::Body;
use quorate_proto::v1::session_event;
use quorate_proto::v1::{self, SessionCommand};
use quorate_types::{ContentHash, Instance, RemovalReason};

use super::bench::{Bench, instance, name, service};
use crate::engine::session::Output;
use crate::engine::session::registrations::Owner;

/// What can happen.
#[derive(Clone, Debug)]
enum Step {
    Put { id: u8, weight: u16 },
    Remove { id: u8, reason: RemovalReason },
    RemoveAll { reason: RemovalReason },
    Register { id: u8, weight: u16 },
    Deregister { id: u8 },
    Deliver { most: usize },
    Lose,
    Falsify,
    Break,
    Expire,
    Restart,
    WarmedUp,
    Pass { ms: u64 },
}

fn reason() -> impl Strategy<Value = RemovalReason> {
    prop_oneof![
        Just(RemovalReason::Deregistered),
        Just(RemovalReason::LeaseExpired),
        Just(RemovalReason::SessionLost),
        Just(RemovalReason::Operator),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0u8..8, 1u16..4).prop_map(|(id, weight)| Step::Put { id, weight }),
        4 => (0u8..8, reason()).prop_map(|(id, reason)| Step::Remove { id, reason }),
        1 => reason().prop_map(|reason| Step::RemoveAll { reason }),
        2 => (0u8..3, 1u16..4).prop_map(|(id, weight)| Step::Register { id, weight }),
        1 => (0u8..3).prop_map(|id| Step::Deregister { id }),
        8 => (1usize..4).prop_map(|most| Step::Deliver { most }),
        2 => Just(Step::Lose),
        1 => Just(Step::Falsify),
        2 => Just(Step::Break),
        1 => Just(Step::Expire),
        1 => Just(Step::Restart),
        1 => Just(Step::WarmedUp),
        6 => (1u64..1500).prop_map(|ms| Step::Pass { ms }),
    ]
}

/// A server with one service, as the contract describes it.
struct Server {
    epoch: u64,
    revision: u64,
    floor: u64,
    warming: bool,
    instances: BTreeMap<String, Instance>,
    gone: BTreeMap<String, v1::Removal>,
    /// What the client's session holds; `None`: there is no such session.
    held: Option<BTreeSet<String>>,
    /// Counts sessions: the token of the present one.
    sessions: u64,
    /// What the client was sent last; `None` inside: nothing.
    subscribed: Option<Option<v1::ViewVersion>>,
    /// On their way to the client.
    outbox: VecDeque<session_event::Body>,
}

impl Server {
    fn new() -> Self {
        Self {
            epoch: 1,
            revision: 100,
            floor: 100,
            warming: false,
            instances: BTreeMap::new(),
            gone: BTreeMap::new(),
            held: None,
            sessions: 0,
            subscribed: None,
            outbox: VecDeque::new(),
        }
    }

    fn put(&mut self, mut instance: Instance) -> u64 {
        if let Some(old) = self.instances.get(&instance.id)
            && old.same_content(&instance)
        {
            return old.revision;
        }
        self.revision += 1;
        instance.revision = self.revision;
        self.gone.remove(&instance.id);
        self.instances.insert(instance.id.clone(), instance);
        self.revision
    }

    fn remove(&mut self, id: &str, reason: RemovalReason) {
        if self.instances.remove(id).is_none() {
            return;
        }
        self.revision += 1;
        let removal = v1::Removal {
            id: id.to_owned(),
            reason: v1::RemovalReason::from(reason) as i32,
            revision: self.revision,
            removed_at_ms: 0,
        };
        self.gone.insert(id.to_owned(), removal.clone());
        // Evicted by others: the client is told, if it is there.
        if let Some(held) = &mut self.held
            && held.remove(id)
        {
            self.outbox
                .push_back(session_event::Body::Evicted(v1::SessionEvicted {
                    service: Some((&service("web")).into()),
                    removal: Some(removal),
                }));
        }
    }

    fn version(&self) -> v1::ViewVersion {
        v1::ViewVersion {
            epoch: self.epoch,
            revision: self.revision,
            content_hash: ContentHash::of(self.instances.values()).value(),
        }
    }

    /// Sends what is new since what was sent.
    fn push(&mut self) {
        let version = self.version();
        let Some(sent) = &mut self.subscribed else {
            return;
        };
        let sent = sent.replace(version);
        if sent == Some(version) {
            return;
        }
        let wire = |instance: &Instance| instance.into();
        let from = sent.filter(|sent| {
            sent.epoch == self.epoch && (self.floor..self.revision).contains(&sent.revision)
        });
        let above = from.map_or(0, |from| from.revision);
        let upserted = self.instances.values().filter(|i| i.revision > above);
        let upserted = upserted.map(wire).collect();
        let removed = self.gone.values().filter(|r| r.revision > above);
        let removed = removed.cloned().collect();
        let web = Some((&service("web")).into());
        self.outbox.push_back(match from {
            Some(from) => session_event::Body::Delta(v1::ServiceDelta {
                service: web,
                from_revision: from.revision,
                version: Some(version),
                upserted,
                removed,
            }),
            None => session_event::Body::Snapshot(v1::ServiceSnapshot {
                service: web,
                version: Some(version),
                instances: upserted,
                removed,
                complete: !self.warming,
                absent_reason: if self.warming {
                    0
                } else {
                    v1::RemovalReason::SessionLost as i32
                },
            }),
        });
    }

    fn detach(&mut self) {
        self.outbox.clear();
        self.subscribed = None;
    }

    fn restart(&mut self) {
        self.detach();
        self.epoch += 1;
        self.revision += 1000;
        self.floor = self.revision;
        self.warming = true;
        self.instances.clear();
        self.gone.clear();
        self.held = None;
    }

    fn warmed_up(&mut self) {
        if std::mem::take(&mut self.warming) {
            self.revision += 1;
            self.floor = self.revision;
        }
    }

    fn expire(&mut self) {
        for id in self.held.take().unwrap_or_default() {
            self.remove(&id, RemovalReason::SessionLost);
        }
    }

    fn handle(&mut self, command: SessionCommand) {
        let mut revision = 0;
        match command.body.unwrap() {
            Body::Open(open) => {
                let token = open.resume_token == self.sessions.to_string();
                let resumed = self.held.is_some() && token;
                if !resumed {
                    // The former one, if any, ends by its TTL.
                    self.expire();
                    self.held = Some(BTreeSet::new());
                    self.sessions += 1;
                }
                self.subscribed = None;
                self.outbox.clear();
                self.outbox
                    .push_back(session_event::Body::Opened(v1::SessionOpened {
                        resume_token: self.sessions.to_string().into(),
                        resumed,
                        heartbeat_interval_ms: 1000,
                        cluster_id: 1,
                        epoch: self.epoch,
                        ..Default::default()
                    }));
            }
            Body::Register(register) => {
                let wire = register.instance.unwrap();
                let mut instance = instance(&wire.id, u16::try_from(wire.weight).unwrap());
                instance.address = wire.address;
                revision = self.put(instance);
                self.held.as_mut().unwrap().insert(wire.id);
            }
            Body::Deregister(deregister) => {
                if self.held.as_mut().unwrap().remove(&deregister.id) {
                    self.remove(&deregister.id, RemovalReason::Deregistered);
                }
            }
            Body::Heartbeat(_) => self
                .outbox
                .push_back(session_event::Body::HeartbeatAck(Default::default())),
            Body::Subscribe(subscribe) => {
                self.subscribed = Some(subscribe.known);
                if subscribe.known == Some(self.version()) {
                    revision = self.revision;
                }
            }
            Body::Unsubscribe(_) => self.subscribed = None,
            Body::Update(_) | Body::Close(_) => panic!("not part of this"),
        }
        if command.request_id > 0 {
            self.outbox
                .push_back(session_event::Body::Ack(v1::SessionAck {
                    request_id: command.request_id,
                    revision,
                    ..Default::default()
                }));
        }
    }
}

struct World {
    bench: Bench,
    server: Server,
    /// By id: who registered it.
    owners: BTreeMap<String, Owner>,
    offered: BTreeSet<String>,
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            bench: Bench::new(),
            server: Server::new(),
            owners: BTreeMap::new(),
            offered: BTreeSet::new(),
        };
        world.bench.follow("web");
        world.talk();
        world
    }

    /// What the client has to say reaches the server; what is new there is under way.
    fn talk(&mut self) {
        loop {
            let mut quiet = true;
            for output in self.bench.drain_outputs() {
                match output {
                    Output::Connect => {
                        self.bench.session.dialled(self.bench.now);
                        quiet = false;
                    }
                    Output::Disconnect(_) => self.server.detach(),
                    _ => {}
                }
            }
            for command in self.bench.pull() {
                self.server.handle(command);
                quiet = false;
            }
            if quiet {
                break;
            }
        }
        self.server.push();
    }

    fn deliver(&mut self, most: usize) {
        for _ in 0..most {
            let Some(event) = self.server.outbox.pop_front() else {
                return;
            };
            self.bench.hear(event);
            self.talk();
            self.check();
        }
    }

    fn pass(&mut self, time: Duration) {
        let end = self.bench.now + time;
        for _ in 0..10_000 {
            let next = self.bench.session.next_timer().filter(|at| *at <= end);
            self.bench.now = next.map_or(end, |at| at.max(self.bench.now));
            self.bench.session.timer(self.bench.now);
            self.talk();
            if next.is_none() {
                return;
            }
        }
        panic!("the session keeps its driver busy");
    }

    fn take(&mut self, step: Step) {
        let own = |id: u8| format!("own-{id}");
        match step {
            Step::Put { id, weight } => {
                self.server.put(instance(&format!("i-{id}"), weight));
            }
            Step::Remove { id, reason } => self.server.remove(&format!("i-{id}"), reason),
            Step::RemoveAll { reason } => {
                let ids: Vec<String> = self.server.instances.keys().cloned().collect();
                for id in ids.iter().filter(|id| id.starts_with("i-")) {
                    self.server.remove(id, reason);
                }
            }
            Step::Register { id, weight } => {
                let owner = self.bench.register(&own(id), weight);
                // The program lets go of the handle it had.
                if let Some(former) = self.owners.insert(own(id), owner) {
                    self.deregister(&own(id), former);
                }
            }
            Step::Deregister { id } => {
                if let Some(owner) = self.owners.remove(&own(id)) {
                    self.deregister(&own(id), owner);
                }
            }
            Step::Deliver { most } => self.deliver(most),
            Step::Lose => {
                self.server.outbox.pop_front();
            }
            Step::Falsify => {
                for event in &mut self.server.outbox {
                    match event {
                        session_event::Body::Delta(delta) => {
                            delta.version.as_mut().unwrap().content_hash ^= 1;
                        }
                        session_event::Body::Snapshot(snapshot) => {
                            snapshot.version.as_mut().unwrap().content_hash ^= 1;
                        }
                        _ => continue,
                    }
                    break;
                }
            }
            Step::Break => {
                self.server.detach();
                self.bench.session.ended(self.bench.now, "broken");
            }
            Step::Expire => {
                self.server.expire();
                self.server.detach();
                self.bench.session.ended(self.bench.now, "expired");
            }
            Step::Restart => {
                self.server.restart();
                self.bench.session.ended(self.bench.now, "restarted");
            }
            Step::WarmedUp => self.server.warmed_up(),
            Step::Pass { ms } => self.pass(Duration::from_millis(ms)),
        }
        self.talk();
        self.check();
    }

    fn deregister(&mut self, id: &str, owner: Owner) {
        let now = self.bench.now;
        // As dropping a future or a handle does; the ticket is the owner.
        self.bench.session.abandon(owner);
        self.bench.session.deregister(now, &name(id), owner, None);
    }

    /// A view is never emptied without a reason for each that went.
    fn check(&mut self) {
        let subscription = self.bench.session.subscription(&service("web")).unwrap();
        let view = &subscription.view;
        let offered: BTreeSet<String> = view.instances().iter().map(|i| i.id.clone()).collect();
        if offered.is_empty() {
            for id in &self.offered {
                let mut departures = view.departures().iter().rev();
                let departed = departures.find(|d| d.instance.id == *id);
                let departed = departed.unwrap_or_else(|| panic!("{id} went without a word"));
                assert!(departed.reason.is_some(), "{id} went without a reason");
            }
        }
        self.offered = offered;
    }

    /// Contact holds from here on, and nothing more happens elsewhere.
    fn heal(&mut self) {
        self.server.warmed_up();
        self.server.detach();
        self.bench.session.ended(self.bench.now, "the last time");
        for _ in 0..600 {
            self.talk();
            self.deliver(usize::MAX);
            self.pass(Duration::from_millis(100));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_it_ends_well(steps in proptest::collection::vec(step(), 1..120)) {
        let mut world = World::new();
        for step in steps {
            world.take(step);
        }
        world.heal();
        let subscription = world.bench.session.subscription(&service("web")).unwrap();
        let view: Vec<Instance> =
            subscription.view.instances().iter().map(|i| Instance::clone(i)).collect();
        let truth: Vec<Instance> = world.server.instances.values().cloned().collect();
        prop_assert_eq!(view, truth);
        prop_assert!(subscription.in_contact && subscription.view.complete());
        prop_assert_eq!(subscription.view.known(), Some(world.server.version()));
        let registered = world.server.held.clone().unwrap_or_default();
        prop_assert_eq!(registered.len(), world.bench.session.registered());
        prop_assert!(registered.iter().all(|id| world.owners.contains_key(id)));
    }
}

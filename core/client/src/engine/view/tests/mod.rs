//! Each rule of the view, one test each. What they guarantee together is in the session's model.

use std::time::Duration;

use quorate_types::InstanceStatus;

mod guarding;

use super::*;

/// A server's view of one service, from which messages are made.
#[derive(Clone, Default)]
struct Server {
    epoch: u64,
    revision: u64,
    instances: Instances,
}

impl Server {
    fn with(ids: &[&str]) -> Self {
        let mut server = Self {
            epoch: 1,
            ..Self::default()
        };
        for id in ids {
            server.put(id, 100);
        }
        server
    }

    fn put(&mut self, id: &str, weight: u16) -> v1::Instance {
        self.revision += 1;
        let mut instance = Instance::new(format!("{id}:80"));
        instance.id = id.to_owned();
        instance.weight = weight;
        instance.revision = self.revision;
        self.instances
            .insert(id.to_owned(), Arc::new(instance.clone()));
        (&instance).into()
    }

    fn drop(&mut self, id: &str, reason: v1::RemovalReason) -> v1::Removal {
        self.revision += 1;
        self.instances.remove(id);
        v1::Removal {
            id: id.to_owned(),
            reason: reason as i32,
            revision: self.revision,
            removed_at_ms: 0,
        }
    }

    fn version(&self) -> v1::ViewVersion {
        v1::ViewVersion {
            epoch: self.epoch,
            revision: self.revision,
            content_hash: ContentHash::of(self.instances.values().map(|i| &**i)).value(),
        }
    }

    fn snapshot(&self) -> v1::ServiceSnapshot {
        v1::ServiceSnapshot {
            service: None,
            version: Some(self.version()),
            instances: self.instances.values().map(|i| (&**i).into()).collect(),
            removed: Vec::new(),
            complete: true,
            absent_reason: v1::RemovalReason::SessionLost as i32,
        }
    }

    fn delta(
        &self,
        from: u64,
        upserted: Vec<v1::Instance>,
        removed: Vec<v1::Removal>,
    ) -> v1::ServiceDelta {
        v1::ServiceDelta {
            service: None,
            from_revision: from,
            version: Some(self.version()),
            upserted,
            removed,
        }
    }
}

fn ids(view: &View) -> Vec<&str> {
    view.instances().iter().map(|i| i.id.as_str()).collect()
}

fn reason_of(view: &View, id: &str) -> Option<RemovalReason> {
    let departed = view.departures().iter().rev();
    let mut found = departed.filter(|d| d.instance.id == id);
    found.next().expect("it departed").reason
}

fn following(server: &Server) -> (View, Instant) {
    let now = Instant::now();
    let mut view = View::new(Vec::new());
    assert_eq!(view.apply_snapshot(now, server.snapshot()), Applied::Taken);
    (view, now)
}

const EXPIRED: v1::RemovalReason = v1::RemovalReason::LeaseExpired;
const LEFT: v1::RemovalReason = v1::RemovalReason::Deregistered;

#[test]
fn a_new_view_knows_nothing() {
    let view = View::new(Vec::new());
    assert_eq!(view.state(true), None);
    assert!(view.known().is_none() && view.instances().is_empty());
}

#[test]
fn a_snapshot_then_deltas() {
    let mut server = Server::with(&["a", "b"]);
    let (mut view, now) = following(&server);
    assert_eq!(ids(&view), ["a", "b"]);
    assert_eq!(view.state(true), Some(CacheState::Live));
    assert_eq!(view.state(false), Some(CacheState::Stale));
    let from = server.revision;
    let upserted = vec![server.put("c", 1), server.put("a", 7)];
    let removed = vec![server.drop("b", LEFT)];
    let delta = server.delta(from, upserted, removed);
    assert_eq!(view.apply_delta(now, delta.clone()), Applied::Taken);
    assert_eq!(ids(&view), ["a", "c"]);
    assert_eq!(view.instances()[0].weight, 7);
    assert_eq!(reason_of(&view, "b"), Some(RemovalReason::Deregistered));
    assert_eq!(view.known(), Some(server.version()));
    assert_eq!(
        view.apply_delta(now, delta),
        Applied::Nothing,
        "seen before"
    );
}

#[test]
fn unchanged_instances_are_shared_between_versions() {
    let mut server = Server::with(&["a", "b"]);
    let (mut view, now) = following(&server);
    let before = view.instances().clone();
    view.apply_snapshot(now, server.snapshot());
    assert!(Arc::ptr_eq(&before, view.instances()), "nothing to publish");
    let from = server.revision;
    let upserted = vec![server.put("b", 5)];
    view.apply_delta(now, server.delta(from, upserted, vec![]));
    assert!(Arc::ptr_eq(&before[0], &view.instances()[0]));
    assert!(!Arc::ptr_eq(&before[1], &view.instances()[1]));
}

#[test]
fn a_gap_asks_for_everything_and_changes_nothing() {
    let mut server = Server::with(&["a"]);
    let (mut view, now) = following(&server);
    server.put("b", 1);
    let from = server.revision;
    let upserted = vec![server.put("c", 1)];
    let delta = server.delta(from, upserted, vec![]);
    assert_eq!(view.apply_delta(now, delta), Applied::Mismatch(Misfit::Gap));
    assert_eq!(ids(&view), ["a"]);
    assert!(view.known().is_none());
    assert_eq!(view.apply_snapshot(now, server.snapshot()), Applied::Taken);
    assert_eq!(ids(&view), ["a", "b", "c"]);
    assert_eq!(view.known(), Some(server.version()));
}

#[test]
fn a_delta_of_another_epoch_is_a_gap() {
    let mut server = Server::with(&["a"]);
    let (mut view, now) = following(&server);
    let from = server.revision;
    server.epoch = 2;
    let upserted = vec![server.put("b", 1)];
    let delta = server.delta(from, upserted, vec![]);
    assert_eq!(view.apply_delta(now, delta), Applied::Mismatch(Misfit::Gap));
}

#[test]
fn a_delta_with_a_wrong_hash_is_not_applied() {
    let mut server = Server::with(&["a"]);
    let (mut view, now) = following(&server);
    let from = server.revision;
    let upserted = vec![server.put("b", 1)];
    server.put("lost", 1);
    server.revision = from + 1;
    let delta = server.delta(from, upserted, vec![]);
    assert_eq!(
        view.apply_delta(now, delta),
        Applied::Mismatch(Misfit::Hash)
    );
    assert_eq!(ids(&view), ["a"]);
}

#[test]
fn a_delta_that_cannot_be_read_is_not_applied() {
    let mut server = Server::with(&["a"]);
    let (mut view, now) = following(&server);
    let from = server.revision;
    let mut odd = server.put("b", 1);
    odd.status = 99;
    let delta = server.delta(from, vec![odd], vec![]);
    assert_eq!(
        view.apply_delta(now, delta),
        Applied::Mismatch(Misfit::Unreadable)
    );
}

#[test]
fn a_snapshot_with_an_unreadable_part_is_used_without_it() {
    let mut server = Server::with(&["a", "b", "c"]);
    let (mut view, now) = following(&server);
    let odd = server.put("odd", 1);
    server.drop("c", LEFT);
    let mut snapshot = server.snapshot();
    for wire in &mut snapshot.instances {
        if wire.id == odd.id {
            wire.status = 99;
        }
    }
    assert_eq!(view.apply_snapshot(now, snapshot), Applied::Taken);
    assert_eq!(ids(&view), ["a", "b"]);
    assert!(view.known().is_none(), "not a base for deltas");
}

#[test]
fn a_snapshot_that_contradicts_its_hash_only_adds() {
    let mut server = Server::with(&["a", "b"]);
    let (mut view, now) = following(&server);
    server.drop("a", LEFT);
    server.put("c", 1);
    let mut snapshot = server.snapshot();
    snapshot.version.as_mut().unwrap().content_hash ^= 1;
    assert_eq!(
        view.apply_snapshot(now, snapshot),
        Applied::Mismatch(Misfit::Hash)
    );
    assert_eq!(ids(&view), ["a", "b", "c"]);
    assert_eq!(view.apply_snapshot(now, server.snapshot()), Applied::Taken);
    assert_eq!(ids(&view), ["b", "c"]);
}

#[test]
fn an_older_snapshot_of_the_same_epoch_is_ignored() {
    let mut server = Server::with(&["a"]);
    let old = server.snapshot();
    server.put("b", 1);
    let (mut view, now) = following(&server);
    assert_eq!(view.apply_snapshot(now, old.clone()), Applied::Nothing);
    assert_eq!(ids(&view), ["a", "b"]);
    // Unless what we have could not be trusted.
    view.distrust();
    assert_eq!(view.apply_snapshot(now, old), Applied::Taken);
}

#[test]
fn an_older_record_does_not_come_back_from_another_server() {
    let mut server = Server::with(&["a", "b"]);
    let lagging = server.clone();
    let (mut view, now) = following(&server);
    let from = server.revision;
    let removed = vec![server.drop("a", LEFT)];
    view.apply_delta(now, server.delta(from, vec![], removed));
    let mut lagging = Server {
        epoch: 7,
        ..lagging
    };
    view.apply_snapshot(now, lagging.snapshot());
    assert_eq!(ids(&view), ["b"]);
    assert_eq!(
        view.known(),
        Some(lagging.version()),
        "still a base for deltas"
    );
    // Its removal arrives there, or it really comes back: both fit.
    let from = lagging.revision;
    let mut again = lagging.clone();
    let removed = vec![lagging.drop("a", LEFT)];
    let delta = lagging.delta(from, vec![], removed);
    let departed = view.departures().len();
    assert_eq!(view.apply_delta(now, delta), Applied::Taken);
    assert_eq!(view.departures().len(), departed, "it had gone already");
    again.epoch = 8;
    again.revision = 50;
    again.put("a", 100);
    view.apply_snapshot(now, again.snapshot());
    assert_eq!(ids(&view), ["a", "b"]);
}

#[test]
fn configured_instances_serve_until_a_server_answers() {
    let mut view = View::new(vec![Instance::new("x:1"), Instance::new("y:1")]);
    let now = Instant::now();
    assert_eq!(view.state(false), Some(CacheState::Static));
    assert_eq!(ids(&view), ["x:1", "y:1"]);
    let server = Server::with(&["a"]);
    view.apply_snapshot(now, server.snapshot());
    assert_eq!(ids(&view), ["a"], "they give way without suspicion");
    assert_eq!(view.state(true), Some(CacheState::Live));
}

#[test]
fn configured_instances_stay_while_the_server_is_incomplete() {
    let mut view = View::new(vec![Instance::new("x:1")]);
    let now = Instant::now();
    let server = Server {
        epoch: 1,
        ..Server::default()
    };
    let mut snapshot = server.snapshot();
    snapshot.complete = false;
    view.apply_snapshot(now, snapshot);
    assert_eq!(ids(&view), ["x:1"]);
    view.apply_snapshot(now, server.snapshot());
    assert!(view.instances().is_empty());
}

#[test]
fn what_was_on_disk_serves_and_saves_the_transfer() {
    let server = Server::with(&["a", "b"]);
    let (written, now) = following(&server);
    let file = written.to_snapshot();
    let mut view = View::new(vec![Instance::new("x:1")]);
    assert_eq!(view.load(file.clone()), Applied::Taken);
    assert_eq!(view.state(true), Some(CacheState::Snapshot));
    assert_eq!(ids(&view), ["a", "b"]);
    assert_eq!(view.known(), Some(server.version()));
    view.confirm();
    assert_eq!(view.state(true), Some(CacheState::Live));
    assert_eq!(view.load(file.clone()), Applied::Nothing);
    let (mut view, _) = following(&Server::with(&["q"]));
    assert_eq!(view.load(file), Applied::Nothing, "a server has answered");
    assert_eq!(ids(&view), ["q"]);
    let _ = now;
}

#[test]
fn a_disk_view_that_is_not_exactly_a_servers_is_no_base() {
    let mut server = Server::with(&["a", "b", "c"]);
    let (mut written, now) = following(&server);
    let from = server.revision;
    let removed = ["a", "b", "c"].map(|id| server.drop(id, EXPIRED)).to_vec();
    written.apply_delta(now, server.delta(from, vec![], removed));
    let mut view = View::new(Vec::new());
    view.load(written.to_snapshot());
    assert_eq!(ids(&view), ["a", "b", "c"]);
    assert!(view.known().is_none());
}

#[test]
fn an_empty_disk_view_says_less_than_the_configuration() {
    let server = Server {
        epoch: 1,
        ..Server::default()
    };
    let (written, _) = following(&server);
    let mut view = View::new(vec![Instance::new("x:1")]);
    assert_eq!(view.load(written.to_snapshot()), Applied::Nothing);
    assert_eq!(view.state(false), Some(CacheState::Static));
}

#[test]
fn a_disk_view_is_guarded_like_any_other() {
    let (written, now) = following(&Server::with(&["a", "b", "c"]));
    let mut view = View::new(Vec::new());
    view.load(written.to_snapshot());
    let restarted = Server {
        epoch: 9,
        ..Server::default()
    };
    view.apply_snapshot(now, restarted.snapshot());
    assert_eq!(ids(&view), ["a", "b", "c"]);
    assert_eq!(view.counts().shrinks_held, 1);
}

#[test]
fn status_does_not_matter_to_the_view() {
    let mut server = Server::with(&["a"]);
    let (mut view, now) = following(&server);
    let from = server.revision;
    let mut down = server.put("a", 0);
    down.status = v1::InstanceStatus::Down as i32;
    let mut instance = Instance::clone(&server.instances["a"]);
    instance.status = InstanceStatus::Down;
    server.instances.insert("a".into(), Arc::new(instance));
    view.apply_delta(now, server.delta(from, vec![down], vec![]));
    assert_eq!(view.instances()[0].status, InstanceStatus::Down);
}

#[test]
fn departures_are_bounded() {
    let names: Vec<String> = (0..DEPARTURES + 50).map(|n| format!("i{n:05}")).collect();
    let refs: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut server = Server::with(&refs);
    let (mut view, now) = following(&server);
    let from = server.revision;
    let removed = names.iter().map(|id| server.drop(id, LEFT)).collect();
    view.apply_delta(now, server.delta(from, vec![], removed));
    assert_eq!(view.departures().len(), DEPARTURES);
}

#[test]
fn a_message_without_a_version_is_not_believed() {
    let (mut view, now) = following(&Server::with(&["a"]));
    assert_eq!(
        view.apply_snapshot(now, v1::ServiceSnapshot::default()),
        Applied::Mismatch(Misfit::Unreadable)
    );
    assert_eq!(
        view.apply_delta(now, v1::ServiceDelta::default()),
        Applied::Mismatch(Misfit::Gap)
    );
    assert_eq!(ids(&view), ["a"]);
}

#[test]
fn nothing_expires_while_disconnected() {
    let server = Server::with(&["a", "b", "c"]);
    let (mut view, now) = following(&server);
    let much_later = now + Duration::from_secs(30 * 24 * 3600);
    assert_eq!(view.state(false), Some(CacheState::Stale));
    view.apply_snapshot(much_later, server.snapshot());
    assert_eq!(ids(&view), ["a", "b", "c"]);
}

//! Taking messages in: what they list becomes the mirror, what they no longer list is judged.

use std::sync::Arc;
use std::time::Instant;

use quorate_proto::{convert, v1};
use quorate_types::{ContentHash, Instance, RemovalReason};

use super::guard::{Departing, Verdict};
use super::{Applied, Instances, Misfit, Origin, Version, View};

impl View {
    /// Takes in what an earlier run left on disk; ignored once a server has answered.
    pub(crate) fn load(&mut self, snapshot: v1::ServiceSnapshot) -> Applied {
        if self.origin != Origin::Nothing {
            return Applied::Nothing;
        }
        let (listed, unreadable) = self.read_instances(snapshot.instances);
        if listed.is_empty() && !self.kept.is_empty() {
            // An empty memory says less than the configuration.
            return Applied::Nothing;
        }
        let hash = ContentHash::of(listed.values().map(|i| &**i));
        let version = snapshot.version.unwrap_or_default();
        let proven = unreadable == 0 && hash.value() == version.content_hash && snapshot.complete;
        self.version = proven.then_some(Version {
            epoch: version.epoch,
            revision: version.revision,
        });
        self.complete = proven;
        self.hash = hash;
        self.mirror = listed;
        self.kept.clear();
        self.origin = Origin::Disk;
        self.offer();
        Applied::Taken
    }

    /// Takes in everything the server knows.
    pub(crate) fn apply_snapshot(
        &mut self,
        now: Instant,
        snapshot: v1::ServiceSnapshot,
    ) -> Applied {
        let Some(wire) = snapshot.version else {
            return self.misfit(Misfit::Unreadable);
        };
        let version = Version {
            epoch: wire.epoch,
            revision: wire.revision,
        };
        if let Some(ours) = self.version
            && ours.epoch == version.epoch
            && ours.revision > version.revision
        {
            return Applied::Nothing;
        }
        let (listed, unreadable) = self.read_instances(snapshot.instances);
        let hash = ContentHash::of(listed.values().map(|i| &**i));
        if unreadable == 0 && hash.value() != wire.content_hash {
            return self.add_unproven(now, listed);
        }
        self.add_tombstones(now, &snapshot.removed, &listed);
        let absent = convert::removal_reason(snapshot.absent_reason);
        let complete = snapshot.complete;
        let departing = self.departing(&listed, |view, instance, said| {
            match view.tombstones.covers(instance) {
                Some(reason) => Verdict::Gone(Some(reason)),
                None if complete => Verdict::Gone(said.or(absent)),
                None => Verdict::Unknown,
            }
        });
        self.mirror = listed;
        self.hash = hash;
        // With an unreadable part the set differs from the server's: deltas would not fit.
        self.version = (unreadable == 0).then_some(version);
        self.complete = complete;
        self.origin = Origin::Server;
        let settles = complete && self.hold.is_some_and(|hold| hold.asked && now >= hold.due);
        if settles {
            self.hold = None;
        }
        self.part(now, departing, settles);
        Applied::Taken
    }

    /// Takes in what changed since the version we have.
    pub(crate) fn apply_delta(&mut self, now: Instant, delta: v1::ServiceDelta) -> Applied {
        let (Some(ours), Some(wire)) = (self.version, delta.version) else {
            return self.misfit(Misfit::Gap);
        };
        if ours.epoch == wire.epoch && wire.revision <= ours.revision {
            return Applied::Nothing;
        }
        if ours.epoch != wire.epoch || delta.from_revision != ours.revision {
            return self.misfit(Misfit::Gap);
        }
        let (upserted, unreadable) = self.read_instances(delta.upserted);
        if unreadable > 0 {
            return self.misfit(Misfit::Unreadable);
        }
        let mut hash = self.hash;
        for removal in &delta.removed {
            if let Some(old) = self.mirror.get(&removal.id)
                && !upserted.contains_key(&removal.id)
            {
                hash.remove(old);
            }
        }
        for (id, new) in &upserted {
            if let Some(old) = self.mirror.get(id) {
                hash.remove(old);
            }
            hash.add(new);
        }
        if hash.value() != wire.content_hash {
            return self.misfit(Misfit::Hash);
        }
        self.add_tombstones(now, &delta.removed, &upserted);
        let mut mirror = std::mem::take(&mut self.mirror);
        let mut departing = Vec::new();
        for removal in &delta.removed {
            if upserted.contains_key(&removal.id) {
                continue;
            }
            let reason = convert::removal_reason(removal.reason);
            if let Some(instance) = mirror.remove(&removal.id) {
                if self.is_offered(&instance) {
                    departing.push(Departing::listed(&instance, Verdict::Gone(reason)));
                }
            } else if let Some(kept) = self.kept.get(&removal.id)
                && kept.instance.revision <= removal.revision
            {
                departing.push(Departing::of(kept, Verdict::Gone(reason)));
            }
        }
        mirror.extend(upserted);
        self.mirror = mirror;
        self.hash = hash;
        self.version = Some(Version {
            epoch: wire.epoch,
            revision: wire.revision,
        });
        self.origin = Origin::Server;
        // What was kept only so as not to be empty may go when others are there.
        if self.complete && self.hold.is_none() {
            let left: Vec<_> = self
                .kept
                .iter()
                .filter(|(id, _)| !departing.iter().any(|d| d.instance.id == **id))
                .map(|(_, kept)| Departing::of(kept, Verdict::Gone(kept.reason)))
                .collect();
            departing.extend(left);
        }
        self.part(now, departing, false);
        Applied::Taken
    }

    /// Reads instances, sharing those that are as we have them; counts the unreadable.
    fn read_instances(&self, wire: Vec<v1::Instance>) -> (Instances, usize) {
        let mut unreadable = 0;
        let mut instances = Instances::new();
        for wire in wire {
            match convert::instance(Some(wire)) {
                Ok(instance) => {
                    let kept = || self.kept.get(&instance.id).map(|kept| &kept.instance);
                    let shared = match self.mirror.get(&instance.id).or_else(kept) {
                        Some(old) if **old == instance => Arc::clone(old),
                        _ => Arc::new(instance),
                    };
                    instances.insert(shared.id.clone(), shared);
                }
                Err(_) => unreadable += 1,
            }
        }
        (instances, unreadable)
    }

    /// Only tombstones with a reason count, and none against what the same message lists.
    fn add_tombstones(&mut self, now: Instant, removed: &[v1::Removal], listed: &Instances) {
        for removal in removed.iter().filter(|r| !listed.contains_key(&r.id)) {
            if let Some(reason) = convert::removal_reason(removal.reason) {
                self.tombstones
                    .add(&removal.id, removal.revision, reason, now);
            }
        }
    }

    /// A snapshot that contradicts its own hash: what it adds may help, what it lacks proves
    /// nothing.
    fn add_unproven(&mut self, now: Instant, listed: Instances) -> Applied {
        for (id, instance) in listed {
            self.mirror.entry(id).or_insert(instance);
        }
        self.hash = ContentHash::of(self.mirror.values().map(|i| &**i));
        if self.origin == Origin::Nothing && !self.mirror.is_empty() {
            self.origin = Origin::Server;
        }
        self.part(now, Vec::new(), false);
        self.misfit(Misfit::Hash)
    }

    fn misfit(&mut self, misfit: Misfit) -> Applied {
        self.version = None;
        Applied::Mismatch(misfit)
    }

    /// Those offered now that a new mirror lacks, each with a verdict.
    fn departing(
        &self,
        mirror: &Instances,
        verdict: impl Fn(&Self, &Instance, Option<RemovalReason>) -> Verdict,
    ) -> Vec<Departing> {
        self.offered
            .iter()
            .filter(|instance| !mirror.contains_key(&instance.id))
            .map(|instance| match self.kept.get(&instance.id) {
                Some(kept) => Departing::of(kept, verdict(self, instance, kept.reason)),
                None => Departing::listed(instance, verdict(self, instance, None)),
            })
            .collect()
    }

    fn is_offered(&self, instance: &Instance) -> bool {
        self.offered
            .binary_search_by(|offered| offered.id.as_str().cmp(&instance.id))
            .is_ok()
    }
}

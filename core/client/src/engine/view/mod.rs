//! What one client knows of one service, and what it believes of what servers say.
//!
//! Two sets make up what is offered to callers:
//! - the **mirror**: exactly what the server has at a version (epoch, revision), proven by the
//!   content hash, so that a delta can be applied to it;
//! - the **kept**: instances the server no longer lists, but whose absence is not believed yet.
//!
//! An instance leaves the mirror as the server says. Whether it leaves callers too is another
//! question, and these rules answer it (see [`guard`]):
//! 1. A snapshot that is not complete (the server has just started) removes nothing, unless it
//!    carries a tombstone for the instance.
//! 2. A view never becomes empty without a reason: tombstones with a reason, or a complete
//!    snapshot that says why absent instances are gone.
//! 3. When more than 70 % of at least three instances go in one message, other than by
//!    `Deregistered` or `Operator`, they are held for a second and the service is fetched whole;
//!    what that says is believed.
//! 4. A record older than a known tombstone is not offered, whoever lists it.
//! 5. Nothing expires while no server can be reached.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use quorate_proto::v1;
use quorate_types::{ContentHash, Instance, RemovalReason};

use self::guard::{Departing, Hold};
pub use self::state::CacheState;
use self::tombstones::Tombstones;

mod apply;
mod guard;
mod state;
#[cfg(test)]
mod tests;
mod tombstones;

/// Recent departures remembered with their reason, for those who watch.
const DEPARTURES: usize = 1024;

/// Where a mirror stands: revisions compare only within one epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) epoch: u64,
    pub(crate) revision: u64,
}

/// Where the view's content came from; a server's word replaces the others for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    Nothing,
    Disk,
    Server,
}

/// What a message did to the view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Applied {
    /// It was already known, or older than what is known.
    Nothing,
    /// It was taken in.
    Taken,
    /// It does not fit what is known: the service must be fetched whole.
    Mismatch(Misfit),
}

/// Why a message could not be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Misfit {
    /// A delta for another revision or epoch than ours.
    Gap,
    /// The content hash differs after applying.
    Hash,
    /// A part could not be read.
    Unreadable,
}

/// An instance that is no longer offered, and why, if a server said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Departed {
    pub(crate) instance: Arc<Instance>,
    pub(crate) reason: Option<RemovalReason>,
}

/// How often the guards stepped in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct GuardCounts {
    /// Messages that would have emptied the view without a reason.
    pub(crate) empties_refused: u64,
    /// Messages whose removals were held to be checked.
    pub(crate) shrinks_held: u64,
}

/// An instance still offered though the server does not list it.
#[derive(Clone, Debug)]
struct Kept {
    instance: Arc<Instance>,
    /// From the configuration: gives way without suspicion.
    configured: bool,
    /// Said when it went, if it was.
    reason: Option<RemovalReason>,
}

type Instances = BTreeMap<String, Arc<Instance>>;

/// One service as this client knows it.
#[derive(Debug)]
pub(crate) struct View {
    mirror: Instances,
    hash: ContentHash,
    /// `None`: the mirror is not proven, so only a whole snapshot helps.
    version: Option<Version>,
    /// Disjoint from the mirror.
    kept: BTreeMap<String, Kept>,
    tombstones: Tombstones,
    complete: bool,
    origin: Origin,
    hold: Option<Hold>,
    /// What callers see, sorted by id. Replaced only when it changes.
    offered: Arc<[Arc<Instance>]>,
    /// Newest last.
    departures: Arc<[Departed]>,
    counts: GuardCounts,
}

impl View {
    /// A view of which nothing is known but, perhaps, configured instances.
    pub(crate) fn new(configured: Vec<Instance>) -> Self {
        let kept = configured
            .into_iter()
            .map(|instance| {
                let kept = Kept {
                    instance: Arc::new(instance),
                    configured: true,
                    reason: None,
                };
                (kept.instance.id.clone(), kept)
            })
            .collect();
        let mut view = Self {
            mirror: Instances::new(),
            hash: ContentHash::default(),
            version: None,
            kept,
            tombstones: Tombstones::default(),
            complete: false,
            origin: Origin::Nothing,
            hold: None,
            offered: Arc::new([]),
            departures: Arc::new([]),
            counts: GuardCounts::default(),
        };
        view.offer();
        view
    }

    /// The instances callers may use, sorted by id, whatever their status and weight.
    pub(crate) fn instances(&self) -> &Arc<[Arc<Instance>]> {
        &self.offered
    }

    /// The last departures, oldest first, bounded.
    pub(crate) fn departures(&self) -> &Arc<[Departed]> {
        &self.departures
    }

    /// Where the instances come from; `None` while nothing at all is known. `in_contact`: the
    /// server has answered for this service on the session that is open now.
    pub(crate) fn state(&self, in_contact: bool) -> Option<CacheState> {
        match self.origin {
            Origin::Server if in_contact => Some(CacheState::Live),
            Origin::Server => Some(CacheState::Stale),
            Origin::Disk => Some(CacheState::Snapshot),
            Origin::Nothing if self.kept.is_empty() => None,
            Origin::Nothing => Some(CacheState::Static),
        }
    }

    /// Whether the server vouched that nothing is missing, and nothing is held against its word.
    pub(crate) fn complete(&self) -> bool {
        self.complete && self.kept.is_empty()
    }

    /// Where the mirror stands.
    pub(crate) fn version(&self) -> Option<Version> {
        self.version
    }

    /// How often the guards stepped in.
    pub(crate) fn counts(&self) -> GuardCounts {
        self.counts
    }

    /// What to tell a server we have; `None` when only a whole snapshot will do.
    pub(crate) fn known(&self) -> Option<v1::ViewVersion> {
        let version = self.version?;
        (self.complete && self.hold.is_none()).then(|| v1::ViewVersion {
            epoch: version.epoch,
            revision: version.revision,
            content_hash: self.hash.value(),
        })
    }

    /// When the service must be fetched whole to settle what is held.
    pub(crate) fn fetch_due(&self) -> Option<Instant> {
        self.hold.filter(|hold| !hold.asked).map(|hold| hold.due)
    }

    /// Notes that it was asked for.
    pub(crate) fn fetch_asked(&mut self) {
        if let Some(hold) = &mut self.hold {
            hold.asked = true;
        }
    }

    /// Notes that the server has nothing newer than what was given as known.
    pub(crate) fn confirm(&mut self) {
        if self.version.is_some() {
            self.origin = Origin::Server;
        }
    }

    /// Forgets where the mirror stands (another cluster answers): only a snapshot helps.
    pub(crate) fn distrust(&mut self) {
        self.version = None;
    }

    /// The service as a snapshot, to be kept on disk. Its hash matches its instances only if they
    /// are exactly a server's, so one that was loaded is offered, but trusted as a base only then.
    pub(crate) fn to_snapshot(&self) -> v1::ServiceSnapshot {
        let version = self.version.unwrap_or(Version {
            epoch: 0,
            revision: 0,
        });
        v1::ServiceSnapshot {
            service: None,
            version: Some(v1::ViewVersion {
                epoch: version.epoch,
                revision: version.revision,
                content_hash: self.hash.value(),
            }),
            instances: self.offered.iter().map(|i| (&**i).into()).collect(),
            removed: Vec::new(),
            complete: self.complete() && self.version.is_some(),
            absent_reason: 0,
        }
    }

    /// Lets go those the guards let go, keeps the others, and offers the result.
    fn part(&mut self, now: Instant, departing: Vec<Departing>, settles: bool) {
        self.tombstones.expire(now);
        let judged = self.judge(now, departing, settles);
        for kept in judged.stay {
            self.kept.insert(kept.instance.id.clone(), kept);
        }
        let mut departed: Vec<Departed> = Vec::new();
        for gone in judged.go {
            self.kept.remove(&gone.instance.id);
            departed.push(gone);
        }
        let mirror = &self.mirror;
        self.kept.retain(|id, _| !mirror.contains_key(id));
        if self.kept.is_empty() {
            self.hold = None;
        }
        self.offer();
        self.remember(departed);
    }

    fn remember(&mut self, departed: Vec<Departed>) {
        if departed.is_empty() {
            return;
        }
        let all = self.departures.iter().cloned().chain(departed);
        let all: Vec<_> = all.collect();
        let from = all.len().saturating_sub(DEPARTURES);
        self.departures = all[from..].into();
    }

    /// The mirrored instances that may be offered.
    fn visible(&self) -> impl Iterator<Item = &Arc<Instance>> {
        self.mirror
            .values()
            .filter(|instance| self.tombstones.covers(instance).is_none())
    }

    /// Builds anew what callers see, if it changed.
    fn offer(&mut self) {
        let mut offered: Vec<Arc<Instance>> = self.visible().cloned().collect();
        if !self.kept.is_empty() {
            offered.extend(self.kept.values().map(|kept| Arc::clone(&kept.instance)));
            offered.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        }
        let same = offered.len() == self.offered.len()
            && offered
                .iter()
                .zip(self.offered.iter())
                .all(|(a, b)| Arc::ptr_eq(a, b));
        if !same {
            self.offered = offered.into();
        }
    }
}

//! Which removals are believed at once: a registry that forgot its clients, or was cut off from
//! them, must not empty the address lists of a fleet.

use std::sync::Arc;
use std::time::{Duration, Instant};

use quorate_types::{Instance, RemovalReason};

use super::{Departed, Kept, View};

/// How long removals are held before the service is fetched whole: one sweep of the server.
pub(crate) const HOLD: Duration = Duration::from_secs(1);

/// Services with fewer instances lose most of them in ordinary ways.
const SHRINK_FROM: usize = 3;
/// Losing more than this share at once is suspicious.
const SHRINK_PERCENT: usize = 70;

/// Removals waiting to be confirmed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hold {
    /// When the service is to be fetched whole.
    pub(super) due: Instant,
    /// Whether that was asked for.
    pub(super) asked: bool,
}

/// What a message says of an instance it does not list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is gone, perhaps with a reason.
    Gone(Option<RemovalReason>),
    /// Its absence means nothing.
    Unknown,
}

/// An instance that is offered, and that the mirror no longer has.
#[derive(Clone, Debug)]
pub(super) struct Departing {
    pub(super) instance: Arc<Instance>,
    pub(super) configured: bool,
    pub(super) verdict: Verdict,
}

impl Departing {
    /// One that the mirror had.
    pub(super) fn listed(instance: &Arc<Instance>, verdict: Verdict) -> Self {
        Self {
            instance: Arc::clone(instance),
            configured: false,
            verdict,
        }
    }

    /// One that was kept without the mirror.
    pub(super) fn of(kept: &Kept, verdict: Verdict) -> Self {
        Self {
            instance: Arc::clone(&kept.instance),
            configured: kept.configured,
            verdict,
        }
    }

    fn reason(&self) -> Option<RemovalReason> {
        match self.verdict {
            Verdict::Gone(reason) => reason,
            Verdict::Unknown => None,
        }
    }

    /// Gone, and neither meant by someone nor merely configured: a sign of trouble if many.
    fn is_suspect(&self) -> bool {
        match self.verdict {
            Verdict::Gone(Some(RemovalReason::Deregistered | RemovalReason::Operator)) => false,
            Verdict::Gone(_) => !self.configured,
            Verdict::Unknown => false,
        }
    }
}

/// Who goes and who stays.
pub(super) struct Judged {
    pub(super) go: Vec<Departed>,
    pub(super) stay: Vec<Kept>,
}

impl View {
    /// Judges the departing. To be called when the mirror is new and `offered` still old.
    /// `settles`: this is the whole service, fetched to confirm what was held.
    pub(super) fn judge(
        &mut self,
        now: Instant,
        departing: Vec<Departing>,
        settles: bool,
    ) -> Judged {
        let suspects = departing.iter().filter(|d| d.is_suspect()).count();
        let shrinks = self.offered.len() >= SHRINK_FROM
            && suspects * 100 > self.offered.len() * SHRINK_PERCENT;
        if shrinks && !settles && self.hold.is_none() {
            self.counts.shrinks_held += 1;
            self.hold = Some(Hold {
                due: now + HOLD,
                asked: false,
            });
        }
        let holds = self.hold.is_some() && !settles;
        let (stay, go): (Vec<_>, Vec<_>) = departing
            .into_iter()
            .partition(|d| d.verdict == Verdict::Unknown || (holds && d.is_suspect()));
        let mut judged = Judged {
            stay: stay.into_iter().map(Kept::from).collect(),
            go: go.into_iter().map(Departed::from).collect(),
        };
        self.refuse_unexplained_emptiness(now, &mut judged, settles);
        judged
    }

    /// If nothing would be left, those that go without a reason stay.
    fn refuse_unexplained_emptiness(&mut self, now: Instant, judged: &mut Judged, settles: bool) {
        let others_kept = self
            .kept
            .keys()
            .filter(|id| !self.mirror.contains_key(*id))
            .any(|id| !judged.go.iter().any(|gone| gone.instance.id == *id));
        if !judged.stay.is_empty() || others_kept || self.visible().next().is_some() {
            return;
        }
        let (refused, go): (Vec<_>, Vec<_>) = std::mem::take(&mut judged.go)
            .into_iter()
            .partition(|gone| gone.reason.is_none());
        judged.go = go;
        if refused.is_empty() {
            return;
        }
        self.counts.empties_refused += 1;
        if !settles && self.hold.is_none() {
            self.hold = Some(Hold {
                due: now + HOLD,
                asked: false,
            });
        }
        judged.stay.extend(refused.into_iter().map(|gone| Kept {
            instance: gone.instance,
            configured: false,
            reason: None,
        }));
    }
}

impl From<Departing> for Kept {
    fn from(departing: Departing) -> Self {
        Self {
            reason: departing.reason(),
            instance: departing.instance,
            configured: departing.configured,
        }
    }
}

impl From<Departing> for Departed {
    fn from(departing: Departing) -> Self {
        Self {
            reason: departing.reason(),
            instance: departing.instance,
        }
    }
}

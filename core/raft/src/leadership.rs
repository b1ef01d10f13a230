//! Whether this member leads, and whether it may answer linearizable reads from its own state.
//!
//! A leader that is the only voter needs no round of messages to know that it still leads: nobody can have been
//! elected without its vote, and nothing can have been committed without it. Every acknowledged write was
//! applied here before it was acknowledged. So its reads are linearizable as they are, from the moment its
//! first entry of the term is applied until it votes again or another voter enters the log. Both of these pass
//! through [`LogStore`](crate::log::LogStore), which says so here before anyone else can know.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver as _;
use quorate_store::Store;
use tokio::sync::{Notify, watch};

use crate::barrier::Barrier;
use crate::routing::Route;
use crate::types::{Membership, Raft, Vote};

/// How long a new leader that can't confirm its leadership waits before it tries again.
const CONFIRM_AGAIN: Duration = Duration::from_millis(50);

/// What this member knows of its own leadership. Terms begin at 1; 0 stands for none.
#[derive(Debug)]
pub(crate) struct Leadership {
    member_id: u64,
    /// The term this member's newest vote made it the leader of.
    voted: AtomicU64,
    /// The term in which it has applied everything committed before.
    ready: AtomicU64,
    /// Whether it is the only voter of the newest membership in its log.
    sole_voter: AtomicBool,
    /// The newest term it has heard of, for those who only report it.
    term: AtomicU64,
    /// Told when `ready` changes.
    became_ready: Notify,
}

impl Leadership {
    pub(crate) fn new(member_id: u64) -> Self {
        Self {
            member_id,
            voted: AtomicU64::new(0),
            ready: AtomicU64::new(0),
            sole_voter: AtomicBool::new(false),
            term: AtomicU64::new(0),
            became_ready: Notify::new(),
        }
    }

    /// Whether the local state is linearizable to read.
    pub(crate) fn reads_are_local(&self) -> bool {
        let voted = self.voted.load(Ordering::SeqCst);
        voted != 0
            && voted == self.ready.load(Ordering::SeqCst)
            && self.sole_voter.load(Ordering::SeqCst)
    }

    /// The term it leads, with everything before applied.
    pub(crate) fn is_ready(&self) -> bool {
        let voted = self.voted.load(Ordering::SeqCst);
        voted != 0 && voted == self.ready.load(Ordering::SeqCst)
    }

    /// The term it leads with everything before applied, if it does.
    pub(crate) fn ready_term(&self) -> Option<u64> {
        let ready = self.ready.load(Ordering::SeqCst);
        self.is_ready().then_some(ready)
    }

    /// The newest term it has heard of.
    pub(crate) fn term(&self) -> u64 {
        self.term.load(Ordering::Relaxed)
    }

    /// A vote is about to be given.
    pub(crate) fn vote_changes(&self) {
        self.voted.store(0, Ordering::SeqCst);
    }

    /// A vote is durable; a committed one for itself makes this member the leader.
    pub(crate) fn vote_saved(&self, vote: &Vote) {
        let leads = vote.committed && vote.leader_id.node_id == self.member_id;
        let term = vote.leader_id.term;
        self.term.fetch_max(term, Ordering::Relaxed);
        self.voted
            .store(if leads { term } else { 0 }, Ordering::SeqCst);
    }

    /// A membership is about to enter the log, where it counts at once.
    pub(crate) fn membership_changes(&self, membership: &Membership) {
        let sole = is_sole_voter(membership, self.member_id);
        self.sole_voter.store(sole, Ordering::SeqCst);
    }

    /// The newest membership of the log was cut off.
    pub(crate) fn membership_unknown(&self) {
        self.sole_voter.store(false, Ordering::SeqCst);
    }

    /// The node is stopping: reads must not be answered locally any more.
    pub(crate) fn stops(&self) {
        self.voted.store(0, Ordering::SeqCst);
    }

    /// Whether it is the only voter of the newest membership in its log.
    pub(crate) fn is_sole_voter(&self) -> bool {
        self.sole_voter.load(Ordering::SeqCst)
    }

    fn ready_in(&self, term: u64) {
        self.ready.store(term, Ordering::SeqCst);
        self.became_ready.notify_waiters();
    }

    /// Waits until it leads, with everything before applied.
    pub(crate) async fn until_ready(&self) {
        loop {
            let became_ready = self.became_ready.notified();
            tokio::pin!(became_ready);
            // Registered before looking, so that it is not missed in between.
            became_ready.as_mut().enable();
            if self.is_ready() {
                return;
            }
            became_ready.await;
        }
    }
}

/// Whether this member is the only one with a vote.
pub(crate) fn is_sole_voter(membership: &Membership, member_id: u64) -> bool {
    let mut voters = membership.voter_ids();
    voters.next() == Some(member_id) && voters.next().is_none()
}

/// Follows the leadership: says where proposals go, makes the store's leases count on the leader, once it has applied
/// what was committed before it, and stops them when it no longer leads.
pub(crate) async fn follow(
    raft: Raft,
    store: Store,
    barrier: Barrier,
    leadership: Arc<Leadership>,
    route: watch::Sender<Route>,
) {
    let mut metrics = raft.server_metrics();
    let mut term_led = None;
    loop {
        let now = {
            let metrics = metrics.borrow_and_update();
            let term = metrics.vote.leader_id.term;
            leadership.term.fetch_max(term, Ordering::Relaxed);
            Route::of(&metrics)
        };
        let leads = match now {
            Route::Here(term) => Some(term),
            Route::Nowhere | Route::To(_) => None,
        };
        if let Some(term) = term_led.filter(|_| leads != term_led) {
            tracing::info!(term, "no longer the leader");
            store.leases().step_down();
            term_led = None;
        }
        route.send_if_modified(|route| {
            let changed = *route != now;
            if let Route::To(leader) = &now
                && !route.is_to(leader)
            {
                tracing::info!(
                    term = leader.term,
                    leader = format_args!("{:x}", leader.id),
                    name = leader.member.name,
                    "follows"
                );
            }
            *route = now;
            changed
        });
        if let Some(term) = leads.filter(|_| term_led.is_none()) {
            let confirmed = tokio::select! {
                confirmed = barrier.read_index() => confirmed,
                // It may be over already: look again.
                changed = metrics.changed() => match changed {
                    Ok(()) => continue,
                    Err(_) => return,
                },
            };
            match confirmed {
                Ok(_) => {
                    term_led = Some(term);
                    store.leases().become_primary();
                    leadership.ready_in(term);
                    tracing::info!(term, "the leader");
                }
                Err(error) => {
                    tracing::debug!(term, %error, "leadership is not confirmed");
                    let changed = tokio::time::timeout(CONFIRM_AGAIN, metrics.changed()).await;
                    if !matches!(changed, Ok(Err(_))) {
                        continue;
                    }
                }
            }
        }
        if metrics.changed().await.is_err() {
            // Consensus has stopped.
            if term_led.is_some() {
                store.leases().step_down();
            }
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::types::LeaderId;

    fn vote(term: u64, node_id: u64, committed: bool) -> Vote {
        Vote {
            leader_id: LeaderId { term, node_id },
            committed,
        }
    }

    fn membership(configs: &[&[u64]]) -> Membership {
        let configs: Vec<BTreeSet<u64>> = configs
            .iter()
            .map(|ids| ids.iter().copied().collect())
            .collect();
        Membership::new_with_defaults(configs, [])
    }

    fn ready() -> Leadership {
        let leadership = Leadership::new(1);
        leadership.membership_changes(&membership(&[&[1]]));
        leadership.vote_saved(&vote(3, 1, true));
        leadership.ready_in(3);
        leadership
    }

    #[test]
    fn the_only_voter_reads_locally_once_it_is_ready() {
        let leadership = Leadership::new(1);
        leadership.membership_changes(&membership(&[&[1]]));
        assert!(!leadership.reads_are_local());
        leadership.vote_saved(&vote(3, 1, false));
        leadership.ready_in(3);
        assert!(!leadership.reads_are_local(), "no quorum voted for it yet");
        leadership.vote_saved(&vote(3, 1, true));
        assert!(leadership.reads_are_local());
    }

    #[test]
    fn a_new_vote_or_voter_ends_local_reads() {
        let leadership = ready();
        leadership.vote_changes();
        assert!(!leadership.reads_are_local());
        leadership.vote_saved(&vote(4, 1, true));
        assert!(!leadership.reads_are_local(), "ready in term 3, not 4");
        leadership.ready_in(3);
        assert!(!leadership.reads_are_local(), "told too late");

        let leadership = ready();
        leadership.membership_changes(&membership(&[&[1], &[1, 2]]));
        assert!(!leadership.reads_are_local());

        let leadership = ready();
        leadership.vote_saved(&vote(4, 2, true));
        assert!(!leadership.reads_are_local());

        let leadership = ready();
        leadership.membership_unknown();
        assert!(!leadership.reads_are_local());
    }
}

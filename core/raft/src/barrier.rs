//! Linearizable reads: one ReadIndex round for all who wait.
//!
//! A read may be answered from local state once the leader has confirmed, after the read arrived, that it still
//! leads, and everything committed by then is applied here (Ongaro's Raft thesis, 6.4). One round runs at a time;
//! reads that arrive during it need a later confirmation, so they wait for the next, together. On a member that does
//! not lead, a round is one request to the leader, which answers it with a round of its own.

use std::sync::Arc;
use std::time::Duration;

use openraft::ReadPolicy;
use openraft::errors::{LinearizableReadError, RaftError};
use parking_lot::Mutex;
use quorate_proto::v1::{ReadIndexRequest, RefusalReason};
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};

use crate::error::ProposeError;
use crate::fault::FaultCell;
use crate::leadership::Leadership;
use crate::peers::{PeerAnswer, PeerRequest, Peers};
use crate::propose::unanswered;
use crate::routing::{Leader, Route, Routing};
use crate::types::Raft;

/// How long a round that found no leader waits before the next attempt, if nothing is heard of one before.
const TRY_AGAIN: Duration = Duration::from_millis(20);

/// The index whose state may be read; it is applied here.
type Answer = Result<u64, ProposeError>;

/// Gives linearizable points to read at. A cheap handle.
#[derive(Clone)]
pub(crate) struct Barrier {
    shared: Arc<Shared>,
}

struct Shared {
    parts: Parts,
    rounds: Mutex<Rounds>,
}

/// What a barrier stands on.
pub(crate) struct Parts {
    pub(crate) raft: Raft,
    /// Rounds run on it; callers may be on any.
    pub(crate) runtime: Handle,
    pub(crate) leadership: Arc<Leadership>,
    pub(crate) routing: Routing,
    pub(crate) peers: Arc<dyn Peers>,
    /// The index up to which entries are applied.
    pub(crate) applied: watch::Receiver<Option<u64>>,
    pub(crate) answer_within: Duration,
    pub(crate) fault: FaultCell,
}

#[derive(Default)]
struct Rounds {
    running: bool,
    /// Who wait for the next round.
    waiting: Vec<oneshot::Sender<Answer>>,
}

impl Barrier {
    pub(crate) fn new(parts: Parts) -> Self {
        let shared = Shared {
            parts,
            rounds: Mutex::default(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Returns when the local state has everything that was acknowledged before the call.
    pub(crate) async fn pass(&self) -> Result<(), ProposeError> {
        if self.shared.parts.fault.is_set() {
            return Err(self.shared.down());
        }
        if self.shared.parts.leadership.reads_are_local() {
            return Ok(());
        }
        self.read_index().await.map(drop)
    }

    /// As [`pass`](Self::pass), by a round.
    pub(crate) async fn read_index(&self) -> Answer {
        let (answer, answered) = oneshot::channel();
        let begins = {
            let mut rounds = self.shared.rounds.lock();
            rounds.waiting.push(answer);
            !std::mem::replace(&mut rounds.running, true)
        };
        if begins {
            let rounds = RunningRounds {
                shared: Arc::clone(&self.shared),
                finished: false,
            };
            self.shared.parts.runtime.spawn(rounds.run());
        }
        // Without an answer the runtime ended.
        answered.await.unwrap_or_else(|_| Err(self.shared.down()))
    }
}

impl Shared {
    fn down(&self) -> ProposeError {
        let fault = self.parts.fault.get();
        fault.map_or(ProposeError::Stopped, ProposeError::Fault)
    }

    /// One round, as often as it takes: asking again does no harm.
    async fn round(&self) -> Answer {
        let mut routing = self.parts.routing.clone();
        loop {
            let route = routing.borrow_and_update().clone();
            let confirmed = match route {
                Route::To(leader) => self.ask(&leader).await,
                // openraft may know of a leadership that the route does not show yet.
                Route::Here(_) | Route::Nowhere => self.confirm().await,
            };
            match confirmed {
                Ok(index) => return self.reach(index).await,
                Err(ProposeError::NoLeader { .. } | ProposeError::LeaderChanged) => {
                    // Either is as good: another attempt may go better then.
                    let _ = tokio::time::timeout(TRY_AGAIN, routing.changed()).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Confirms that this member leads.
    async fn confirm(&self) -> Answer {
        let raft = &self.parts.raft;
        let confirmed = raft.get_read_linearizer(ReadPolicy::ReadIndex).await;
        let confirmed = confirmed.map_err(|error| match error {
            RaftError::APIError(LinearizableReadError::ForwardToLeader(forward)) => {
                ProposeError::NoLeader {
                    leader: forward.leader_id,
                }
            }
            RaftError::APIError(LinearizableReadError::QuorumNotEnough(_)) => {
                ProposeError::NoLeader { leader: None }
            }
            RaftError::Fatal(_) => self.down(),
        })?;
        Ok(confirmed.read_log_id().index())
    }

    /// Lets the leader confirm it; until it no longer leads.
    async fn ask(&self, leader: &Leader) -> Answer {
        let request = PeerRequest::ReadIndex(ReadIndexRequest {});
        let call = self.parts.peers.call(leader.id, &leader.member, request);
        let mut routing = self.parts.routing.clone();
        let answer = tokio::select! {
            answer = call => answer,
            _ = routing.wait_for(|route| !route.is_to(leader)) => {
                return Err(ProposeError::LeaderChanged);
            }
        };
        match answer {
            Ok(PeerAnswer::ReadIndex(answer)) => Ok(answer.index),
            Ok(PeerAnswer::Refused(refused)) => Err(match refused.reason() {
                // A read that was not answered was not made.
                RefusalReason::Stopped | RefusalReason::Timeout => ProposeError::LeaderChanged,
                _ => unanswered(&refused),
            }),
            Ok(_) | Err(_) => Err(ProposeError::LeaderChanged),
        }
    }

    async fn reach(&self, index: u64) -> Answer {
        let mut applied = self.parts.applied.clone();
        let reached = applied.wait_for(|applied| *applied >= Some(index)).await;
        reached.map(|_| index).map_err(|_| self.down())
    }

    /// Why a round that took too long has no answer.
    fn too_late(&self) -> ProposeError {
        match *self.parts.routing.borrow() {
            Route::Nowhere => ProposeError::NoLeader { leader: None },
            Route::Here(_) | Route::To(_) => ProposeError::Timeout,
        }
    }
}

/// The task that runs rounds while anyone waits. If its runtime ends, those who wait are told.
struct RunningRounds {
    shared: Arc<Shared>,
    finished: bool,
}

impl RunningRounds {
    async fn run(mut self) {
        loop {
            let waiting = {
                let mut rounds = self.shared.rounds.lock();
                if rounds.waiting.is_empty() {
                    rounds.running = false;
                    self.finished = true;
                    return;
                }
                std::mem::take(&mut rounds.waiting)
            };
            let within = self.shared.parts.answer_within;
            let answer = tokio::time::timeout(within, self.shared.round())
                .await
                .unwrap_or_else(|_| Err(self.shared.too_late()));
            for reader in waiting {
                // Those who gave up are gone.
                let _ = reader.send(answer.clone());
            }
        }
    }
}

impl Drop for RunningRounds {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        let mut rounds = self.shared.rounds.lock();
        rounds.running = false;
        // Dropped unanswered: they learn why by themselves.
        rounds.waiting.clear();
    }
}

//! Linearizable reads: one ReadIndex round for all who wait.
//!
//! A read may be answered from local state once the leader has confirmed, after the read arrived, that it still
//! leads, and everything committed by then is applied (Ongaro's Raft thesis, 6.4). One round runs at a time;
//! reads that arrive during it need a later confirmation, so they wait for the next, together.

use std::sync::Arc;
use std::time::Duration;

use openraft::ReadPolicy;
use openraft::errors::{LinearizableReadError, RaftError};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};

use crate::error::ProposeError;
use crate::fault::FaultCell;
use crate::leadership::Leadership;
use crate::types::Raft;

type Answer = Result<(), ProposeError>;

/// Gives linearizable points to read at. A cheap handle.
#[derive(Clone)]
pub(crate) struct Barrier {
    shared: Arc<Shared>,
}

struct Shared {
    raft: Raft,
    runtime: Handle,
    leadership: Arc<Leadership>,
    /// The index up to which entries are applied.
    applied: watch::Receiver<Option<u64>>,
    answer_within: Duration,
    fault: FaultCell,
    rounds: Mutex<Rounds>,
}

#[derive(Default)]
struct Rounds {
    running: bool,
    /// Who wait for the next round.
    waiting: Vec<oneshot::Sender<Answer>>,
}

impl Barrier {
    /// Rounds run on `runtime`, callers may be on any.
    pub(crate) fn new(
        raft: Raft,
        runtime: Handle,
        leadership: Arc<Leadership>,
        applied: watch::Receiver<Option<u64>>,
        answer_within: Duration,
        fault: FaultCell,
    ) -> Self {
        let shared = Shared {
            raft,
            runtime,
            leadership,
            applied,
            answer_within,
            fault,
            rounds: Mutex::default(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Returns when the local state has everything that was acknowledged before the call.
    pub(crate) async fn pass(&self) -> Answer {
        if self.shared.fault.is_set() {
            return Err(self.shared.down());
        }
        if self.shared.leadership.reads_are_local() {
            return Ok(());
        }
        self.read_index().await
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
            self.shared.runtime.spawn(rounds.run());
        }
        // Without an answer the runtime ended.
        answered.await.unwrap_or_else(|_| Err(self.shared.down()))
    }
}

impl Shared {
    fn down(&self) -> ProposeError {
        self.fault
            .get()
            .map_or(ProposeError::Stopped, ProposeError::Fault)
    }

    async fn round(&self) -> Answer {
        let confirmed = self.raft.get_read_linearizer(ReadPolicy::ReadIndex).await;
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
        let index = confirmed.read_log_id().index();
        let mut applied = self.applied.clone();
        let reached = applied.wait_for(|applied| *applied >= Some(index)).await;
        reached.map(drop).map_err(|_| self.down())
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
            let answer = tokio::time::timeout(self.shared.answer_within, self.shared.round())
                .await
                .unwrap_or(Err(ProposeError::Timeout));
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

//! A node: what the rest of the server sees of consensus, and how it ends.
//!
//! Two threads of its own beside the log's: one for consensus (a tokio runtime of one thread), one that applies.
//! Callers may be on any tokio runtime with a timer; their answers come over channels.

mod answer;
mod start;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use quorate_proto::log::Command;
use quorate_store::{Reply, Store};
use quorate_wal::Disk;
use tokio::sync::watch;

use crate::barrier::Barrier;
use crate::config::NodeConfig;
use crate::consensus_thread::ConsensusThread;
use crate::error::{ProposeError, RaftFault};
use crate::fault::{Fault, FaultCell};
use crate::leadership::Leadership;
use crate::log::{self, LogStore};
use crate::machine::{ApplierThread, ApplyQueue, Machine};
use crate::peers::Peers;
use crate::propose::Proposer;
use crate::routing::{Route, Routing};
use crate::status::{self, NodeStatus};
use crate::types::{Member, Raft};

/// A member of the cluster, running. A cheap handle.
///
/// When the last handle goes, the member stops as if it crashed: nothing acknowledged is lost, but the next start
/// has more to replay than after [`shutdown`](Self::shutdown). That blocks until its threads have ended.
#[derive(Clone)]
pub struct Node {
    inner: Arc<Inner>,
}

struct Inner {
    config: NodeConfig,
    store: Store,
    raft: Raft,
    log: LogStore,
    leadership: Arc<Leadership>,
    proposer: Proposer,
    barrier: Barrier,
    routing: Routing,
    queue: Arc<ApplyQueue>,
    applied: watch::Receiver<Option<u64>>,
    fault: FaultCell,
    threads: Mutex<Option<Threads>>,
}

/// Ended in this order when dropped: consensus first, so that nothing new reaches the applier.
struct Threads {
    _consensus: ConsensusThread,
    _applier: ApplierThread,
}

impl Node {
    /// Starts the member: recovers its log and state, or founds a cluster if it has none.
    ///
    /// A single voter leads when this returns; in a larger cluster nothing is known of a leader yet. `peers` is the
    /// way to the others; what comes from them is for [`answer`](Self::answer). Blocks for as long as recovery
    /// takes, so not for a thread that runs async tasks. `store` must not be applied to by anyone else.
    ///
    /// # Errors
    /// Log or state can't be read, are damaged, don't fit together, or are another member's.
    pub fn start(
        config: NodeConfig,
        store: Store,
        peers: Arc<dyn Peers>,
    ) -> Result<Self, RaftFault> {
        let disk = log::directory(&config.wal_dir)?;
        Self::start_on(disk, config, store, peers)
    }

    /// As [`start`](Self::start), with the log on this disk.
    pub(crate) fn start_on(
        disk: Arc<dyn Disk>,
        config: NodeConfig,
        store: Store,
        peers: Arc<dyn Peers>,
    ) -> Result<Self, RaftFault> {
        let inner = Arc::new(start::start(disk, config, store, peers)?);
        Ok(Self { inner })
    }

    /// Has a command committed and applied, and returns its outcome. Everything that waits at a moment becomes
    /// one log entry. Dropping the future withdraws a command that is not under way yet.
    ///
    /// How large a command may be is for the caller to limit.
    ///
    /// # Errors
    /// See [`ProposeError`]; it says for each whether the command may still take effect.
    pub async fn propose(&self, command: Command) -> Result<Reply, ProposeError> {
        self.inner
            .store
            .validate(&command)
            .map_err(ProposeError::Etcd)?;
        let applied = self.inner.proposer.propose(command).await?;
        Ok(applied.reply)
    }

    /// Has commands committed and applied by this member as the leader in this term, together, or not at all: for
    /// what only a leader may decide, such as that a lease is over. See [`leads_in`](Self::leads_in).
    ///
    /// # Errors
    /// One answer for each; [`ProposeError::NoLeader`] if it no longer leads in this term.
    pub async fn propose_in_term(
        &self,
        term: u64,
        commands: Vec<Command>,
    ) -> Vec<Result<Reply, ProposeError>> {
        let answers = self.inner.proposer.propose_in_term(term, commands).await;
        answers
            .into_iter()
            .map(|answer| answer.map(|applied| applied.reply))
            .collect()
    }

    /// Returns when reading the store sees every write that was acknowledged, by any member, before the call.
    /// All who wait at a moment share one round; a leader that is the only voter needs none. While there is no
    /// leader, it waits for one.
    ///
    /// # Errors
    /// [`ProposeError`], but for `Etcd` and `TooManyRequests`.
    pub async fn read_barrier(&self) -> Result<(), ProposeError> {
        self.inner.barrier.pass().await
    }

    /// What it knows of itself and the cluster now.
    #[must_use]
    pub fn status(&self) -> NodeStatus {
        let config = &self.inner.config;
        let applied = *self.inner.applied.borrow();
        status::read(
            &self.inner.raft,
            config.cluster_id,
            config.member_id,
            applied,
        )
    }

    /// The newest term it has heard of; for the headers of answers.
    #[must_use]
    pub fn term(&self) -> u64 {
        self.inner.leadership.term()
    }

    /// Whether it leads, and has applied everything committed before it did.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.inner.leadership.is_ready()
    }

    /// The term in which it leads, with everything before applied, if it does.
    #[must_use]
    pub fn leads_in(&self) -> Option<u64> {
        self.inner.leadership.ready_term()
    }

    /// The other member that leads, as far as this one knows: its id, and where it is reached.
    #[must_use]
    pub fn other_leader(&self) -> Option<(u64, Arc<Member>)> {
        match &*self.inner.routing.borrow() {
            Route::To(leader) => Some((leader.id, Arc::clone(&leader.member))),
            Route::Here(_) | Route::Nowhere => None,
        }
    }

    /// Waits until this member no longer follows that one.
    pub async fn leader_is_not(&self, id: u64) {
        let mut routing = self.inner.routing.clone();
        let other = |route: &Route| !matches!(route, Route::To(leader) if leader.id == id);
        // If consensus has ended, it follows nobody.
        let _ = routing.wait_for(other).await;
    }

    /// Waits until the leadership is another than it was, at most this long.
    pub async fn leadership_changes(&self, at_most: Duration) {
        let mut routing = self.inner.routing.clone();
        routing.mark_unchanged();
        // In time or not, the caller looks again.
        let _ = tokio::time::timeout(at_most, routing.changed()).await;
    }

    /// Waits until the node can't go on, because of its disk or a defect. The process must end then.
    pub async fn fatal(&self) -> Fault {
        let fault = self.inner.fault.clone();
        fault.wait().await
    }

    /// Stops it: takes no more commands, answers those it has, makes everything durable. Bounded in time. What
    /// it can't do in time, or because of a fault, the next start makes good.
    pub async fn shutdown(&self) {
        let inner = &self.inner;
        let within = inner.config.timing.shutdown;
        if tokio::time::timeout(within, inner.proposer.drain())
            .await
            .is_err()
        {
            tracing::warn!(?within, "commands under way were not answered in time");
        }
        inner.proposer.close();
        inner.leadership.stops();
        if tokio::time::timeout(within, Machine::checkpoint(&inner.queue))
            .await
            .is_err()
        {
            tracing::warn!(?within, "the last checkpoint was not made in time");
        }
        // The core is joined on its own runtime; an error says it panicked, which was reported as a fault.
        let _ = inner.raft.shutdown().await;
        let threads = inner.threads.lock().take();
        let log = inner.log.clone();
        let ended = tokio::task::spawn_blocking(move || {
            drop(threads);
            log.sync()
        });
        match ended.await {
            Ok(Ok(())) => tracing::info!("stopped"),
            Ok(Err(error)) => tracing::warn!(%error, "the log was not synced"),
            Err(error) => tracing::warn!(%error, "the log was not synced"),
        }
    }
}

#[cfg(test)]
impl Node {
    /// Commits bytes that no proposer would.
    pub(crate) async fn propose_bytes(&self, bytes: &'static [u8]) {
        let payload = crate::types::Payload::received(bytes::Bytes::from_static(bytes));
        let _ = self.inner.raft.client_write_ff(payload, None).await;
    }

    pub(crate) async fn checkpoint(&self) -> std::io::Result<()> {
        Machine::checkpoint(&self.inner.queue).await
    }

    pub(crate) async fn read_index(&self) -> Result<(), ProposeError> {
        self.inner.barrier.read_index().await.map(drop)
    }

    /// Waits until the log has let go of something.
    pub(crate) async fn until_purged(&self) {
        let within = Some(Duration::from_secs(30));
        let purged = |metrics: &openraft::RaftMetrics<_>| metrics.purged.is_some();
        let waiting = self.inner.raft.wait(within);
        waiting
            .metrics(purged, "something is purged")
            .await
            .unwrap();
    }

    /// Waits until so many commands wait for a batch.
    pub(crate) async fn until_queued(&self, count: usize) {
        while self.inner.proposer.queued() < count {
            tokio::task::yield_now().await;
        }
    }

    /// Waits until it takes no more commands.
    pub(crate) async fn until_closed(&self) {
        while !self.inner.proposer.is_closed() {
            tokio::task::yield_now().await;
        }
    }
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node")
            .field("cluster_id", &self.inner.config.cluster_id)
            .field("member_id", &self.inner.config.member_id)
            .finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.proposer.close();
    }
}

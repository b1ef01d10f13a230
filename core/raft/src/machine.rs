//! The state machine as openraft sees it: a queue in front of the thread that applies.
//!
//! `apply` returns when entries are queued, not when they are applied. So the thread can apply all that has been
//! committed meanwhile in one transaction, and nothing is woken in between: it answers proposals by itself. What
//! openraft calls "applied" is therefore ahead of the state; whoever needs the state waits for [`Applied`]
//! instead, and snapshots are only ever made of what is durable.

mod applier;
mod queue;

use std::io;
use std::sync::Arc;

use futures::{Stream, StreamExt as _};
use openraft::OptionalSend;
use openraft::storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine};
use openraft::type_config::alias::{SnapshotMetaOf, SnapshotOf};
use quorate_store::Received;
use tokio::sync::{oneshot, watch};

pub(crate) use self::applier::{Applier, ApplierThread};
pub(crate) use self::queue::ApplyQueue;

use self::queue::{Item, Request};
use crate::encoding::AppliedState;
use crate::types::{LogId, StoredMembership, TypeConfig};

/// A snapshot's data.
#[derive(Debug)]
pub(crate) enum Checkpoint {
    /// This member's own: the checkpoint of its store stands for it. What is sent is read from the store then.
    Own,
    /// Another member's, to be taken over.
    Received(Box<Received>),
}

type SnapshotMeta = SnapshotMetaOf<TypeConfig>;
type Snapshot = SnapshotOf<TypeConfig, Checkpoint>;

/// What openraft drives.
pub(crate) struct Machine {
    queue: Arc<ApplyQueue>,
    /// What the last checkpoint has.
    durable: watch::Receiver<AppliedState>,
}

impl Machine {
    pub(crate) fn new(queue: Arc<ApplyQueue>, durable: watch::Receiver<AppliedState>) -> Self {
        Self { queue, durable }
    }

    /// Makes everything durable that was committed before the call; an error if the applier has ended.
    pub(crate) async fn checkpoint(queue: &ApplyQueue) -> Result<(), io::Error> {
        ask(queue, Request::Checkpoint).await
    }

    fn builder(&self, checkpoint_first: bool) -> SnapshotBuilder {
        SnapshotBuilder {
            queue: Arc::clone(&self.queue),
            durable: self.durable.clone(),
            checkpoint_first,
        }
    }
}

/// Asks the applier for something, behind all that is queued.
async fn ask<T>(
    queue: &ApplyQueue,
    request: impl FnOnce(oneshot::Sender<T>) -> Request,
) -> Result<T, io::Error> {
    let (answer, answered) = oneshot::channel();
    queue.push([Item::Request(request(answer))]);
    answered.await.map_err(|_| stopped())
}

fn stopped() -> io::Error {
    io::Error::other("the state machine has stopped")
}

fn snapshot(state: &AppliedState) -> Snapshot {
    Snapshot {
        meta: SnapshotMeta {
            last_log_id: state.last_applied,
            last_membership: state.membership.clone(),
        },
        snapshot: Checkpoint::Own,
    }
}

impl RaftStateMachine<TypeConfig> for Machine {
    type SnapshotData = Checkpoint;
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        let state = ask(&self.queue, Request::Applied).await?;
        Ok((state.last_applied, state.membership))
    }

    async fn apply<S>(&mut self, mut entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>> + Unpin + OptionalSend,
    {
        let mut items = Vec::new();
        while let Some(item) = entries.next().await {
            let (entry, responder) = item?;
            items.push(Item::Entry(entry, responder));
        }
        if !self.queue.push(items) {
            return Err(stopped());
        }
        self.queue.has_room().await.map_err(|_| stopped())
    }

    async fn try_create_snapshot_builder(&mut self, force: bool) -> Option<SnapshotBuilder> {
        Some(self.builder(force))
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder {
        self.builder(true)
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: Checkpoint,
    ) -> Result<(), io::Error> {
        let Checkpoint::Received(received) = snapshot else {
            return Err(io::Error::other(format!(
                "snapshot {meta} is this member's own"
            )));
        };
        let state = AppliedState {
            last_applied: meta.last_log_id,
            membership: meta.last_membership.clone(),
        };
        ask(&self.queue, |answer| {
            Request::Install(received, state, answer)
        })
        .await
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, io::Error> {
        let durable = self.durable.borrow();
        Ok(durable.last_applied.is_some().then(|| snapshot(&durable)))
    }
}

/// Makes a snapshot of what is durable: openraft purges the log up to it.
pub(crate) struct SnapshotBuilder {
    queue: Arc<ApplyQueue>,
    durable: watch::Receiver<AppliedState>,
    /// Whether everything applied by now must be in it.
    checkpoint_first: bool,
}

impl RaftSnapshotBuilder<TypeConfig> for SnapshotBuilder {
    type SnapshotData = Checkpoint;

    async fn build_snapshot(&mut self) -> Result<Snapshot, io::Error> {
        if self.checkpoint_first {
            Machine::checkpoint(&self.queue).await?;
        }
        let durable = self.durable.borrow();
        Ok(snapshot(&durable))
    }
}

//! Keeps the log from growing: after each checkpoint, what is in the state for good may go, but for a tail that
//! saves slower members a snapshot.

use std::time::Duration;

use tokio::sync::watch;

use crate::encoding::AppliedState;
use crate::log::LogStore;
use crate::types::Raft;

/// How long openraft may take to note a checkpoint. If it takes longer, the next one will do.
const NOTED_WITHIN: Duration = Duration::from_secs(10);

/// Follows the checkpoints, until consensus stops.
pub(crate) async fn follow(raft: Raft, log: LogStore, mut durable: watch::Receiver<AppliedState>) {
    let mut snapshots = raft.watch_snapshot_progress();
    while durable.changed().await.is_ok() {
        let last = durable.borrow_and_update().last_applied;
        let Some(last) = last else { continue };
        // openraft purges only what a snapshot has; ours is the checkpoint.
        if raft.trigger().snapshot().await.is_err() {
            return;
        }
        let target = Some(last);
        let noted = tokio::time::timeout(NOTED_WITHIN, snapshots.wait_until_ge(&target));
        if noted.await.is_err() {
            continue;
        }
        if let Some(upto) = log.purge_point(last.index)
            && raft.trigger().purge_log(upto).await.is_err()
        {
            return;
        }
    }
}

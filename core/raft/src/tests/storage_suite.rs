//! openraft's own tests of a log and a state machine, on the real ones.
//!
//! All of them but the transfer of a snapshot between members: that needs members (`tests/cluster`).

use std::sync::Arc;

use openraft::StorageError;
use openraft::storage::{RaftLogStorage, RaftStateMachine};
use openraft::testing::log::{StoreBuilder, Suite};
use quorate_wal::crash_disk::CrashDisk;
use tokio::sync::watch;

use crate::encoding::AppliedState;
use crate::fault::FaultCell;
use crate::leadership::Leadership;
use crate::log::{self, LogStore};
use crate::machine::{Applier, ApplierThread, ApplyQueue, Machine};
use crate::testing::{self, open_store};
use crate::types::TypeConfig;

struct Builder;

type Guard = (ApplierThread, tempfile::TempDir);

impl StoreBuilder<TypeConfig, LogStore, Machine, Guard> for Builder {
    async fn build(&self) -> Result<(Guard, LogStore, Machine), StorageError<TypeConfig>> {
        let config = testing::config();
        let directory = tempfile::tempdir().unwrap();
        let fault = FaultCell::new();
        let log = LogStore::new(
            log::open(Arc::new(CrashDisk::new()), &config).unwrap(),
            config.identity(),
            config.limits.log.clone(),
            Arc::new(Leadership::new(config.member_id)),
            fault.clone(),
        );
        let queue = ApplyQueue::new(config.limits.apply.clone());
        let (durable_sender, durable) = watch::channel(AppliedState::default());
        let applier = ApplierThread::start(Applier {
            store: open_store(directory.path()),
            log: log.clone(),
            queue: Arc::clone(&queue),
            limits: config.limits.apply.clone(),
            cluster_id: config.cluster_id,
            fault,
            state: AppliedState::default(),
            applied: watch::Sender::new(None),
            durable: durable_sender,
            dirty: None,
            compacting: true,
        })
        .unwrap();
        Ok(((applier, directory), log, Machine::new(queue, durable)))
    }
}

macro_rules! suite {
    ($($name:ident)*) => {$(
        #[tokio::test]
        async fn $name() {
            let (_guard, log, machine) = Builder.build().await.unwrap();
            Tests::$name(log, machine).await.unwrap();
        }
    )*};
}

type Tests = Suite<TypeConfig, LogStore, Machine, Builder, Guard>;

suite! {
    last_membership_in_log_initial last_membership_in_log last_membership_in_log_multi_step
    get_membership_initial get_membership_from_log_and_empty_sm
    get_membership_from_empty_log_and_sm get_membership_from_log_le_sm_last_applied
    get_membership_from_log_gt_sm_last_applied_1 get_membership_from_log_gt_sm_last_applied_2
    get_initial_state_without_init get_initial_state_membership_from_empty_log_and_sm
    get_initial_state_membership_from_sm_inlog_is_smaller
    get_initial_state_membership_from_log_insm_is_smaller get_initial_state_with_state
    get_initial_state_last_log_gt_sm get_initial_state_last_log_lt_sm
    get_initial_state_inverted_log_order get_initial_state_conflict_at_same_index
    get_initial_state_log_ids get_initial_state_re_apply_committed
    save_vote get_log_entries limited_get_log_entries leader_bounded_stream entries_stream
    try_get_log_entry log_reader_reads_new_entries initial_logs get_log_state get_log_id
    last_id_in_log last_applied_state purge_logs_upto_0 purge_logs_upto_5 purge_logs_upto_20
    delete_logs_after_11 delete_logs_after_5 delete_logs_after_0 delete_logs_after_none
    append_to_log snapshot_meta snapshot_meta_optional apply_single apply_multiple
}

#[tokio::test]
async fn a_members_own_snapshot_is_not_installed() {
    let (_guard, mut log, mut machine) = Builder.build().await.unwrap();
    assert!(machine.get_current_snapshot().await.unwrap().is_none());
    let meta = openraft::storage::SnapshotMeta {
        last_log_id: Some(testing::log_id(1, 5)),
        last_membership: Default::default(),
    };
    let own = crate::machine::Checkpoint::Own;
    assert!(machine.install_snapshot(&meta, own).await.is_err());
    assert_eq!(machine.applied_state().await.unwrap().0, None);
    assert_eq!(log.get_log_state().await.unwrap().last_log_id, None);
}

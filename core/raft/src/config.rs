//! What a node is told: who it is, where its log is, and its bounds.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use quorate_wal::WalOptions;

use crate::encoding::Identity;
use crate::error::RaftFault;
use crate::types::Member;

/// Who a node is, where its log is, and its bounds.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// The cluster it belongs to; never 0.
    pub cluster_id: u64,
    /// Its own id; unique in the cluster, never reused, never 0.
    pub member_id: u64,
    /// How it is known to the others.
    pub member: Member,
    /// How the cluster begins, if this member has no log yet.
    pub founding: Founding,
    /// The log's directory; its parent must exist.
    pub wal_dir: PathBuf,
    /// The log's sizes.
    pub wal: WalOptions,
    /// Heartbeats and elections.
    pub timing: Timing,
    /// What is bounded, and how.
    pub limits: Limits,
}

/// How a cluster begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Founding {
    /// This member is the only one.
    Alone,
    /// These members, by id, and this one is among them. They all must be told the same.
    Together(BTreeMap<u64, Member>),
    /// It exists: its leader will send this member the log.
    Joins,
}

/// Heartbeats and elections. All members of a cluster use the same.
#[derive(Clone, Debug)]
pub struct Timing {
    /// From heartbeat to heartbeat of a leader. Default 100 ms.
    pub heartbeat: Duration,
    /// A follower without heartbeats stands for election after a random time from this…
    /// Default 1 s: a disk that stalls must not cost the leadership.
    pub election_min: Duration,
    /// … up to this. Default 2 s.
    pub election_max: Duration,
    /// How long a proposal or a linearizable read waits for its answer. Default 7 s, as etcd.
    pub answer: Duration,
    /// How long shutting down waits for what is under way. Default 10 s.
    pub shutdown: Duration,
}

/// What is bounded, and how.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Proposals.
    pub propose: ProposeLimits,
    /// The log.
    pub log: LogLimits,
    /// Applying and checkpoints.
    pub apply: ApplyLimits,
}

/// Bounds of the queue of proposals.
#[derive(Clone, Debug)]
pub struct ProposeLimits {
    /// Most commands that wait for a batch. Default 16,384.
    pub queued_commands: usize,
    /// Most bytes of commands that wait for a batch. Default 64 MiB.
    pub queued_bytes: usize,
    /// Most commands in a batch, which is one log entry. Default 4,096.
    pub batch_commands: usize,
    /// Size from which a batch is full; a larger command goes alone. Default 1 MiB.
    pub batch_bytes: usize,
    /// Most batches proposed and not yet answered. Default 1: what arrives meanwhile fills the next batch. With 2
    /// the batches are half as large, and a command costs a third more CPU, for no shorter waits (`cargo bench`).
    pub batches_in_flight: usize,
}

/// Bounds of the log in memory, and of its tail on disk.
#[derive(Clone, Debug)]
pub struct LogLimits {
    /// Size of the newest entries that are kept in memory. Default 32 MiB.
    pub cache_bytes: usize,
    /// Size of entries that stay in the log after they are in the state for good, so that a slower member needs
    /// no snapshot. The log goes by whole segments, so up to one segment more stays. Default 64 MiB.
    pub kept_bytes: usize,
    /// Most such entries. Default 100,000.
    pub kept_entries: usize,
}

/// Bounds of applying, and when the state is made durable.
#[derive(Clone, Debug)]
pub struct ApplyLimits {
    /// Most entries in one transaction of the store. Default 4,096.
    pub batch_entries: usize,
    /// Size of entries from which a transaction is full. Default 4 MiB.
    pub batch_bytes: usize,
    /// Size of entries that wait to be applied, from which consensus waits too. Default 64 MiB.
    pub queued_bytes: usize,
    /// The longest time between a change and a checkpoint that has it. Default 5 s.
    pub checkpoint_interval: Duration,
    /// Size of entries applied from which a checkpoint is due at once. Default 64 MiB.
    pub checkpoint_bytes: usize,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_millis(100),
            election_min: Duration::from_millis(1000),
            election_max: Duration::from_millis(2000),
            answer: Duration::from_secs(7),
            shutdown: Duration::from_secs(10),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            propose: ProposeLimits {
                queued_commands: 16_384,
                queued_bytes: 64 << 20,
                batch_commands: 4096,
                batch_bytes: 1 << 20,
                batches_in_flight: 1,
            },
            log: LogLimits {
                cache_bytes: 32 << 20,
                kept_bytes: 64 << 20,
                kept_entries: 100_000,
            },
            apply: ApplyLimits {
                batch_entries: 4096,
                batch_bytes: 4 << 20,
                queued_bytes: 64 << 20,
                checkpoint_interval: Duration::from_secs(5),
                checkpoint_bytes: 64 << 20,
            },
        }
    }
}

impl NodeConfig {
    /// A node with default bounds, whose cluster begins with it alone.
    pub fn new(
        cluster_id: u64,
        member_id: u64,
        member: Member,
        wal_dir: impl Into<PathBuf>,
    ) -> Self {
        Self {
            cluster_id,
            member_id,
            member,
            founding: Founding::Alone,
            wal_dir: wal_dir.into(),
            wal: WalOptions::default(),
            timing: Timing::default(),
            limits: Limits::default(),
        }
    }

    pub(crate) fn identity(&self) -> Identity {
        Identity {
            cluster_id: self.cluster_id,
            member_id: self.member_id,
        }
    }

    pub(crate) fn damaged_log(&self, what: &str) -> RaftFault {
        RaftFault::Damaged {
            what: format!("the log in {} is damaged: {what}", self.wal_dir.display()),
        }
    }

    /// openraft's own configuration.
    pub(crate) fn openraft(&self) -> Result<openraft::Config, RaftFault> {
        if self.cluster_id == 0 || self.member_id == 0 {
            return Err(RaftFault::InvalidConfig(
                "cluster id and member id must not be 0".to_owned(),
            ));
        }
        if let Founding::Together(members) = &self.founding
            && !members.contains_key(&self.member_id)
        {
            return Err(RaftFault::InvalidConfig(
                "this member is not among those that found the cluster".to_owned(),
            ));
        }
        let propose = &self.limits.propose;
        if propose.batches_in_flight == 0
            || propose.batch_commands == 0
            || self.limits.apply.batch_entries == 0
        {
            return Err(RaftFault::InvalidConfig(
                "batches must hold something".to_owned(),
            ));
        }
        let millis = |duration: Duration| duration.as_millis() as u64;
        let election_max = millis(self.timing.election_max);
        let config = openraft::Config {
            cluster_name: format!("{:x}", self.cluster_id),
            heartbeat_interval: millis(self.timing.heartbeat),
            election_timeout_min: millis(self.timing.election_min),
            election_timeout_max: election_max,
            enable_pre_vote: Some(true),
            // Leading without an election is unsafe while applied state is not flushed at once.
            enable_leader_restore: Some(false),
            // Without it, a leader that lost its quorum may keep followers from electing another.
            quorum_loss_probe_interval: Some(2 * election_max),
            // Checkpoints of the store are the snapshots, and what may go from the log is counted in bytes;
            // both are asked for, see `trim`.
            snapshot_policy: openraft::SnapshotPolicy::Never,
            max_in_snapshot_log_to_keep: u64::MAX,
            ..openraft::Config::default()
        };
        config
            .validate()
            .map_err(|error| RaftFault::InvalidConfig(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_nonsense_is_not() {
        let config = NodeConfig::new(1, 2, Member::default(), "wal");
        let raft = config.openraft().unwrap();
        assert_eq!(raft.heartbeat_interval, 100);
        assert_eq!(raft.enable_leader_restore, Some(false));
        let mut wrong = config.clone();
        wrong.cluster_id = 0;
        assert_eq!(
            wrong.openraft().unwrap_err().code(),
            quorate_types::ErrorCode::InvalidArgument
        );
        let mut wrong = config;
        wrong.timing.election_max = wrong.timing.election_min;
        assert!(wrong.openraft().is_err());
    }
}

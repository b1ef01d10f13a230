//! What a node says of itself.

use openraft::async_runtime::watch::WatchReceiver as _;

use crate::types::{Member, Raft};

/// What a node knows of itself and its cluster, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeStatus {
    /// The cluster.
    pub cluster_id: u64,
    /// This member.
    pub member_id: u64,
    /// The term it is in.
    pub term: u64,
    /// Who leads, if it knows.
    pub leader: Option<u64>,
    /// Whether it leads.
    pub is_leader: bool,
    /// Index of the oldest entry its log may still have: all before it are let go of.
    pub first_log: u64,
    /// Index of the last entry of its log; 0 if there is none.
    pub last_log: u64,
    /// Index up to which it knows entries are committed; 0 if none is.
    pub committed: u64,
    /// Index up to which they are applied to its state; 0 if none is.
    pub applied: u64,
    /// Everyone in the cluster, by id.
    pub members: Vec<MemberStatus>,
}

/// A member, as the newest membership has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberStatus {
    /// Its id.
    pub id: u64,
    /// What it is called, and where it is reached.
    pub member: Member,
    /// Whether it only receives the log, and does not vote.
    pub is_learner: bool,
}

/// Asks openraft, for all but what is applied.
pub(crate) fn read(
    raft: &Raft,
    cluster_id: u64,
    member_id: u64,
    applied: Option<u64>,
) -> NodeStatus {
    let metrics = raft.metrics();
    let metrics = metrics.borrow_watched();
    let membership = metrics.membership_config.membership();
    let members = membership.nodes().map(|(&id, member)| MemberStatus {
        id,
        member: member.clone(),
        is_learner: !membership.voter_ids().any(|voter| voter == id),
    });
    NodeStatus {
        cluster_id,
        member_id,
        term: metrics.current_term,
        leader: metrics.current_leader,
        is_leader: metrics.current_leader == Some(member_id),
        first_log: metrics.purged.as_ref().map_or(0, |id| id.index + 1),
        last_log: metrics.last_log_index.unwrap_or(0),
        committed: metrics.local_committed.as_ref().map_or(0, |id| id.index),
        applied: applied.unwrap_or(0),
        members: members.collect(),
    }
}

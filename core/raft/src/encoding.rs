//! Between openraft's types and what is on disk.
//!
//! The disk format is ours (`quorate/log.proto`), so that an openraft upgrade never touches it.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use prost::Message as _;
use quorate_proto::log as wire;
use quorate_proto::log::log_entry::Payload as WirePayload;

use crate::types::{
    Entry, EntryPayload, LeaderId, LogId, Member, Membership, Payload, StoredMembership, Vote,
};

/// What could not be read, and why, as a clause for a person.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unreadable(String);

impl Unreadable {
    pub(crate) fn new(what: &str, why: impl std::fmt::Display) -> Self {
        Self(format!("{what} is not readable: {why}"))
    }
}

/// Decodes a message, and names it if that fails.
fn decode<M: prost::Message + Default>(what: &str, bytes: Bytes) -> Result<M, Unreadable> {
    M::decode(bytes).map_err(|error| Unreadable::new(what, error))
}

pub(crate) fn log_id_to_wire(id: &LogId) -> wire::LogId {
    wire::LogId {
        term: id.leader_id.term,
        leader: id.leader_id.node_id,
        index: id.index,
    }
}

pub(crate) fn log_id_from_wire(id: &wire::LogId) -> LogId {
    let leader_id = LeaderId {
        term: id.term,
        node_id: id.leader,
    };
    LogId::new(leader_id, id.index)
}

pub(crate) fn encode_log_id(id: &LogId) -> Vec<u8> {
    log_id_to_wire(id).encode_to_vec()
}

pub(crate) fn decode_log_id(bytes: &[u8]) -> Result<LogId, Unreadable> {
    let id: wire::LogId = decode("a log position", Bytes::copy_from_slice(bytes))?;
    Ok(log_id_from_wire(&id))
}

pub(crate) fn encode_entry(entry: &Entry) -> Vec<u8> {
    entry_to_wire(entry).encode_to_vec()
}

pub(crate) fn entry_to_wire(entry: &Entry) -> wire::LogEntry {
    let payload = match &entry.payload {
        EntryPayload::Blank => None,
        EntryPayload::Normal(payload) => Some(WirePayload::Batch(payload.encoded().clone())),
        EntryPayload::Membership(membership) => {
            Some(WirePayload::Membership(membership_to_wire(membership)))
        }
    };
    wire::LogEntry {
        id: Some(log_id_to_wire(&entry.log_id)),
        payload,
    }
}

pub(crate) fn decode_entry(bytes: Bytes) -> Result<Entry, Unreadable> {
    entry_from_wire(decode("a log entry", bytes)?)
}

pub(crate) fn entry_from_wire(entry: wire::LogEntry) -> Result<Entry, Unreadable> {
    let id = entry
        .id
        .ok_or_else(|| Unreadable::new("a log entry", "it has no id"))?;
    let payload = match entry.payload {
        None => EntryPayload::Blank,
        Some(WirePayload::Batch(encoded)) => EntryPayload::Normal(Payload::received(encoded)),
        Some(WirePayload::Membership(membership)) => {
            EntryPayload::Membership(membership_from_wire(membership)?)
        }
    };
    Ok(Entry {
        log_id: log_id_from_wire(&id),
        payload,
    })
}

pub(crate) fn vote_to_wire(vote: &Vote) -> wire::Vote {
    wire::Vote {
        term: vote.leader_id.term,
        candidate: vote.leader_id.node_id,
        committed: vote.committed,
    }
}

pub(crate) fn vote_from_wire(vote: &wire::Vote) -> Vote {
    Vote {
        leader_id: LeaderId {
            term: vote.term,
            node_id: vote.candidate,
        },
        committed: vote.committed,
    }
}

pub(crate) fn encode_vote(vote: &Vote) -> Vec<u8> {
    vote_to_wire(vote).encode_to_vec()
}

pub(crate) fn decode_vote(bytes: &[u8]) -> Result<Vote, Unreadable> {
    let vote: wire::Vote = decode("a vote", Bytes::copy_from_slice(bytes))?;
    Ok(vote_from_wire(&vote))
}

pub(crate) fn encode_truncation(after: Option<&LogId>) -> Vec<u8> {
    let truncation = wire::Truncation {
        after: after.map(log_id_to_wire),
    };
    truncation.encode_to_vec()
}

pub(crate) fn decode_truncation(bytes: &[u8]) -> Result<Option<LogId>, Unreadable> {
    let truncation: wire::Truncation = decode("a truncation", Bytes::copy_from_slice(bytes))?;
    Ok(truncation.after.as_ref().map(log_id_from_wire))
}

/// Whose log it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster.
    pub cluster_id: u64,
    /// The member of it.
    pub member_id: u64,
}

pub(crate) fn encode_identity(identity: Identity) -> Vec<u8> {
    let identity = wire::LogIdentity {
        cluster_id: identity.cluster_id,
        member_id: identity.member_id,
    };
    identity.encode_to_vec()
}

pub(crate) fn decode_identity(bytes: &[u8]) -> Result<Identity, Unreadable> {
    let identity: wire::LogIdentity = decode("the log's identity", Bytes::copy_from_slice(bytes))?;
    Ok(Identity {
        cluster_id: identity.cluster_id,
        member_id: identity.member_id,
    })
}

/// How far the state is applied, and the membership there. Stored with the state, in its transactions.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct AppliedState {
    pub(crate) last_applied: Option<LogId>,
    pub(crate) membership: StoredMembership,
}

pub(crate) fn encode_applied(cluster_id: u64, state: &AppliedState) -> Vec<u8> {
    let state = wire::AppliedState {
        cluster_id,
        last_applied: state.last_applied.as_ref().map(log_id_to_wire),
        membership_id: state.membership.log_id().as_ref().map(log_id_to_wire),
        membership: Some(membership_to_wire(state.membership.membership())),
    };
    state.encode_to_vec()
}

/// Reads the applied state and the id of the cluster it belongs to. Nothing at all is the empty state.
pub(crate) fn decode_applied(bytes: &[u8]) -> Result<(Option<u64>, AppliedState), Unreadable> {
    if bytes.is_empty() {
        return Ok((None, AppliedState::default()));
    }
    let state: wire::AppliedState = decode("the applied state", Bytes::copy_from_slice(bytes))?;
    let membership = membership_from_wire(state.membership.unwrap_or_default())?;
    let applied = AppliedState {
        last_applied: state.last_applied.as_ref().map(log_id_from_wire),
        membership: StoredMembership::new(
            state.membership_id.as_ref().map(log_id_from_wire),
            membership,
        ),
    };
    Ok((Some(state.cluster_id), applied))
}

pub(crate) fn member_to_wire(id: u64, member: &Member) -> wire::Member {
    wire::Member {
        id,
        name: member.name.clone(),
        peer_urls: member.peer_urls.clone(),
        client_urls: member.client_urls.clone(),
    }
}

fn membership_to_wire(membership: &Membership) -> wire::Membership {
    let voters = membership
        .get_joint_config()
        .iter()
        .map(|ids| wire::VoterSet {
            ids: ids.iter().copied().collect(),
        });
    let members = membership
        .nodes()
        .map(|(&id, member)| member_to_wire(id, member));
    wire::Membership {
        voters: voters.collect(),
        members: members.collect(),
    }
}

fn membership_from_wire(membership: wire::Membership) -> Result<Membership, Unreadable> {
    if membership.voters.is_empty() && membership.members.is_empty() {
        return Ok(Membership::default());
    }
    let voters: Vec<BTreeSet<u64>> = membership
        .voters
        .into_iter()
        .map(|set| set.ids.into_iter().collect())
        .collect();
    let members: BTreeMap<u64, Member> = membership
        .members
        .into_iter()
        .map(|member| {
            let details = Member {
                name: member.name,
                peer_urls: member.peer_urls,
                client_urls: member.client_urls,
            };
            (member.id, details)
        })
        .collect();
    Membership::new(voters, members).map_err(|error| Unreadable::new("the membership", error))
}

#[cfg(test)]
mod tests;

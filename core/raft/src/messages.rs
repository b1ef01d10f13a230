//! Between openraft's messages and those on the wire.

use quorate_proto::v1::append_answer::Outcome as AppendOutcome;
use quorate_proto::v1::{self as wire, RefusalReason};

use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, VoteRequest, VoteResponse};

use crate::encoding::{
    Unreadable, entry_from_wire, entry_to_wire, log_id_from_wire, log_id_to_wire, vote_from_wire,
    vote_to_wire,
};
use crate::peers::PeerAnswer;
use crate::types::{LogId, TypeConfig};

pub(crate) fn append_to_wire(request: &AppendEntriesRequest<TypeConfig>) -> wire::AppendRequest {
    wire::AppendRequest {
        vote: Some(vote_to_wire(&request.vote)),
        previous: request.prev_log_id.as_ref().map(log_id_to_wire),
        entries: request.entries.iter().map(entry_to_wire).collect(),
        committed: request.leader_commit.as_ref().map(log_id_to_wire),
    }
}

pub(crate) fn append_from_wire(
    request: wire::AppendRequest,
) -> Result<AppendEntriesRequest<TypeConfig>, Unreadable> {
    let entries: Result<Vec<_>, _> = request.entries.into_iter().map(entry_from_wire).collect();
    let entries = entries?;
    let previous: Option<LogId> = request.previous.as_ref().map(log_id_from_wire);
    // openraft takes for granted that they are in order.
    let first = previous.map_or(0, |id| id.index + 1);
    for (entry, expected) in entries.iter().zip(first..) {
        let index = entry.log_id.index;
        if index != expected {
            return Err(Unreadable::new(
                "an append",
                format_args!("entry {index} comes where entry {expected} should be"),
            ));
        }
    }
    Ok(AppendEntriesRequest {
        vote: required_vote("an append", request.vote.as_ref())?,
        prev_log_id: previous,
        entries,
        leader_commit: request.committed.as_ref().map(log_id_from_wire),
    })
}

pub(crate) fn appended_to_wire(answer: &AppendEntriesResponse<TypeConfig>) -> wire::AppendAnswer {
    let done = wire::Done {};
    let outcome = match answer {
        AppendEntriesResponse::Success | AppendEntriesResponse::PartialSuccess(_) => {
            AppendOutcome::Appended(done)
        }
        AppendEntriesResponse::Conflict => AppendOutcome::Conflict(done),
        AppendEntriesResponse::HigherVote(vote) => AppendOutcome::HigherVote(vote_to_wire(vote)),
    };
    wire::AppendAnswer {
        outcome: Some(outcome),
    }
}

pub(crate) fn appended_from_wire(
    answer: &wire::AppendAnswer,
) -> Result<AppendEntriesResponse<TypeConfig>, Unreadable> {
    match &answer.outcome {
        Some(AppendOutcome::Appended(_)) => Ok(AppendEntriesResponse::Success),
        Some(AppendOutcome::Conflict(_)) => Ok(AppendEntriesResponse::Conflict),
        Some(AppendOutcome::HigherVote(vote)) => {
            Ok(AppendEntriesResponse::HigherVote(vote_from_wire(vote)))
        }
        None => Err(Unreadable::new("an answer to an append", "it is empty")),
    }
}

pub(crate) fn vote_request_to_wire(request: &VoteRequest<TypeConfig>) -> wire::VoteRequest {
    wire::VoteRequest {
        vote: Some(vote_to_wire(&request.vote)),
        last_log: request.last_log_id.as_ref().map(log_id_to_wire),
        leadership_transfer: request.leadership_transfer,
    }
}

pub(crate) fn vote_request_from_wire(
    request: &wire::VoteRequest,
) -> Result<VoteRequest<TypeConfig>, Unreadable> {
    Ok(VoteRequest {
        vote: required_vote("a request for a vote", request.vote.as_ref())?,
        last_log_id: request.last_log.as_ref().map(log_id_from_wire),
        leadership_transfer: request.leadership_transfer,
    })
}

pub(crate) fn vote_answer_to_wire(answer: &VoteResponse<TypeConfig>) -> wire::VoteAnswer {
    wire::VoteAnswer {
        vote: Some(vote_to_wire(&answer.vote)),
        granted: answer.vote_granted,
        last_log: answer.last_log_id.as_ref().map(log_id_to_wire),
    }
}

pub(crate) fn vote_answer_from_wire(
    answer: &wire::VoteAnswer,
) -> Result<VoteResponse<TypeConfig>, Unreadable> {
    Ok(VoteResponse {
        vote: required_vote("an answer to a candidate", answer.vote.as_ref())?,
        vote_granted: answer.granted,
        last_log_id: answer.last_log.as_ref().map(log_id_from_wire),
    })
}

fn required_vote(
    what: &str,
    vote: Option<&quorate_proto::log::Vote>,
) -> Result<crate::types::Vote, Unreadable> {
    vote.map(vote_from_wire)
        .ok_or_else(|| Unreadable::new(what, "it has no vote"))
}

/// An answer that says that nothing was done.
pub(crate) fn refusal(reason: RefusalReason, message: impl std::fmt::Display) -> wire::Refusal {
    wire::Refusal {
        reason: reason.into(),
        message: message.to_string(),
    }
}

/// As [`refusal`], for a request that makes no sense.
pub(crate) fn invalid(why: impl std::fmt::Display) -> PeerAnswer {
    PeerAnswer::Refused(refusal(RefusalReason::Invalid, why))
}

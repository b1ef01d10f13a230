//! Batches of a member that does not lead: sent to the leader, whose answers are passed on once they can be read
//! here too.
//!
//! A batch that may have arrived is never sent again. If the leader is lost meanwhile, its callers are told that
//! nobody knows what became of it.

use std::sync::Arc;

use futures::future::join_all;
use prost::Message as _;
use quorate_proto::log::CommandBatch;
use quorate_proto::v1::forward_outcome::Outcome as WireOutcome;
use quorate_proto::v1::{
    Done, ForwardAnswer, ForwardOutcome, ForwardRequest, Refusal, RefusalReason,
};
use quorate_store::{EtcdError, Reply, Store};

use super::{Answer, Applied, Pending, Place, Proposer, Replier, Shared, Waiting};
use crate::error::ProposeError;
use crate::messages::refusal;
use crate::peers::{PeerAnswer, PeerError, PeerRequest};
use crate::routing::Leader;
use crate::types::Payload;

/// Sends a batch to the leader.
pub(super) fn submit(place: Place, leader: Leader, batch: Vec<Pending<Replier>>) {
    let shared = Arc::clone(&place.shared);
    if batch.iter().any(|pending| pending.passed_on) {
        // Not further: the member that has passed it on looks for the leader itself.
        return Shared::retry(place, batch);
    }
    let (payload, waiting) = Waiting::of(batch);
    let request = PeerRequest::Forward(ForwardRequest {
        batch: payload.encoded().clone(),
    });
    let call = shared.parts.peers.call(leader.id, &leader.member, request);
    let runtime = shared.parts.runtime.clone();
    runtime.spawn(async move {
        let mut routing = shared.parts.routing.clone();
        let changed = routing.wait_for(|route| !route.is_to(&leader));
        let answer = tokio::select! {
            answer = call => answer,
            _ = changed => Err(PeerError::unanswered("the leader changed")),
            () = tokio::time::sleep(shared.answer_within) => {
                return answer_all(waiting, &ProposeError::Timeout);
            }
        };
        answered(place, payload, waiting, answer).await;
    });
}

async fn answered(
    place: Place,
    payload: Payload,
    waiting: Vec<Waiting>,
    answer: Result<PeerAnswer, PeerError>,
) {
    let shared = Arc::clone(&place.shared);
    match answer {
        Ok(PeerAnswer::Forward(answer)) if answer.outcomes.len() == waiting.len() => {
            // The next batch is sent while this one is applied here.
            drop(place);
            pass_on(&shared, answer, waiting).await;
        }
        Ok(PeerAnswer::Refused(refused)) if refused.reason() == RefusalReason::NotLeader => {
            Shared::retry(place, Waiting::into_batch(payload, waiting));
        }
        Err(error) if !error.sent => {
            tracing::debug!(%error, "the leader is out of reach");
            Shared::retry(place, Waiting::into_batch(payload, waiting));
        }
        Ok(PeerAnswer::Refused(refused)) => answer_all(waiting, &unanswered(&refused)),
        Ok(_) | Err(_) => answer_all(waiting, &ProposeError::LeaderChanged),
    }
}

/// Answers when the outcomes can be read here: whoever has written something here finds it here.
async fn pass_on(shared: &Arc<Shared>, answer: ForwardAnswer, waiting: Vec<Waiting>) {
    let mut applied = shared.parts.applied.clone();
    let reached = applied.wait_for(|applied| *applied >= Some(answer.index));
    let reached = tokio::time::timeout(shared.answer_within, reached).await;
    let index = answer.index;
    for (waiting, outcome) in waiting.into_iter().zip(answer.outcomes) {
        let answer = match reached {
            Ok(Ok(_)) => outcome_from_wire(outcome, index),
            Ok(Err(_)) => Err(shared.down()),
            Err(_) => Err(ProposeError::Timeout),
        };
        // Those who gave up are gone.
        let _ = waiting.reply.send(answer);
    }
}

fn answer_all(waiting: Vec<Waiting>, error: &ProposeError) {
    for waiting in waiting {
        let _ = waiting.reply.send(Err(error.clone()));
    }
}

/// Proposes what another member has passed on. Its commands wait with those of this member.
pub(crate) async fn accept(
    proposer: &Proposer,
    store: &Store,
    request: ForwardRequest,
) -> Result<ForwardAnswer, Refusal> {
    let batch = CommandBatch::decode(request.batch)
        .map_err(|error| refusal(RefusalReason::Invalid, error))?;
    let proposed = batch.commands.into_iter().map(|command| async {
        // Whoever passed it on has done so too, but perhaps by other rules: an older version's.
        store.validate(&command).map_err(ProposeError::Etcd)?;
        proposer.enqueue(command, true).await
    });
    let answers = join_all(proposed).await;
    let indexes = answers.iter().filter_map(|answer| answer.as_ref().ok());
    Ok(ForwardAnswer {
        index: indexes.map(|applied| applied.index).max().unwrap_or(0),
        outcomes: answers.into_iter().map(outcome_to_wire).collect(),
    })
}

fn outcome_to_wire(answer: Answer) -> ForwardOutcome {
    let outcome = match answer {
        Ok(Applied { reply, .. }) => match reply {
            Reply::Put(response) => WireOutcome::Put(response),
            Reply::DeleteRange(response) => WireOutcome::DeleteRange(response),
            Reply::Txn(response) => WireOutcome::Txn(response),
            Reply::Compact(response) => WireOutcome::Compact(response),
            Reply::LeaseGrant(response) => WireOutcome::LeaseGrant(response),
            Reply::LeaseRevoke(response) => WireOutcome::LeaseRevoke(response),
            Reply::LeaseCheckpoint => WireOutcome::LeaseCheckpoint(Done {}),
        },
        Err(ProposeError::Etcd(error)) => WireOutcome::Refused(error.message().to_owned()),
        Err(error) => WireOutcome::Unanswered(unanswered_to_wire(&error)),
    };
    ForwardOutcome {
        outcome: Some(outcome),
    }
}

fn outcome_from_wire(outcome: ForwardOutcome, index: u64) -> Answer {
    let reply = match outcome.outcome {
        Some(WireOutcome::Put(response)) => Reply::Put(response),
        Some(WireOutcome::DeleteRange(response)) => Reply::DeleteRange(response),
        Some(WireOutcome::Txn(response)) => Reply::Txn(response),
        Some(WireOutcome::Compact(response)) => Reply::Compact(response),
        Some(WireOutcome::LeaseGrant(response)) => Reply::LeaseGrant(response),
        Some(WireOutcome::LeaseRevoke(response)) => Reply::LeaseRevoke(response),
        Some(WireOutcome::LeaseCheckpoint(Done {})) => Reply::LeaseCheckpoint,
        Some(WireOutcome::Refused(text)) => {
            let known = EtcdError::ALL.iter().find(|error| error.message() == text);
            // A newer leader's word for it: it did not take effect, but there is no knowing why.
            return Err(known.map_or(ProposeError::LeaderChanged, |error| {
                ProposeError::Etcd(*error)
            }));
        }
        Some(WireOutcome::Unanswered(refused)) => return Err(unanswered(&refused)),
        None => return Err(ProposeError::LeaderChanged),
    };
    Ok(Applied { reply, index })
}

/// What the leader said, as this member's callers hear it.
pub(crate) fn unanswered(refused: &Refusal) -> ProposeError {
    match refused.reason() {
        RefusalReason::NotLeader => ProposeError::NoLeader { leader: None },
        RefusalReason::TooManyRequests => ProposeError::TooManyRequests,
        RefusalReason::Timeout => ProposeError::Timeout,
        RefusalReason::TooLarge => ProposeError::TooLarge { bytes: 0, limit: 0 },
        // The leader stops, or has failed: what was under way there may still take effect.
        RefusalReason::LeaderChanged
        | RefusalReason::Stopped
        | RefusalReason::Invalid
        | RefusalReason::Unspecified => ProposeError::LeaderChanged,
    }
}

/// Why this member has no answer, for the one that asked.
pub(crate) fn unanswered_to_wire(error: &ProposeError) -> Refusal {
    let reason = match error {
        ProposeError::NoLeader { .. } => RefusalReason::NotLeader,
        ProposeError::LeaderChanged => RefusalReason::LeaderChanged,
        ProposeError::Timeout => RefusalReason::Timeout,
        ProposeError::TooManyRequests => RefusalReason::TooManyRequests,
        ProposeError::TooLarge { .. } => RefusalReason::TooLarge,
        ProposeError::Stopped | ProposeError::Fault(_) => RefusalReason::Stopped,
        ProposeError::Etcd(_) => RefusalReason::Invalid,
    };
    refusal(reason, error)
}

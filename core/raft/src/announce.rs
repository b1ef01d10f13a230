//! How a member makes itself known: its name, and where clients reach it, written into the membership by the leader.
//!
//! Where its peers reach it is not its own to say: an address that changed by itself would be trusted by nobody.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use openraft::ChangeMembers;
use openraft::async_runtime::watch::WatchReceiver as _;
use quorate_proto::v1::{AnnounceRequest, Refusal, RefusalReason};

use crate::messages::refusal;
use crate::peers::{PeerAnswer, PeerRequest, Peers};
use crate::routing::{Route, Routing};
use crate::types::{Member, Raft};

/// Pause before the next attempt: another change of the membership may be under way.
const TRY_AGAIN: Duration = Duration::from_millis(200);
/// How long one attempt may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Asks the leader, whoever that is, until the membership says of this member what it says of itself.
pub(crate) async fn until_known(
    raft: Raft,
    member_id: u64,
    member: Member,
    peers: Arc<dyn Peers>,
    mut routing: Routing,
) {
    let mut metrics = raft.server_metrics();
    loop {
        let known = {
            let metrics = metrics.borrow_and_update();
            let membership = metrics.membership_config.membership();
            membership.get_node(&member_id).cloned()
        };
        let is_known = known.is_some_and(|known| {
            known.name == member.name && known.client_urls == member.client_urls
        });
        if is_known {
            return;
        }
        let request = AnnounceRequest {
            name: member.name.clone(),
            client_urls: member.client_urls.clone(),
        };
        let route = routing.borrow_and_update().clone();
        match route {
            Route::Here(_) => {
                if let Err(refused) = accept(&raft, member_id, request).await {
                    tracing::debug!(why = refused.message, "not announced yet");
                }
            }
            Route::To(leader) => {
                let call = peers.call(leader.id, &leader.member, PeerRequest::Announce(request));
                match tokio::time::timeout(ANSWER_WITHIN, call).await {
                    Ok(Ok(PeerAnswer::Refused(refused))) => {
                        tracing::debug!(why = refused.message, "not announced yet");
                    }
                    Ok(Err(error)) => tracing::debug!(%error, "not announced yet"),
                    Ok(Ok(_)) | Err(_) => {}
                }
            }
            Route::Nowhere => {
                if routing.changed().await.is_err() {
                    return;
                }
                continue;
            }
        }
        // Until the change shows, or it is time for another attempt.
        if let Ok(Err(_)) = tokio::time::timeout(TRY_AGAIN, metrics.changed()).await {
            return;
        }
    }
}

/// Writes it into the membership; this member leads.
pub(crate) async fn accept(
    raft: &Raft,
    member_id: u64,
    request: AnnounceRequest,
) -> Result<(), Refusal> {
    let known = {
        let metrics = raft.server_metrics();
        let metrics = metrics.borrow_watched();
        if metrics.membership_config != metrics.committed_membership_config {
            return Err(refusal(
                RefusalReason::NotLeader,
                "another change of the membership is under way",
            ));
        }
        let membership = metrics.membership_config.membership();
        membership.get_node(&member_id).cloned()
    };
    let Some(known) = known else {
        return Err(refusal(
            RefusalReason::Invalid,
            format_args!("{member_id:x} is no member of this cluster"),
        ));
    };
    let announced = Member {
        name: request.name,
        client_urls: request.client_urls,
        peer_urls: known.peer_urls.clone(),
    };
    if announced == known {
        return Ok(());
    }
    let change = ChangeMembers::SetNodes(BTreeMap::from([(member_id, announced)]));
    let changed = tokio::time::timeout(ANSWER_WITHIN, raft.change_membership(change, false)).await;
    match changed {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(refusal(RefusalReason::NotLeader, error)),
        Err(_) => Err(refusal(RefusalReason::Timeout, "not committed in time")),
    }
}

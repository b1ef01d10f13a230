//! Sending the whole state to a member that is further behind than the log goes back.

use futures::StreamExt as _;
use quorate_proto::v1::snapshot_message::Body;
use quorate_proto::v1::{SnapshotBegin, SnapshotMessage};
use quorate_raft::{Member, PeerError, SnapshotParts, WireVote};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::link::connect;
use super::{Party, client};

/// Sends it, and returns the vote the member has when it has taken it over.
pub(super) async fn send(
    party: Party,
    to: u64,
    member: Member,
    vote: WireVote,
    mut parts: SnapshotParts,
) -> Result<WireVote, PeerError> {
    let url = member.peer_urls.first();
    let url = url.ok_or_else(|| PeerError::not_sent("its address is not known"))?;
    let channel = connect(url).await;
    let channel = channel.map_err(|status| PeerError::not_sent(status.message()))?;
    let message = |body| SnapshotMessage {
        envelope: Some(party.to(to)),
        body: Some(body),
    };
    let (messages, sent) = mpsc::channel(1);
    // Says why it ends early. If the other side does, its answer says so.
    let reading = async move {
        let mut next = Some(Body::Begin(SnapshotBegin { vote: Some(vote) }));
        while let Some(body) = next {
            if messages.send(message(body)).await.is_err() {
                break;
            }
            next = match parts.next().await {
                Some(Ok(part)) => Some(Body::Part(part)),
                Some(Err(fault)) => return Some(fault),
                None => None,
            };
        }
        None
    };
    let mut client = client(channel);
    let installing = client.install_snapshot(ReceiverStream::new(sent));
    let (fault, answer) = tokio::join!(reading, installing);
    if let Some(fault) = fault {
        return Err(PeerError::unanswered(format!("reading it: {fault}")));
    }
    let answer = answer.map_err(|status| PeerError::unanswered(status.message()))?;
    let vote = answer.into_inner().vote;
    vote.ok_or_else(|| PeerError::unanswered("an empty answer"))
}

//! openraft's way to other members, over [`Peers`].
//!
//! Failures are `Unreachable`, not network errors, so that openraft backs off instead of retrying at once. So is a
//! pre-vote without an answer: openraft's default would count it as granted.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt as _, stream};
use openraft::OptionalSend;
use openraft::base::{BoxFuture, BoxStream};
use openraft::entry::RaftEntry as _;
use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult, VoteRequest,
    VoteResponse,
};

use quorate_store::Store;

use crate::encoding::{vote_from_wire, vote_to_wire};
use crate::machine::Checkpoint;
use crate::messages;
use crate::peers::{PeerAnswer, PeerRequest, Peers};
use crate::snapshot;
use crate::types::{Member, TypeConfig, Vote};

/// Appends on their way to one member at a time. With a batch in each entry, a few fill any line.
const APPENDS_IN_FLIGHT: usize = 16;

type Snapshot = openraft::type_config::alias::SnapshotOf<TypeConfig, Checkpoint>;
type RpcError = RPCError<TypeConfig>;
type AppendResult = Result<StreamAppendResult<TypeConfig>, RpcError>;

/// Makes connections to members.
pub(crate) struct Network {
    peers: Arc<dyn Peers>,
    store: Store,
    /// How long an append may take to be on the disk there.
    append_within: Duration,
}

/// A connection to one member.
#[derive(Clone)]
pub(crate) struct Peer {
    peers: Arc<dyn Peers>,
    /// What a snapshot is made of.
    store: Store,
    id: u64,
    member: Member,
    append_within: Duration,
}

impl Network {
    pub(crate) fn new(peers: Arc<dyn Peers>, store: Store, append_within: Duration) -> Self {
        Self {
            peers,
            store,
            append_within,
        }
    }
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = Peer;

    async fn new_client(&mut self, target: u64, member: &Member) -> Peer {
        Peer {
            peers: Arc::clone(&self.peers),
            store: self.store.clone(),
            id: target,
            member: member.clone(),
            append_within: self.append_within,
        }
    }
}

impl Peer {
    fn unreachable(&self, why: impl std::fmt::Display) -> RpcError {
        let (name, id) = (&self.member.name, self.id);
        RPCError::Unreachable(Unreachable::from_string(format!(
            "member {name} ({id:x}): {why}"
        )))
    }

    /// Sends a request; it is on its way, in order, when this returns.
    fn ask(
        &self,
        request: PeerRequest,
        within: Duration,
    ) -> impl Future<Output = Result<PeerAnswer, RpcError>> + Send + use<> {
        let call = self.peers.call(self.id, &self.member, request);
        let peer = self.clone();
        async move {
            match tokio::time::timeout(within, call).await {
                Ok(Ok(PeerAnswer::Refused(refusal))) => Err(peer.unreachable(refusal.message)),
                Ok(Ok(answer)) => Ok(answer),
                Ok(Err(error)) => Err(peer.unreachable(error)),
                Err(_) => Err(peer.unreachable(format_args!("no answer within {within:?}"))),
            }
        }
    }

    fn append(
        &self,
        request: &AppendEntriesRequest<TypeConfig>,
    ) -> impl Future<Output = Result<AppendEntriesResponse<TypeConfig>, RpcError>> + Send + use<>
    {
        let request = PeerRequest::Append(messages::append_to_wire(request));
        let asked = self.ask(request, self.append_within);
        let peer = self.clone();
        async move {
            match asked.await? {
                PeerAnswer::Append(answer) => {
                    messages::appended_from_wire(&answer).map_err(|error| peer.unreachable(error))
                }
                other => Err(peer.mismatch(&other)),
            }
        }
    }

    async fn ask_for_vote(
        &self,
        request: PeerRequest,
        within: Duration,
    ) -> Result<VoteResponse<TypeConfig>, RpcError> {
        match self.ask(request, within).await? {
            PeerAnswer::Vote(answer) => {
                messages::vote_answer_from_wire(&answer).map_err(|error| self.unreachable(error))
            }
            other => Err(self.mismatch(&other)),
        }
    }

    fn mismatch(&self, answer: &PeerAnswer) -> RpcError {
        let got = std::mem::discriminant(answer);
        self.unreachable(format_args!("it answered another question ({got:?})"))
    }
}

impl RaftNetworkV2<TypeConfig> for Peer {
    type SnapshotData = Checkpoint;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RpcError> {
        self.append(&request).await
    }

    /// Sends what there is without waiting for the answers to what was sent before.
    fn stream_append<'s, S>(
        &'s mut self,
        requests: S,
        _option: RPCOption,
    ) -> BoxFuture<'s, Result<BoxStream<'s, AppendResult>, RpcError>>
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + OptionalSend + Unpin + 'static,
    {
        let peer = self.clone();
        let sent = requests.map(move |request| {
            let previous = request.prev_log_id;
            let last = request
                .entries
                .last()
                .map_or(previous, |entry| Some(entry.log_id()));
            let answered = peer.append(&request);
            async move {
                let answer = answered.await?;
                Ok(answer.into_stream_result(previous, last))
            }
        });
        let answers = sent.buffered(APPENDS_IN_FLIGHT);
        // What follows a failure was sent in vain. Looking for it would wait for the next request.
        let until_failure = stream::unfold(Some(answers), |answers| async {
            let mut answers = answers?;
            let answer: AppendResult = answers.next().await?;
            let goes_on = matches!(answer, Ok(Ok(_)));
            Some((answer, goes_on.then_some(answers)))
        });
        let answers: BoxStream<'s, AppendResult> = Box::pin(until_failure);
        Box::pin(std::future::ready(Ok(answers)))
    }

    async fn vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RpcError> {
        let request = PeerRequest::Vote(messages::vote_request_to_wire(&request));
        self.ask_for_vote(request, option.soft_ttl()).await
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RpcError> {
        let request = PeerRequest::PreVote(messages::vote_request_to_wire(&request));
        self.ask_for_vote(request, option.soft_ttl()).await
    }

    /// Sends the state as it is when this begins, which is no older than the snapshot openraft knows of.
    async fn full_snapshot(
        &mut self,
        vote: Vote,
        _snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let name = self.member.name.clone();
        tracing::info!(
            to = format_args!("{:x}", self.id),
            name,
            "sends a snapshot: the member is further behind than the log goes back"
        );
        let vote = vote_to_wire(&vote);
        let parts = snapshot::parts(self.store.clone());
        let sent = self.peers.send_snapshot(self.id, &self.member, vote, parts);
        tokio::select! {
            closed = cancel => Err(StreamingError::Closed(closed)),
            sent = sent => match sent {
                Ok(vote) => Ok(SnapshotResponse::new(vote_from_wire(&vote))),
                Err(error) => {
                    tracing::warn!(to = format_args!("{:x}", self.id), name, %error, "the snapshot did not arrive");
                    let why = format!("snapshot to member {name} ({:x}): {error}", self.id);
                    Err(StreamingError::Unreachable(Unreachable::from_string(why)))
                }
            }
        }
    }
}

//! What other members ask of this one.

use futures::FutureExt as _;
use quorate_proto::v1::{
    AnnounceAnswer, AnnounceRequest, AppendRequest, ForwardRequest, ReadIndexAnswer, Refusal,
    RefusalReason, VoteRequest,
};
use quorate_store::{Incoming, Received, StoreFault};

use super::{Inner, Node};
use crate::messages::{self, invalid, refusal};
use crate::peers::{PeerAnswer, PeerRequest, WireVote};
use crate::propose::{self, unanswered_to_wire};
use crate::routing::Route;
use crate::{announce, encoding, snapshot};

impl Node {
    /// Answers another member. Requests of one member must be given in the order they were sent, and each answer
    /// polled once before the next is asked for: that keeps what is appended in order.
    pub async fn answer(&self, from: u64, request: PeerRequest) -> PeerAnswer {
        let inner = &self.inner;
        // What a poll does must not depend on how much the task has done before: see above.
        let answer = tokio::task::unconstrained(async {
            match request {
                PeerRequest::Append(request) => inner.append(request).await,
                PeerRequest::Vote(request) => inner.vote(&request).await,
                PeerRequest::PreVote(request) => inner.pre_vote(&request).await,
                PeerRequest::Forward(request) => inner.forwarded(request).boxed().await,
                PeerRequest::ReadIndex(_) => inner.confirm().await,
                PeerRequest::Announce(request) => inner.announced(from, request).boxed().await,
                PeerRequest::LeaseRenew(_) | PeerRequest::LeaseTimeLeft(_) => {
                    Err(refusal(RefusalReason::Invalid, "leases are not kept here"))
                }
            }
        });
        answer.await.unwrap_or_else(PeerAnswer::Refused)
    }

    /// A place for the state another member sends. Blocks for the disk.
    ///
    /// # Errors
    /// The disk failed.
    pub fn receive_snapshot(&self) -> Result<Incoming, StoreFault> {
        self.inner.store.receive()
    }

    /// Takes a state over that the leader with this vote has sent, if it is ahead of this member's; the vote this
    /// member has then.
    ///
    /// # Errors
    /// It is not of this cluster, or the member stops.
    pub async fn install_snapshot(
        &self,
        vote: &WireVote,
        state: Received,
    ) -> Result<WireVote, Refusal> {
        let inner = &self.inner;
        let snapshot = snapshot::received(state, inner.config.cluster_id)
            .map_err(|error| refusal(RefusalReason::Invalid, error))?;
        let vote = encoding::vote_from_wire(vote);
        let installed = inner.raft.install_full_snapshot(vote, snapshot).await;
        let installed = installed.map_err(stopped)?;
        Ok(encoding::vote_to_wire(&installed.vote))
    }

    /// The members, as this one knows them.
    #[must_use]
    pub fn members(&self) -> Vec<quorate_proto::log::Member> {
        let members = self.status().members.into_iter();
        members
            .map(|known| encoding::member_to_wire(known.id, &known.member))
            .collect()
    }
}

type Answer = Result<PeerAnswer, Refusal>;

impl Inner {
    async fn append(&self, request: AppendRequest) -> Answer {
        let request = match messages::append_from_wire(request) {
            Ok(request) => request,
            Err(error) => return Ok(invalid(error)),
        };
        let appended = self.raft.append_entries(request).await;
        let appended = appended.map_err(stopped)?;
        Ok(PeerAnswer::Append(messages::appended_to_wire(&appended)))
    }

    async fn vote(&self, request: &VoteRequest) -> Answer {
        let request = match messages::vote_request_from_wire(request) {
            Ok(request) => request,
            Err(error) => return Ok(invalid(error)),
        };
        let answer = self.raft.vote(request).await.map_err(stopped)?;
        Ok(PeerAnswer::Vote(messages::vote_answer_to_wire(&answer)))
    }

    async fn pre_vote(&self, request: &VoteRequest) -> Answer {
        let request = match messages::vote_request_from_wire(request) {
            Ok(request) => request,
            Err(error) => return Ok(invalid(error)),
        };
        let answer = self.raft.pre_vote(request).await.map_err(stopped)?;
        Ok(PeerAnswer::Vote(messages::vote_answer_to_wire(&answer)))
    }

    async fn forwarded(&self, request: ForwardRequest) -> Answer {
        self.ensure_leader()?;
        let answer = propose::accept(&self.proposer, &self.store, request).await?;
        Ok(PeerAnswer::Forward(answer))
    }

    async fn confirm(&self) -> Answer {
        self.ensure_leader()?;
        let confirmed = self.barrier.read_index().await;
        let index = confirmed.map_err(|error| unanswered_to_wire(&error))?;
        Ok(PeerAnswer::ReadIndex(ReadIndexAnswer { index }))
    }

    async fn announced(&self, from: u64, request: AnnounceRequest) -> Answer {
        self.ensure_leader()?;
        announce::accept(&self.raft, from, request).await?;
        Ok(PeerAnswer::Announce(AnnounceAnswer {}))
    }

    /// Who asks looks for the leader itself, so that nothing is passed on in a circle.
    fn ensure_leader(&self) -> Result<(), Refusal> {
        match *self.routing.borrow() {
            Route::Here(_) => Ok(()),
            Route::To(_) | Route::Nowhere => Err(refusal(
                RefusalReason::NotLeader,
                "this member is not the leader",
            )),
        }
    }
}

fn stopped(error: impl std::fmt::Display) -> Refusal {
    refusal(RefusalReason::Stopped, error)
}

//! The way to the other members, as this room needs it. Sockets are the business of whoever implements it.

use futures::FutureExt as _;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use quorate_proto::v1::{SnapshotPart, peer_answer, peer_request};
use quorate_store::StoreFault;

use crate::types::Member;

/// A request to another member.
pub type PeerRequest = peer_request::Body;
/// Its answer.
pub type PeerAnswer = peer_answer::Body;
/// An answer on its way. Dropping it gives up waiting; the request may arrive all the same.
pub type PeerCall = BoxFuture<'static, Result<PeerAnswer, PeerError>>;

/// A vote, as it is sent.
pub type WireVote = quorate_proto::log::Vote;
/// The pieces of a snapshot, read as they are asked for.
pub type SnapshotParts = BoxStream<'static, Result<SnapshotPart, StoreFault>>;

/// Sends requests to members.
pub trait Peers: Send + Sync + 'static {
    /// Sends a request to a member, and returns its answer.
    ///
    /// The request is behind those sent to that member before, and arrives behind them or not at all, from the
    /// moment this returns: whether or not the answer is waited for. There is no limit in time: waiting is ended by
    /// the connection's end, or by whoever waits.
    fn call(&self, id: u64, member: &Member, request: PeerRequest) -> PeerCall;

    /// Sends a member the whole state, and returns the vote it has when that is taken over. Dropping the future
    /// ends it.
    fn send_snapshot(
        &self,
        id: u64,
        member: &Member,
        vote: WireVote,
        parts: SnapshotParts,
    ) -> BoxFuture<'static, Result<WireVote, PeerError>>;
}

/// Why a request has no answer.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{why}")]
pub struct PeerError {
    /// Whether it may have arrived all the same.
    pub sent: bool,
    /// For people.
    pub why: String,
}

impl PeerError {
    /// The request did not leave this process.
    #[must_use]
    pub fn not_sent(why: impl Into<String>) -> Self {
        let why = why.into();
        Self { sent: false, why }
    }

    /// Nobody knows whether the request arrived.
    #[must_use]
    pub fn unanswered(why: impl Into<String>) -> Self {
        let why = why.into();
        Self { sent: true, why }
    }
}

/// For a member that will always be alone: it reaches nobody.
#[derive(Clone, Copy, Debug)]
pub struct NoPeers;

impl Peers for NoPeers {
    fn call(&self, id: u64, _member: &Member, _request: PeerRequest) -> PeerCall {
        let error =
            PeerError::not_sent(format!("member {id:x} is out of reach: this one is alone"));
        std::future::ready(Err(error)).boxed()
    }

    fn send_snapshot(
        &self,
        id: u64,
        _member: &Member,
        _vote: WireVote,
        _parts: SnapshotParts,
    ) -> BoxFuture<'static, Result<WireVote, PeerError>> {
        let error =
            PeerError::not_sent(format!("member {id:x} is out of reach: this one is alone"));
        std::future::ready(Err(error)).boxed()
    }
}

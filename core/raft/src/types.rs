//! What openraft's types are here.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use openraft::impls::{self, leader_id_adv};
use openraft::raft::responder::Responder;
use openraft::type_config::alias;
use openraft::vote::RaftLeaderId;
use openraft::{OptionalSend, RaftTypeConfig};
use parking_lot::Mutex;
use prost::Message as _;
use quorate_proto::log::CommandBatch;
use quorate_store::Outcome;

use crate::runtime::ConsensusRuntime;

/// Bytes in, outcomes out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TypeConfig;

impl RaftTypeConfig for TypeConfig {
    type D = Payload;
    type R = Outcomes;
    type NodeId = u64;
    type Node = Member;
    type Term = u64;
    type LeaderId = leader_id_adv::LeaderId<u64, u64>;
    type Vote = impls::Vote<Self::LeaderId>;
    type Payload = openraft::EntryPayload<Payload, u64, Member>;
    type Entry = impls::Entry<<Self::LeaderId as RaftLeaderId>::Committed, Self::Payload>;
    type AsyncRuntime = ConsensusRuntime;
    type Responder<T>
        = Callback<T>
    where
        T: OptionalSend + 'static;
    type Batch<T>
        = impls::InlineBatch<T>
    where
        T: OptionalSend + 'static;
    type ErrorSource = impls::BoxedErrorSource;
}

pub(crate) type Entry = alias::EntryOf<TypeConfig>;
pub(crate) type EntryPayload = alias::EntryPayloadOf<TypeConfig>;
pub(crate) type LeaderId = alias::LeaderIdOf<TypeConfig>;
pub(crate) type LogId = alias::LogIdOf<TypeConfig>;
pub(crate) type Vote = alias::VoteOf<TypeConfig>;
pub(crate) type Membership = openraft::Membership<u64, Member>;
pub(crate) type StoredMembership = alias::StoredMembershipOf<TypeConfig>;
pub(crate) type Raft = openraft::Raft<TypeConfig, crate::machine::Machine>;

/// Where a member is reached, and what people call it. Kept in the membership, so all members know it of all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// For people; need not be unique.
    pub name: String,
    /// Where the other members reach it.
    pub peer_urls: Vec<String>,
    /// Where clients reach it.
    pub client_urls: Vec<String>,
}

/// An encoded [`CommandBatch`]; on the member that proposed it, also the batch, until it is applied.
#[derive(Clone)]
pub(crate) struct Payload {
    encoded: Bytes,
    /// Saves the proposer decoding what it has just encoded. The applier takes it, so that the log's cache
    /// doesn't hold everything twice.
    decoded: Option<Arc<Mutex<Option<CommandBatch>>>>,
}

impl Payload {
    /// Of a batch to be proposed.
    pub(crate) fn propose(batch: CommandBatch) -> Self {
        Self {
            encoded: Bytes::from(batch.encode_to_vec()),
            decoded: Some(Arc::new(Mutex::new(Some(batch)))),
        }
    }

    /// Of a batch that came from the disk or from another member.
    pub(crate) fn received(encoded: Bytes) -> Self {
        Self {
            encoded,
            decoded: None,
        }
    }

    /// The bytes that go to the disk and to other members.
    pub(crate) fn encoded(&self) -> &Bytes {
        &self.encoded
    }

    /// The batch to apply.
    pub(crate) fn into_batch(self) -> Result<CommandBatch, prost::DecodeError> {
        let decoded = self.decoded.and_then(|batch| batch.lock().take());
        decoded.map_or_else(|| CommandBatch::decode(self.encoded), Ok)
    }
}

impl PartialEq for Payload {
    fn eq(&self, other: &Self) -> bool {
        self.encoded == other.encoded
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "batch of {} bytes", self.encoded.len())
    }
}

/// What applying an entry gave, one outcome per command, in order.
#[derive(Debug, Default)]
pub(crate) struct Outcomes(pub(crate) Vec<Outcome>);

/// Answers a proposal with a call: on the thread that has the answer, without waking a task in between.
pub(crate) struct Callback<T>(Box<dyn FnOnce(T) + Send>);

impl<T> Callback<T> {
    pub(crate) fn new(call: impl FnOnce(T) + Send + 'static) -> Self {
        Self(Box::new(call))
    }
}

impl<T: OptionalSend + 'static> Responder<TypeConfig, T> for Callback<T> {
    fn on_complete(self, result: T) {
        (self.0)(result);
    }
}

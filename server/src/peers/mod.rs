//! The connections between members: one stream to each member this one asks something of, over which everything
//! goes, many requests in one message.
//!
//! - `link`: the stream to one member: connecting, sending, answers, and what happens when it breaks;
//! - `snapshot`: the whole state, for a member that is far behind;
//! - `outbox`: what waits to be sent, on either side;
//! - `envelope`: who speaks to whom, checked on every message.
//!
//! The other side is [`doors::peer`](crate::doors::peer).

mod envelope;
mod link;
mod outbox;
mod snapshot;

use std::collections::HashMap;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use quorate_proto::v1::peer_client::PeerClient;
use quorate_raft::{Member, PeerCall, PeerError, PeerRequest, Peers, SnapshotParts, WireVote};
use tokio::runtime::Handle;
use tokio_util::task::AbortOnDropHandle;
use tonic::transport::Channel;

pub(crate) use self::envelope::{Party, Refused};
pub(crate) use self::outbox::Outbox;

use self::link::Link;

/// Largest message between members: the largest request there can be, and room for what surrounds it.
pub(crate) const LARGEST_MESSAGE: usize = 80 << 20;
/// What may be on its way unread, per stream and per connection: enough for a long and wide line.
pub(crate) const STREAM_WINDOW: u32 = 8 << 20;
pub(crate) const CONNECTION_WINDOW: u32 = 16 << 20;

/// The ways to all other members.
pub(crate) struct PeerLinks {
    /// This member.
    party: Party,
    /// Where the connections live.
    runtime: Handle,
    links: Mutex<HashMap<u64, Link>>,
}

impl PeerLinks {
    /// No connections yet: they are made when there is something to send.
    pub(crate) fn new(party: Party, runtime: Handle) -> Self {
        Self {
            party,
            runtime,
            links: Mutex::default(),
        }
    }
}

impl Peers for PeerLinks {
    fn call(&self, id: u64, member: &Member, request: PeerRequest) -> PeerCall {
        let mut links = self.links.lock();
        let link = links
            .entry(id)
            .and_modify(|link| {
                if link.urls() != member.peer_urls {
                    *link = Link::start(self.party, id, member, &self.runtime);
                }
            })
            .or_insert_with(|| Link::start(self.party, id, member, &self.runtime));
        link.call(request).boxed()
    }

    /// Over a connection of its own, so that it holds up nothing else.
    fn send_snapshot(
        &self,
        id: u64,
        member: &Member,
        vote: WireVote,
        parts: SnapshotParts,
    ) -> BoxFuture<'static, Result<WireVote, PeerError>> {
        let sending = snapshot::send(self.party, id, member.clone(), vote, parts);
        // The pieces are read by threads of this runtime; whoever asks has none.
        let sending = AbortOnDropHandle::new(self.runtime.spawn(sending));
        let sent = sending
            .map(|sent| sent.unwrap_or_else(|error| Err(PeerError::unanswered(error.to_string()))));
        sent.boxed()
    }
}

/// A client of what another member serves.
pub(crate) fn client(channel: Channel) -> PeerClient<Channel> {
    PeerClient::new(channel)
        .max_decoding_message_size(LARGEST_MESSAGE)
        .max_encoding_message_size(LARGEST_MESSAGE)
}

//! One stream to one server, or the search for one.

use std::future::{Future, pending};
use std::ops::Range;
use std::pin::Pin;
use std::time::Duration;

use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use quorate_proto::v1;
use quorate_proto::v1::registry_client::RegistryClient;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tonic::transport::Channel;

use crate::driver::call::MAX_ANSWER;
use crate::driver::servers::{ServerId, Servers};

/// Messages that may wait for HTTP/2 to take them. What else is to be said waits in the engine,
/// where newer replaces older.
const ROOM: usize = 2;
/// Longest pauses between attempts to connect, in milliseconds; each is drawn from here, so that
/// clients that all wait their longest do not come back together. Well below the time in which a
/// restarted server holds absence to mean nothing (15 s by default): a registration that came back
/// later would be gone in between.
const LONGEST_PAUSE_MS: Range<u64> = 5_000..10_000;

type Search = Pin<Box<dyn Future<Output = (ServerId, Channel)> + Send>>;

/// Where the stream stands.
pub(super) enum Link {
    None,
    Searching(Search),
    Open {
        server: ServerId,
        outgoing: mpsc::Sender<v1::SessionRequest>,
        incoming: BoxStream<'static, Result<v1::SessionResponse, Status>>,
    },
}

/// What came of it.
pub(super) enum LinkEvent {
    Found,
    Message(v1::SessionResponse),
    Ended(Option<Status>),
    Room,
}

impl Link {
    /// Looks for a server: pauses first if the last ones failed.
    pub(super) fn search(servers: Servers, random: &mut fastrand::Rng) -> Self {
        let longest = Duration::from_millis(random.u64(LONGEST_PAUSE_MS));
        Self::Searching(Box::pin(async move {
            servers.channel_after_backoff(longest).await
        }))
    }

    fn open(server: ServerId, channel: Channel) -> Self {
        let (outgoing, requests) = mpsc::channel(ROOM);
        let mut client = RegistryClient::new(channel).max_decoding_message_size(MAX_ANSWER);
        let call = async move {
            let response = client.session(ReceiverStream::new(requests)).await?;
            Ok::<_, Status>(response.into_inner())
        };
        Self::Open {
            server,
            outgoing,
            incoming: futures::stream::once(call).try_flatten().boxed(),
        }
    }

    /// The server at the other end.
    pub(super) fn server(&self) -> Option<ServerId> {
        match self {
            Self::Open { server, .. } => Some(*server),
            _ => None,
        }
    }

    /// Whether a message can be sent now.
    pub(super) fn has_room(&self) -> bool {
        matches!(self, Self::Open { outgoing, .. } if outgoing.capacity() > 0)
    }

    /// Sends, if there is room. A closed stream shows itself as ended.
    pub(super) fn send(&self, message: v1::SessionRequest) {
        if let Self::Open { outgoing, .. } = self {
            let _ = outgoing.try_send(message);
        }
    }

    /// The next thing that happens. Safe to drop. `awaits_room`: also when there is room again.
    pub(super) async fn event(&mut self, awaits_room: bool) -> LinkEvent {
        match self {
            Self::None => pending().await,
            Self::Searching(search) => {
                let (server, channel) = search.await;
                *self = Self::open(server, channel);
                LinkEvent::Found
            }
            Self::Open {
                outgoing, incoming, ..
            } => {
                tokio::select! {
                    message = incoming.next() => match message {
                        Some(Ok(message)) => LinkEvent::Message(message),
                        Some(Err(status)) => LinkEvent::Ended(Some(status)),
                        None => LinkEvent::Ended(None),
                    },
                    permit = outgoing.reserve(), if awaits_room && !outgoing.is_closed() => {
                        drop(permit);
                        LinkEvent::Room
                    }
                }
            }
        }
    }
}

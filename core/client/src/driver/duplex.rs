//! A bidirectional stream that is opened again when it breaks, on another server if need be.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, TryFutureExt};
use quorate_types::ErrorCode;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};

use super::servers::{ServerId, Servers};
use crate::error::{Failure, Reach};
use crate::metrics::{Counters, count};

/// The messages to the server. Unbounded in type, bounded by who sends: a constant number for each
/// lease or watch the program holds.
pub(crate) type Outbound<O> = UnboundedReceiverStream<O>;
/// The messages from the server.
pub(crate) type Inbound<I> = BoxStream<'static, Result<I, Status>>;

/// What happened on the stream.
#[derive(Debug)]
pub(crate) enum Event<I> {
    /// It is open; nothing sent on an earlier one counts any more.
    Opened,
    /// The server said something.
    Message(I),
    /// It is closed again; call [`Duplex::open`] for another.
    Broken(Failure),
}

/// The stream, or the way to it.
pub(crate) struct Duplex<O, I> {
    servers: Servers,
    counters: Arc<Counters>,
    start: fn(Channel, Outbound<O>) -> Inbound<I>,
    /// The longest wait before another attempt.
    longest_wait: Duration,
    state: State<O, I>,
    broken_before: bool,
}

enum State<O, I> {
    Closed,
    Waiting(BoxFuture<'static, (ServerId, Channel)>),
    Open {
        server: ServerId,
        outbound: mpsc::UnboundedSender<O>,
        inbound: Inbound<I>,
        answered: bool,
    },
}

impl<O: Send + 'static, I: Send + 'static> Duplex<O, I> {
    pub(crate) fn new(
        servers: Servers,
        counters: Arc<Counters>,
        longest_wait: Duration,
        start: fn(Channel, Outbound<O>) -> Inbound<I>,
    ) -> Self {
        Self {
            servers,
            counters,
            start,
            longest_wait,
            state: State::Closed,
            broken_before: false,
        }
    }

    /// Begins to open the stream, unless that is done or under way.
    pub(crate) fn open(&mut self) {
        if matches!(self.state, State::Closed) {
            let (servers, longest) = (self.servers.clone(), self.longest_wait);
            let wait = async move { servers.channel_after_backoff(longest).await };
            self.state = State::Waiting(wait.boxed());
        }
    }

    /// Closes it: nothing is wrong, it is not needed.
    pub(crate) fn close(&mut self) {
        self.state = State::Closed;
        self.broken_before = false;
    }

    /// Closes it because its server does not answer.
    pub(crate) fn give_up(&mut self) {
        if let State::Open { server, .. } = self.state {
            self.servers.failed(server, None);
        }
        self.state = State::Closed;
        self.broken_before = true;
    }

    /// Sends if the stream is open; otherwise the message is for nobody, as
    /// [`Event::Opened`] comes with a fresh start.
    pub(crate) fn send(&mut self, message: O) {
        if let State::Open { outbound, .. } = &self.state {
            // Fails only if the stream has just broken, which `next` will report.
            let _ = outbound.send(message);
        }
    }

    /// What happens next; never, while closed. Safe to drop.
    pub(crate) async fn next(&mut self) -> Event<I> {
        match &mut self.state {
            State::Closed => std::future::pending().await,
            State::Waiting(wait) => {
                let (server, channel) = wait.await;
                let (outbound, receiver) = mpsc::unbounded_channel();
                let inbound = (self.start)(channel, UnboundedReceiverStream::new(receiver));
                self.state = State::Open {
                    server,
                    outbound,
                    inbound,
                    answered: false,
                };
                if self.broken_before {
                    count(&self.counters.stream_reconnects);
                }
                Event::Opened
            }
            State::Open {
                server,
                inbound,
                answered,
                ..
            } => match inbound.next().await {
                Some(Ok(message)) => {
                    if !*answered {
                        *answered = true;
                        self.servers.succeeded(*server);
                    }
                    Event::Message(message)
                }
                end => {
                    let failure = match end {
                        Some(Err(status)) => Failure::from_status(&status),
                        _ => Failure {
                            code: ErrorCode::Unavailable,
                            reach: Reach::Unknown,
                            cause: "the server ended the stream".to_owned(),
                            retry_after: None,
                        },
                    };
                    self.servers.failed(*server, failure.retry_after);
                    tracing::debug!(
                        server = self.servers.address(*server),
                        cause = %failure.cause,
                        "stream broken"
                    );
                    self.state = State::Closed;
                    self.broken_before = true;
                    Event::Broken(failure)
                }
            },
        }
    }
}

/// A request that asks the server to end the stream when it has no leader, rather than to keep it
/// silent: another server may have one.
pub(crate) fn requiring_leader<S>(stream: S) -> Request<S> {
    let mut request = Request::new(stream);
    let yes = tonic::metadata::MetadataValue::from_static("true");
    request.metadata_mut().insert("hasleader", yes);
    request
}

/// The messages of a call that may not answer, not even with headers, before it is spoken to.
pub(crate) fn inbound<I, F>(call: F) -> Inbound<I>
where
    I: Send + 'static,
    F: Future<Output = Result<Response<Streaming<I>>, Status>> + Send + 'static,
{
    call.map_ok(Response::into_inner)
        .try_flatten_stream()
        .boxed()
}

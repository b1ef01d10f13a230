//! `quorate.v1.Peer`: what other members ask.

use std::collections::HashSet;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures::stream::{self, BoxStream, FuturesUnordered, StreamExt};
use parking_lot::Mutex;
use prost::Message as _;
use quorate_proto::v1::peer_server::{Peer, PeerServer};
use quorate_proto::v1::{
    Envelope, IdentifyRequest, IdentifyResponse, PeerAnswer, PeerAnswers, PeerRequest,
    PeerRequests, Refusal, RefusalReason, SnapshotAnswer, SnapshotMessage, peer_answer,
    peer_request, snapshot_message,
};
use quorate_store::{Progress, StoreFault};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;
use tonic::{Request, Response, Status, Streaming};

use super::member::Member;
use crate::peers::{LARGEST_MESSAGE, Outbox, Party, Refused};

/// Requests of one member that are answered at a time; more wait in the connection.
const IN_FLIGHT: usize = 4096;
/// How long the next piece of a snapshot may take.
const PIECE_WITHIN: Duration = Duration::from_secs(30);
/// Strangers whose refusal is remembered as told.
const STRANGERS: usize = 64;

/// Answers members of the same cluster only.
#[derive(Clone)]
struct PeerDoor {
    member: Member,
    party: Party,
    /// Whose refusal was logged: by cluster and member.
    strangers: Arc<Mutex<HashSet<(u64, u64)>>>,
    /// One snapshot is received at a time.
    receiving: Arc<tokio::sync::Mutex<()>>,
}

/// The service, for the peer listener.
pub(crate) fn service(member: Member) -> PeerServer<impl Peer> {
    let party = Party {
        cluster_id: member.options().cluster_id,
        member_id: member.options().member_id,
    };
    let door = PeerDoor {
        member,
        party,
        strangers: Arc::default(),
        receiving: Arc::default(),
    };
    PeerServer::new(door)
        .max_decoding_message_size(LARGEST_MESSAGE)
        .max_encoding_message_size(LARGEST_MESSAGE)
}

#[tonic::async_trait]
impl Peer for PeerDoor {
    /// A caller that does not know its cluster yet asks with 0.
    async fn identify(
        &self,
        request: Request<IdentifyRequest>,
    ) -> Result<Response<IdentifyResponse>, Status> {
        let caller = request.into_inner();
        if caller.cluster_id != 0 && caller.cluster_id != self.party.cluster_id {
            return Err(self.refuse(caller.cluster_id, caller.member_id, Refused::Cluster));
        }
        Ok(Response::new(IdentifyResponse {
            cluster_id: self.party.cluster_id,
            member_id: self.party.member_id,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            members: self.member.node().members(),
        }))
    }

    type ExchangeStream = BoxStream<'static, Result<PeerAnswers, Status>>;

    async fn exchange(
        &self,
        request: Request<Streaming<PeerRequests>>,
    ) -> Result<Response<Self::ExchangeStream>, Status> {
        let answers = Arc::new(Outbox::new());
        // What is known of the end, and of whom to address.
        let (ends, state) = watch::channel(State::default());
        let answering = tokio::spawn(self.clone().answer_all(
            request.into_inner(),
            Arc::clone(&answers),
            ends,
        ));
        let messages = Messages {
            party: self.party,
            answers,
            state,
            _answering: AbortOnDropHandle::new(answering),
        };
        let messages = stream::unfold(Some(messages), |messages| async {
            let mut messages = messages?;
            match messages.next().await? {
                Ok(message) => Some((Ok(message), Some(messages))),
                Err(status) => Some((Err(status), None)),
            }
        });
        Ok(Response::new(messages.boxed()))
    }

    async fn install_snapshot(
        &self,
        request: Request<Streaming<SnapshotMessage>>,
    ) -> Result<Response<SnapshotAnswer>, Status> {
        let received = self.receive(request.into_inner()).await;
        received
            .map(Response::new)
            .inspect_err(|status| tracing::warn!(%status, "a snapshot was not taken over"))
    }
}

impl PeerDoor {
    async fn receive(
        &self,
        mut messages: Streaming<SnapshotMessage>,
    ) -> Result<SnapshotAnswer, Status> {
        let Ok(_alone) = self.receiving.try_lock() else {
            return Err(Status::resource_exhausted(
                "another snapshot is being received",
            ));
        };
        let mut vote = None;
        let mut incoming = None;
        loop {
            let message = tokio::time::timeout(PIECE_WITHIN, messages.message()).await;
            let message = message
                .map_err(|_| Status::deadline_exceeded("the next piece of a snapshot is missing"))?
                .and_then(|message| {
                    message.ok_or_else(|| Status::cancelled("the snapshot was cut off"))
                })?;
            self.sender(message.envelope.as_ref())?;
            match message.body {
                Some(snapshot_message::Body::Begin(begin)) => {
                    tracing::info!("receives a snapshot");
                    vote = begin.vote;
                    let node = self.member.node().clone();
                    incoming = Some(blocking(move || node.receive_snapshot()).await?);
                }
                Some(snapshot_message::Body::Part(part)) => {
                    let (Some(vote), Some(place)) = (&vote, incoming.take()) else {
                        return Err(Status::invalid_argument("a snapshot without its begin"));
                    };
                    match blocking(move || place.write(part)).await? {
                        Progress::Incomplete(place) => incoming = Some(place),
                        Progress::Complete(state) => {
                            let installed = self.member.node().install_snapshot(vote, state).await;
                            let vote = installed
                                .map_err(|refused| Status::failed_precondition(refused.message))?;
                            return Ok(SnapshotAnswer { vote: Some(vote) });
                        }
                    }
                }
                None => return Err(Status::invalid_argument("an empty message")),
            }
        }
    }
}

/// Works on the disk, away from the thread that hears heartbeats.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreFault> + Send + 'static,
) -> Result<T, Status> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Status::internal(error.to_string()))?
        .map_err(|fault| Status::data_loss(fault.to_string()))
}

/// What the side that answers has to tell the side that sends.
#[derive(Clone, Debug, Default)]
struct State {
    /// The other member, once it has said who it is.
    from: u64,
    /// Why there is nothing more to answer.
    ended: Option<Result<(), Status>>,
}

/// The answers on their way back.
struct Messages {
    party: Party,
    answers: Arc<Outbox<PeerAnswer>>,
    state: watch::Receiver<State>,
    _answering: AbortOnDropHandle<()>,
}

impl Messages {
    async fn next(&mut self) -> Option<Result<PeerAnswers, Status>> {
        let answers = tokio::select! {
            biased;
            answers = self.answers.take() => answers,
            ended = self.state.wait_for(|state| state.ended.is_some()) => {
                let ended = ended.ok().and_then(|state| state.ended.clone());
                return match ended {
                    Some(Err(status)) => Some(Err(status)),
                    Some(Ok(())) | None => None,
                };
            }
        };
        let from = self.state.borrow().from;
        Some(Ok(PeerAnswers {
            envelope: Some(self.party.to(from)),
            answers,
        }))
    }
}

type Answering = Pin<Box<dyn Future<Output = PeerAnswer> + Send>>;

impl PeerDoor {
    /// Answers one member's requests until it has no more, or one is not for this member.
    async fn answer_all(
        self,
        mut requests: Streaming<PeerRequests>,
        answers: Arc<Outbox<PeerAnswer>>,
        state: watch::Sender<State>,
    ) {
        let mut in_flight: FuturesUnordered<Answering> = FuturesUnordered::new();
        let ended = loop {
            let answer = tokio::select! {
                message = requests.message(), if in_flight.len() < IN_FLIGHT => {
                    let message = match message {
                        Ok(Some(message)) => message,
                        Ok(None) => break Ok(()),
                        Err(status) => break Err(status),
                    };
                    let from = match self.sender(message.envelope.as_ref()) {
                        Ok(from) => from,
                        Err(status) => break Err(status),
                    };
                    state.send_if_modified(|state| std::mem::replace(&mut state.from, from) != from);
                    for request in message.requests {
                        let mut answering: Answering = Box::pin(self.clone().answer(from, request));
                        // Begun before the next one is looked at: that keeps them in order.
                        match futures::poll!(&mut answering) {
                            Poll::Ready(answer) => send(&answers, answer),
                            Poll::Pending => in_flight.push(answering),
                        }
                    }
                    continue;
                }
                Some(answer) = in_flight.next() => answer,
            };
            send(&answers, answer);
        };
        state.send_modify(|state| state.ended = Some(ended));
    }

    async fn answer(self, from: u64, request: PeerRequest) -> PeerAnswer {
        use peer_request::Body;
        let body = match request.body {
            Some(Body::LeaseRenew(request)) => self.member.answer_lease_renew(request.id).await,
            Some(Body::LeaseTimeLeft(request)) => {
                self.member.answer_lease_time_left(request.id).await
            }
            Some(body) => self.member.node().answer(from, body).await,
            None => peer_answer::Body::Refused(Refusal {
                reason: RefusalReason::Invalid.into(),
                message: "this version does not know the request".to_owned(),
            }),
        };
        PeerAnswer {
            number: request.number,
            body: Some(body),
        }
    }

    fn sender(&self, envelope: Option<&Envelope>) -> Result<u64, Status> {
        self.party.sender(envelope).map_err(|refused| {
            let envelope = envelope.copied().unwrap_or_default();
            self.refuse(envelope.cluster_id, envelope.from, refused)
        })
    }

    /// Says it to the log, once for each stranger, and to the caller.
    fn refuse(&self, cluster_id: u64, member_id: u64, refused: Refused) -> Status {
        let mut strangers = self.strangers.lock();
        if strangers.len() < STRANGERS && strangers.insert((cluster_id, member_id)) {
            tracing::warn!(
                cluster = format_args!("{cluster_id:016x}"),
                member = format_args!("{member_id:016x}"),
                "refused a member: {refused}"
            );
        }
        Status::failed_precondition(refused.to_string())
    }
}

/// Dropped only when thousands of answers wait for a member that does not read them: its calls end in time.
fn send(answers: &Outbox<PeerAnswer>, answer: PeerAnswer) {
    let bytes = answer.encoded_len();
    if answers.push(bytes, answer).is_err() {
        tracing::warn!("a member does not read its answers");
    }
}

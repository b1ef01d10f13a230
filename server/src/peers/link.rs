//! The stream to one member. It is made when there is something to send, and made again when it breaks.
//!
//! A request is answered, or its caller is told whether it may have arrived. While the member is out of reach, for
//! a short pause after each attempt, requests fail at once: whoever calls has other members to ask.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::stream;
use parking_lot::Mutex;
use prost::Message as _;
use quorate_proto::v1::{self, PeerRequests};
use quorate_raft::{Member, PeerAnswer, PeerError, PeerRequest};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use super::{CONNECTION_WINDOW, Outbox, Party, STREAM_WINDOW, client};

/// How long connecting may take, and the first sign of life after it.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// Pauses after attempts that failed.
const SHORTEST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// Pause after a refusal, which time alone does not mend.
const REFUSED_PAUSE: Duration = Duration::from_secs(2);
/// How a connection is tested that says nothing.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(2);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(3);

type Replier = oneshot::Sender<Result<PeerAnswer, PeerError>>;

/// The way to one member. Dropped, it ends, and with it what is under way.
pub(super) struct Link {
    shared: Arc<Shared>,
    _task: AbortOnDropHandle<()>,
}

struct Shared {
    /// This member.
    party: Party,
    /// The other one.
    to: u64,
    name: String,
    urls: Vec<String>,
    outbox: Outbox<(PeerRequest, Replier)>,
    /// Why nothing can be sent at this moment.
    down: Mutex<Option<String>>,
}

impl Link {
    pub(super) fn start(party: Party, to: u64, member: &Member, runtime: &Handle) -> Self {
        let shared = Arc::new(Shared {
            party,
            to,
            name: member.name.clone(),
            urls: member.peer_urls.clone(),
            outbox: Outbox::new(),
            down: Mutex::new(None),
        });
        let task = runtime.spawn(run(Arc::clone(&shared)));
        Self {
            shared,
            _task: AbortOnDropHandle::new(task),
        }
    }

    pub(super) fn urls(&self) -> &[String] {
        &self.shared.urls
    }

    /// Queues a request; its answer is what is returned.
    pub(super) fn call(
        &self,
        request: PeerRequest,
    ) -> impl Future<Output = Result<PeerAnswer, PeerError>> + Send + use<> {
        let (replier, answered) = oneshot::channel();
        let refused = {
            let down = self.shared.down.lock();
            match &*down {
                Some(why) => Some(why.clone()),
                None => {
                    let bytes = request_bytes(&request);
                    let pushed = self.shared.outbox.push(bytes, (request, replier));
                    pushed
                        .is_err()
                        .then(|| "too many requests wait for it".to_owned())
                }
            }
        };
        async move {
            match refused {
                Some(why) => Err(PeerError::not_sent(why)),
                None => answered
                    .await
                    .unwrap_or_else(|_| Err(PeerError::unanswered("the connection was given up"))),
            }
        }
    }
}

fn request_bytes(request: &PeerRequest) -> usize {
    match request {
        PeerRequest::Append(append) => append.encoded_len(),
        PeerRequest::Forward(forward) => forward.batch.len(),
        _ => 64,
    }
}

/// Connects whenever there is something to send.
async fn run(shared: Arc<Shared>) {
    let mut pause = SHORTEST_PAUSE;
    let mut last_told = None;
    for attempt in 0.. {
        shared.outbox.until_waiting().await;
        let (status, was_up) = shared.connect_and_serve(attempt).await;
        let refused = status.code() == Code::FailedPrecondition;
        let why = status.message().to_owned();
        // A member that is away is away for long: once is enough.
        if was_up || last_told.as_ref() != Some(&why) {
            if refused {
                tracing::error!(to = format_args!("{:x}", shared.to), name = shared.name, %why, "refused by a member");
            } else {
                tracing::info!(to = format_args!("{:x}", shared.to), name = shared.name, %why, "a member is out of reach");
            }
            last_told = Some(why.clone());
        }
        if was_up {
            pause = SHORTEST_PAUSE;
        }
        *shared.down.lock() = Some(why.clone());
        for (_, replier) in shared.outbox.drain() {
            // Those who gave up are gone.
            let _ = replier.send(Err(PeerError::not_sent(why.clone())));
        }
        let this_time = if refused { REFUSED_PAUSE } else { pause };
        tokio::time::sleep(this_time.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
        *shared.down.lock() = None;
    }
}

impl Shared {
    /// Serves until the connection ends; says why it did, and whether it ever stood.
    async fn connect_and_serve(self: &Arc<Self>, attempt: usize) -> (Status, bool) {
        let channel = match self.connect(attempt).await {
            Ok(channel) => channel,
            Err(status) => return (status, false),
        };
        let under_way = Arc::new(UnderWay::default());
        // Ends the stream of requests with the connection, not whenever its task is cleaned up.
        let over = CancellationToken::new();
        let ends = over.clone().drop_guard();
        let requests = requests(Arc::clone(self), Arc::clone(&under_way), over);
        let mut client = client(channel);
        let opened = tokio::time::timeout(CONNECT_WITHIN, client.exchange(requests)).await;
        let (status, was_up) = match opened {
            Ok(Ok(answers)) => {
                tracing::debug!(
                    to = format_args!("{:x}", self.to),
                    name = self.name,
                    "connected"
                );
                let ended = self.answers(answers.into_inner(), &under_way).await;
                (ended, true)
            }
            Ok(Err(status)) => (status, false),
            Err(_) => (Status::unavailable("it does not answer"), false),
        };
        drop(ends);
        under_way.end(status.message());
        (status, was_up)
    }

    async fn connect(&self, attempt: usize) -> Result<Channel, Status> {
        let Some(url) = self.urls.get(attempt % self.urls.len().max(1)) else {
            return Err(Status::unavailable("its address is not known"));
        };
        connect(url).await
    }

    /// Gives answers to those who wait, until there are no more; says why.
    async fn answers(
        &self,
        mut answers: tonic::Streaming<v1::PeerAnswers>,
        under_way: &UnderWay,
    ) -> Status {
        loop {
            let message = match answers.message().await {
                Ok(Some(message)) => message,
                Ok(None) => return Status::unavailable("it closed the connection"),
                Err(status) => return status,
            };
            match self.party.sender(message.envelope.as_ref()) {
                Ok(from) if from == self.to => {}
                Ok(_) => return Status::failed_precondition("another member answers there"),
                Err(refused) => return Status::failed_precondition(refused.to_string()),
            }
            for answer in message.answers {
                under_way.answer(answer);
            }
        }
    }
}

/// The messages to send: whatever waits whenever the line has room.
fn requests(
    shared: Arc<Shared>,
    under_way: Arc<UnderWay>,
    over: CancellationToken,
) -> impl futures::Stream<Item = PeerRequests> + Send + 'static {
    stream::unfold(
        (shared, under_way, over),
        |(shared, under_way, over)| async {
            let taken = tokio::select! {
                biased;
                () = over.cancelled() => return None,
                taken = shared.outbox.take() => taken,
            };
            let message = PeerRequests {
                envelope: Some(shared.party.to(shared.to)),
                requests: under_way.begin(taken),
            };
            Some((message, (shared, under_way, over)))
        },
    )
}

/// Requests that were sent over one connection, and who waits for their answers.
#[derive(Default)]
struct UnderWay {
    state: Mutex<UnderWayState>,
}

#[derive(Default)]
struct UnderWayState {
    last_number: u64,
    waiting: HashMap<u64, Replier>,
    /// Why there will be no more answers.
    ended: Option<String>,
}

impl UnderWay {
    /// Numbers requests. Those whose caller has gone are not worth sending.
    fn begin(&self, taken: Vec<(PeerRequest, Replier)>) -> Vec<v1::PeerRequest> {
        let mut state = self.state.lock();
        let mut requests = Vec::with_capacity(taken.len());
        for (body, replier) in taken {
            if let Some(why) = &state.ended {
                // Those who gave up are gone.
                let _ = replier.send(Err(PeerError::not_sent(why.clone())));
                continue;
            }
            if replier.is_closed() {
                continue;
            }
            state.last_number += 1;
            let number = state.last_number;
            state.waiting.insert(number, replier);
            requests.push(v1::PeerRequest {
                number,
                body: Some(body),
            });
        }
        requests
    }

    fn answer(&self, answer: v1::PeerAnswer) {
        let replier = self.state.lock().waiting.remove(&answer.number);
        let Some(replier) = replier else { return };
        let body = answer
            .body
            .ok_or_else(|| PeerError::unanswered("an empty answer"));
        // Those who gave up are gone.
        let _ = replier.send(body);
    }

    fn end(&self, why: &str) {
        let waiting = {
            let mut state = self.state.lock();
            state.ended = Some(why.to_owned());
            std::mem::take(&mut state.waiting)
        };
        for replier in waiting.into_values() {
            let _ = replier.send(Err(PeerError::unanswered(why)));
        }
    }
}

/// Connects to a member.
pub(super) async fn connect(url: &str) -> Result<Channel, Status> {
    let endpoint = Endpoint::from_shared(url.to_owned())
        .map_err(|error| Status::unavailable(format!("{url}: {error}")))?;
    let connected = endpoint
        .connect_timeout(CONNECT_WITHIN)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .connect()
        .await;
    connected.map_err(|error| Status::unavailable(format!("{url}: {}", root_cause(&error))))
}

/// What the system said, below what the libraries wrap around it.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

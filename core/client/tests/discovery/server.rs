//! A registry behind a real socket, with faults on demand: streams cut, held back, emptied or
//! falsified; the whole server killed and started again.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::Stream;
use quorate::{Builder, Client};
use quorate_proto::v1;
use quorate_proto::v1::registry_server::{Registry as Door, RegistryServer};
use quorate_proto::v1::session_event::Body;
use quorate_registry::{Registry, RegistryOptions, SystemClock};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::Notify;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Code, Request, Response, Status, Streaming};

/// What goes wrong with the sessions of a server.
#[derive(Default)]
pub(crate) struct Faults {
    /// Cuts all streams.
    pub(crate) cut: Notify,
    /// Nothing the server says arrives.
    pub(crate) mute: AtomicBool,
    /// So many deltas are lost.
    pub(crate) lose_deltas: AtomicUsize,
    /// So many deltas carry a wrong hash.
    pub(crate) falsify_deltas: AtomicUsize,
    /// Messages and commands that came.
    pub(crate) messages: AtomicU64,
    pub(crate) commands: AtomicU64,
}

/// A running server. Dropping it kills it.
pub(crate) struct Server {
    address: SocketAddr,
    pub(crate) faults: Arc<Faults>,
    pub(crate) registry: Registry,
    runtime: Option<Runtime>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        Self::at(address, None)
    }

    fn at(address: SocketAddr, warm_up: Option<Duration>) -> Self {
        static LAST_EPOCH: AtomicU64 = AtomicU64::new(0);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let now = now.as_millis() as u64;
        let epoch = LAST_EPOCH
            .fetch_max(now, Ordering::Relaxed)
            .max(now - 1)
            .saturating_add(1);
        LAST_EPOCH.fetch_max(epoch, Ordering::Relaxed);
        let mut options = RegistryOptions::new(epoch, 77, 1);
        options.warm_up = warm_up;
        options.min_session_ttl = Duration::from_secs(2);
        let registry = Registry::new(options, Arc::new(SystemClock::new()));
        let faults = Arc::new(Faults::default());
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let door = TestDoor {
            registry: registry.clone(),
            faults: faults.clone(),
        };
        let sweeper = registry.clone();
        runtime.spawn(async move {
            loop {
                tokio::time::sleep(sweeper.sweep()).await;
            }
        });
        let (bound, wait) = std::sync::mpsc::channel();
        runtime.spawn(async move {
            let listener = loop {
                // The port may still be in the hands of the server that was killed.
                match TcpListener::bind(address).await {
                    Ok(listener) => break listener,
                    Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
                }
            };
            bound.send(()).unwrap();
            tonic::transport::Server::builder()
                .add_service(RegistryServer::new(door))
                .serve_with_incoming(TcpListenerStream::new(listener))
                .await
                .unwrap();
        });
        wait.recv_timeout(Duration::from_secs(10)).unwrap();
        Self {
            address,
            faults,
            registry,
            runtime: Some(runtime),
        }
    }

    pub(crate) fn endpoint(&self) -> String {
        self.address.to_string()
    }

    /// A client with quick timeouts.
    pub(crate) fn client(&self) -> Client {
        self.builder().build().unwrap()
    }

    pub(crate) fn builder(&self) -> Builder {
        Client::builder()
            .endpoints([self.endpoint()])
            .request_timeout(Duration::from_secs(5))
            .connect_timeout(Duration::from_millis(500))
    }

    /// As `kill -9` does: no goodbye.
    pub(crate) fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    /// Starts again at the same address, with nothing remembered.
    pub(crate) fn start_again(&mut self, warm_up: Option<Duration>) {
        self.kill();
        *self = Self::at(self.address, warm_up);
    }

    /// Breaks every session's stream.
    pub(crate) fn cut(&self) {
        self.faults.cut.notify_waiters();
    }

    /// The ids registered for a service, sorted.
    pub(crate) fn ids(&self, service: &str) -> Vec<String> {
        let request = v1::DiscoverRequest {
            service: Some(key(service)),
        };
        let snapshot = self.registry.discover(&request).unwrap().snapshot.unwrap();
        let mut ids: Vec<String> = snapshot.instances.into_iter().map(|i| i.id).collect();
        ids.sort();
        ids
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

pub(crate) fn key(service: &str) -> v1::ServiceKey {
    v1::ServiceKey {
        namespace: String::new(),
        name: service.to_owned(),
    }
}

/// Waits for something that must come soon.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future)
        .await
        .expect("in time")
}

/// Looks again and again until it holds.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting)
        .await
        .unwrap_or_else(|_| panic!("never happened: {what}"));
}

struct TestDoor {
    registry: Registry,
    faults: Arc<Faults>,
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl Door for TestDoor {
    type SessionStream = Answers<v1::SessionResponse>;
    type WatchServiceStream = Answers<v1::WatchServiceResponse>;

    async fn session(
        &self,
        request: Request<Streaming<v1::SessionRequest>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let mut incoming = request.into_inner();
        let first = incoming.message().await?;
        let first = first.ok_or_else(|| Status::invalid_argument("no message"))?;
        let session = Arc::new(self.registry.open(first).map_err(status)?);
        let faults = self.faults.clone();
        let reader = session.clone();
        tokio::spawn(async move {
            while let Ok(Some(message)) = incoming.message().await {
                faults.messages.fetch_add(1, Ordering::Relaxed);
                let commands = message.commands.len() as u64;
                faults.commands.fetch_add(commands, Ordering::Relaxed);
                if reader.handle(message).is_err() {
                    return;
                }
            }
            reader.detach();
        });
        let faults = self.faults.clone();
        let answers = futures::stream::unfold(Some(session), move |session| {
            let faults = faults.clone();
            async move {
                let session = session?;
                loop {
                    let next = tokio::select! {
                        biased;
                        () = faults.cut.notified() => {
                            session.detach();
                            return Some((Err(Status::unavailable("cut")), None));
                        }
                        next = session.next() => next,
                    };
                    match next {
                        Ok(mut response) => {
                            faults.apply(&mut response);
                            if !response.events.is_empty() {
                                return Some((Ok(response), Some(session)));
                            }
                        }
                        Err(end) => {
                            return end.error().map(|error| (Err(status(error)), None));
                        }
                    }
                }
            }
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn register(
        &self,
        request: Request<v1::RegisterRequest>,
    ) -> Result<Response<v1::RegisterResponse>, Status> {
        let answer = self.registry.register(request.into_inner());
        answer.map(Response::new).map_err(status)
    }

    async fn deregister(
        &self,
        request: Request<v1::DeregisterRequest>,
    ) -> Result<Response<v1::DeregisterResponse>, Status> {
        let answer = self.registry.deregister(&request.into_inner());
        answer.map(Response::new).map_err(status)
    }

    async fn heartbeat(
        &self,
        request: Request<v1::HeartbeatRequest>,
    ) -> Result<Response<v1::HeartbeatResponse>, Status> {
        let answer = self.registry.heartbeat(&request.into_inner());
        answer.map(Response::new).map_err(status)
    }

    async fn discover(
        &self,
        request: Request<v1::DiscoverRequest>,
    ) -> Result<Response<v1::DiscoverResponse>, Status> {
        let answer = self.registry.discover(&request.into_inner());
        answer.map(Response::new).map_err(status)
    }

    async fn list_services(
        &self,
        request: Request<v1::ListServicesRequest>,
    ) -> Result<Response<v1::ListServicesResponse>, Status> {
        let answer = self.registry.list_services(&request.into_inner());
        answer.map(Response::new).map_err(status)
    }

    async fn watch_service(
        &self,
        _: Request<v1::WatchServiceRequest>,
    ) -> Result<Response<Self::WatchServiceStream>, Status> {
        Err(Status::unimplemented("not needed by the client"))
    }
}

impl Faults {
    fn apply(&self, response: &mut v1::SessionResponse) {
        if self.mute.load(Ordering::Relaxed) {
            response.events.clear();
        }
        response.events.retain_mut(|event| match &mut event.body {
            Some(Body::Delta(delta)) => {
                if take_one(&self.falsify_deltas) {
                    delta.version.as_mut().unwrap().content_hash ^= 1;
                }
                !take_one(&self.lose_deltas)
            }
            _ => true,
        });
    }
}

fn take_one(counter: &AtomicUsize) -> bool {
    counter
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1))
        .is_ok()
}

fn status(error: quorate::Error) -> Status {
    use quorate::ErrorCode;
    let code = match error.code() {
        ErrorCode::InvalidArgument => Code::InvalidArgument,
        ErrorCode::NotFound => Code::NotFound,
        ErrorCode::ResourceExhausted => Code::ResourceExhausted,
        ErrorCode::FailedPrecondition | ErrorCode::SessionExpired => Code::FailedPrecondition,
        ErrorCode::Conflict => Code::Aborted,
        _ => Code::Unavailable,
    };
    Status::new(code, error.message())
}

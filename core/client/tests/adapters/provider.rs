//! Servers to be called: HTTP and gRPC, each registered, each to be killed.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU16, AtomicUsize, Ordering};
use std::time::Duration;

use axum::http::{HeaderMap, StatusCode};
use futures::Stream;
use quorate::{Client, InstanceUpdate, Registered, Registration};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Code, Request, Response, Status};
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

/// What a provider does, and what it was asked.
#[derive(Default)]
pub(crate) struct Behaviour {
    /// 0 answers well.
    pub(crate) http: AtomicU16,
    pub(crate) grpc: AtomicI32,
    pub(crate) hits: AtomicUsize,
    /// Takes requests, and never answers.
    pub(crate) hangs: AtomicBool,
}

impl Behaviour {
    async fn hit(&self) {
        self.hits.fetch_add(1, Ordering::SeqCst);
        if self.hangs.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
    }
}

/// A registered server. Dropping it kills it; its registration stays.
pub(crate) struct Provider {
    pub(crate) address: String,
    pub(crate) behaviour: Arc<Behaviour>,
    registered: Option<Registered>,
    runtime: Option<Runtime>,
}

#[derive(Clone, Copy)]
pub(crate) enum Speaks {
    Http,
    Grpc,
}

impl Provider {
    pub(crate) async fn start(client: &Client, service: &str, speaks: Speaks) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let behaviour = Arc::new(Behaviour::default());
        let own = behaviour.clone();
        let (bound, listening) = tokio::sync::oneshot::channel();
        runtime.spawn(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap().to_string();
            bound.send(address.clone()).unwrap();
            match speaks {
                Speaks::Http => serve_http(listener, address, own).await,
                Speaks::Grpc => serve_grpc(listener, own).await,
            }
        });
        let address = listening.await.unwrap();
        let registration = Registration::new(service, address.clone());
        Self {
            registered: Some(client.register(registration).await.unwrap()),
            address,
            behaviour,
            runtime: Some(runtime),
        }
    }

    /// As `kill -9` does: connections break, nobody listens any more, the registry knows nothing.
    pub(crate) fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Until nobody listens: a connection that is still accepted, and then reset, is
            // another failure than one that is refused.
            tokio::task::block_in_place(|| runtime.shutdown_timeout(Duration::from_secs(20)));
        }
    }

    pub(crate) fn hits(&self) -> usize {
        self.behaviour.hits.load(Ordering::SeqCst)
    }

    pub(crate) async fn deregister(&mut self) {
        let registered = self.registered.take().unwrap();
        registered.deregister().await.unwrap();
    }

    pub(crate) async fn update(&self, update: InstanceUpdate) {
        let registered = self.registered.as_ref().unwrap();
        registered.update(update).await.unwrap();
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn serve_http(listener: TcpListener, address: String, behaviour: Arc<Behaviour>) {
    let answer = move |headers: HeaderMap| async move {
        behaviour.hit().await;
        let status = match behaviour.http.load(Ordering::SeqCst) {
            0 => StatusCode::OK,
            status => StatusCode::from_u16(status).unwrap(),
        };
        assert!(headers.contains_key("host"));
        (status, address)
    };
    let app = axum::Router::new().fallback(answer);
    axum::serve(listener, app).await.unwrap();
}

async fn serve_grpc(listener: TcpListener, behaviour: Arc<Behaviour>) {
    tonic::transport::Server::builder()
        .add_service(HealthServer::new(Service(behaviour)))
        .serve_with_incoming(TcpListenerStream::new(listener))
        .await
        .unwrap();
}

struct Service(Arc<Behaviour>);

impl Service {
    async fn answer(&self) -> Result<HealthCheckResponse, Status> {
        self.0.hit().await;
        match Code::from_i32(self.0.grpc.load(Ordering::SeqCst)) {
            Code::Ok => Ok(HealthCheckResponse::default()),
            code => Err(Status::new(code, "as told")),
        }
    }
}

#[tonic::async_trait]
impl Health for Service {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn check(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        self.answer().await.map(Response::new)
    }

    /// Answers once, and only then says how it went.
    async fn watch(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let first = [Ok(HealthCheckResponse::default())];
        let end = self.answer().await.err().map(Err);
        Ok(Response::new(Box::pin(futures::stream::iter(
            first.into_iter().chain(end),
        ))))
    }
}

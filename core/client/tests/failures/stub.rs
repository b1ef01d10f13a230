//! A server that speaks etcd's protocol from a script.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use quorate::{Builder, Client};
use quorate_proto::etcdserverpb::kv_server::{Kv, KvServer};
use quorate_proto::etcdserverpb::lease_server::{Lease, LeaseServer};
use quorate_proto::etcdserverpb::watch_server::{Watch, WatchServer};
use quorate_proto::etcdserverpb::*;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

/// What the server does with a request.
pub(crate) enum Reply<T> {
    Answer(T),
    Fail(Status),
    /// No answer, ever.
    Silence,
    /// The connection breaks.
    Hangup,
}

/// Answers the n-th request of its kind, counted from 1.
type Script<Q, A> = Box<dyn Fn(usize, Q) -> Reply<A> + Send + Sync>;
type StreamScript<Q, A> =
    Box<dyn Fn(usize, Streaming<Q>) -> BoxStream<'static, Result<A, Status>> + Send + Sync>;

/// What the server does; by default it knows nothing.
#[derive(Default)]
pub(crate) struct Scripts {
    pub(crate) range: Option<Script<RangeRequest, RangeResponse>>,
    pub(crate) put: Option<Script<PutRequest, PutResponse>>,
    pub(crate) txn: Option<Script<TxnRequest, TxnResponse>>,
    pub(crate) grant: Option<Script<LeaseGrantRequest, LeaseGrantResponse>>,
    pub(crate) revoke: Option<Script<LeaseRevokeRequest, LeaseRevokeResponse>>,
    pub(crate) keep_alive: Option<StreamScript<LeaseKeepAliveRequest, LeaseKeepAliveResponse>>,
    pub(crate) watch: Option<StreamScript<WatchRequest, WatchResponse>>,
}

#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) range: AtomicUsize,
    pub(crate) put: AtomicUsize,
    pub(crate) txn: AtomicUsize,
    pub(crate) grant: AtomicUsize,
    pub(crate) revoke: AtomicUsize,
    pub(crate) keep_alive: AtomicUsize,
    pub(crate) watch: AtomicUsize,
}

impl Counts {
    pub(crate) fn of(counter: &AtomicUsize) -> usize {
        counter.load(Ordering::SeqCst)
    }
}

/// A running stub; ends when dropped.
pub(crate) struct Stub {
    pub(crate) address: SocketAddr,
    pub(crate) counts: Arc<Counts>,
    _stop: tokio_util::sync::DropGuard,
}

#[derive(Clone)]
struct Service {
    scripts: Arc<Scripts>,
    counts: Arc<Counts>,
    hangup: CancellationToken,
}

impl Stub {
    pub(crate) async fn start(scripts: Scripts) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let counts = Arc::new(Counts::default());
        let (stop, scripts) = (CancellationToken::new(), Arc::new(scripts));
        let (ended, serving_counts) = (stop.clone(), counts.clone());
        tokio::spawn(async move {
            // One server per connection, so that each can be cut alone.
            while let Some(Ok((stream, _))) = ended.run_until_cancelled(listener.accept()).await {
                let hangup = ended.child_token();
                let service = Service {
                    scripts: scripts.clone(),
                    counts: serving_counts.clone(),
                    hangup: hangup.clone(),
                };
                let incoming = futures::stream::iter([Ok::<_, std::io::Error>(stream)])
                    .chain(futures::stream::pending());
                let server = tonic::transport::Server::builder()
                    .add_service(KvServer::new(service.clone()))
                    .add_service(LeaseServer::new(service.clone()))
                    .add_service(WatchServer::new(service))
                    .serve_with_incoming(Cuttable {
                        incoming,
                        hangup: hangup.clone(),
                    });
                tokio::spawn(async move { hangup.run_until_cancelled(server).await });
            }
        });
        Self {
            address,
            counts,
            _stop: stop.drop_guard(),
        }
    }
}

/// Gives out connections that break when told to.
struct Cuttable<S> {
    incoming: S,
    hangup: CancellationToken,
}

impl<S> futures::Stream for Cuttable<S>
where
    S: futures::Stream<Item = std::io::Result<tokio::net::TcpStream>> + Unpin,
{
    type Item = std::io::Result<cut::Connection>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        let hangup = self.hangup.clone();
        self.incoming
            .poll_next_unpin(cx)
            .map(|item| item.map(|stream| Ok(cut::Connection::new(stream?, hangup))))
    }
}

mod cut {
    //! A connection that fails once its token is cancelled.

    use std::io;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
    use tokio::net::TcpStream;
    use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

    pub(super) struct Connection {
        stream: TcpStream,
        hangup: CancellationToken,
        told: Pin<Box<WaitForCancellationFutureOwned>>,
    }

    impl Connection {
        pub(super) fn new(stream: TcpStream, hangup: CancellationToken) -> Self {
            Self {
                stream,
                told: Box::pin(hangup.clone().cancelled_owned()),
                hangup,
            }
        }

        fn check(&self) -> io::Result<()> {
            if self.hangup.is_cancelled() {
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            Ok(())
        }
    }

    impl AsyncRead for Connection {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            if self.told.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
            Pin::new(&mut self.stream).poll_read(cx, buffer)
        }
    }

    impl AsyncWrite for Connection {
        fn poll_write(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            data: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.check()?;
            Pin::new(&mut self.stream).poll_write(cx, data)
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.check()?;
            Pin::new(&mut self.stream).poll_flush(cx)
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.stream).poll_shutdown(cx)
        }
    }

    impl tonic::transport::server::Connected for Connection {
        type ConnectInfo = ();

        fn connect_info(&self) -> Self::ConnectInfo {}
    }
}

impl Service {
    async fn run<Q, A>(
        &self,
        counter: &AtomicUsize,
        script: &Option<Script<Q, A>>,
        request: Request<Q>,
    ) -> Result<Response<A>, Status> {
        let count = counter.fetch_add(1, Ordering::SeqCst) + 1;
        let Some(script) = script else {
            return Err(Status::unimplemented("not in the script"));
        };
        match script(count, request.into_inner()) {
            Reply::Answer(answer) => Ok(Response::new(answer)),
            Reply::Fail(status) => Err(status),
            Reply::Silence => std::future::pending().await,
            Reply::Hangup => {
                self.hangup.cancel();
                std::future::pending().await
            }
        }
    }
}

#[tonic::async_trait]
impl Kv for Service {
    async fn range(&self, q: Request<RangeRequest>) -> Result<Response<RangeResponse>, Status> {
        self.run(&self.counts.range, &self.scripts.range, q).await
    }

    async fn put(&self, q: Request<PutRequest>) -> Result<Response<PutResponse>, Status> {
        self.run(&self.counts.put, &self.scripts.put, q).await
    }

    async fn delete_range(
        &self,
        _: Request<DeleteRangeRequest>,
    ) -> Result<Response<DeleteRangeResponse>, Status> {
        Err(Status::unimplemented("not in the script"))
    }

    async fn txn(&self, q: Request<TxnRequest>) -> Result<Response<TxnResponse>, Status> {
        self.run(&self.counts.txn, &self.scripts.txn, q).await
    }

    async fn compact(
        &self,
        _: Request<CompactionRequest>,
    ) -> Result<Response<CompactionResponse>, Status> {
        Err(Status::unimplemented("not in the script"))
    }
}

#[tonic::async_trait]
impl Lease for Service {
    async fn lease_grant(
        &self,
        q: Request<LeaseGrantRequest>,
    ) -> Result<Response<LeaseGrantResponse>, Status> {
        self.run(&self.counts.grant, &self.scripts.grant, q).await
    }

    async fn lease_revoke(
        &self,
        q: Request<LeaseRevokeRequest>,
    ) -> Result<Response<LeaseRevokeResponse>, Status> {
        self.run(&self.counts.revoke, &self.scripts.revoke, q).await
    }

    type LeaseKeepAliveStream = BoxStream<'static, Result<LeaseKeepAliveResponse, Status>>;

    async fn lease_keep_alive(
        &self,
        q: Request<Streaming<LeaseKeepAliveRequest>>,
    ) -> Result<Response<Self::LeaseKeepAliveStream>, Status> {
        let count = self.counts.keep_alive.fetch_add(1, Ordering::SeqCst) + 1;
        match &self.scripts.keep_alive {
            Some(script) => Ok(Response::new(script(count, q.into_inner()))),
            None => Err(Status::unimplemented("not in the script")),
        }
    }

    async fn lease_time_to_live(
        &self,
        _: Request<LeaseTimeToLiveRequest>,
    ) -> Result<Response<LeaseTimeToLiveResponse>, Status> {
        Err(Status::unimplemented("not in the script"))
    }

    async fn lease_leases(
        &self,
        _: Request<LeaseLeasesRequest>,
    ) -> Result<Response<LeaseLeasesResponse>, Status> {
        Err(Status::unimplemented("not in the script"))
    }
}

#[tonic::async_trait]
impl Watch for Service {
    type WatchStream = BoxStream<'static, Result<WatchResponse, Status>>;

    async fn watch(
        &self,
        q: Request<Streaming<WatchRequest>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let count = self.counts.watch.fetch_add(1, Ordering::SeqCst) + 1;
        match &self.scripts.watch {
            Some(script) => Ok(Response::new(script(count, q.into_inner()))),
            None => Err(Status::unimplemented("not in the script")),
        }
    }
}

/// A header of this revision.
pub(crate) fn header(revision: i64) -> Option<ResponseHeader> {
    Some(ResponseHeader {
        revision,
        ..ResponseHeader::default()
    })
}

pub(crate) fn builder(addresses: &[SocketAddr]) -> Builder {
    Client::builder()
        .endpoints(addresses.iter().map(ToString::to_string))
        .request_timeout(Duration::from_secs(3))
}

/// An address at which nobody listens.
pub(crate) async fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

/// Waits for what must come, but not forever.
pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(20), future)
        .await
        .expect("it must come soon")
}

//! `etcdserverpb.Watch`: a relay. What a watch means is the store's business.

use std::time::Duration;

use futures::stream::{self, BoxStream, StreamExt};
use quorate_proto::etcdserverpb::watch_server::{Watch, WatchServer};
use quorate_proto::etcdserverpb::{WatchRequest, WatchResponse};
use quorate_store::{WatchLimits, WatchStream};
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::MESSAGE_OVERHEAD;
use super::member::Member;
use super::status::{require_leader, server_stopped};

/// How often watchers that asked for it are told that nothing happened; etcd's default. Up to a
/// tenth more, so that streams opened together are not told together.
const PROGRESS: Duration = Duration::from_secs(600);

struct WatchDoor {
    member: Member,
}

/// The service.
pub(crate) fn service(member: Member) -> WatchServer<impl Watch> {
    WatchServer::new(WatchDoor { member })
}

#[tonic::async_trait]
impl Watch for WatchDoor {
    type WatchStream = BoxStream<'static, Result<WatchResponse, Status>>;

    async fn watch(
        &self,
        request: Request<Streaming<WatchRequest>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        require_leader(request.metadata(), &self.member)?;
        let relay = Relay {
            requests: request.into_inner(),
            asks_on: true,
            watches: self.member.store().watch_stream(WatchLimits {
                fragment_bytes: self.member.options().max_request_bytes + MESSAGE_OVERHEAD,
                ..WatchLimits::default()
            }),
            progress: progress_interval(),
            stopping: self.member.stopping(),
            member: self.member.clone(),
        };
        // Only asked for more when the client has room: a slow one holds up nobody.
        let responses = stream::unfold(Some(relay), |relay| async {
            let mut relay = relay?;
            match relay.next().await {
                Ok(response) => Some((Ok(response), Some(relay))),
                Err(status) => Some((Err(status), None)),
            }
        });
        Ok(Response::new(responses.boxed()))
    }
}

struct Relay {
    requests: Streaming<WatchRequest>,
    /// The client has not closed its side yet. When it has, as in etcd, its watches go on.
    asks_on: bool,
    watches: WatchStream,
    progress: Interval,
    stopping: CancellationToken,
    member: Member,
}

impl Relay {
    /// The next response, or the error that ends the stream.
    async fn next(&mut self) -> Result<WatchResponse, Status> {
        loop {
            tokio::select! {
                () = self.stopping.cancelled() => return Err(server_stopped()),
                request = self.requests.message(), if self.asks_on => match request? {
                    Some(request) => {
                        if let Err(overrun) = self.watches.request(request) {
                            return Err(Status::resource_exhausted(overrun.to_string()));
                        }
                    }
                    None => self.asks_on = false,
                },
                _ = self.progress.tick() => self.watches.progress_tick(),
                response = self.watches.next() => {
                    let mut response = response;
                    self.member.complete(&mut response.header);
                    return Ok(response);
                }
            }
        }
    }
}

fn progress_interval() -> Interval {
    let period = PROGRESS + PROGRESS.mul_f64(fastrand::f64() / 10.0);
    let mut interval = tokio::time::interval_at(Instant::now() + period, period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

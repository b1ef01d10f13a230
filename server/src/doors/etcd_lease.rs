//! `etcdserverpb.Lease`: granting, keeping alive, revoking.

use futures::stream::{self, BoxStream, StreamExt};
use quorate_proto::etcdserverpb::lease_server::{Lease, LeaseServer};
use quorate_proto::etcdserverpb::{
    LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest, LeaseKeepAliveResponse,
    LeaseLeasesRequest, LeaseLeasesResponse, LeaseRevokeRequest, LeaseRevokeResponse, LeaseStatus,
    LeaseTimeToLiveRequest, LeaseTimeToLiveResponse,
};
use quorate_proto::log::{LeaseGrant, LeaseRevoke};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::member::Member;
use super::status::{require_leader, server_stopped};

/// Renewals of one stream on their way at a time; the answers keep their order.
const RENEWALS_AT_A_TIME: usize = 64;

struct LeaseDoor {
    member: Member,
}

/// The service.
pub(crate) fn service(member: Member) -> LeaseServer<impl Lease> {
    LeaseServer::new(LeaseDoor { member })
}

/// Grants a lease; id 0 lets this choose one. The state machine raises a TTL that is too short.
pub(super) async fn grant(
    member: &Member,
    id: i64,
    ttl_seconds: i64,
) -> Result<LeaseGrantResponse, Status> {
    let id = match id {
        // Of 2^63 ids a random one is free, or the grant says that it is not.
        0 => fastrand::i64(1..=i64::MAX),
        chosen => chosen,
    };
    member.lease_grant(LeaseGrant { id, ttl_seconds }).await
}

#[tonic::async_trait]
impl Lease for LeaseDoor {
    async fn lease_grant(
        &self,
        request: Request<LeaseGrantRequest>,
    ) -> Result<Response<LeaseGrantResponse>, Status> {
        require_leader(request.metadata(), &self.member)?;
        let request = request.into_inner();
        let granted = grant(&self.member, request.id, request.ttl);
        granted.await.map(Response::new)
    }

    async fn lease_revoke(
        &self,
        request: Request<LeaseRevokeRequest>,
    ) -> Result<Response<LeaseRevokeResponse>, Status> {
        let id = request.into_inner().id;
        let revoked = self.member.lease_revoke(LeaseRevoke { id });
        revoked.await.map(Response::new)
    }

    type LeaseKeepAliveStream = BoxStream<'static, Result<LeaseKeepAliveResponse, Status>>;

    async fn lease_keep_alive(
        &self,
        request: Request<Streaming<LeaseKeepAliveRequest>>,
    ) -> Result<Response<Self::LeaseKeepAliveStream>, Status> {
        require_leader(request.metadata(), &self.member)?;
        let member = self.member.clone();
        let renewals = request.into_inner().map(move |request| {
            let member = member.clone();
            async move { renew(&member, request?.id).await }
        });
        let keeper = KeepAlive {
            renewals: renewals.buffered(RENEWALS_AT_A_TIME).boxed(),
            stopping: self.member.stopping(),
        };
        let answers = stream::unfold(Some(keeper), |keeper| async {
            let mut keeper = keeper?;
            match keeper.next().await? {
                Ok(answer) => Some((Ok(answer), Some(keeper))),
                Err(status) => Some((Err(status), None)),
            }
        });
        Ok(Response::new(answers.boxed()))
    }

    async fn lease_time_to_live(
        &self,
        request: Request<LeaseTimeToLiveRequest>,
    ) -> Result<Response<LeaseTimeToLiveResponse>, Status> {
        let LeaseTimeToLiveRequest { id, keys } = request.into_inner();
        let found = self.member.lease_time_left(id).await?;
        let mut response = LeaseTimeToLiveResponse {
            header: Some(self.member.header()),
            id,
            ttl: -1,
            ..LeaseTimeToLiveResponse::default()
        };
        if let Some(lease) = found {
            response.ttl = lease.remaining;
            response.granted_ttl = lease.granted;
            if keys {
                response.keys = lease.keys.iter().map(|key| key.to_vec()).collect();
            }
        }
        Ok(Response::new(response))
    }

    async fn lease_leases(
        &self,
        _request: Request<LeaseLeasesRequest>,
    ) -> Result<Response<LeaseLeasesResponse>, Status> {
        self.member.read_barrier().await?;
        let ids = self.member.store().leases().ids();
        Ok(Response::new(LeaseLeasesResponse {
            header: Some(self.member.header()),
            leases: ids.into_iter().map(|id| LeaseStatus { id }).collect(),
        }))
    }
}

/// A client's stream of renewals.
struct KeepAlive {
    renewals: BoxStream<'static, Result<LeaseKeepAliveResponse, Status>>,
    stopping: CancellationToken,
}

impl KeepAlive {
    /// The next answer, the error that ends the stream, or `None` when the client has ended it.
    async fn next(&mut self) -> Option<Result<LeaseKeepAliveResponse, Status>> {
        tokio::select! {
            () = self.stopping.cancelled() => Some(Err(server_stopped())),
            answer = self.renewals.next() => answer,
        }
    }
}

/// Renews a lease; TTL 0 says that it is gone.
async fn renew(member: &Member, id: i64) -> Result<LeaseKeepAliveResponse, Status> {
    let ttl = member.lease_renew(id).await?;
    Ok(LeaseKeepAliveResponse {
        header: Some(member.header()),
        id,
        ttl: ttl.unwrap_or(0),
    })
}

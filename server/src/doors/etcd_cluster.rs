//! `etcdserverpb.Cluster`: who the members are. Changing them while they run is not there yet.

use quorate_proto::etcdserverpb::cluster_server::{Cluster, ClusterServer};
use quorate_proto::etcdserverpb::{
    self as pb, MemberAddRequest, MemberAddResponse, MemberListRequest, MemberListResponse,
    MemberPromoteRequest, MemberPromoteResponse, MemberRemoveRequest, MemberRemoveResponse,
    MemberUpdateRequest, MemberUpdateResponse,
};
use tonic::{Request, Response, Status};

use super::member::Member;
use super::status::unimplemented;

struct ClusterDoor {
    member: Member,
}

/// The service.
pub(crate) fn service(member: Member) -> ClusterServer<impl Cluster> {
    ClusterServer::new(ClusterDoor { member })
}

#[tonic::async_trait]
impl Cluster for ClusterDoor {
    async fn member_list(
        &self,
        request: Request<MemberListRequest>,
    ) -> Result<Response<MemberListResponse>, Status> {
        if request.into_inner().linearizable {
            self.member.read_barrier().await?;
        }
        let members = self.member.node().status().members.into_iter();
        let members = members.map(|known| pb::Member {
            id: known.id,
            name: known.member.name,
            peer_ur_ls: known.member.peer_urls,
            client_ur_ls: known.member.client_urls,
            is_learner: known.is_learner,
        });
        Ok(Response::new(MemberListResponse {
            // As etcd's: these answers are about no revision.
            header: Some(self.member.header_at(0)),
            members: members.collect(),
        }))
    }

    async fn member_add(
        &self,
        _request: Request<MemberAddRequest>,
    ) -> Result<Response<MemberAddResponse>, Status> {
        Err(unimplemented("Cluster.MemberAdd"))
    }

    async fn member_remove(
        &self,
        _request: Request<MemberRemoveRequest>,
    ) -> Result<Response<MemberRemoveResponse>, Status> {
        Err(unimplemented("Cluster.MemberRemove"))
    }

    async fn member_update(
        &self,
        _request: Request<MemberUpdateRequest>,
    ) -> Result<Response<MemberUpdateResponse>, Status> {
        Err(unimplemented("Cluster.MemberUpdate"))
    }

    async fn member_promote(
        &self,
        _request: Request<MemberPromoteRequest>,
    ) -> Result<Response<MemberPromoteResponse>, Status> {
        Err(unimplemented("Cluster.MemberPromote"))
    }
}

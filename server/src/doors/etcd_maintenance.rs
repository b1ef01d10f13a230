//! `etcdserverpb.Maintenance`: how this member is, and taking what it has away.

mod snapshot;

use quorate_proto::etcdserverpb::alarm_request::AlarmAction;
use quorate_proto::etcdserverpb::maintenance_server::{Maintenance, MaintenanceServer};
use quorate_proto::etcdserverpb::{
    AlarmRequest, AlarmResponse, DefragmentRequest, DefragmentResponse, DowngradeRequest,
    DowngradeResponse, HashKvRequest, HashKvResponse, HashRequest, HashResponse, MoveLeaderRequest,
    MoveLeaderResponse, SnapshotRequest, StatusRequest, StatusResponse,
};
use tokio::sync::Mutex;
use tonic::{Request, Response, Status};

use self::snapshot::Snapshots;
use super::away::away;
use super::member::Member;
use super::status::{refused, unimplemented};

/// The etcd whose behaviour clients may expect. They decide by it what they dare use.
const ETCD_VERSION: &str = "3.6.0";
const STORAGE_VERSION: &str = "3.6.0";

struct MaintenanceDoor {
    member: Member,
    /// A hash reads everything there is: one at a time.
    hashing: Mutex<()>,
    snapshots: Snapshots,
}

/// The service.
pub(crate) fn service(member: Member) -> MaintenanceServer<impl Maintenance> {
    MaintenanceServer::new(MaintenanceDoor {
        member,
        hashing: Mutex::new(()),
        snapshots: Snapshots::new(),
    })
}

#[tonic::async_trait]
impl Maintenance for MaintenanceDoor {
    async fn status(
        &self,
        _request: Request<StatusRequest>,
    ) -> Result<Response<StatusResponse>, Status> {
        let node = self.member.node().status();
        let size = i64::try_from(self.member.store().size_bytes()).unwrap_or(i64::MAX);
        let in_use = i64::try_from(self.member.store().stored_bytes()).unwrap_or(i64::MAX);
        let own = node.members.iter().find(|known| known.id == node.member_id);
        let is_learner = own.is_some_and(|known| known.is_learner);
        let errors = if node.leader.is_none() {
            vec!["etcdserver: no leader".to_owned()]
        } else {
            Vec::new()
        };
        Ok(Response::new(StatusResponse {
            header: Some(self.member.header()),
            version: ETCD_VERSION.to_owned(),
            db_size: size,
            leader: node.leader.unwrap_or(0),
            raft_index: node.committed,
            raft_term: node.term,
            raft_applied_index: node.applied,
            errors,
            db_size_in_use: in_use.min(size),
            is_learner,
            storage_version: STORAGE_VERSION.to_owned(),
            db_size_quota: 0,
        }))
    }

    /// There are no alarms yet; asking for them is how `etcdctl endpoint health` makes sure.
    async fn alarm(
        &self,
        request: Request<AlarmRequest>,
    ) -> Result<Response<AlarmResponse>, Status> {
        match request.into_inner().action() {
            AlarmAction::Get => Ok(Response::new(AlarmResponse {
                header: Some(self.member.header()),
                alarms: Vec::new(),
            })),
            AlarmAction::Activate | AlarmAction::Deactivate => {
                Err(unimplemented("Maintenance.Alarm but for GET"))
            }
        }
    }

    async fn defragment(
        &self,
        _request: Request<DefragmentRequest>,
    ) -> Result<Response<DefragmentResponse>, Status> {
        Err(unimplemented("Maintenance.Defragment"))
    }

    /// Of the whole state, as applied here so far.
    async fn hash(&self, _request: Request<HashRequest>) -> Result<Response<HashResponse>, Status> {
        let _turn = self.hashing.lock().await;
        let member = self.member.clone();
        let hash = away(move || {
            let hash = member.store().hash_state();
            hash.map_err(refused)
        });
        Ok(Response::new(HashResponse {
            hash: hash.await?,
            header: Some(self.member.header()),
        }))
    }

    /// Of the history up to a revision, as applied here so far.
    async fn hash_kv(
        &self,
        request: Request<HashKvRequest>,
    ) -> Result<Response<HashKvResponse>, Status> {
        let revision = request.into_inner().revision;
        let _turn = self.hashing.lock().await;
        let member = self.member.clone();
        let hash = away(move || {
            let hash = member.store().hash_kv(revision);
            hash.map_err(refused)
        });
        let hash = hash.await?;
        Ok(Response::new(HashKvResponse {
            header: Some(self.member.header()),
            hash: hash.short(),
            // etcd's way to say that nothing is compacted.
            compact_revision: match hash.compacted_revision {
                0 => -1,
                revision => revision,
            },
            hash_revision: hash.revision,
        }))
    }

    type SnapshotStream = snapshot::Responses;

    async fn snapshot(
        &self,
        _request: Request<SnapshotRequest>,
    ) -> Result<Response<Self::SnapshotStream>, Status> {
        self.snapshots.begin(&self.member).await.map(Response::new)
    }

    async fn move_leader(
        &self,
        _request: Request<MoveLeaderRequest>,
    ) -> Result<Response<MoveLeaderResponse>, Status> {
        Err(unimplemented("Maintenance.MoveLeader"))
    }

    async fn downgrade(
        &self,
        _request: Request<DowngradeRequest>,
    ) -> Result<Response<DowngradeResponse>, Status> {
        Err(unimplemented("Maintenance.Downgrade"))
    }
}

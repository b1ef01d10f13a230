//! Asking every server how it is.

use std::fmt;

use futures::future::join_all;
use quorate_proto::etcdserverpb::StatusRequest;
use quorate_proto::etcdserverpb::maintenance_client::MaintenanceClient;
use quorate_types::Error;
use tonic::transport::Channel;

use crate::Client;
use crate::driver::call::{closed, timed};
use crate::error::{Failure, Operation};

/// One server's answer, or why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerStatus {
    /// The address, as the client was given it.
    pub address: String,
    /// What it answered.
    pub result: Result<ServerInfo, Error>,
}

/// What a server says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerInfo {
    /// The version of the protocol it speaks.
    pub version: String,
    /// Its id.
    pub member_id: u64,
    /// The id of its cluster.
    pub cluster_id: u64,
    /// The leader it knows; 0 is none.
    pub leader: u64,
    /// The Raft term.
    pub term: u64,
    /// The newest log index.
    pub raft_index: u64,
    /// The newest log index that was applied.
    pub raft_applied_index: u64,
    /// The store's revision.
    pub revision: i64,
    /// The store's size in bytes.
    pub db_size: u64,
    /// What is wrong, in its own words.
    pub errors: Vec<String>,
}

impl fmt::Display for ServerStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.result {
            Ok(info) => write!(f, "{}: version {}", self.address, info.version),
            Err(error) => write!(f, "{}: {error}", self.address),
        }
    }
}

impl Client {
    /// Asks every server at once how it is; each has the request timeout to answer. In the order of
    /// the client's endpoints.
    pub async fn server_status(&self) -> Vec<ServerStatus> {
        let asked = self.inner.calls.servers().each();
        let answers = asked.map(|(address, channel)| async move {
            ServerStatus {
                address: address.to_owned(),
                result: self.status_of(address, channel).await,
            }
        });
        join_all(answers).await
    }

    async fn status_of(&self, address: &str, channel: Channel) -> Result<ServerInfo, Error> {
        let operation = Operation::plain("status");
        let time = self.inner.options.request_timeout;
        let mut maintenance = MaintenanceClient::new(channel);
        let call = maintenance.status(timed(StatusRequest {}, time));
        let failure = tokio::select! {
            biased;
            () = self.inner.closing.cancelled() => return Err(closed(operation)),
            answer = tokio::time::timeout(time, call) => match answer {
                Ok(Ok(answer)) => {
                    let status = answer.into_inner();
                    let header = status.header.unwrap_or_default();
                    return Ok(ServerInfo {
                        version: status.version,
                        member_id: header.member_id,
                        cluster_id: header.cluster_id,
                        leader: status.leader,
                        term: status.raft_term,
                        raft_index: status.raft_index,
                        raft_applied_index: status.raft_applied_index,
                        revision: header.revision,
                        db_size: u64::try_from(status.db_size).unwrap_or(0),
                        errors: status.errors,
                    });
                }
                Ok(Err(status)) => Failure::from_status(&status),
                Err(_) => Failure::no_answer(time),
            },
        };
        Err(failure.into_error(operation, address, false))
    }
}

//! One of the two servers, and asking it.

use std::future::Future;
use std::time::Duration;

use anyhow::{Context, Result};
use quorate_proto::etcdserverpb::kv_client::KvClient;
use quorate_proto::etcdserverpb::lease_client::LeaseClient;
use quorate_proto::etcdserverpb::maintenance_client::MaintenanceClient;
use quorate_proto::etcdserverpb::{
    LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseLeasesRequest,
};
use tonic::transport::Channel;
use tonic::{Response, Status};

use crate::normal::ChosenLeases;
use crate::step::{Answer, Step};
use crate::watches::Watches;

/// How long an answer may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Side {
    kv: KvClient<Channel>,
    lease: LeaseClient<Channel>,
    maintenance: MaintenanceClient<Channel>,
    pub(crate) watches: Watches,
    pub(crate) leases: ChosenLeases,
}

impl Side {
    pub(crate) fn new(channel: Channel) -> Self {
        Self {
            kv: KvClient::new(channel.clone()).max_decoding_message_size(usize::MAX),
            lease: LeaseClient::new(channel.clone()),
            maintenance: MaintenanceClient::new(channel.clone()),
            watches: Watches::new(channel),
            leases: ChosenLeases::default(),
        }
    }

    /// Asks, and returns the answer in the common form.
    ///
    /// # Errors
    /// There was no answer.
    pub(crate) async fn ask(&mut self, step: &Step) -> Result<Answer> {
        let (kv, lease) = (&mut self.kv, &mut self.lease);
        let mut answer = match self.leases.request(step) {
            Step::Range(request) => answer(kv.range(request), Answer::Range).await,
            Step::Put(request) => answer(kv.put(request), Answer::Put).await,
            Step::DeleteRange(request) => {
                answer(kv.delete_range(request), Answer::DeleteRange).await
            }
            Step::Txn(request) => answer(kv.txn(request), Answer::Txn).await,
            Step::Compact(request) => answer(kv.compact(request), Answer::Compact).await,
            Step::HashKv(request) => {
                answer(self.maintenance.hash_kv(request), Answer::HashKv).await
            }
            Step::LeaseGrant(request) => {
                answer(lease.lease_grant(request), Answer::LeaseGrant).await
            }
            Step::LeaseRevoke(request) => {
                answer(lease.lease_revoke(request), Answer::LeaseRevoke).await
            }
            Step::LeaseTimeToLive(request) => {
                answer(lease.lease_time_to_live(request), Answer::LeaseTimeToLive).await
            }
            Step::LeaseLeases => {
                let request = LeaseLeasesRequest {};
                answer(lease.lease_leases(request), Answer::LeaseLeases).await
            }
            Step::LeaseKeepAlive(request) => {
                answer(keep_alive(lease, request), Answer::LeaseKeepAlive).await
            }
            Step::Watch(stream, request) => {
                self.watches.send(stream, request);
                Ok(Answer::Sent)
            }
        }?;
        self.leases.answer(step, &mut answer);
        Ok(answer)
    }
}

/// Renews a lease once.
async fn keep_alive(
    lease: &mut LeaseClient<Channel>,
    request: LeaseKeepAliveRequest,
) -> Result<Response<LeaseKeepAliveResponse>, Status> {
    let mut responses = lease
        .lease_keep_alive(tokio_stream::once(request))
        .await?
        .into_inner();
    match responses.message().await? {
        Some(response) => Ok(Response::new(response)),
        None => Err(Status::ok("end of stream")),
    }
}

async fn answer<T>(
    asked: impl Future<Output = Result<Response<T>, Status>>,
    wrap: fn(T) -> Answer,
) -> Result<Answer> {
    let answer = tokio::time::timeout(PATIENCE, asked)
        .await
        .context("no answer")?;
    Ok(match answer {
        Ok(response) => wrap(response.into_inner()),
        Err(status) => Answer::Refused(status.code(), status.message().to_owned()),
    })
}

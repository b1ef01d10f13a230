//! How long leases have left. Only the leader keeps their time, so other members ask it.
//!
//! A leader that was replaced without noticing must not promise anything: it answers once a majority has confirmed,
//! after it looked, that it still leads. A new leader gives every lease its whole time again, and more.

use std::time::Duration;

use quorate_proto::v1::{
    LeaseRenewAnswer, LeaseRenewRequest, LeaseTimeLeftAnswer, LeaseTimeLeftRequest, Refusal,
    RefusalReason,
};
use quorate_raft::{PeerAnswer, PeerRequest};
use quorate_store::{EtcdError, LeaseInfo};
use tokio::time::Instant;
use tonic::Status;

use super::member::Member;
use super::status;

/// How long a question about a lease waits for a leader that can answer it; as etcd.
const ANSWER_WITHIN: Duration = Duration::from_secs(7);
/// Pause before the leader is looked for again, if nothing is heard of one before.
const TRY_AGAIN: Duration = Duration::from_millis(20);

/// Why there is no answer yet.
enum NotNow {
    /// Ask again: this member does not lead (any more), or the leader is out of reach.
    Again,
    /// It stays so.
    Never(Status),
}

impl Member {
    /// Gives a lease its full TTL again, in seconds; `None` if there is no such lease.
    pub(crate) async fn lease_renew(&self, id: i64) -> Result<Option<i64>, Status> {
        let ttl = self
            .ask_leader(
                || self.renew_here(id),
                || PeerRequest::LeaseRenew(LeaseRenewRequest { id }),
                |answer| match answer {
                    PeerAnswer::LeaseRenew(answer) => Some(answer.ttl_seconds),
                    _ => None,
                },
            )
            .await?;
        Ok((ttl > 0).then_some(ttl))
    }

    /// What is known of a lease; `None` if there is no such lease.
    pub(crate) async fn lease_time_left(&self, id: i64) -> Result<Option<LeaseInfo>, Status> {
        let left = self
            .ask_leader(
                || self.time_left_here(id),
                || PeerRequest::LeaseTimeLeft(LeaseTimeLeftRequest { id }),
                |answer| match answer {
                    PeerAnswer::LeaseTimeLeft(answer) => Some(answer),
                    _ => None,
                },
            )
            .await?;
        if !left.exists {
            return Ok(None);
        }
        // The keys are in every member's state.
        self.read_barrier().await?;
        let keys = self.store().leases().remaining(id).map(|lease| lease.keys);
        Ok(Some(LeaseInfo {
            granted: left.granted_seconds,
            remaining: left.remaining_seconds,
            keys: keys.unwrap_or_default(),
        }))
    }

    /// As the leader: answers another member.
    pub(crate) async fn answer_lease_renew(&self, id: i64) -> PeerAnswer {
        match self.renew_here(id).await {
            Ok(ttl_seconds) => PeerAnswer::LeaseRenew(LeaseRenewAnswer { ttl_seconds }),
            Err(error) => PeerAnswer::Refused(error.into_refusal()),
        }
    }

    /// As the leader: answers another member.
    pub(crate) async fn answer_lease_time_left(&self, id: i64) -> PeerAnswer {
        match self.time_left_here(id).await {
            Ok(answer) => PeerAnswer::LeaseTimeLeft(answer),
            Err(error) => PeerAnswer::Refused(error.into_refusal()),
        }
    }

    /// Asks whoever leads, again and again for a while: neither question does harm.
    async fn ask_leader<T, Here: Future<Output = Result<T, NotNow>>>(
        &self,
        here: impl Fn() -> Here,
        request: impl Fn() -> PeerRequest,
        read: impl Fn(PeerAnswer) -> Option<T>,
    ) -> Result<T, Status> {
        let deadline = Instant::now() + ANSWER_WITHIN;
        loop {
            let asked = async {
                match self.node().other_leader() {
                    None => here().await,
                    Some((id, member)) => {
                        let call = self.peers().call(id, &member, request());
                        tokio::select! {
                            answer = call => match answer {
                                Ok(PeerAnswer::Refused(refused)) => Err(refused_by_leader(refused)),
                                Ok(answer) => read(answer).ok_or(NotNow::Again),
                                Err(_) => Err(NotNow::Again),
                            },
                            () = self.node().leader_is_not(id) => Err(NotNow::Again),
                        }
                    }
                }
            };
            match tokio::time::timeout_at(deadline, asked).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(NotNow::Never(status))) => return Err(status),
                Ok(Err(NotNow::Again)) if Instant::now() < deadline => {
                    self.node().leadership_changes(TRY_AGAIN).await;
                }
                Ok(Err(NotNow::Again)) | Err(_) if self.has_leader() => {
                    return Err(Status::unavailable("etcdserver: request timed out"));
                }
                Ok(Err(NotNow::Again)) | Err(_) => return Err(status::no_leader()),
            }
        }
    }

    async fn renew_here(&self, id: i64) -> Result<i64, NotNow> {
        let renewed = || {
            self.feel_pulse();
            self.store().leases().renew(id)
        };
        let ttl = self.as_leader(renewed).await?;
        let ttl = ttl.map_err(|error| match error {
            EtcdError::NotLeader => NotNow::Again,
            error => NotNow::Never(status::refused(error)),
        })?;
        Ok(ttl.unwrap_or(0))
    }

    async fn time_left_here(&self, id: i64) -> Result<LeaseTimeLeftAnswer, NotNow> {
        // What was granted before the question is applied first.
        self.read_barrier().await.map_err(NotNow::Never)?;
        let left = self
            .as_leader(|| self.store().leases().remaining(id))
            .await?;
        Ok(
            left.map_or_else(LeaseTimeLeftAnswer::default, |lease| LeaseTimeLeftAnswer {
                exists: true,
                granted_seconds: lease.granted,
                remaining_seconds: lease.remaining,
            }),
        )
    }

    /// What `look` sees, if this member led then: confirmed by a majority afterwards.
    async fn as_leader<T>(&self, look: impl FnOnce() -> T) -> Result<T, NotNow> {
        let term = self.node().leads_in().ok_or(NotNow::Again)?;
        let seen = look();
        self.read_barrier().await.map_err(|_| NotNow::Again)?;
        if self.node().leads_in() == Some(term) {
            Ok(seen)
        } else {
            Err(NotNow::Again)
        }
    }
}

impl NotNow {
    fn into_refusal(self) -> Refusal {
        let (reason, message) = match self {
            Self::Again => (
                RefusalReason::NotLeader,
                "this member is not the leader".to_owned(),
            ),
            Self::Never(status) => (RefusalReason::Invalid, status.message().to_owned()),
        };
        Refusal {
            reason: reason.into(),
            message,
        }
    }
}

fn refused_by_leader(refused: Refusal) -> NotNow {
    match refused.reason() {
        RefusalReason::Invalid => NotNow::Never(Status::internal(refused.message)),
        _ => NotNow::Again,
    }
}

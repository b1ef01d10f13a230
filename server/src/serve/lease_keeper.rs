//! Ends leases whose time is over: proposes to revoke them, at their deadlines, many at a time.
//!
//! It sleeps until the next deadline, but not longer than to the next [beat](crate::pulse). The
//! shortest lease is longer than that, so a new one is seen in time.

use quorate_proto::log::LeaseCheckpoint;
use tokio::task::JoinSet;
use tonic::Code;

use crate::doors::member::Member;
use crate::pulse::BEAT;

/// Leases revoked at a time; together they become one log entry.
const BATCH: usize = 512;

/// Watches over the leases until this future is dropped.
pub(super) async fn keep(member: Member) {
    // One job at a time, beside this loop: it must go on beating while the log is slow.
    let mut job = JoinSet::new();
    loop {
        member.feel_pulse();
        if job.is_empty() {
            start_due(&member, &mut job);
        }
        member.pulse().beat();
        let deadline = member.store().leases().until_next_deadline();
        let sleep = match deadline {
            Some(deadline) if job.is_empty() => deadline.min(BEAT),
            // What is due meanwhile waits for the job's end.
            _ => BEAT,
        };
        tokio::select! {
            () = tokio::time::sleep(sleep) => {}
            Some(_) = job.join_next() => {}
        }
    }
}

/// Starts on what has run out, and on noting how much time long leases have left.
fn start_due(member: &Member, job: &mut JoinSet<()>) {
    // Looked up first: if another leads by the time this is proposed, it is refused, for what is over here may
    // have been renewed there.
    let Some(term) = member.node().leads_in() else {
        return;
    };
    let expired = member.store().leases().take_expired(BATCH);
    let checkpoint = member.store().leases().take_checkpoint(BATCH);
    if expired.is_empty() && checkpoint.is_none() {
        return;
    }
    let member = member.clone();
    job.spawn(async move {
        revoke(&member, term, expired).await;
        note(&member, term, checkpoint).await;
    });
}

async fn revoke(member: &Member, term: u64, expired: Vec<i64>) {
    if expired.is_empty() {
        return;
    }
    tracing::debug!(leases = expired.len(), "leases ran out");
    let outcomes = member.lease_expire(term, &expired).await;
    for (id, outcome) in expired.iter().zip(outcomes) {
        match outcome {
            Ok(()) => {}
            // Its holder revoked it at the same moment.
            Err(status) if status.code() == Code::NotFound => {}
            // The store names it again in a few seconds.
            Err(status) => tracing::warn!(lease = id, %status, "cannot revoke a lease yet"),
        }
    }
}

async fn note(member: &Member, term: u64, checkpoint: Option<LeaseCheckpoint>) {
    let Some(checkpoint) = checkpoint else { return };
    if let Err(status) = member.lease_checkpoint(term, checkpoint).await {
        tracing::warn!(%status, "cannot note how much time leases have left");
    }
}

//! Compacts history by itself, as [`CompactionSchedule`] says; through the log, as if a client
//! had asked.

use std::time::Instant;

use quorate_proto::etcdserverpb::CompactionRequest;
use quorate_store::EtcdError;

use crate::compaction_schedule::CompactionSchedule;
use crate::config::Retention;
use crate::doors::member::Member;

/// Compacts until this future is dropped.
pub(super) async fn compact(member: Member, retention: Retention) {
    let origin = Instant::now();
    let mut schedule = CompactionSchedule::new(retention, origin.elapsed());
    loop {
        let due = schedule.tick(origin.elapsed(), member.store().revision());
        // Whoever leads does it; the others are ready to.
        if let Some(revision) = due.filter(|_| member.node().is_leader()) {
            let request = CompactionRequest {
                revision,
                physical: false,
            };
            match member.compact(request).await {
                Ok(_) => {
                    tracing::info!(revision, "compacted the history");
                    schedule.done(origin.elapsed(), revision);
                }
                // Somebody else was faster.
                Err(status) if status.message() == EtcdError::Compacted.message() => {
                    schedule.done(origin.elapsed(), revision);
                }
                Err(status) => tracing::warn!(%status, "cannot compact the history yet"),
            }
        }
        tokio::time::sleep(schedule.interval()).await;
    }
}

//! When history is compacted by itself, and up to where: etcd's rules, without a clock.
//!
//! - By revisions: every five minutes, all but the newest so many.
//! - By time: the revision is noted ten times in each interval, which is the period to be kept,
//!   but at most an hour. Once a whole period has been seen, and then once in each interval, what
//!   was the newest a period ago is compacted.

use std::collections::VecDeque;
use std::time::Duration;

use crate::config::Retention;

const HOUR: Duration = Duration::from_secs(3600);
/// How often history is compacted by revisions.
const REVISION_INTERVAL: Duration = Duration::from_secs(300);
/// How often in an interval the revision is noted, and what failed is tried again.
const NOTES_PER_INTERVAL: u32 = 10;
/// For periods that are too short to be meant.
const SHORTEST_WAIT: Duration = Duration::from_millis(10);

/// Decides when to compact what.
pub(crate) struct CompactionSchedule {
    retention: Retention,
    /// The newest revisions at past ticks, oldest first; as many as fit into the period.
    notes: VecDeque<i64>,
    /// The last compaction.
    compacted: i64,
    /// By time: when the next one may be.
    next: Duration,
}

impl CompactionSchedule {
    /// A schedule that begins now; times are since an origin of the caller's choice.
    pub(crate) fn new(retention: Retention, now: Duration) -> Self {
        let wait = match retention {
            Retention::Period(period) => period,
            Retention::Revisions(_) => Duration::ZERO,
        };
        Self {
            retention,
            notes: VecDeque::new(),
            compacted: 0,
            next: now.saturating_add(wait),
        }
    }

    /// How long to wait between calls of [`tick`](Self::tick); the first one is at the beginning.
    pub(crate) fn interval(&self) -> Duration {
        match self.retention {
            Retention::Period(period) => (interval(period) / NOTES_PER_INTERVAL).max(SHORTEST_WAIT),
            Retention::Revisions(_) => REVISION_INTERVAL,
        }
    }

    /// The revision to compact now, if any. Every member asks, so that each knows what to do when
    /// it becomes the leader; only the leader does it.
    pub(crate) fn tick(&mut self, now: Duration, newest: i64) -> Option<i64> {
        let due = match self.retention {
            Retention::Revisions(kept) => newest.saturating_sub(kept),
            Retention::Period(period) => {
                let due = self.note(period, newest);
                if now < self.next {
                    return None;
                }
                due
            }
        };
        (due > 0 && due != self.compacted).then_some(due)
    }

    /// Notes the newest revision; what was the newest a period ago, or when this began.
    fn note(&mut self, period: Duration, newest: i64) -> i64 {
        // At most ten notes for each hour of the period.
        let ticks = period.as_nanos() / self.interval().as_nanos();
        let kept = usize::try_from(ticks)
            .unwrap_or(usize::MAX)
            .saturating_add(1);
        self.notes.push_back(newest);
        while self.notes.len() > kept {
            self.notes.pop_front();
        }
        self.notes.front().copied().unwrap_or(newest)
    }

    /// A compaction was made, or found made.
    pub(crate) fn done(&mut self, now: Duration, revision: i64) {
        self.compacted = revision;
        if let Retention::Period(period) = self.retention {
            self.next = now.saturating_add(interval(period));
        }
    }
}

/// From one compaction by time to the next.
fn interval(period: Duration) -> Duration {
    period.min(HOUR)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    /// Runs a schedule over a store that gets a revision a minute; when what was compacted, in
    /// minutes.
    fn run(retention: Retention, minutes: u32) -> Vec<(u32, i64)> {
        let mut schedule = CompactionSchedule::new(retention, Duration::ZERO);
        let mut now = Duration::ZERO;
        let mut made = Vec::new();
        while now <= MINUTE * minutes {
            let minute = u32::try_from(now.as_secs() / 60).unwrap();
            if let Some(revision) = schedule.tick(now, i64::from(minute)) {
                schedule.done(now, revision);
                made.push((minute, revision));
            }
            now += schedule.interval();
        }
        made
    }

    #[test]
    fn an_hour_is_kept_and_compacted_hourly() {
        let made = run(Retention::Period(HOUR), 200);
        // At the very beginning the newest revision was 0: nothing to compact an hour later.
        assert_eq!(made, [(66, 6), (126, 66), (186, 126)]);
    }

    #[test]
    fn a_day_is_kept_and_then_compacted_hourly() {
        let made = run(Retention::Period(HOUR * 24), 24 * 60 + 130);
        assert_eq!(made, [(1446, 6), (1506, 66), (1566, 126)]);
    }

    #[test]
    fn less_than_an_hour_is_compacted_as_often() {
        let made = run(Retention::Period(MINUTE * 10), 40);
        assert_eq!(made, [(11, 1), (21, 11), (31, 21)]);
    }

    #[test]
    fn revisions_are_counted_every_five_minutes() {
        let made = run(Retention::Revisions(10), 25);
        assert_eq!(made, [(15, 5), (20, 10), (25, 15)]);
    }

    #[test]
    fn what_failed_is_tried_again_and_what_stands_still_is_left_alone() {
        let period = Retention::Period(HOUR);
        let mut schedule = CompactionSchedule::new(period, Duration::ZERO);
        let interval = schedule.interval();
        assert_eq!(interval, MINUTE * 6);
        for tick in 0..10 {
            assert_eq!(schedule.tick(interval * tick, 7), None);
        }
        for tick in 10..13 {
            assert_eq!(schedule.tick(interval * tick, 7), Some(7));
        }
        schedule.done(interval * 13, 7);
        for tick in 14..40 {
            assert_eq!(schedule.tick(interval * tick, 7), None);
        }
    }

    #[test]
    fn a_period_of_no_length_that_can_be_measured_does_no_harm() {
        let period = Retention::Period(Duration::from_nanos(1));
        let mut schedule = CompactionSchedule::new(period, Duration::ZERO);
        for tick in 1..100 {
            schedule.tick(Duration::from_secs(tick), 5);
        }
        assert!(schedule.notes.len() <= 2);
    }
}

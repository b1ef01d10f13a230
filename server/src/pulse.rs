//! Notices that this process, or its machine, stood still, before a lease can run out for it.
//!
//! A background task beats once a second. Whoever is about to judge a lease by the clock feels
//! the pulse first: the first to find the last beat overdue makes up for it, the others wait.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How often to beat.
pub(crate) const BEAT: Duration = Duration::from_secs(1);
/// A beat later than this is a stall, not a busy moment.
const STALL: Duration = Duration::from_secs(1);

/// The last beat.
#[derive(Debug)]
pub(crate) struct Pulse {
    origin: Instant,
    /// Milliseconds after the origin.
    last: AtomicU64,
    /// Held while a stall is made up for.
    making_up: Mutex<()>,
}

impl Pulse {
    /// The first beat is now.
    pub(crate) fn new() -> Self {
        Self {
            origin: Instant::now(),
            last: AtomicU64::new(0),
            making_up: Mutex::new(()),
        }
    }

    /// Beats; the next one is due in [`BEAT`]. Feel first, or a stall is forgotten.
    pub(crate) fn beat(&self) {
        self.last.store(self.now(), Ordering::Release);
    }

    /// Calls `make_up` with the time this process has missed, if it has; once per stall. It is
    /// done when this returns, whoever did it.
    pub(crate) fn feel(&self, make_up: impl FnOnce(Duration)) {
        self.feel_at(self.now(), make_up);
    }

    fn feel_at(&self, now: u64, make_up: impl FnOnce(Duration)) {
        if self.missed(now).is_none() {
            return;
        }
        let _alone = self.making_up.lock();
        if let Some(missed) = self.missed(now) {
            make_up(missed);
            self.last.store(now, Ordering::Release);
        }
    }

    fn missed(&self, now: u64) -> Option<Duration> {
        let last = self.last.load(Ordering::Acquire);
        let late = Duration::from_millis(now.saturating_sub(last)).saturating_sub(BEAT);
        (late > STALL).then_some(late)
    }

    fn now(&self) -> u64 {
        self.origin.elapsed().as_millis() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stall_is_told_once() {
        let pulse = Pulse::new();
        let told = |at| {
            let mut told = None;
            pulse.feel_at(at, |missed| told = Some(missed));
            told
        };
        pulse.last.store(1_000, Ordering::Release);
        assert_eq!(told(3_000), None, "late, but not a stall");
        assert_eq!(told(6_500), Some(Duration::from_millis(4_500)));
        assert_eq!(told(6_500), None);
        assert_eq!(told(8_000), None);
    }
}

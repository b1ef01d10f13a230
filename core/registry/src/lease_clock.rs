//! The clock by which instances and sessions live: it stands still while this server does.
//!
//! If the process is paused (SIGSTOP, a starved machine, a long page-in), signs of life wait
//! unread in the sockets, and silence proves nothing. The sweeper promises when it will come
//! next; whoever first notices that it is more than [`TOLERANCE`] late credits the whole delay to
//! every deadline at once, by setting this clock back.
//!
//! Clients that were not answered for so long have taken this server for dead, and look for
//! another, or pause before they try this one again. So a stall they can have noticed
//! ([`NOTICED`]) is credited twice, up to [`WAY_BACK`]: the second time is for their way back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::clock::Clock;

/// How late the sweeper may be before it counts as a stall, in milliseconds.
/// Small against the shortest TTL: what is not credited is taken from it.
const TOLERANCE: u64 = 250;
/// A stall after which clients may have given up, in milliseconds.
const NOTICED: u64 = 1_000;
/// The most time given to come back, in milliseconds: longer than a client waits between two
/// attempts.
const WAY_BACK: u64 = 10_000;

/// Milliseconds since the registry started, without stalls.
pub(crate) struct LeaseClock {
    clock: Arc<dyn Clock>,
    start: Duration,
    /// When the next sweep was promised, in milliseconds since `start`; `u64::MAX` before the
    /// first sweep.
    promised: AtomicU64,
    /// Sum of all stalls, in milliseconds.
    credited: AtomicU64,
    /// How many stalls; also makes sure that one stall is credited once.
    stalls: Mutex<u64>,
}

/// One reading of both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// Milliseconds on the lease clock.
    pub(crate) lease: u64,
    /// Since 1970.
    pub(crate) unix: Duration,
}

// === impl LeaseClock ===

impl LeaseClock {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        let start = clock.monotonic();
        Self {
            clock,
            start,
            promised: AtomicU64::new(u64::MAX),
            credited: AtomicU64::new(0),
            stalls: Mutex::new(0),
        }
    }

    /// The time now.
    pub(crate) fn now(&self) -> u64 {
        loop {
            let credited = self.credited.load(Ordering::Acquire);
            let elapsed = self.elapsed();
            if self.is_late(elapsed) {
                self.credit(elapsed);
                continue;
            }
            // A stall credited between the two readings would otherwise count as life time.
            if self.credited.load(Ordering::Acquire) == credited {
                return elapsed.saturating_sub(credited);
            }
        }
    }

    pub(crate) fn moment(&self) -> Moment {
        Moment {
            lease: self.now(),
            unix: self.clock.unix(),
        }
    }

    /// The sweeper will be back in so many milliseconds.
    pub(crate) fn promise(&self, wait: u64) {
        self.promised
            .store(self.elapsed().saturating_add(wait), Ordering::Release);
    }

    /// How many stalls were credited, and how many milliseconds in all.
    pub(crate) fn stalls(&self) -> (u64, u64) {
        (*self.stalls.lock(), self.credited.load(Ordering::Acquire))
    }

    fn elapsed(&self) -> u64 {
        (self.clock.monotonic().saturating_sub(self.start)).as_millis() as u64
    }

    fn is_late(&self, elapsed: u64) -> bool {
        elapsed
            > self
                .promised
                .load(Ordering::Acquire)
                .saturating_add(TOLERANCE)
    }

    fn credit(&self, elapsed: u64) {
        let mut stalls = self.stalls.lock();
        if !self.is_late(elapsed) {
            return; // Another thread was first.
        }
        let promised = self.promised.load(Ordering::Acquire);
        let stall = elapsed - promised;
        let lived = promised.saturating_sub(self.credited.load(Ordering::Acquire));
        let way_back = if stall > NOTICED {
            stall.min(WAY_BACK).min(lived)
        } else {
            0
        };
        // The credit is visible before the promise that hides the stall.
        self.credited.fetch_add(stall + way_back, Ordering::AcqRel);
        self.promised.store(elapsed, Ordering::Release);
        *stalls += 1;
        tracing::warn!(
            stall_ms = stall,
            credited_ms = stall + way_back,
            "this server stood still; every instance and session is given that time"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::FakeClock;

    fn lease_clock() -> (Arc<FakeClock>, LeaseClock) {
        let clock = Arc::new(FakeClock::new());
        (Arc::clone(&clock), LeaseClock::new(clock))
    }

    #[test]
    fn it_runs_freely_before_the_first_sweep() {
        let (fake, lease) = lease_clock();
        fake.advance(60_000);
        assert_eq!(lease.now(), 60_000);
        assert_eq!(lease.stalls(), (0, 0));
    }

    #[test]
    fn a_late_sweep_within_the_tolerance_is_no_stall() {
        let (fake, lease) = lease_clock();
        lease.promise(500);
        fake.advance(500 + TOLERANCE);
        assert_eq!(lease.now(), 500 + TOLERANCE);
    }

    #[test]
    fn a_short_stall_is_credited_whole_and_once() {
        let (fake, lease) = lease_clock();
        lease.promise(500);
        fake.advance(1_200);
        assert_eq!(lease.now(), 500);
        assert_eq!(lease.now(), 500);
        assert_eq!(lease.stalls(), (1, 700));
        fake.advance(100);
        assert_eq!(lease.now(), 600);
    }

    #[test]
    fn a_stall_clients_noticed_gives_them_time_to_come_back() {
        let (fake, lease) = lease_clock();
        fake.advance(60_000);
        lease.promise(500);
        fake.advance(30_500);
        assert_eq!(lease.now(), 60_500 - WAY_BACK);
        assert_eq!(lease.now(), 60_500 - WAY_BACK);
        assert_eq!(lease.stalls(), (1, 30_000 + WAY_BACK));
        lease.promise(0);
        fake.advance(2_000);
        assert_eq!(lease.now(), 60_500 - WAY_BACK - 2_000);
        assert_eq!(lease.stalls(), (2, 32_000 + WAY_BACK + 2_000));
    }

    #[test]
    fn it_is_never_set_back_before_its_start() {
        let (fake, lease) = lease_clock();
        lease.promise(500);
        fake.advance(30_500);
        assert_eq!(lease.now(), 0);
        fake.advance(100);
        assert_eq!(lease.now(), 100);
    }
}

//! Where time comes from, so that a test can hold it.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Two readings of time. Deadlines follow the monotonic one; the other is only shown to people
/// and seeds revisions, and may jump.
pub trait Clock: Send + Sync + 'static {
    /// Time since a fixed point in this process's life. Never goes back.
    fn monotonic(&self) -> Duration;

    /// Time since 1970-01-01 UTC as the machine believes it to be.
    fn unix(&self) -> Duration;
}

/// The machine's clocks.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    start: Instant,
}

// === impl SystemClock ===

impl SystemClock {
    /// A clock that starts now.
    #[must_use]
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    fn unix(&self) -> Duration {
        // A clock before 1970 counts as 1970: revisions grow by one at a time then.
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
    }
}

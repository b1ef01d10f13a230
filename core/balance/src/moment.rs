//! Time as the balancer sees it: a number handed in by the caller.

use std::time::Duration;

/// A point on the caller's monotonic clock, in nanoseconds since an origin of the caller's choice.
///
/// A coarse clock is enough: one atomic that a thread refreshes every millisecond costs a pick 1 ns, where
/// `Instant::now` costs 25 ns or more. It must not run backwards by more than a minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(u64);

impl Moment {
    /// The moment `nanos` nanoseconds after the origin.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// The moment `millis` milliseconds after the origin.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// Nanoseconds since the origin.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Whole milliseconds since the origin.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000_000
    }

    /// The moment `duration` later; the end of time if there is no such moment.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(saturating_nanos(duration)))
    }

    /// How long after `earlier` this is; zero if it is not.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Nanoseconds of a duration; `u64::MAX` (584 years) if there are more.
pub(crate) fn saturating_nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates() {
        let late = Moment::from_nanos(u64::MAX - 1);
        assert_eq!(late.after(Duration::MAX).as_nanos(), u64::MAX);
        assert_eq!(Moment::from_millis(1).since(late), Duration::ZERO);
        assert_eq!(
            Moment::from_millis(1)
                .after(Duration::from_micros(1500))
                .as_millis(),
            2
        );
        assert_eq!(Moment::from_millis(u64::MAX).as_nanos(), u64::MAX);
    }
}

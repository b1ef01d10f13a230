//! Whether one endpoint is let through: a small state machine, and its form as one atomic that a pick can read.
//!
//! ```text
//!            Trip                     Claim (one pick wins)
//!  Closed ──────────▶ Tripped(until) ───────────▶ Probing(until) ──Passed──▶ Closed
//!    │ ▲                 ▲                          │  │     ▲
//!    │ └──Expire──┐      ├──────────Failed──────────┘  │     └─Claim, when the probe is lost (until has passed)
//!    └──Eject──▶ Ejected(until)  └───Cancelled (at once due again)
//! ```
//! Pure: an event either leads to another state or does not apply.

use crate::moment::Moment;
use std::sync::atomic::{AtomicU64, Ordering};

/// The state of one endpoint's gate. Times are kept in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    /// Requests go through (as a circuit is closed).
    Closed,
    /// The breaker tripped. From `until` on, a pick may claim the probe.
    Tripped { until: u64 },
    /// The probe is under way. It is lost if not reported by `until`.
    Probing { until: u64 },
    /// An outlier. From `until` on requests go through, as if closed.
    Ejected { until: u64 },
}

/// What happens to a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The endpoint failed too often.
    Trip { until: u64 },
    /// It is worse than the others.
    Eject { until: u64 },
    /// A pick wants to be the probe.
    Claim { now: u64, lost_at: u64 },
    /// The probe went well.
    Passed,
    /// The probe failed.
    Failed { until: u64 },
    /// The probe was given up: it says nothing.
    Cancelled { now: u64 },
    /// Time to tidy up.
    Expire { now: u64 },
}

/// What a pick may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// Go.
    Pass,
    /// Go, if the probe can be claimed.
    Due,
    /// Go elsewhere.
    Refuse,
}

impl Gate {
    /// What a pick may do now.
    pub(crate) fn admission(self, now: u64) -> Admission {
        match self {
            Self::Closed => Admission::Pass,
            Self::Ejected { until } if now >= until => Admission::Pass,
            Self::Tripped { until } | Self::Probing { until } if now >= until => Admission::Due,
            _ => Admission::Refuse,
        }
    }

    /// The state after an event; `None` if it does not apply.
    pub(crate) fn after(self, event: Event) -> Option<Self> {
        match (self, event) {
            (Self::Closed, Event::Trip { until }) => Some(Self::Tripped { until }),
            (Self::Closed, Event::Eject { until }) => Some(Self::Ejected { until }),
            (Self::Tripped { until } | Self::Probing { until }, Event::Claim { now, lost_at })
                if now >= until =>
            {
                Some(Self::Probing { until: lost_at })
            }
            (Self::Probing { .. }, Event::Passed) => Some(Self::Closed),
            (Self::Probing { .. }, Event::Failed { until }) => Some(Self::Tripped { until }),
            (Self::Probing { .. }, Event::Cancelled { now }) => Some(Self::Tripped { until: now }),
            (Self::Ejected { until }, Event::Expire { now }) if now >= until => Some(Self::Closed),
            _ => None,
        }
    }

    fn pack(self) -> u64 {
        match self {
            Self::Closed => 0,
            Self::Tripped { until } => until << 2 | 1,
            Self::Probing { until } => until << 2 | 2,
            Self::Ejected { until } => until << 2 | 3,
        }
    }

    fn unpack(word: u64) -> Self {
        let until = word >> 2;
        match word & 3 {
            0 => Self::Closed,
            1 => Self::Tripped { until },
            2 => Self::Probing { until },
            _ => Self::Ejected { until },
        }
    }
}

/// A gate that threads share.
#[derive(Debug, Default)]
pub(crate) struct AtomicGate(AtomicU64);

impl AtomicGate {
    /// The state now.
    pub(crate) fn load(&self) -> Gate {
        Gate::unpack(self.0.load(Ordering::Relaxed))
    }

    /// What a pick may do now.
    pub(crate) fn admission(&self, now: Moment) -> Admission {
        self.load().admission(now.as_millis())
    }

    /// Applies an event; (before, after) if it did apply. Of several threads with the same event, one succeeds
    /// wherever the event leads out of its own state.
    pub(crate) fn apply(&self, event: Event) -> Option<(Gate, Gate)> {
        let mut word = self.0.load(Ordering::Relaxed);
        loop {
            let before = Gate::unpack(word);
            let after = before.after(event)?;
            match self.0.compare_exchange_weak(
                word,
                after.pack(),
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Some((before, after)),
                Err(actual) => word = actual,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOSED: Gate = Gate::Closed;
    const TRIPPED: Gate = Gate::Tripped { until: 100 };
    const PROBING: Gate = Gate::Probing { until: 100 };
    const EJECTED: Gate = Gate::Ejected { until: 100 };

    #[test]
    fn every_state_meets_every_event() {
        let events = [
            Event::Trip { until: 200 },
            Event::Eject { until: 200 },
            Event::Claim {
                now: 99,
                lost_at: 300,
            },
            Event::Claim {
                now: 100,
                lost_at: 300,
            },
            Event::Passed,
            Event::Failed { until: 200 },
            Event::Cancelled { now: 50 },
            Event::Expire { now: 99 },
            Event::Expire { now: 100 },
        ];
        let tripped = Some(Gate::Tripped { until: 200 });
        let claimed = Some(Gate::Probing { until: 300 });
        let table = [
            (
                CLOSED,
                [
                    tripped,
                    Some(Gate::Ejected { until: 200 }),
                    None,
                    None,
                    None,
                    None,
                    None,
                    None,
                    None,
                ],
            ),
            (
                TRIPPED,
                [None, None, None, claimed, None, None, None, None, None],
            ),
            (
                PROBING,
                [
                    None,
                    None,
                    None,
                    claimed,
                    Some(CLOSED),
                    tripped,
                    Some(Gate::Tripped { until: 50 }),
                    None,
                    None,
                ],
            ),
            (
                EJECTED,
                [None, None, None, None, None, None, None, None, Some(CLOSED)],
            ),
        ];
        for (state, expected) in table {
            for (event, expected) in events.into_iter().zip(expected) {
                assert_eq!(state.after(event), expected, "{state:?} and {event:?}");
            }
        }
    }

    #[test]
    fn who_may_pass() {
        let table = [
            (CLOSED, Admission::Pass, Admission::Pass),
            (TRIPPED, Admission::Refuse, Admission::Due),
            (PROBING, Admission::Refuse, Admission::Due),
            (EJECTED, Admission::Refuse, Admission::Pass),
        ];
        for (state, before, from) in table {
            assert_eq!(state.admission(99), before, "{state:?}");
            assert_eq!(state.admission(100), from, "{state:?}");
        }
    }

    #[test]
    fn a_gate_fits_a_word() {
        for state in [
            CLOSED,
            TRIPPED,
            PROBING,
            EJECTED,
            Gate::Ejected {
                until: (1 << 62) - 1,
            },
        ] {
            assert_eq!(Gate::unpack(state.pack()), state);
        }
    }

    #[test]
    fn one_of_many_threads_claims() {
        for round in 0..50 {
            let gate = AtomicGate::default();
            gate.apply(Event::Trip { until: round });
            let barrier = std::sync::Barrier::new(4);
            let claim = || {
                barrier.wait();
                gate.apply(Event::Claim {
                    now: round,
                    lost_at: round + 10,
                })
                .is_some()
            };
            let claimed = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..4).map(|_| scope.spawn(claim)).collect();
                threads
                    .into_iter()
                    .map(|t| t.join().unwrap())
                    .filter(|&won| won)
                    .count()
            });
            assert_eq!(claimed, 1);
        }
    }
}

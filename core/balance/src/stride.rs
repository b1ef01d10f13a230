//! Weighted round robin without a lock: gRPC's static stride scheduler (gRFC A58).
//!
//! One atomic sequence. Its remainder names a member, its quotient a round. In each round a member is taken or
//! skipped so that over 65,535 rounds it is taken exactly as often as its weight says, evenly spaced. The heaviest is
//! never skipped, so a draw looks at no more members than there are; with few heavy and many light ones it may look at
//! many.
//!
//! gRPC gives endpoints of unknown weight the mean. Here every weight is known, and 0 never gets this far.

use std::sync::atomic::{AtomicU64, Ordering};

/// The weight of the heaviest member, and the number of rounds in a cycle.
const FULL: u64 = u16::MAX as u64;
/// Half of it, so that neighbours of equal weight are not skipped in the same rounds.
const OFFSET: u64 = FULL / 2;

#[derive(Debug)]
pub(crate) struct StrideTable {
    /// (weight scaled to 1..=65535, member)
    members: Box<[(u16, u32)]>,
}

impl StrideTable {
    /// A table over members (index, weight); weights must be positive and finite. There must be at least one.
    pub(crate) fn new(members: &[(u32, f64)]) -> Self {
        debug_assert!(!members.is_empty());
        let heaviest = members.iter().fold(0.0, |most: f64, m| most.max(m.1));
        let scale = |weight: f64| ((weight / heaviest * FULL as f64).round() as u16).max(1);
        Self {
            members: members.iter().map(|m| (scale(m.1), m.0)).collect(),
        }
    }

    /// The next member.
    pub(crate) fn draw(&self, sequence: &AtomicU64) -> u32 {
        let count = self.members.len() as u64;
        loop {
            let position = sequence.fetch_add(1, Ordering::Relaxed);
            let (index, round) = (position % count, position / count % FULL);
            let (weight, member) = self.members[index as usize];
            let weight = u64::from(weight);
            if (weight * round + index * OFFSET) % FULL >= FULL - weight {
                return member;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is drawn from `start` until a whole cycle has passed.
    fn cycle(weights: &[f64], start: u64) -> Vec<u32> {
        let members: Vec<_> = (0..).zip(weights.iter().copied()).collect();
        let table = StrideTable::new(&members);
        let sequence = AtomicU64::new(start);
        let mut counts = vec![0; weights.len()];
        loop {
            let drawn = table.draw(&sequence);
            if sequence.load(Ordering::Relaxed) > start + FULL * weights.len() as u64 {
                return counts;
            }
            counts[drawn as usize] += 1;
        }
    }

    #[test]
    fn a_cycle_is_exact() {
        assert_eq!(cycle(&[3.0, 1.0, 1.0], 0), [65535, 21845, 21845]);
        assert_eq!(
            cycle(&[65535.0, 1.0, 32767.0, 255.0], 0),
            [65535, 1, 32767, 255]
        );
        assert_eq!(cycle(&[1.0, 1.0], 0), [65535, 65535]);
    }

    #[test]
    fn a_cycle_is_exact_from_anywhere() {
        for start in [1, 77, 65535 * 3 + 1, u64::MAX / 2] {
            assert_eq!(
                cycle(&[3.0, 1.0, 1.0], start),
                [65535, 21845, 21845],
                "from {start}"
            );
        }
    }

    #[test]
    fn few_draws_are_close_already() {
        let table = StrideTable::new(&[(0, 3.0), (1, 1.0), (2, 1.0)]);
        let sequence = AtomicU64::new(0);
        let mut counts = [0_i32; 3];
        for drawn in 1..=500 {
            counts[table.draw(&sequence) as usize] += 1;
            for (count, share) in counts.iter().zip([0.6, 0.2, 0.2]) {
                let off = f64::from(*count) - f64::from(drawn) * share;
                assert!(off.abs() <= 2.0, "{counts:?} after {drawn}");
            }
        }
    }

    #[test]
    fn the_lightest_is_drawn_too() {
        // Scaled, it would round to nothing.
        let counts = cycle(&[1_000_000.0, 1.0], 0);
        assert_eq!(counts, [65535, 1]);
    }
}

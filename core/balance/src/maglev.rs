//! Consistent hashing with even shares: Maglev (Eisenbud et al., NSDI 2016, section 3.4), with weights as in Envoy.
//!
//! Every member walks its own permutation of the slots and takes the next free one when its turn comes. Turns come in
//! proportion to the weights, normalised so that the heaviest has one in every round. The permutation depends on the
//! id alone, so all clients agree, and removing a member moves little but its own slots.

use fastrand::Rng;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Slots in the table, and the most members it can serve. A prime, so that every stride visits all of them.
const SLOTS: usize = 65537;

#[derive(Debug)]
pub(crate) struct MaglevTable {
    slots: Box<[u32]>,
}

impl MaglevTable {
    /// A table over members (index, id, weight); weights must be positive. There must be at least one.
    /// Same ids and weights in the same order give the same table, everywhere.
    pub(crate) fn new(members: &[(u32, Arc<str>, u16)]) -> Self {
        debug_assert!(!members.is_empty());
        let heaviest = members.iter().map(|m| m.2).max().unwrap_or(1).max(1);
        let mut walkers: Vec<Walker> = members.iter().map(|m| Walker::new(m, heaviest)).collect();
        // A queue instead of rounds over all: with one heavy member, most rounds would be its own.
        let mut turns: BinaryHeap<_> = walkers
            .iter()
            .enumerate()
            .map(|(i, w)| Reverse((w.round(), i)))
            .collect();
        let mut slots = vec![None; SLOTS];
        for _ in 0..SLOTS {
            // Invariant: there is a member, and each that leaves the queue comes back.
            let Some(mut turn) = turns.peek_mut() else {
                break;
            };
            let walker = &mut walkers[turn.0.1];
            let slot = walker.next_free(&slots);
            slots[slot] = Some(walker.member);
            walker.turns += 1;
            turn.0.0 = walker.round();
        }
        Self {
            slots: slots.into_iter().flatten().collect(),
        }
    }

    /// The member a hash belongs to; at random without one. Each attempt looks at another slot.
    pub(crate) fn draw(&self, hash: Option<u64>, attempt: u32, rng: &mut Rng) -> u32 {
        let bits = match hash {
            // Hashed again, because callers pass small numbers; with a fixed seed, because all clients must agree.
            Some(hash) => xxh3_64_with_seed(&hash.to_le_bytes(), u64::from(attempt)),
            None => rng.u64(..),
        };
        self.slots[(bits % SLOTS as u64) as usize]
    }
}

/// A member on its way through the slots.
struct Walker {
    member: u32,
    weight: u16,
    heaviest: u16,
    turns: u64,
    position: usize,
    stride: usize,
}

impl Walker {
    fn new((index, id, weight): &(u32, Arc<str>, u16), heaviest: u16) -> Self {
        let hash = |seed| xxh3_64_with_seed(id.as_bytes(), seed);
        Self {
            member: *index,
            weight: (*weight).max(1),
            heaviest,
            turns: 0,
            position: (hash(0) % SLOTS as u64) as usize,
            stride: (hash(1) % (SLOTS as u64 - 1)) as usize + 1,
        }
    }

    /// The round of its next turn: the heaviest has one in every round.
    fn round(&self) -> u64 {
        ((self.turns + 1) * u64::from(self.heaviest)).div_ceil(u64::from(self.weight))
    }

    /// The next free slot on its way. There must be one: the stride is no divisor of a prime, so it finds it.
    fn next_free(&mut self, slots: &[Option<u32>]) -> usize {
        loop {
            let position = self.position;
            self.position = (position + self.stride) % SLOTS;
            if slots[position].is_none() {
                return position;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(weights: &[u16]) -> Vec<(u32, Arc<str>, u16)> {
        (0..)
            .zip(weights)
            .map(|(i, &w)| (i, Arc::from(format!("endpoint-{i}")), w))
            .collect()
    }

    fn shares(table: &MaglevTable, count: usize) -> Vec<f64> {
        let mut shares = vec![0.0; count];
        for &slot in &table.slots {
            shares[slot as usize] += 1.0 / SLOTS as f64;
        }
        shares
    }

    #[test]
    fn slots_follow_the_weights() {
        let shares = shares(&MaglevTable::new(&members(&[3, 1, 1])), 3);
        for (share, expected) in shares.iter().zip([0.6, 0.2, 0.2]) {
            assert!((share - expected).abs() < 0.0001, "{shares:?}");
        }
    }

    #[test]
    fn many_equal_members_get_even_slots() {
        let shares = shares(&MaglevTable::new(&members(&[100; 1000])), 1000);
        let most = shares.iter().fold(0.0, |a: f64, &b| a.max(b));
        let least = shares.iter().fold(1.0, |a: f64, &b| a.min(b));
        assert!(most / least < 1.02, "{least} to {most}");
    }

    #[test]
    fn extreme_weights_still_fill_the_table() {
        let table = MaglevTable::new(&members(&[u16::MAX, 1]));
        assert_eq!(table.slots.len(), SLOTS);
        assert!(shares(&table, 2)[1] > 0.0);
    }

    #[test]
    fn removing_one_moves_little_else() {
        let all = members(&[1; 20]);
        let fewer: Vec<_> = all.iter().filter(|m| m.0 != 7).cloned().collect();
        let (before, after) = (MaglevTable::new(&all), MaglevTable::new(&fewer));
        let kept = before.slots.iter().filter(|&&s| s != 7).count();
        let moved = before
            .slots
            .iter()
            .zip(&after.slots)
            .filter(|&(&b, &a)| b != 7 && b != a)
            .count();
        // Rehashing modulo n would move 95 %.
        assert!(moved * 10 < kept, "{moved} of {kept} moved without need");
    }

    #[test]
    fn attempts_look_elsewhere_and_repeat() {
        let table = MaglevTable::new(&members(&[1; 50]));
        let mut rng = Rng::with_seed(1);
        let drawn: Vec<u32> = (0..8)
            .map(|attempt| table.draw(Some(42), attempt, &mut rng))
            .collect();
        let again: Vec<u32> = (0..8)
            .map(|attempt| table.draw(Some(42), attempt, &mut rng))
            .collect();
        assert_eq!(drawn, again);
        assert!(
            drawn
                .iter()
                .collect::<std::collections::BTreeSet<_>>()
                .len()
                > 4,
            "{drawn:?}"
        );
    }

    #[test]
    fn small_consecutive_hashes_spread() {
        let table = MaglevTable::new(&members(&[1; 4]));
        let mut rng = Rng::with_seed(1);
        let mut counts = [0; 4];
        for hash in 0..4000 {
            counts[table.draw(Some(hash), 0, &mut rng) as usize] += 1;
        }
        assert!(counts.iter().all(|c| (900..1100).contains(c)), "{counts:?}");
    }
}

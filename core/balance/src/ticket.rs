//! Which picks are under way, so that each report counts exactly once.
//!
//! A pick writes a word into a ring: its number, the endpoint's slot, and whether it is a probe. Its handle is the
//! place and the word. The report takes the word out again, if it is still there: a second report of the same pick,
//! a late one, or a made-up one finds something else and is ignored. When the ring is full, a pick takes the place of
//! an old one, and that one counts as cancelled: callers that never report leak nothing.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bits of the slot in a word, lowest first; then one for the probe; the rest is the number of the pick.
const SLOT_BITS: u32 = 24;
/// The most endpoints a balancer can keep statistics of.
pub(crate) const MAX_SLOTS: usize = 1 << SLOT_BITS;
const PROBE: u64 = 1 << SLOT_BITS;
/// Places tried before an old pick is pushed out.
const TRIES: u64 = 4;

/// Names one pick, for its report. Two plain numbers, so that a binding can carry them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PickHandle {
    place: u32,
    word: u64,
}

impl PickHandle {
    /// The handle as two numbers: its place, and its generation.
    #[must_use]
    pub const fn to_parts(self) -> (u32, u64) {
        (self.place, self.word)
    }

    /// The handle of two numbers. Made-up ones are ignored by a report, unless they hit a pick that is under way.
    #[must_use]
    pub const fn from_parts(place: u32, generation: u64) -> Self {
        Self {
            place,
            word: generation,
        }
    }
}

/// What a word says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub(crate) slot: u32,
    pub(crate) probe: bool,
}

/// The ring.
#[derive(Debug)]
pub(crate) struct Tickets {
    /// 0 is a free place: picks are numbered from 1. Made by the first pick: a client may follow thousands of services
    /// and call few of them.
    places: OnceLock<Box<[AtomicU64]>>,
    /// How many there are; a power of two.
    capacity: usize,
    issued: Alone,
    closed: Alone,
}

/// A count on a cache line of its own: every pick writes one, every report the other.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Alone(AtomicU64);

impl Tickets {
    /// A ring of at least `capacity` places.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            places: OnceLock::new(),
            capacity: capacity.clamp(16, 1 << 24).next_power_of_two(),
            issued: Alone::default(),
            closed: Alone::default(),
        }
    }

    /// Notes a pick; also the ticket it pushed out, if it had to.
    pub(crate) fn issue(&self, ticket: Ticket) -> (PickHandle, Option<Ticket>) {
        let number = self.issued.0.fetch_add(1, Ordering::Relaxed) + 1;
        let word = number << (SLOT_BITS + 1)
            | if ticket.probe { PROBE } else { 0 }
            | u64::from(ticket.slot);
        let places = self.places.get_or_init(|| self.make_places());
        for place in (number..number + TRIES).map(|n| self.place(n)) {
            if places[place as usize]
                .compare_exchange(0, word, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
            {
                return (PickHandle { place, word }, None);
            }
        }
        let place = self.place(number);
        let old = places[place as usize].swap(word, Ordering::AcqRel);
        (PickHandle { place, word }, self.close(old))
    }

    /// Picks so far.
    pub(crate) fn issued(&self) -> u64 {
        self.issued.0.load(Ordering::Relaxed)
    }

    /// Where the pick of this number begins to look. Eight places share a cache line, so neighbours in time are put
    /// eight apart: two threads that pick in turn do not write to one line.
    fn place(&self, number: u64) -> u32 {
        let bits = self.capacity.trailing_zeros();
        let turn = number & (self.capacity as u64 - 1);
        ((turn << 3 | turn >> (bits - 3)) & (self.capacity as u64 - 1)) as u32
    }

    #[cold]
    fn make_places(&self) -> Box<[AtomicU64]> {
        (0..self.capacity).map(|_| AtomicU64::new(0)).collect()
    }

    /// Ends a pick; `None` if it has ended already.
    pub(crate) fn redeem(&self, handle: PickHandle) -> Option<Ticket> {
        let place = self.places.get()?.get(handle.place as usize)?;
        place
            .compare_exchange(handle.word, 0, Ordering::AcqRel, Ordering::Relaxed)
            .ok()?;
        self.close(handle.word)
    }

    /// Picks under way.
    pub(crate) fn outstanding(&self) -> u64 {
        // In this order, and saturating: the two are read apart.
        let closed = self.closed.0.load(Ordering::Relaxed);
        self.issued.0.load(Ordering::Relaxed).saturating_sub(closed)
    }

    fn close(&self, word: u64) -> Option<Ticket> {
        (word != 0).then(|| {
            self.closed.0.fetch_add(1, Ordering::Relaxed);
            Ticket {
                slot: (word & (PROBE - 1)) as u32,
                probe: word & PROBE != 0,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket(slot: u32) -> Ticket {
        Ticket {
            slot,
            probe: slot % 2 == 1,
        }
    }

    #[test]
    fn a_ticket_is_redeemed_once() {
        let tickets = Tickets::new(16);
        let (handle, pushed) = tickets.issue(ticket(7));
        assert_eq!((pushed, tickets.outstanding()), (None, 1));
        assert_eq!(tickets.redeem(handle), Some(ticket(7)));
        assert_eq!(tickets.redeem(handle), None);
        assert_eq!(tickets.outstanding(), 0);
    }

    #[test]
    fn a_service_nobody_calls_costs_nothing() {
        let tickets = Tickets::new(8192);
        assert_eq!(tickets.redeem(PickHandle::from_parts(0, 0)), None);
        assert!(tickets.places.get().is_none());
        tickets.issue(ticket(1));
        assert_eq!(tickets.places.get().map(|places| places.len()), Some(8192));
    }

    #[test]
    fn a_place_used_again_has_another_generation() {
        let tickets = Tickets::new(16);
        let (old, _) = tickets.issue(ticket(1));
        tickets.redeem(old);
        for _ in 0..16 {
            let (new, _) = tickets.issue(ticket(1));
            assert_ne!(new, old);
            tickets.redeem(new);
        }
        assert_eq!(tickets.redeem(old), None);
    }

    #[test]
    fn a_full_ring_pushes_out_and_stays_consistent() {
        let tickets = Tickets::new(16);
        let handles: Vec<_> = (0..100).map(|slot| tickets.issue(ticket(slot)).0).collect();
        assert_eq!(tickets.outstanding(), 16);
        let redeemed: Vec<u32> = handles
            .iter()
            .filter_map(|&h| tickets.redeem(h))
            .map(|t| t.slot)
            .collect();
        assert_eq!(redeemed, (84..100).collect::<Vec<_>>());
        assert_eq!(tickets.outstanding(), 0);
    }

    #[test]
    fn every_place_is_used_once_a_turn() {
        for capacity in [16, 64, 8192] {
            let tickets = Tickets::new(capacity);
            let places: std::collections::BTreeSet<u32> =
                (5..5 + capacity as u64).map(|n| tickets.place(n)).collect();
            assert_eq!(places.len(), capacity);
            assert!(places.iter().all(|&place| (place as usize) < capacity));
        }
    }

    #[test]
    fn a_long_call_is_stepped_around() {
        let tickets = Tickets::new(16);
        let (long, _) = tickets.issue(ticket(3));
        for _ in 0..100 {
            let (short, pushed) = tickets.issue(ticket(4));
            assert_eq!(pushed, None);
            tickets.redeem(short);
        }
        assert_eq!(tickets.redeem(long), Some(ticket(3)));
    }

    #[test]
    fn made_up_handles_are_ignored() {
        let tickets = Tickets::new(16);
        let (handle, _) = tickets.issue(ticket(3));
        for (place, word) in [
            (0, 0),
            (u32::MAX, 1),
            (handle.place, handle.word + 1),
            (handle.place, 0),
        ] {
            assert_eq!(tickets.redeem(PickHandle::from_parts(place, word)), None);
        }
        let (place, generation) = handle.to_parts();
        assert_eq!(
            tickets.redeem(PickHandle::from_parts(place, generation)),
            Some(ticket(3))
        );
    }

    #[test]
    fn threads_redeem_what_they_issued() {
        let tickets = Tickets::new(1024);
        std::thread::scope(|scope| {
            for slot in 0..4 {
                let tickets = &tickets;
                scope.spawn(move || {
                    for _ in 0..5000 {
                        let (handle, pushed) = tickets.issue(ticket(slot));
                        assert_eq!(pushed, None);
                        assert_eq!(tickets.redeem(handle), Some(ticket(slot)));
                    }
                });
            }
        });
        assert_eq!(tickets.outstanding(), 0);
    }
}

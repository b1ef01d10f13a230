//! Which leases to renew, when, and which are lost.
//!
//! A lease is renewed every third of its time to live. It counts as lost when the server says so,
//! or when it was not renewed in time by the clock of this side: from the moment the last renewal
//! that was answered was *sent*, so that the server cannot have let it go earlier. A question that
//! stays without an answer for another third makes the stream suspect.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

/// A lease's parts: renewed after one, suspicious after two, lost after three.
const PARTS: u32 = 3;
/// The longest time an answer is awaited before the stream is suspect.
const MAX_PATIENCE: Duration = Duration::from_secs(5);

/// etcd's longest time to live; more than that is not believed.
const MAX_TTL: Duration = Duration::from_secs(9_000_000_000);

/// What the driver has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Ask for a renewal on the stream.
    Renew(i64),
    /// Tell the lease's owner; it is no longer in the book.
    Lost(i64, Loss),
    /// The stream does not answer: use another.
    Reconnect,
}

/// Why a lease is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// The server does not have it any more.
    Gone,
    /// It was not renewed in time.
    NotRenewed,
}

/// All leases of a client.
#[derive(Debug, Default)]
pub(crate) struct LeaseBook {
    leases: HashMap<i64, Held>,
    /// When each lease needs attention next.
    wakeups: BTreeSet<(Instant, i64)>,
    connected: bool,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    ttl: Duration,
    /// Lost from then on.
    deadline: Instant,
    renew_at: Instant,
    /// When the renewal that is not answered yet was sent.
    asked: Option<Instant>,
    /// Its entry in `wakeups`.
    wakeup: Instant,
}

impl Held {
    fn next_wakeup(&self, connected: bool) -> Instant {
        match (connected, self.asked) {
            (false, _) => self.deadline,
            (true, Some(asked)) => (asked + patience(self.ttl)).min(self.deadline),
            (true, None) => self.renew_at.min(self.deadline),
        }
    }
}

fn patience(ttl: Duration) -> Duration {
    (ttl / PARTS).min(MAX_PATIENCE)
}

impl LeaseBook {
    pub(crate) fn is_empty(&self) -> bool {
        self.leases.is_empty()
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = i64> {
        self.leases.keys().copied()
    }

    /// A lease granted for `ttl`; the request for it was sent at `sent`.
    pub(crate) fn add(&mut self, id: i64, ttl: Duration, sent: Instant) {
        self.remove(id);
        let ttl = ttl.min(MAX_TTL);
        let mut held = Held {
            ttl,
            deadline: sent + ttl,
            renew_at: sent + ttl / PARTS,
            asked: None,
            wakeup: sent,
        };
        held.wakeup = held.next_wakeup(self.connected);
        self.wakeups.insert((held.wakeup, id));
        self.leases.insert(id, held);
    }

    /// The owner gave it up; answers whether it was there.
    pub(crate) fn remove(&mut self, id: i64) -> bool {
        match self.leases.remove(&id) {
            Some(held) => self.wakeups.remove(&(held.wakeup, id)),
            None => false,
        }
    }

    /// There is a fresh stream.
    pub(crate) fn connected(&mut self) {
        self.set_connected(true);
    }

    /// The stream is gone, and with it the answers still awaited: those leases are due at once.
    pub(crate) fn disconnected(&mut self) {
        self.set_connected(false);
    }

    fn set_connected(&mut self, connected: bool) {
        self.connected = connected;
        self.wakeups.clear();
        for (&id, held) in &mut self.leases {
            held.asked = None;
            held.wakeup = held.next_wakeup(connected);
            self.wakeups.insert((held.wakeup, id));
        }
    }

    /// The server answered a renewal with this time to live; none means the lease is gone.
    pub(crate) fn renewed(&mut self, id: i64, ttl: Option<Duration>) -> Option<Command> {
        let held = self.leases.get(&id)?;
        // What was not asked on this stream is not believed: its time is not known.
        let asked = held.asked?;
        match ttl {
            None => {
                self.remove(id);
                Some(Command::Lost(id, Loss::Gone))
            }
            Some(ttl) => {
                self.add(id, ttl, asked);
                None
            }
        }
    }

    /// What is to be done now.
    pub(crate) fn poll(&mut self, now: Instant) -> Vec<Command> {
        let mut commands = Vec::new();
        while let Some(&(at, id)) = self.wakeups.first()
            && at <= now
        {
            self.wakeups.pop_first();
            let Some(held) = self.leases.get_mut(&id) else {
                continue;
            };
            if held.deadline <= now {
                self.leases.remove(&id);
                commands.push(Command::Lost(id, Loss::NotRenewed));
                continue;
            }
            if held.asked.is_none() {
                held.asked = Some(now);
                commands.push(Command::Renew(id));
            } else {
                if !commands.contains(&Command::Reconnect) {
                    commands.push(Command::Reconnect);
                }
                // The driver will say `disconnected`; until then only the deadline counts.
                held.asked = Some(held.deadline);
            }
            held.wakeup = held.next_wakeup(self.connected);
            self.wakeups.insert((held.wakeup, id));
        }
        commands
    }

    /// When `poll` has something to do next, if nothing else happens.
    pub(crate) fn next_wakeup(&self) -> Option<Instant> {
        self.wakeups.first().map(|&(at, _)| at)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TTL: Duration = Duration::from_secs(9);
    const SECOND: Duration = Duration::from_secs(1);

    fn connected() -> (LeaseBook, Instant) {
        let mut book = LeaseBook::default();
        book.connected();
        (book, Instant::now())
    }

    #[test]
    fn a_lease_is_renewed_every_third_of_its_time() {
        let (mut book, start) = connected();
        book.add(1, TTL, start);
        assert_eq!(book.next_wakeup(), Some(start + 3 * SECOND));
        assert_eq!(book.poll(start + 2 * SECOND), []);
        assert_eq!(book.poll(start + 3 * SECOND), [Command::Renew(1)]);
        assert_eq!(book.poll(start + 4 * SECOND), [], "one question at a time");
        assert_eq!(book.renewed(1, Some(TTL)), None);
        assert_eq!(book.next_wakeup(), Some(start + 6 * SECOND));
    }

    #[test]
    fn the_deadline_counts_from_when_the_answered_question_was_sent() {
        let (mut book, start) = connected();
        book.add(1, TTL, start);
        book.poll(start + 3 * SECOND);
        book.renewed(1, Some(TTL));
        book.disconnected();
        assert_eq!(book.next_wakeup(), Some(start + 12 * SECOND));
        assert_eq!(
            book.poll(start + 12 * SECOND),
            [Command::Lost(1, Loss::NotRenewed)]
        );
        assert!(book.is_empty() && book.next_wakeup().is_none());
    }

    #[test]
    fn the_server_says_it_is_gone() {
        let (mut book, start) = connected();
        book.add(1, TTL, start);
        book.poll(start + 3 * SECOND);
        assert_eq!(book.renewed(1, None), Some(Command::Lost(1, Loss::Gone)));
        assert_eq!(book.renewed(1, None), None);
        assert!(book.is_empty() && book.next_wakeup().is_none());
    }

    #[test]
    fn a_silent_stream_is_left_while_there_is_still_time() {
        let (mut book, start) = connected();
        book.add(1, TTL, start);
        book.add(2, TTL, start);
        assert_eq!(book.poll(start + 3 * SECOND).len(), 2);
        assert_eq!(
            book.poll(start + 6 * SECOND),
            [Command::Reconnect],
            "said once"
        );
        book.disconnected();
        book.connected();
        let mut commands = book.poll(start + 7 * SECOND);
        commands.sort_by_key(|command| format!("{command:?}"));
        assert_eq!(commands, [Command::Renew(1), Command::Renew(2)]);
        assert_eq!(book.renewed(1, Some(TTL)), None);
        assert_eq!(
            book.poll(start + 9 * SECOND),
            [Command::Lost(2, Loss::NotRenewed)]
        );
        assert_eq!(book.ids().collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn without_a_stream_nothing_is_asked_and_everything_is_due_after() {
        let mut book = LeaseBook::default();
        let start = Instant::now();
        book.add(1, TTL, start);
        assert_eq!(book.poll(start + 5 * SECOND), []);
        book.connected();
        assert_eq!(book.poll(start + 5 * SECOND), [Command::Renew(1)]);
    }

    #[test]
    fn an_answer_nobody_asked_for_is_not_believed() {
        let (mut book, start) = connected();
        book.add(1, TTL, start);
        assert_eq!(book.renewed(1, Some(100 * TTL)), None);
        assert_eq!(book.renewed(1, None), None);
        assert_eq!(book.renewed(7, None), None);
        assert_eq!(book.next_wakeup(), Some(start + 3 * SECOND));
    }

    #[test]
    fn a_removed_lease_is_forgotten() {
        let (mut book, start) = connected();
        book.add(1, TTL, start);
        assert!(book.remove(1) && !book.remove(1));
        assert_eq!(book.poll(start + 100 * SECOND), []);
    }

    #[test]
    fn no_answer_makes_the_clock_overflow() {
        let (mut book, start) = connected();
        book.add(1, Duration::MAX, start);
        assert!(book.next_wakeup().is_some());
    }

    proptest! {
        /// Whatever happens, a lease is never held past the time its last answered question
        /// was sent plus its time to live, and never lost before.
        #[test]
        fn held_exactly_as_long_as_it_is_certain(
            steps in proptest::collection::vec((0u8..5, 0u64..4_000), 1..100),
        ) {
            let (mut book, start) = connected();
            let (mut now, mut certain, mut asked) = (start, start + TTL, None);
            book.add(1, TTL, start);
            for (step, millis) in steps {
                match step {
                    0 => { book.disconnected(); book.connected(); asked = None; }
                    1 => if let Some(sent) = asked.take() {
                        book.renewed(1, Some(TTL));
                        certain = sent + TTL;
                    },
                    _ => {}
                }
                // Time passes in the steps the book asks for.
                let goal = now + Duration::from_millis(millis);
                while let Some(at) = book.next_wakeup().filter(|&at| at <= goal) {
                    now = now.max(at);
                    for command in book.poll(now) {
                        match command {
                            Command::Renew(_) => asked = Some(now),
                            Command::Lost(_, loss) => {
                                prop_assert_eq!(loss, Loss::NotRenewed);
                                prop_assert_eq!(now, certain);
                                return Ok(());
                            }
                            Command::Reconnect => {
                                book.disconnected();
                                book.connected();
                                asked = None;
                            }
                        }
                    }
                }
                now = goal;
                prop_assert!(now < certain, "held past its time");
            }
        }
    }
}

//! Which server to use: one at a time, another after a failure.
//!
//! The list is shuffled once per process, so that programs spread over the servers. The chosen
//! server stays chosen while it works. One that fails is in quarantine; when all are, every
//! quarantine is lifted and the whole set pauses instead, so that a lone server, or a cluster that
//! is down, is neither hammered nor given up. Waits back off with full jitter and start over only
//! after an answer. A pause a server asks for itself is kept.

use std::time::{Duration, Instant};

use super::backoff::Backoff;

/// One use of a server: which one, and since which of its failures. A failure that many calls
/// notice at once counts once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ServerId {
    pub(crate) index: usize,
    use_count: u64,
}

/// What to use next, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) server: ServerId,
    /// When repeated attempts may go on. A person's first attempt need not wait for it.
    pub(crate) not_before: Instant,
}

/// The servers and what is known of them.
#[derive(Debug)]
pub(crate) struct ServerSet {
    servers: Vec<Server>,
    /// Indexes of `servers`, shuffled.
    order: Vec<usize>,
    /// Where in `order` to begin.
    current: usize,
    /// Of the set as a whole; grows each time all have failed.
    backoff: Backoff,
    pause_until: Option<Instant>,
    rng: fastrand::Rng,
}

#[derive(Debug, Default)]
struct Server {
    use_count: u64,
    backoff: Backoff,
    quarantined_until: Option<Instant>,
    /// Asked for by the server; survives when quarantines are lifted.
    asked_until: Option<Instant>,
}

impl Server {
    fn is_usable(&self, now: Instant) -> bool {
        self.quarantined_until.is_none_or(|until| until <= now)
            && self.asked_until.is_none_or(|until| until <= now)
    }
}

impl ServerSet {
    /// `count` servers, at least one, in an order drawn from `rng`.
    pub(crate) fn new(count: usize, mut rng: fastrand::Rng) -> Self {
        let mut order: Vec<usize> = (0..count).collect();
        rng.shuffle(&mut order);
        Self {
            servers: (0..count).map(|_| Server::default()).collect(),
            order,
            current: 0,
            backoff: Backoff::default(),
            pause_until: None,
            rng,
        }
    }

    /// The server to use next.
    pub(crate) fn choose(&mut self, now: Instant) -> Choice {
        let pause = self.pause_until.map_or(now, |until| until.max(now));
        for step in 0..self.order.len() {
            let place = (self.current + step) % self.order.len();
            let index = self.order[place];
            if self.servers[index].is_usable(now) {
                self.current = place;
                return self.choice(index, pause);
            }
        }
        // All asked for a pause, or some did and the rest is in quarantine: the first to be free.
        let free_at = |server: &Server| server.quarantined_until.max(server.asked_until);
        let index = (0..self.servers.len())
            .min_by_key(|&index| free_at(&self.servers[index]))
            .unwrap_or(0);
        let not_before = free_at(&self.servers[index]).map_or(pause, |until| until.max(pause));
        self.choice(index, not_before)
    }

    /// If every server has asked for a pause: until when the shortest lasts.
    pub(crate) fn asked_until(&self, now: Instant) -> Option<Instant> {
        let pauses = self.servers.iter().map(|server| server.asked_until);
        let free = pauses.min().flatten();
        free.filter(|&until| until > now)
    }

    /// A use of `server` failed; `retry_after` is the pause the server asked for.
    /// Answers whether this was news.
    pub(crate) fn failed(
        &mut self,
        server: ServerId,
        retry_after: Option<Duration>,
        now: Instant,
    ) -> bool {
        let Some(state) = self.servers.get_mut(server.index) else {
            return false;
        };
        if state.use_count != server.use_count {
            return false;
        }
        state.use_count += 1;
        state.quarantined_until = Some(now + state.backoff.next(&mut self.rng));
        if let Some(pause) = retry_after {
            state.asked_until = Some(now + pause);
        }
        if self.servers.iter().all(|server| !server.is_usable(now)) {
            self.pause_until = Some(now + self.backoff.next(&mut self.rng));
            for server in &mut self.servers {
                server.quarantined_until = None;
            }
        }
        if self.order[self.current] == server.index {
            self.current = (self.current + 1) % self.order.len();
        }
        true
    }

    /// Moves on to the next server, though this one works.
    pub(crate) fn leave(&mut self, server: ServerId) {
        if self.order[self.current] == server.index {
            self.current = (self.current + 1) % self.order.len();
        }
    }

    /// `server` answered. Answers whether that ends a pause others may be waiting for.
    pub(crate) fn succeeded(&mut self, server: ServerId) -> bool {
        let Some(state) = self.servers.get_mut(server.index) else {
            return false;
        };
        // An answer to something sent before the last failure says nothing about now.
        if state.use_count != server.use_count {
            return false;
        }
        state.backoff.reset();
        state.quarantined_until = None;
        state.asked_until = None;
        self.backoff.reset();
        self.pause_until.take().is_some()
    }

    fn choice(&self, index: usize, not_before: Instant) -> Choice {
        Choice {
            server: ServerId {
                index,
                use_count: self.servers[index].use_count,
            },
            not_before,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;
    use crate::engine::backoff;

    fn set(count: usize, seed: u64) -> (ServerSet, Instant) {
        let rng = fastrand::Rng::with_seed(seed);
        (ServerSet::new(count, rng), Instant::now())
    }

    #[test]
    fn processes_spread_over_the_servers() {
        let firsts: HashSet<usize> = (0..64)
            .map(|seed| {
                let (mut set, now) = set(5, seed);
                set.choose(now).server.index
            })
            .collect();
        assert_eq!(firsts.len(), 5);
    }

    #[test]
    fn a_working_server_stays_chosen() {
        let (mut set, now) = set(3, 1);
        let first = set.choose(now).server;
        set.succeeded(first);
        for _ in 0..10 {
            assert_eq!(set.choose(now).server, first);
        }
    }

    #[test]
    fn one_that_is_left_is_followed_by_another_without_a_pause() {
        let (mut set, now) = set(3, 2);
        let first = set.choose(now).server;
        set.leave(first);
        let second = set.choose(now);
        assert!(second.server.index != first.index && second.not_before == now);
        set.leave(first);
        assert_eq!(set.choose(now).server, second.server, "already left");
    }

    #[test]
    fn failures_walk_through_all_servers_without_waiting() {
        let (mut set, now) = set(4, 3);
        let mut seen = HashSet::new();
        for _ in 0..4 {
            let choice = set.choose(now);
            assert_eq!(choice.not_before, now);
            assert!(seen.insert(choice.server.index));
            assert!(set.failed(choice.server, None, now));
        }
        // All have failed: quarantines are lifted, and the set as a whole pauses.
        let choice = set.choose(now);
        assert!(choice.not_before > now && choice.not_before <= now + backoff::FIRST);
        assert!(seen.contains(&choice.server.index));
    }

    #[test]
    fn a_failed_server_returns_after_its_quarantine() {
        let (mut set, mut now) = set(2, 5);
        let first = set.choose(now).server;
        set.failed(first, None, now);
        let second = set.choose(now).server;
        assert_ne!(first.index, second.index);
        set.succeeded(second);
        now += backoff::FIRST;
        assert_eq!(
            set.choose(now).server,
            second,
            "a working server is not left"
        );
        set.failed(second, None, now);
        assert_eq!(set.choose(now).server.index, first.index);
    }

    #[test]
    fn a_lone_server_pauses_longer_and_longer_until_it_answers() {
        let (mut set, now) = set(1, 7);
        let mut longest = Duration::ZERO;
        for _ in 0..40 {
            let choice = set.choose(now);
            assert_eq!(choice.server.index, 0);
            set.failed(choice.server, None, now);
            longest = longest.max(set.choose(now).not_before - now);
        }
        assert!(longest > Duration::from_secs(10) && longest <= backoff::MAX);
        let choice = set.choose(now);
        assert!(set.succeeded(choice.server), "those who wait are told");
        assert_eq!(set.choose(now).not_before, now);
        set.failed(choice.server, None, now);
        assert!(
            set.choose(now).not_before <= now + backoff::FIRST,
            "started over"
        );
    }

    #[test]
    fn one_outage_noticed_by_many_calls_counts_once() {
        let (mut set, now) = set(1, 9);
        let used = set.choose(now).server;
        assert!(set.failed(used, None, now));
        for _ in 0..100 {
            assert!(!set.failed(used, None, now));
        }
        assert!(set.choose(now).not_before <= now + backoff::FIRST);
        assert!(
            !set.succeeded(used),
            "an answer from before the outage is not news"
        );
        assert!(set.choose(now).not_before > now);
    }

    #[test]
    fn an_asked_for_pause_is_kept_even_when_all_are_exhausted() {
        let (mut set, now) = set(2, 11);
        let first = set.choose(now).server;
        set.failed(first, Some(Duration::from_secs(60)), now);
        let second = set.choose(now).server;
        set.failed(second, None, now);
        assert_eq!(set.choose(now).server.index, second.index);
        let second = set.choose(now).server;
        set.failed(second, Some(Duration::from_secs(20)), now);
        let choice = set.choose(now);
        assert_eq!(
            choice.server.index, second.index,
            "the first to be free again"
        );
        assert_eq!(choice.not_before, now + Duration::from_secs(20));
    }

    proptest! {
        #[test]
        fn there_is_always_a_server_within_bounded_time(
            count in 1usize..6,
            seed in any::<u64>(),
            steps in proptest::collection::vec((0u8..4, 0u64..40_000), 1..200),
        ) {
            let (mut set, mut now) = set(count, seed);
            for (step, millis) in steps {
                let choice = set.choose(now);
                prop_assert!(choice.server.index < count);
                prop_assert!(choice.not_before >= now);
                prop_assert!(choice.not_before <= now + Duration::from_secs(30));
                match step {
                    0 => { set.succeeded(choice.server); }
                    1 => { set.failed(choice.server, None, now); }
                    2 => { set.failed(choice.server, Some(Duration::from_secs(9)), now); }
                    _ => now += Duration::from_millis(millis),
                }
            }
        }
    }
}

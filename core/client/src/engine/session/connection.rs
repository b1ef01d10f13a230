//! The life of one stream: opened, kept alive, found dead, left in time.

use std::time::{Duration, Instant};

/// Bounds of what a server may ask for.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);
const LONGEST_INTERVAL: Duration = Duration::from_secs(60);
/// Used until, and unless, the server names one.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(3);
/// A server silent for this many intervals is taken for dead.
const SILENT_INTERVALS: u32 = 3;

/// Where the client stands with the servers.
///
/// ```text
///   Idle ──first need──► Connecting ──dialled──► Opening ──Opened──► Live
///                            ▲                      │                 │
///                            │ until                │ no answer       │ ended, silent,
///                            └──────── Broken ◄─────┴─────────────────┘ drained, rotated
///   any ──close──► Closed
/// ```
#[derive(Debug)]
pub(crate) enum Phase {
    /// Nothing is wanted from a server yet.
    Idle,
    /// The driver looks for a server.
    Connecting,
    /// `Open` is on its way.
    Opening {
        /// Without an answer until then, it is broken.
        deadline: Instant,
    },
    /// A server answers.
    Live(Live),
    /// Waiting to connect again.
    Broken {
        /// When.
        until: Instant,
    },
    /// For good.
    Closed,
}

/// A stream on which a server has answered.
#[derive(Debug)]
pub(crate) struct Live {
    since: Instant,
    interval: Duration,
    /// When the next message must leave at the latest.
    next_heartbeat: Instant,
    /// That moment has come; the stream may not have had room for it yet.
    heartbeat_wanted: bool,
    /// When the first message left that the server has not reacted to by any message.
    unanswered_since: Option<Instant>,
    /// When to move to another server, so that load spreads after a restart of one.
    rotate_at: Option<Instant>,
    /// When this program last did anything here.
    observed: Instant,
}

/// What must happen to a live stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Fine,
    Silent,
    Rotate,
}

impl Live {
    pub(crate) fn new(
        now: Instant,
        interval_ms: u32,
        rotate_after: Option<Duration>,
        random: &mut fastrand::Rng,
    ) -> Self {
        let mut live = Self {
            since: now,
            interval: DEFAULT_INTERVAL,
            next_heartbeat: now,
            heartbeat_wanted: false,
            unanswered_since: None,
            // At ±50 % of the mean age, so that clients that came together do not leave together.
            rotate_at: rotate_after.map(|mean| now + mean.mul_f64(0.5 + random.f64())),
            observed: now,
        };
        live.set_interval(now, interval_ms, random);
        live
    }

    /// The server names another interval; 0 changes nothing.
    pub(crate) fn set_interval(&mut self, now: Instant, ms: u32, random: &mut fastrand::Rng) {
        if ms > 0 {
            self.interval =
                Duration::from_millis(u64::from(ms)).clamp(SHORTEST_INTERVAL, LONGEST_INTERVAL);
        }
        self.next_heartbeat = now + self.jittered(random);
    }

    /// Never later than the interval.
    fn jittered(&self, random: &mut fastrand::Rng) -> Duration {
        self.interval.mul_f64(0.8 + 0.2 * random.f64())
    }

    /// Something left for the server: as good as a heartbeat.
    pub(crate) fn sent(&mut self, now: Instant, random: &mut fastrand::Rng) {
        self.heartbeat_wanted = false;
        self.next_heartbeat = now + self.jittered(random);
        self.unanswered_since.get_or_insert(now);
    }

    /// Something came from the server.
    pub(crate) fn received(&mut self) {
        self.unanswered_since = None;
    }

    /// Whether a heartbeat is to be sent, unless something else is.
    pub(crate) fn heartbeat_wanted(&self) -> bool {
        self.heartbeat_wanted
    }

    /// When [`check`](Self::check) must run next.
    pub(crate) fn next_check(&self) -> Instant {
        let silent = self
            .unanswered_since
            .map(|since| since + self.interval * SILENT_INTERVALS);
        [silent, self.rotate_at]
            .into_iter()
            .flatten()
            .fold(self.next_heartbeat, Instant::min)
    }

    /// To be called before anything else that happens at `now`. If this program itself was stopped
    /// for a while, the server's silence meanwhile is not held against it.
    pub(crate) fn observe(&mut self, now: Instant) {
        if now.saturating_duration_since(self.observed) > self.interval * 2 {
            self.unanswered_since = None;
            self.heartbeat_wanted = true;
        }
        self.observed = now;
    }

    /// What the clock says of the stream.
    pub(crate) fn check(&mut self, now: Instant) -> Verdict {
        if self.next_heartbeat <= now {
            self.heartbeat_wanted = true;
            // Asked for once: a stream without room must not keep the driver busy.
            self.next_heartbeat = now + self.interval;
        }
        let patience = self.interval * SILENT_INTERVALS;
        if self
            .unanswered_since
            .is_some_and(|since| now >= since + patience)
        {
            return Verdict::Silent;
        }
        if self.rotate_at.is_some_and(|at| now >= at) {
            return Verdict::Rotate;
        }
        Verdict::Fine
    }

    /// Whether it lasted long enough not to count as a failed attempt.
    pub(crate) fn lasted(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= self.interval
    }
}

//! What the client counts about itself, as plain numbers.

use std::sync::atomic::{AtomicU64, Ordering};

/// A moment's counts since the client was built.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// Calls repeated after a failed attempt.
    pub retries: u64,
    /// Servers put in quarantine.
    pub server_failures: u64,
    /// Watch and lease streams opened again after they broke.
    pub stream_reconnects: u64,
    /// Leases lost: expired, revoked by somebody else, or not renewed in time.
    pub leases_lost: u64,
    /// Sessions with the registry on which a server answered.
    pub sessions_opened: u64,
    /// Of these, those that found all registrations as they were.
    pub sessions_resumed: u64,
    /// Sessions that broke or fell silent.
    pub sessions_broken: u64,
    /// Heartbeats sent; other messages are signs of life too.
    pub heartbeats: u64,
    /// Instances this client keeps registered.
    pub registrations: u64,
    /// Services followed, by where their view comes from.
    pub services: ServiceCounts,
    /// Picks from services followed now.
    pub picks: u64,
    /// Services fetched whole because a message was missing or did not fit.
    pub resyncs: u64,
    /// Of these, because content and hash disagreed.
    pub hash_mismatches: u64,
    /// Messages that would have emptied a service without a reason.
    pub empties_refused: u64,
    /// Messages that would have removed most of a service, held until confirmed.
    pub shrinks_held: u64,
    /// Cached services on disk that could not be used.
    pub cache_files_bad: u64,
    /// Services written to disk.
    pub cache_files_written: u64,
    /// Services that could not be written.
    pub cache_files_failed: u64,
}

impl Metrics {
    /// Every count with its name, as all languages show them.
    #[must_use]
    pub fn named(&self) -> [(&'static str, u64); 22] {
        let services = self.services;
        [
            ("retries", self.retries),
            ("server_failures", self.server_failures),
            ("stream_reconnects", self.stream_reconnects),
            ("leases_lost", self.leases_lost),
            ("sessions_opened", self.sessions_opened),
            ("sessions_resumed", self.sessions_resumed),
            ("sessions_broken", self.sessions_broken),
            ("heartbeats", self.heartbeats),
            ("registrations", self.registrations),
            ("services_unknown", services.unknown),
            ("services_live", services.live),
            ("services_stale", services.stale),
            ("services_snapshot", services.snapshot),
            ("services_static", services.configured),
            ("picks", self.picks),
            ("resyncs", self.resyncs),
            ("hash_mismatches", self.hash_mismatches),
            ("empties_refused", self.empties_refused),
            ("shrinks_held", self.shrinks_held),
            ("cache_files_bad", self.cache_files_bad),
            ("cache_files_written", self.cache_files_written),
            ("cache_files_failed", self.cache_files_failed),
        ]
    }
}

/// How many followed services are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServiceCounts {
    /// Nothing is known of them yet.
    pub unknown: u64,
    /// From a server in contact.
    pub live: u64,
    /// From memory, without contact.
    pub stale: u64,
    /// From disk.
    pub snapshot: u64,
    /// From the configuration.
    pub configured: u64,
}

/// The live counters behind [`Metrics`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) retries: AtomicU64,
    pub(crate) server_failures: AtomicU64,
    pub(crate) stream_reconnects: AtomicU64,
    pub(crate) leases_lost: AtomicU64,
}

impl Counters {
    pub(crate) fn snapshot(&self) -> Metrics {
        Metrics {
            retries: self.retries.load(Ordering::Relaxed),
            server_failures: self.server_failures.load(Ordering::Relaxed),
            stream_reconnects: self.stream_reconnects.load(Ordering::Relaxed),
            leases_lost: self.leases_lost.load(Ordering::Relaxed),
            ..Metrics::default()
        }
    }
}

/// Counts one.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

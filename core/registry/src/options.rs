//! What a registry is told at its start: who it is, how patient it is, and its limits.

use std::time::Duration;

/// Identity, patience and limits of a registry.
#[derive(Clone, Debug)]
pub struct RegistryOptions {
    /// Grows with every start of the server: its start time as Unix milliseconds. View versions
    /// of different epochs do not compare.
    pub epoch: u64,
    /// Told to clients when they open a session.
    pub cluster_id: u64,
    /// Told to clients when they open a session.
    pub member_id: u64,
    /// How long after its start the registry does not trust absence: clients of the server that
    /// ran before are still coming back. `None` on a fresh data directory.
    pub warm_up: Option<Duration>,
    /// How long a session without registrations, or with shorter ones, can be resumed.
    pub min_session_ttl: Duration,
    /// How long a removal is remembered with its reason.
    pub tombstone_retention: Duration,
    /// What is refused rather than held.
    pub limits: Limits,
}

/// Bounds. What would exceed one is refused with `ResourceExhausted` and the limit in the
/// message.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Instances of one service.
    pub instances_per_service: usize,
    /// Bytes of names, addresses and metadata of one service's instances; bounds the size of a
    /// snapshot, which is never split.
    pub bytes_per_service: usize,
    /// Removals of one service remembered; the oldest go first.
    pub tombstones_per_service: usize,
    /// Instances registered by one session.
    pub instances_per_session: usize,
    /// Services one session subscribes to.
    pub subscriptions_per_session: usize,
    /// Services of one namespace.
    pub services_per_namespace: usize,
    /// Sessions, attached or waiting to be resumed.
    pub sessions: usize,
    /// Open `WatchService` calls.
    pub watches: usize,
    /// Answers one session may leave unread; also the most commands in one message.
    pub queued_acks: usize,
    /// Bytes, about, after which a message to a session is sent and the rest follows.
    pub message_bytes: usize,
    /// Services after which a message to a session is sent and the rest follows.
    pub services_per_message: usize,
}

// === impl RegistryOptions ===

impl RegistryOptions {
    /// Defaults for this identity: no warm-up, sessions resumable for at least 10 s, removals
    /// remembered for 10 min.
    #[must_use]
    pub fn new(epoch: u64, cluster_id: u64, member_id: u64) -> Self {
        Self {
            epoch,
            cluster_id,
            member_id,
            warm_up: None,
            min_session_ttl: Duration::from_secs(10),
            tombstone_retention: Duration::from_secs(600),
            limits: Limits::default(),
        }
    }
}

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        Self {
            instances_per_service: 100_000,
            bytes_per_service: 16 << 20,
            tombstones_per_service: 1_024,
            instances_per_session: 10_000,
            subscriptions_per_session: 10_000,
            services_per_namespace: 100_000,
            sessions: 100_000,
            watches: 100_000,
            queued_acks: 16_384,
            message_bytes: 1 << 20,
            services_per_message: 256,
        }
    }
}

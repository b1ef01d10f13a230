//! Who wants to know of a service, and the mailbox that wakes them.
//!
//! A push is never queued. A change only marks the subscription and wakes its mailbox; what to
//! send is worked out when the receiver is ready to send it, from the version it was sent last.
//! So a slow receiver costs one flag per service, and always gets the newest.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use quorate_proto::v1;
use quorate_types::ServiceKey;
use tokio::sync::Notify;

use crate::session::SessionEnd;
use crate::view::Position;

/// One receiver's interest in one service.
#[derive(Debug)]
pub(crate) struct Subscription {
    pub(crate) key: Arc<ServiceKey>,
    mailbox: Arc<Mailbox>,
    /// Whether the mailbox has it among the changed ones.
    queued: AtomicBool,
    /// Cleared by unsubscribing: nothing is sent any more.
    active: AtomicBool,
    /// What was sent last, or what the receiver said it has. Locked before a slot.
    pub(crate) sent: Mutex<Option<Position>>,
}

/// What waits for one receiver: a session's connection, or a watch.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    state: Mutex<Waiting>,
    /// There is something to take. One receiver waits.
    wake: Notify,
    /// Something was taken, or it has ended. One sender waits.
    taken: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    events: VecDeque<v1::SessionEvent>,
    /// A heartbeat to be answered, with the interval to tell if it is news.
    heartbeat_ack: Option<u32>,
    changed: VecDeque<Arc<Subscription>>,
    ended: Option<SessionEnd>,
}

/// What [`Mailbox::take`] found.
pub(crate) enum Taken {
    /// These events.
    Events(Vec<v1::SessionEvent>),
    /// Nothing will come any more.
    Ended(SessionEnd),
}

// === impl Subscription ===

impl Subscription {
    pub(crate) fn new(
        key: Arc<ServiceKey>,
        mailbox: Arc<Mailbox>,
        known: Option<Position>,
    ) -> Arc<Self> {
        Arc::new(Self {
            key,
            mailbox,
            queued: AtomicBool::new(false),
            active: AtomicBool::new(true),
            sent: Mutex::new(known),
        })
    }

    /// Its service may have news. Cheap if it was marked already.
    pub(crate) fn mark(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::AcqRel) {
            self.mailbox.push_changed(self.clone());
        }
    }

    pub(crate) fn is_active(&self) -> bool {
        self.active.load(Ordering::Acquire)
    }

    pub(crate) fn deactivate(&self) {
        self.active.store(false, Ordering::Release);
        if self.queued.load(Ordering::Acquire) {
            self.mailbox.forget_changed(self);
        }
    }
}

// === impl Mailbox ===

impl Mailbox {
    pub(crate) fn push(&self, events: impl IntoIterator<Item = v1::SessionEvent>) {
        self.add(events);
        self.wake();
    }

    /// Like [`push`](Self::push), for one of many: the last is followed by [`wake`](Self::wake).
    pub(crate) fn add(&self, events: impl IntoIterator<Item = v1::SessionEvent>) {
        let mut state = self.state.lock();
        if state.ended.is_none() {
            state.events.extend(events);
        }
    }

    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Answers a heartbeat, or tells a new interval; several unsent ones become one.
    pub(crate) fn push_heartbeat_ack(&self, interval_ms: Option<u32>) {
        let mut state = self.state.lock();
        if state.ended.is_none() {
            let ack = state.heartbeat_ack.get_or_insert(0);
            *ack = interval_ms.unwrap_or(*ack);
            drop(state);
            self.wake.notify_one();
        }
    }

    fn push_changed(&self, subscription: Arc<Subscription>) {
        let mut state = self.state.lock();
        if state.ended.is_none() {
            state.changed.push_back(subscription);
            drop(state);
            self.wake.notify_one();
        }
    }

    /// Whoever subscribes and unsubscribes without reading must not fill the queue.
    fn forget_changed(&self, subscription: &Subscription) {
        let mut state = self.state.lock();
        let is_it = |other: &Arc<Subscription>| std::ptr::eq(&**other, subscription);
        if let Some(at) = state.changed.iter().position(is_it) {
            state.changed.remove(at);
        }
    }

    #[cfg(test)]
    pub(crate) fn changed(&self) -> usize {
        self.state.lock().changed.len()
    }

    /// Lets the receiver take what is here, and then learn why it ended. The first reason counts.
    pub(crate) fn end(&self, why: SessionEnd) {
        let mut state = self.state.lock();
        if state.ended.is_none() {
            state.ended = Some(why);
            // They point back here: without this neither would ever be freed.
            state.changed.clear();
        }
        drop(state);
        self.wake.notify_one();
        self.taken.notify_one();
    }

    pub(crate) fn ended(&self) -> Option<SessionEnd> {
        self.state.lock().ended.clone()
    }

    /// How many events wait.
    pub(crate) fn waiting(&self) -> usize {
        self.state.lock().events.len()
    }

    /// Takes the events, at most `limit`; `None` if there are none and more may come.
    pub(crate) fn take(&self, limit: usize) -> Option<Taken> {
        let mut state = self.state.lock();
        let count = state.events.len().min(limit);
        let mut events: Vec<_> = state.events.drain(..count).collect();
        if state.events.is_empty() {
            state.events.shrink_to(64);
            if let Some(heartbeat_interval_ms) = state.heartbeat_ack.take() {
                let ack = v1::SessionHeartbeatAck {
                    heartbeat_interval_ms,
                };
                events.push(v1::SessionEvent {
                    body: Some(v1::session_event::Body::HeartbeatAck(ack)),
                });
            }
        }
        let ended = state.ended.clone();
        let has_changed = !state.changed.is_empty();
        drop(state);
        if !events.is_empty() {
            self.taken.notify_one();
        }
        match ended {
            Some(why) if events.is_empty() => Some(Taken::Ended(why)),
            None if events.is_empty() && !has_changed => None,
            _ => Some(Taken::Events(events)),
        }
    }

    /// Takes one subscription that may have news, in the order they were marked.
    pub(crate) fn take_changed(&self) -> Option<Arc<Subscription>> {
        let subscription = self.state.lock().changed.pop_front()?;
        // Before the service is read: a change that still finds the flag set is seen by reading,
        // since both go through the slot's lock.
        subscription.queued.store(false, Ordering::Release);
        Some(subscription)
    }

    /// Resolves when there may be something to take.
    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Resolves when something may have been taken.
    pub(crate) async fn drained(&self) {
        self.taken.notified().await;
    }
}

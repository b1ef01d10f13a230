//! Handing events to a foreign event loop: bounded, newest wins, one wake-up per batch.

use std::collections::VecDeque;
use std::fmt;

use parking_lot::Mutex;

/// What became of a pushed event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It waits behind the others.
    Queued,
    /// It took the place of an older one with the same key.
    Replaced,
    /// The queue was full: the oldest event was dropped for it, and counted.
    Overflowed,
    /// The queue is closed: the event was dropped.
    Closed,
}

/// Events on their way from the client's threads to the host's.
///
/// The wake hook is called when the queue turns from empty to not empty, on the pushing thread,
/// with no lock held; so a busy queue costs one wake-up per [`drain`](Self::drain), however many
/// events come. The hook must only wake: write to a pipe, call a thread-safe function.
pub struct EventQueue<T> {
    capacity: usize,
    inner: Mutex<Inner<T>>,
    wake: Box<dyn Fn() + Send + Sync>,
}

struct Inner<T> {
    waiting: VecDeque<(Option<u64>, T)>,
    lost: u64,
    closed: bool,
}

impl<T> EventQueue<T> {
    /// A queue for at most `capacity` events, at least one.
    pub fn new(capacity: usize, wake: impl Fn() + Send + Sync + 'static) -> Self {
        Self {
            capacity: capacity.max(1),
            inner: Mutex::new(Inner {
                waiting: VecDeque::new(),
                lost: 0,
                closed: false,
            }),
            wake: Box::new(wake),
        }
    }

    /// Adds an event. One with a key replaces a waiting one with the same key, in its place: for
    /// events of which only the newest matters, such as a service's view.
    pub fn push(&self, key: Option<u64>, event: T) -> Pushed {
        let (pushed, was_empty) = {
            let mut inner = self.inner.lock();
            if inner.closed {
                return Pushed::Closed;
            }
            let was_empty = inner.waiting.is_empty();
            (inner.push(key, event, self.capacity), was_empty)
        };
        if was_empty {
            (self.wake)();
        }
        pushed
    }

    /// Takes up to `at_most` events, oldest first.
    pub fn drain(&self, at_most: usize) -> Vec<T> {
        let mut inner = self.inner.lock();
        let count = at_most.min(inner.waiting.len());
        inner
            .waiting
            .drain(..count)
            .map(|(_, event)| event)
            .collect()
    }

    /// Takes the oldest event.
    pub fn pop(&self) -> Option<T> {
        let (_, event) = self.inner.lock().waiting.pop_front()?;
        Some(event)
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.inner.lock().waiting.is_empty()
    }

    /// How many events were dropped since this was last asked: if any, the host's picture has a
    /// gap, and it must read the state anew.
    pub fn take_lost(&self) -> u64 {
        std::mem::take(&mut self.inner.lock().lost)
    }

    /// Refuses further events and wakes the host, which finds [`is_finished`](Self::is_finished)
    /// once it has drained what waits.
    pub fn close(&self) {
        let newly = !std::mem::replace(&mut self.inner.lock().closed, true);
        if newly {
            (self.wake)();
        }
    }

    /// Closed, and nothing waits.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        let inner = self.inner.lock();
        inner.closed && inner.waiting.is_empty()
    }
}

impl<T> Inner<T> {
    fn push(&mut self, key: Option<u64>, event: T, capacity: usize) -> Pushed {
        if key.is_some()
            && let Some(older) = self.waiting.iter_mut().find(|(other, _)| *other == key)
        {
            older.1 = event;
            return Pushed::Replaced;
        }
        let full = self.waiting.len() >= capacity;
        if full {
            self.waiting.pop_front();
            self.lost += 1;
        }
        self.waiting.push_back((key, event));
        if full {
            Pushed::Overflowed
        } else {
            Pushed::Queued
        }
    }
}

impl<T> fmt::Debug for EventQueue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = self.inner.lock();
        f.debug_struct("EventQueue")
            .field("capacity", &self.capacity)
            .field("waiting", &inner.waiting.len())
            .field("lost", &inner.lost)
            .field("closed", &inner.closed)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn queue(capacity: usize) -> (EventQueue<&'static str>, Arc<AtomicUsize>) {
        let wakes = Arc::new(AtomicUsize::new(0));
        let counted = wakes.clone();
        let queue = EventQueue::new(capacity, move || {
            counted.fetch_add(1, Ordering::SeqCst);
        });
        (queue, wakes)
    }

    #[test]
    fn a_batch_costs_one_wake_up() {
        let (queue, wakes) = queue(10);
        for event in ["a", "b", "c"] {
            assert_eq!(queue.push(None, event), Pushed::Queued);
        }
        assert_eq!(wakes.load(Ordering::SeqCst), 1);
        assert_eq!(queue.drain(2), ["a", "b"]);
        queue.push(None, "d");
        assert_eq!(wakes.load(Ordering::SeqCst), 1, "it was not empty");
        assert_eq!(queue.pop(), Some("c"));
        assert_eq!(queue.drain(9), ["d"]);
        assert!(queue.is_empty());
        assert_eq!(queue.pop(), None);
        queue.push(None, "e");
        assert_eq!(wakes.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn the_newest_of_a_key_takes_the_place_of_the_older() {
        let (queue, _) = queue(10);
        queue.push(Some(1), "old");
        queue.push(Some(2), "other");
        queue.push(None, "plain");
        assert_eq!(queue.push(Some(1), "new"), Pushed::Replaced);
        assert_eq!(queue.drain(9), ["new", "other", "plain"]);
        assert_eq!(queue.push(Some(1), "again"), Pushed::Queued);
    }

    #[test]
    fn it_is_bounded_and_says_what_it_lost() {
        let (queue, _) = queue(2);
        queue.push(None, "a");
        queue.push(None, "b");
        assert_eq!(queue.push(None, "c"), Pushed::Overflowed);
        assert_eq!(queue.take_lost(), 1);
        assert_eq!(queue.take_lost(), 0);
        assert_eq!(queue.drain(9), ["b", "c"]);
    }

    #[test]
    fn closing_wakes_once_and_lets_what_waits_be_read() {
        let (queue, wakes) = queue(2);
        queue.push(None, "a");
        queue.close();
        queue.close();
        assert_eq!(wakes.load(Ordering::SeqCst), 2);
        assert_eq!(queue.push(None, "b"), Pushed::Closed);
        assert!(!queue.is_finished());
        assert_eq!(queue.drain(9), ["a"]);
        assert!(queue.is_finished());
    }

    #[test]
    fn pushes_from_many_threads_are_all_there() {
        let (queue, _) = queue(10_000);
        let queue = Arc::new(queue);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..1_000 {
                        assert_eq!(queue.push(None, "x"), Pushed::Queued);
                    }
                });
            }
        });
        assert_eq!(queue.drain(usize::MAX).len(), 8_000);
        assert_eq!(queue.take_lost(), 0);
    }
}

//! What waits to be sent. Everything that waits when the line has room becomes one message.

use std::collections::VecDeque;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Most items that wait.
const MOST_WAITING: usize = 16_384;
/// Most items in one message.
const MOST_AT_ONCE: usize = 1024;
/// Size from which a message is full; a larger item goes alone.
const MESSAGE_BYTES: usize = 1 << 20;

/// A queue with one reader.
#[derive(Debug)]
pub(crate) struct Outbox<T> {
    /// Each with its size.
    waiting: Mutex<VecDeque<(usize, T)>>,
    more: Notify,
}

impl<T> Outbox<T> {
    pub(crate) fn new() -> Self {
        Self {
            waiting: Mutex::default(),
            more: Notify::new(),
        }
    }

    /// Queues an item of so many bytes; gives it back if there is no room.
    pub(crate) fn push(&self, bytes: usize, item: T) -> Result<(), T> {
        let mut waiting = self.waiting.lock();
        if waiting.len() >= MOST_WAITING {
            return Err(item);
        }
        waiting.push_back((bytes, item));
        drop(waiting);
        self.more.notify_one();
        Ok(())
    }

    /// Waits until there is something.
    pub(crate) async fn until_waiting(&self) {
        while self.waiting.lock().is_empty() {
            self.more.notified().await;
        }
    }

    /// Waits until there is something, and takes what fits into a message.
    pub(crate) async fn take(&self) -> Vec<T> {
        self.until_waiting().await;
        let mut waiting = self.waiting.lock();
        let mut taken = Vec::new();
        let mut size = 0;
        while let Some((bytes, _)) = waiting.front() {
            let is_full = taken.len() >= MOST_AT_ONCE || size + bytes > MESSAGE_BYTES;
            if is_full && !taken.is_empty() {
                break;
            }
            size += bytes;
            taken.extend(waiting.pop_front().map(|(_, item)| item));
        }
        taken
    }

    /// Takes everything.
    pub(crate) fn drain(&self) -> Vec<T> {
        let waiting = std::mem::take(&mut *self.waiting.lock());
        waiting.into_iter().map(|(_, item)| item).collect()
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[test]
    fn what_waits_becomes_messages_of_a_bounded_size() {
        let outbox = Outbox::new();
        assert!(outbox.take().now_or_never().is_none());
        for (bytes, item) in [(10, 1), (MESSAGE_BYTES, 2), (MESSAGE_BYTES * 2, 3), (1, 4)] {
            outbox.push(bytes, item).unwrap();
        }
        assert_eq!(outbox.take().now_or_never(), Some(vec![1]));
        assert_eq!(outbox.take().now_or_never(), Some(vec![2]));
        assert_eq!(outbox.take().now_or_never(), Some(vec![3]));
        assert_eq!(outbox.take().now_or_never(), Some(vec![4]));
        assert!(outbox.drain().is_empty());
    }

    #[test]
    fn it_is_bounded() {
        let outbox = Outbox::new();
        for item in 0..MOST_WAITING {
            outbox.push(1, item).unwrap();
        }
        assert_eq!(outbox.push(1, 7), Err(7));
        assert_eq!(outbox.take().now_or_never().unwrap().len(), MOST_AT_ONCE);
        assert_eq!(outbox.push(1, 7), Ok(()));
    }
}

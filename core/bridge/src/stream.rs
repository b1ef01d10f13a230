//! Streams read one item at a time, by readers that may be cancelled at any point.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use futures::StreamExt;
use futures::stream::BoxStream;
use quorate_types::{Error, ErrorCode};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio_util::sync::CancellationToken;

use crate::fork::Inherited;

/// A stream of the client, as a foreign iterator needs it: read one item at a time, ended by
/// [`close`](Self::close) also under a reader that waits, and not usable in a forked child.
pub struct Stream<T> {
    shared: Inherited<Arc<Shared<T>>>,
}

struct Shared<T> {
    source: Arc<Mutex<Source<T>>>,
    closed: CancellationToken,
}

struct Source<T> {
    /// `None` once it has ended.
    stream: Option<BoxStream<'static, Result<T, Error>>>,
    /// What was read, but not delivered, because its reader was cancelled.
    unread: Option<Result<T, Error>>,
}

/// One item on its way to its reader: [`take`](Self::take) it when the reader is there. Dropped
/// instead, the item goes back and is the next one again. Until then nobody reads a later one.
pub struct Delivery<T> {
    item: Option<Result<T, Error>>,
    source: OwnedMutexGuard<Source<T>>,
}

impl<T: Send + 'static> Stream<T> {
    /// A stream of these items. One that fails with [`ErrorCode::Closed`] has ended: the program
    /// closed the client, and nothing went wrong.
    pub fn new(items: impl futures::Stream<Item = Result<T, Error>> + Send + 'static) -> Self {
        Self {
            shared: Inherited::new(Arc::new(Shared {
                source: Arc::new(Mutex::new(Source {
                    stream: Some(items.boxed()),
                    unread: None,
                })),
                closed: CancellationToken::new(),
            })),
        }
    }

    /// Waits for the next item. May be dropped at any point, and asked for many times at once:
    /// each item goes to one of them.
    ///
    /// # Errors
    /// [`ErrorCode::Forked`] in a child process.
    pub fn next(&self) -> Result<impl Future<Output = Delivery<T>> + Send + use<T>, Error> {
        let shared = Arc::clone(self.shared.get()?);
        Ok(async move {
            let mut source = Arc::clone(&shared.source).lock_owned().await;
            let item = source.read(&shared.closed).await;
            Delivery { item, source }
        })
    }

    /// Ends it; who waits for its next item is told that there is none. Does nothing the second
    /// time.
    ///
    /// # Errors
    /// [`ErrorCode::Forked`] in a child process.
    pub fn close(&self) -> Result<(), Error> {
        let shared = self.shared.get()?;
        shared.closed.cancel();
        // Whoever reads now finds it closed.
        if let Ok(mut source) = shared.source.try_lock() {
            source.end();
        }
        Ok(())
    }
}

impl<T> Delivery<T> {
    /// The item, or the error that came in its place; `None` at the end.
    pub fn take(mut self) -> Option<Result<T, Error>> {
        self.item.take()
    }
}

impl<T> Drop for Delivery<T> {
    fn drop(&mut self) {
        if let Some(item) = self.item.take() {
            self.source.unread = Some(item);
        }
    }
}

impl<T> Source<T> {
    async fn read(&mut self, closed: &CancellationToken) -> Option<Result<T, Error>> {
        if closed.is_cancelled() {
            self.end();
            return None;
        }
        if let Some(item) = self.unread.take() {
            return Some(item);
        }
        let stream = self.stream.as_mut()?;
        let item = tokio::select! {
            biased;
            () = closed.cancelled() => None,
            item = stream.next() => item,
        };
        match item {
            Some(Err(error)) if error.code() == ErrorCode::Closed => self.end(),
            Some(item) => return Some(item),
            None => self.end(),
        }
        None
    }

    fn end(&mut self) {
        self.stream = None;
        self.unread = None;
    }
}

impl<T> fmt::Debug for Stream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("forked", &self.shared.is_forked())
            .finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Delivery<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("is_end", &self.item.is_none())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use futures::channel::mpsc;
    use futures::poll;
    use futures::stream;
    use std::pin::pin;
    use std::task::Poll;

    use super::*;

    fn counting(to: u32) -> Stream<u32> {
        Stream::new(stream::iter((1..=to).map(Ok)))
    }

    async fn read<T: Send + 'static>(stream: &Stream<T>) -> Option<Result<T, Error>> {
        stream.next().unwrap().await.take()
    }

    #[tokio::test]
    async fn items_come_in_order_and_the_end_stays_the_end() {
        let stream = counting(2);
        assert_eq!(read(&stream).await, Some(Ok(1)));
        assert_eq!(read(&stream).await, Some(Ok(2)));
        assert_eq!(read(&stream).await, None);
        assert_eq!(read(&stream).await, None);
    }

    #[tokio::test]
    async fn what_a_cancelled_reader_had_is_read_by_the_next() {
        let stream = counting(2);
        let delivery = stream.next().unwrap().await;
        let mut later = pin!(stream.next().unwrap());
        assert!(poll!(&mut later).is_pending(), "nobody reads past it");
        drop(delivery);
        assert_eq!(later.await.take(), Some(Ok(1)));
        assert_eq!(read(&stream).await, Some(Ok(2)));
    }

    #[tokio::test]
    async fn a_reader_that_is_cancelled_while_it_waits_takes_nothing() {
        let (sender, receiver) = mpsc::unbounded();
        let stream = Stream::new(receiver);
        {
            let mut cancelled = pin!(stream.next().unwrap());
            assert!(poll!(&mut cancelled).is_pending());
            sender.unbounded_send(Ok("first")).unwrap();
        }
        assert_eq!(read(&stream).await, Some(Ok("first")));
    }

    #[tokio::test]
    async fn an_error_is_an_item_except_that_of_a_closed_client() {
        let lost = Error::new(ErrorCode::OutOfRange, "compacted");
        let closed = Error::new(ErrorCode::Closed, "the client is closed");
        let stream = Stream::<u32>::new(stream::iter([Err(lost.clone()), Err(closed), Ok(3)]));
        assert_eq!(read(&stream).await, Some(Err(lost)));
        assert_eq!(read(&stream).await, None);
        assert_eq!(read(&stream).await, None, "it has ended");
    }

    #[tokio::test]
    async fn closing_ends_it_for_a_reader_that_waits_and_drops_the_source() {
        let (sender, receiver) = mpsc::unbounded::<Result<u32, Error>>();
        let stream = Stream::new(receiver);
        let mut waiting = pin!(stream.next().unwrap());
        assert!(poll!(&mut waiting).is_pending());
        stream.close().unwrap();
        stream.close().unwrap();
        assert!(waiting.await.take().is_none());
        assert!(sender.is_closed());
    }

    #[tokio::test]
    async fn closing_forgets_what_was_not_delivered() {
        let stream = counting(2);
        let delivery = stream.next().unwrap().await;
        stream.close().unwrap();
        drop(delivery);
        let Poll::Ready(end) = poll!(pin!(stream.next().unwrap())) else {
            panic!("a closed stream does not wait");
        };
        assert!(end.take().is_none());
    }
}

//! Watching keys: every change, in order, without gap or duplicate, over reconnects.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::{Stream, StreamExt};
use quorate_proto::mvccpb::Event;
use quorate_proto::mvccpb::event::EventType;
use quorate_types::Error;

use crate::Client;
use crate::client::Inner;
use crate::driver::watch_buffer::Next;
use crate::driver::watches::Watching;
use crate::engine::watches::WatchSpec;
use crate::kv::{KeyValue, prefix_end};

/// What to watch, and from when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct WatchOptions {
    prefix: bool,
    start_revision: i64,
    previous: bool,
}

impl WatchOptions {
    /// One key, from now on.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the key as a prefix; an empty one is all keys.
    pub fn prefix(mut self) -> Self {
        self.prefix = true;
        self
    }

    /// From this revision on, included; 0, the default, is from now on.
    pub fn start_revision(mut self, revision: i64) -> Self {
        self.start_revision = revision.max(0);
        self
    }

    /// Also deliver what each key was before, as far as it is kept.
    pub fn previous(mut self) -> Self {
        self.previous = true;
        self
    }

    fn spec(&self, key: Vec<u8>) -> WatchSpec {
        let range_end = if self.prefix {
            prefix_end(&key)
        } else {
            Vec::new()
        };
        let key = if key.is_empty() { vec![0] } else { key };
        WatchSpec {
            key,
            range_end,
            previous: self.previous,
        }
    }
}

/// What happened to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// It was written.
    Put,
    /// It was deleted, or its lease ended.
    Delete,
}

/// One change of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyEvent {
    /// What happened.
    pub kind: EventKind,
    /// The key as it is now; after a deletion only `key` and `mod_revision` are set.
    pub kv: KeyValue,
    /// The key as it was, if asked for and still kept.
    pub previous: Option<KeyValue>,
}

/// Changes in the order of their revisions; all changes of a revision are in the same batch.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WatchBatch {
    /// The revision of the last change: to go on later, watch from this + 1.
    pub revision: i64,
    /// The changes, at least one.
    pub events: Vec<KeyEvent>,
}

impl WatchBatch {
    pub(crate) fn from_wire(revision: i64, events: Vec<Event>) -> Self {
        let events = events.into_iter().map(|event| KeyEvent {
            kind: match event.r#type() {
                EventType::Put => EventKind::Put,
                EventType::Delete => EventKind::Delete,
            },
            kv: event.kv.unwrap_or_default().into(),
            previous: event.prev_kv.map(KeyValue::from),
        });
        Self {
            revision,
            events: events.collect(),
        }
    }

    /// Bytes of keys and values, roughly.
    pub(crate) fn size(&self) -> usize {
        let of = |kv: &KeyValue| kv.key.len() + kv.value.len() + size_of::<KeyValue>();
        let sizes = self
            .events
            .iter()
            .map(|event| of(&event.kv) + event.previous.as_ref().map_or(0, of));
        sizes.sum()
    }
}

/// A stream of changes; dropping it ends the watch.
///
/// All watches of a client share one stream to one server. When it breaks, every watch goes on from
/// the revision after its last, on the same server or another. A slow reader holds up nobody: its
/// watch pauses, and goes on from the store's history when it reads again.
///
/// The watch ends with an error if that cannot be: [`ErrorCode::OutOfRange`](crate::ErrorCode) when
/// the history it needs was compacted away (see [`KeyWatch::compacted`]), `PermissionDenied`, or
/// `Closed`. While no server answers it waits.
#[must_use = "a dropped watch is cancelled"]
pub struct KeyWatch {
    watching: Watching,
    /// Keeps the client's tasks running.
    _inner: Arc<Inner>,
}

impl KeyWatch {
    /// Waits until a server has confirmed the watch; answers the first revision it covers. Every
    /// later change is delivered, so a program that reads a key after this and then follows the
    /// watch misses nothing.
    ///
    /// # Errors
    /// The one the watch ended with.
    pub async fn started(&mut self) -> Result<i64, Error> {
        self.watching.buffer.wait_started().await
    }

    /// The next batch; `None` after the error that ended the watch.
    pub async fn next(&mut self) -> Option<Result<WatchBatch, Error>> {
        StreamExt::next(self).await
    }

    /// If the watch ended because its history is gone: the revision up to which it is. Read the keys
    /// anew, then watch from the revision of that read + 1.
    #[must_use]
    pub fn compacted(&self) -> Option<i64> {
        self.watching.buffer.compacted()
    }
}

impl Stream for KeyWatch {
    type Item = Result<WatchBatch, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.watching.buffer.poll_next(cx).map(|next| match next {
            Next::Batch(batch) => Some(Ok(batch)),
            Next::BatchAndResume(batch) => {
                self.watching.resume();
                Some(Ok(batch))
            }
            Next::Failed(error) => Some(Err(error)),
            Next::Finished => None,
        })
    }
}

impl fmt::Debug for KeyWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyWatch").finish_non_exhaustive()
    }
}

impl Client {
    /// Watches a key, or all keys of a prefix. Does not wait: see [`KeyWatch::started`].
    pub fn watch(&self, key: impl Into<Vec<u8>>, options: WatchOptions) -> KeyWatch {
        watch(
            &self.inner,
            options.spec(key.into()),
            options.start_revision,
        )
    }
}

pub(crate) fn watch(inner: &Arc<Inner>, spec: WatchSpec, revision: i64) -> KeyWatch {
    KeyWatch {
        watching: inner.watches.watch(spec, revision),
        _inner: inner.clone(),
    }
}

//! What changed, shared by everyone who watches.

use quorate_proto::mvccpb::Event;
use quorate_proto::mvccpb::event::EventType;

use crate::revision::Revision;

/// One change of one key.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    /// As watchers get it, but for `prev_kv`.
    pub(crate) event: Event,
    /// The version before; its row is read only for watchers that ask for it.
    pub(crate) previous: Option<Revision>,
}

impl Change {
    pub(crate) fn key(&self) -> &[u8] {
        self.event.kv.as_ref().map_or(&[], |kv| &kv.key[..])
    }

    fn size(&self) -> usize {
        let kv = self.event.kv.as_ref();
        64 + kv.map_or(0, |kv| kv.key.len() + kv.value.len())
    }
}

/// The changes of one revision, in order.
#[derive(Debug)]
pub(crate) struct Transaction {
    pub(crate) main: i64,
    pub(crate) changes: Vec<Change>,
    /// About how much memory it takes, in bytes.
    pub(crate) size: usize,
}

impl Transaction {
    pub(crate) fn new(main: i64, changes: Vec<Change>) -> Self {
        let size = changes.iter().map(Change::size).sum();
        Self {
            main,
            changes,
            size,
        }
    }
}

/// Which kinds of changes a watcher does not want.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Filters {
    pub(crate) no_put: bool,
    pub(crate) no_delete: bool,
}

impl Filters {
    pub(crate) fn pass(self, kind: EventType) -> bool {
        match kind {
            EventType::Put => !self.no_put,
            EventType::Delete => !self.no_delete,
        }
    }
}

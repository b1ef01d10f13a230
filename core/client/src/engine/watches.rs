//! All watches of a client on one stream: what to ask for, what to deliver, what to ask again.
//!
//! Each watch knows the next revision it wants. It is asked for with that revision whenever the
//! stream is new, so a reconnect leaves no gap; what is older is dropped, so it leaves no duplicate.
//! Ids on the stream are chosen here and never used twice, so a late message of a cancelled watch
//! belongs to nobody. A watch whose reader is slow is parked: cancelled on the server, and asked for
//! again from where it was when the reader has caught up, so it holds up nobody else.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use quorate_proto::etcdserverpb::{WatchCreateRequest, WatchResponse};
use quorate_proto::mvccpb::Event;
use quorate_types::{Error, ErrorCode};

use crate::error::code_of_text;

/// How long the server may take to confirm a watch before the stream is suspect.
const PATIENCE: Duration = Duration::from_secs(5);

/// A watch of this client; never reused.
pub(crate) type WatchKey = u64;

/// What is watched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct WatchSpec {
    pub(crate) key: Vec<u8>,
    pub(crate) range_end: Vec<u8>,
    pub(crate) previous: bool,
}

/// What the driver has to do.
#[derive(Debug, PartialEq)]
pub(crate) enum Command {
    /// Ask for a watch on the stream.
    Create(WatchCreateRequest),
    /// Cancel the watch with this id on the stream.
    Cancel(i64),
    /// The server watches from this revision on.
    Started(WatchKey, i64),
    /// Events for the reader: all of each revision they touch, up to and including `revision`.
    Deliver {
        watch: WatchKey,
        revision: i64,
        events: Vec<Event>,
    },
    /// The watch ends with this error; it is no longer in the set.
    End(WatchKey, End),
    /// The stream cannot be trusted: use another.
    Reconnect,
}

/// Why a watch ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) error: Error,
    /// What the history was compacted to, if that is the reason.
    pub(crate) compacted: Option<i64>,
}

/// All watches of a client.
#[derive(Debug, Default)]
pub(crate) struct WatchSet {
    watches: HashMap<WatchKey, Watch>,
    /// Ids on the stream.
    active: HashMap<i64, WatchKey>,
    /// Asked for and not confirmed, oldest first.
    unconfirmed: VecDeque<(i64, Instant)>,
    last_id: i64,
    connected: bool,
}

#[derive(Debug)]
struct Watch {
    spec: WatchSpec,
    /// The first revision not delivered; 0 until the server has said what "now" is.
    next_revision: i64,
    /// Its id on the stream, if it was asked for.
    id: Option<i64>,
    parked: bool,
    /// Events of a revision that is not complete yet.
    incomplete: Vec<Event>,
}

impl WatchSet {
    pub(crate) fn is_empty(&self) -> bool {
        self.watches.is_empty()
    }

    /// Whether a stream is needed.
    pub(crate) fn wants_stream(&self) -> bool {
        self.watches.values().any(|watch| !watch.parked)
    }

    /// A new watch, from `revision` on, or from now on if that is 0.
    pub(crate) fn add(
        &mut self,
        watch: WatchKey,
        spec: WatchSpec,
        revision: i64,
        now: Instant,
    ) -> Option<Command> {
        self.watches.insert(
            watch,
            Watch {
                spec,
                next_revision: revision,
                id: None,
                parked: false,
                incomplete: Vec::new(),
            },
        );
        self.create(watch, now)
    }

    /// The reader is gone.
    pub(crate) fn remove(&mut self, watch: WatchKey) -> Option<Command> {
        let removed = self.watches.remove(&watch)?;
        self.forget(removed.id?)
    }

    /// The reader is slow: nothing is delivered until [`WatchSet::resume`].
    pub(crate) fn park(&mut self, watch: WatchKey) -> Option<Command> {
        let parked = self.watches.get_mut(&watch)?;
        parked.parked = true;
        parked.incomplete.clear();
        let id = parked.id.take()?;
        self.forget(id)
    }

    /// The reader has caught up.
    pub(crate) fn resume(&mut self, watch: WatchKey, now: Instant) -> Option<Command> {
        let resumed = self.watches.get_mut(&watch)?;
        if !std::mem::take(&mut resumed.parked) {
            return None;
        }
        self.create(watch, now)
    }

    /// There is a fresh stream: asks for everything.
    pub(crate) fn connected(&mut self, now: Instant) -> Vec<Command> {
        self.disconnected();
        self.connected = true;
        let mut watches: Vec<_> = self.watches.keys().copied().collect();
        watches.sort_unstable();
        watches
            .into_iter()
            .filter_map(|watch| self.create(watch, now))
            .collect()
    }

    /// The stream is gone.
    pub(crate) fn disconnected(&mut self) {
        self.connected = false;
        self.active.clear();
        self.unconfirmed.clear();
        for watch in self.watches.values_mut() {
            watch.id = None;
            watch.incomplete.clear();
        }
    }

    /// No stream will ever be had: ends every watch.
    pub(crate) fn end_all(&mut self, error: &Error) -> Vec<Command> {
        self.disconnected();
        self.watches
            .drain()
            .map(|(watch, _)| {
                let end = End {
                    error: error.clone(),
                    compacted: None,
                };
                Command::End(watch, end)
            })
            .collect()
    }

    /// When [`WatchSet::poll`] has something to do, if nothing else happens.
    pub(crate) fn next_wakeup(&self) -> Option<Instant> {
        self.unconfirmed.front().map(|&(_, asked)| asked + PATIENCE)
    }

    /// Looks whether the server has left a question unanswered for too long.
    pub(crate) fn poll(&mut self, now: Instant) -> Option<Command> {
        if self.next_wakeup()? > now {
            return None;
        }
        self.unconfirmed.clear();
        Some(Command::Reconnect)
    }

    /// The server said something.
    pub(crate) fn received(&mut self, response: WatchResponse) -> Vec<Command> {
        let mut id = response.watch_id;
        if id == -1 {
            // A refused watch, if it was asked for; etcd answers in the order of the questions.
            match self.unconfirmed.front() {
                Some(&(oldest, _)) if response.created && response.canceled => id = oldest,
                _ => return Vec::new(),
            }
        }
        if response.created || response.canceled {
            self.unconfirmed.retain(|&(asked, _)| asked != id);
        }
        let Some(&watch) = self.active.get(&id) else {
            return Vec::new();
        };
        if response.canceled {
            return vec![self.cancelled(watch, id, &response)];
        }
        let revision = response.header.as_ref().map_or(0, |h| h.revision);
        let state = self
            .watches
            .get_mut(&watch)
            .expect("every active id belongs to a watch of the set");
        let mut commands = Vec::new();
        if response.created {
            if state.next_revision == 0 {
                state.next_revision = revision + 1;
            }
            commands.push(Command::Started(watch, state.next_revision));
        }
        if !response.events.is_empty() {
            commands.extend(state.deliver(watch, response.events, response.fragment));
        } else if !response.created && state.incomplete.is_empty() && state.next_revision > 0 {
            // Progress: everything up to this revision has been sent.
            state.next_revision = state.next_revision.max(revision + 1);
        }
        commands
    }

    fn cancelled(&mut self, watch: WatchKey, id: i64, response: &WatchResponse) -> Command {
        let reason = &response.cancel_reason;
        let compacted = (response.compact_revision > 0).then_some(response.compact_revision);
        let code = match compacted {
            Some(_) => ErrorCode::OutOfRange,
            None => code_of_text(reason).unwrap_or(ErrorCode::Unavailable),
        };
        if code == ErrorCode::Unavailable {
            // No fault of the watch: another server, or the same one later, can go on with it.
            return Command::Reconnect;
        }
        self.active.remove(&id);
        let next = self.watches.remove(&watch).map_or(0, |w| w.next_revision);
        let message = match compacted {
            Some(compacted) => {
                format!("watch: revision {next} is compacted away, up to {compacted}")
            }
            None => format!("watch: {reason}"),
        };
        let end = End {
            error: Error::new(code, message),
            compacted,
        };
        Command::End(watch, end)
    }

    fn create(&mut self, watch: WatchKey, now: Instant) -> Option<Command> {
        let state = self.watches.get_mut(&watch)?;
        if !self.connected || state.parked {
            return None;
        }
        self.last_id += 1;
        state.id = Some(self.last_id);
        self.active.insert(self.last_id, watch);
        self.unconfirmed.push_back((self.last_id, now));
        Some(Command::Create(WatchCreateRequest {
            key: state.spec.key.clone(),
            range_end: state.spec.range_end.clone(),
            start_revision: state.next_revision,
            // So that an idle watch does not ask for compacted history after a reconnect.
            progress_notify: true,
            prev_kv: state.spec.previous,
            watch_id: self.last_id,
            fragment: true,
            filters: Vec::new(),
        }))
    }

    fn forget(&mut self, id: i64) -> Option<Command> {
        self.unconfirmed.retain(|&(asked, _)| asked != id);
        self.active.remove(&id).map(|_| Command::Cancel(id))
    }
}

impl Watch {
    /// Takes events in; gives out those whose revisions are complete.
    fn deliver(&mut self, watch: WatchKey, events: Vec<Event>, more: bool) -> Option<Command> {
        let revision_of = |event: &Event| event.kv.as_ref().map_or(0, |kv| kv.mod_revision);
        let mut ready = std::mem::take(&mut self.incomplete);
        let next = self.next_revision;
        ready.extend(events.into_iter().filter(|e| revision_of(e) >= next));
        let last = revision_of(ready.last()?);
        if more {
            // The rest of the last revision is still to come.
            let complete = ready.partition_point(|event| revision_of(event) < last);
            self.incomplete = ready.split_off(complete);
        }
        let revision = revision_of(ready.last()?);
        self.next_revision = revision + 1;
        Some(Command::Deliver {
            watch,
            revision,
            events: ready,
        })
    }
}

#[cfg(test)]
#[path = "watches_tests.rs"]
mod tests;

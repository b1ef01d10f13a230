//! Watches: who wants to know of which changes, and how they come to him.
//!
//! ```text
//!  apply ──> Hub: which watchers want this key? ──> each stream's bounded queue ──> next()
//!                                                              ^ live
//!  rows on the disk ──> history, in bounded chunks ────────────┘ lagging
//! ```
//!
//! Every watcher is live or lagging. A live one is in the hub, and its changes go into its
//! stream's queue. When the queue is full its changes are dropped, and the watchers they were
//! for become lagging: they remember the first revision they have not had, read on from there
//! in the history, at the pace at which their client reads, and go live again when they have
//! caught up. So a slow client holds up neither the writer nor memory, and loses nothing.
//!
//! Locks: the hub's before a stream's; never two streams'.

mod change;
mod create;
mod history;
mod hub;
mod interest;
mod intervals;
mod queue;
mod response;
mod stream;

pub(crate) use change::{Change, Transaction};
pub(crate) use hub::Hub;
pub use stream::{StreamOverrun, WatchLimits, WatchStream};

#[cfg(test)]
mod tests;

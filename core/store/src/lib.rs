//! The consistent state machine: MVCC, transactions, leases, watches.
//!
//! [`Store::apply`] takes committed commands and is deterministic: the same log gives the same
//! state on every node, however it is cut into batches, and [`Store::hash_kv`] proves it. Below
//! lies redb; semantics and error texts are etcd v3's.
//!
//! A write: [`Store::apply`] opens one transaction of the disk per batch (`writer`), runs the
//! commands in it (`apply`, `txn`, `writing`), commits without sync, then publishes a new `view`
//! to readers and hands the changes to the watch hub (`watch`). [`Store::checkpoint`] syncs; after
//! a crash the log is applied again from there.
//!
//! The whole state can be sent to another node, and be taken over there in place of its own
//! (`snapshot`); and saved in a file while writes go on, to make a new store of it ([`backup`]).
//!
//! A read: it takes the newest `view`, the `index` in memory says which revisions it wants as of
//! the view's, and it reads their rows (`record`). It locks nothing meanwhile.

mod apply;
pub mod backup;
mod changed_keys;
mod clock;
mod compare;
mod error;
mod hash;
mod index;
mod key_range;
mod lease_clock;
mod lease_table;
mod leases;
mod range;
mod record;
mod revision;
mod snapshot;
mod store;
mod tables;
#[cfg(test)]
mod testing;
mod txn;
mod validate;
mod view;
mod watch;
mod writer;
mod writing;

#[cfg(test)]
mod properties;

pub use apply::{AppliedMark, ApplyBatch, CommandWithTime, Outcome, Reply};
pub use clock::{Clock, MonotonicClock};
pub use error::{EtcdError, GrpcCode, StoreFault};
pub use hash::HashKv;
pub use lease_table::MAXIMUM_LEASE_TTL;
pub use leases::{LeaseInfo, Leases};
pub use snapshot::{Export, Incoming, Progress, Received};
pub use store::{Store, StoreOptions};
pub use txn::is_read_only;
pub use watch::{StreamOverrun, WatchLimits, WatchStream};

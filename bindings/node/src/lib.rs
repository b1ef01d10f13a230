//! Quorate for Node: the native addon on which the package `quorate` stands.
//!
//! Every operation of the client is here once; the TypeScript around it (`lib/`) gives it iterators,
//! events, signals and error classes.
//! - [`client`]: the operations;
//! - [`delivery`]: how their results reach the event loop, as promises;
//! - [`stream`], [`locks`], [`registration`]: handles of what is read from or held;
//! - [`pick`]: the hot path;
//! - [`arguments`], [`txn`], [`values`], [`errors`]: translation in both directions;
//! - [`runtime`], [`logs`]: the client's threads, their end, and what they have to say.
//!
//! Revisions, fencing tokens, versions and counts are JavaScript numbers: they count up from 1, a
//! million writes a second reach the last exact one, 2^53, after 285 years, and a number can be
//! compared, stored as JSON and sent in a header. Ids of leases, members and clusters are 64 random
//! bits and therefore `bigint`.

// What JavaScript calls is registered only outside of tests, and there are none here; but
// `--all-targets` compiles the crate for them, too.
#![cfg_attr(test, allow(dead_code, unused_imports))]

mod arguments;
mod client;
mod delivery;
mod errors;
mod locks;
mod logs;
mod pick;
mod registration;
mod runtime;
mod stream;
mod txn;
mod values;

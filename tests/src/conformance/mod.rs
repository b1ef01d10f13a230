//! The same behaviour in every language: scenarios played against real servers through one small
//! program per language.
//!
//! - [`scenario`]: the files, read;
//! - [`values`]: what a scenario writes down, with its variables put in;
//! - [`expect`]: answers compared with what is expected;
//! - [`line`](mod@line): what runner and performers exchange;
//! - [`language`]: which performers there are;
//! - [`performer`]: one of them, running;
//! - [`world`]: the servers, networks and programs of one scenario;
//! - [`simple_client`]: what can be done to a server without the SDK;
//! - [`play`]: a scenario's steps, one after the other;
//! - [`report`]: the table, and what a failure shows.

pub mod expect;
pub mod language;
pub mod line;
pub mod performer;
pub mod play;
pub mod report;
pub mod scenario;
pub mod simple_client;
pub mod values;
pub mod world;

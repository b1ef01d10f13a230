//! The adapters for tower, tonic and reqwest: a real registry, real servers that are called, and
//! some of them killed.

mod provider;
mod reqwest;
#[path = "../discovery/server.rs"]
#[allow(dead_code, reason = "the other tests break more of it")]
mod server;
mod tonic;
mod tower;

//! Tests of the registry as a whole, on a clock they hold.

mod clients;
mod concurrency;
mod expiry;
mod limits;
mod listing;
mod model;
mod ownership;
mod protocol;
mod push;
mod resume;
mod stopping;
mod unary;
mod warm_up;

pub(crate) use clients::{FakeClock, World, instance, key, register, request, subscribe};

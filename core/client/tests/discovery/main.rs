//! Registration, discovery and picking against a real registry over real sockets, with faults.

mod cache;
mod faults;
mod picking;
mod registering;
mod server;

//! State machines: they take events and the time, and answer with commands. No I/O, no clock, no
//! async; randomness is handed in.

pub(crate) mod backoff;
pub(crate) mod leases;
pub(crate) mod servers;
pub(crate) mod session;
pub(crate) mod ticket;
pub(crate) mod view;
pub(crate) mod watches;

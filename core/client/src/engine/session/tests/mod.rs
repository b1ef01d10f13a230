//! Every transition of the session, with the server played by hand.

mod bench;
mod closing;
mod following;
mod living;
mod model;
mod registering;

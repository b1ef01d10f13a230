//! What the client does when servers misbehave: scripted servers in this process fail in ways a
//! real one cannot be made to at will.

mod calls;
mod places;
mod streams;
mod stub;

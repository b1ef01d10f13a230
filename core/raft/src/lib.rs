//! Consensus: the only crate that knows openraft.
//!
//! A [`Node`] takes commands, has them committed by a majority of the cluster's voters, applies them to the
//! [`Store`](quorate_store::Store), and answers with what they gave. How members reach each other is not known here:
//! whoever starts a node gives it [`Peers`], and hands it what comes from them.
//!
//! # A command's way
//! 0. On a member that does not lead, what is queued goes to the leader as one message, and takes its way there.
//! 1. [`Node::propose`] queues it. If no batch is under way, the caller itself takes everything queued, encodes
//!    it as one batch and proposes it (`propose`); else whoever answers the batch will.
//! 2. openraft gives it an index and hands it to the log store (`log`), which queues it for the write-ahead log
//!    and keeps it readable in memory. The log's thread writes what is queued, syncs once, and calls back.
//! 3. openraft counts it as committed, and hands it to the state machine (`machine`), which queues it for the
//!    thread that applies. That thread takes all that is queued into one transaction of the store, and answers.
//!
//! So three threads are woken, each once per group: consensus, log, applier; and then those who wait.
//!
//! # What is where after a crash
//! Log records are on disk before a command is acknowledged; the store is on disk as of its last checkpoint,
//! every few seconds, and never ahead of the log. A restart replays the log from there up to what is known to
//! be committed, elects a leader, and so commits the rest. After each checkpoint the log lets go of what the
//! store has for good, but for a bounded tail (`trim`).
//!
//! # Parts
//! | file | its job |
//! |---|---|
//! | `node` | starts and ends the parts, on `consensus_thread` and the applier's |
//! | `propose`, `barrier` | writes in batches, reads at linearizable points; elsewhere, if another leads |
//! | `leadership`, `routing` | whether this member leads, and may read locally; who leads else |
//! | `log`, `machine`, `network` | openraft's three sides: the log, the state, the others |
//! | `peers`, `messages`, `announce` | the way to the others, what is said, and how a member makes itself known |
//! | `trim`, `snapshot` | what may go from the log, and what a member gets that would still need it |
//! | `encoding` | the disk format of entries, votes and memberships |
//! | `types`, `runtime` | openraft's types and runtime, as they are here |
//! | `fault`, `error`, `config`, `status` | what can go wrong, what can be set, what can be asked |

#![forbid(unsafe_code)]

mod announce;
mod barrier;
mod config;
mod consensus_thread;
mod encoding;
mod error;
mod fault;
mod leadership;
mod log;
mod machine;
mod messages;
mod network;
mod node;
mod peers;
mod propose;
mod routing;
mod runtime;
mod snapshot;
mod status;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod trim;
mod types;

pub use config::{ApplyLimits, Founding, Limits, LogLimits, NodeConfig, ProposeLimits, Timing};
pub use encoding::Identity;
pub use error::{ProposeError, RaftFault};
pub use fault::Fault;
pub use node::Node;
pub use peers::{
    NoPeers, PeerAnswer, PeerCall, PeerError, PeerRequest, Peers, SnapshotParts, WireVote,
};
pub use quorate_store::Reply;
pub use status::{MemberStatus, NodeStatus};
pub use types::Member;

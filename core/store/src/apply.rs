//! What the log does to the state: batches in, outcomes out. No clock, no randomness.

use quorate_proto::etcdserverpb::{
    CompactionResponse, DeleteRangeResponse, LeaseGrantResponse, LeaseRevokeResponse, PutResponse,
    TxnResponse,
};
use quorate_proto::log::Command;
use quorate_proto::log::command::Op;

use crate::error::{EtcdError, Stop, StoreFault};
use crate::range::header;
use crate::writing::Writing;

/// The last log entry applied, and what the owner of the log wants to remember with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppliedMark {
    /// The entry's index; 0 before the first.
    pub index: u64,
    /// Opaque here: the log's owner encodes the entry's identity and the membership in it.
    pub raft_state: Vec<u8>,
}

/// A command, and the proposer's wall clock in its entry.
#[derive(Clone, Debug, PartialEq)]
pub struct CommandWithTime {
    /// What to do.
    pub command: Command,
    /// Unix ms.
    pub proposed_at_ms: u64,
}

/// Committed commands to apply in one transaction of the disk; may be empty to move the mark.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ApplyBatch {
    /// In log order.
    pub commands: Vec<CommandWithTime>,
    /// Where the log stands after them.
    pub mark: AppliedMark,
}

/// The answer to an applied command. Headers carry the revision only.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// To a Put.
    Put(PutResponse),
    /// To a DeleteRange.
    DeleteRange(DeleteRangeResponse),
    /// To a Txn.
    Txn(TxnResponse),
    /// To a Compact; the rows go later, see [`crate::Store::compaction_step`].
    Compact(CompactionResponse),
    /// To a LeaseGrant.
    LeaseGrant(LeaseGrantResponse),
    /// To a LeaseRevoke.
    LeaseRevoke(LeaseRevokeResponse),
    /// To a LeaseCheckpoint.
    LeaseCheckpoint,
}

/// What became of one command.
pub type Outcome = Result<Reply, EtcdError>;

impl Writing<'_, '_> {
    /// Applies one command: all of it, or, if it is refused, nothing.
    pub(crate) fn apply(&mut self, command: CommandWithTime) -> Result<Outcome, StoreFault> {
        let time = &mut self.standing.proposed_at_ms;
        *time = (*time).max(command.proposed_at_ms);
        let Some(op) = command.command.op else {
            // Skipping it would let this node's state drift from the others'.
            return Err(StoreFault::damaged(
                "the log holds a command this version does not know; start the newer version",
            ));
        };
        match self.operation(op) {
            Ok(reply) => {
                self.finish_transaction();
                Ok(Ok(reply))
            }
            Err(Stop::Refused(error)) => {
                debug_assert!(self.is_untouched(), "refused after a write");
                Ok(Err(error))
            }
            Err(Stop::Fault(fault)) => Err(fault),
        }
    }

    fn operation(&mut self, op: Op) -> Result<Reply, Stop> {
        Ok(match op {
            Op::Put(request) => {
                self.check_lease(&request)?;
                self.check_put(&request)?;
                Reply::Put(self.put(request)?)
            }
            Op::DeleteRange(request) => Reply::DeleteRange(self.delete_range(&request)?),
            Op::Txn(request) => Reply::Txn(self.txn(request)?),
            Op::Compact(request) => Reply::Compact(self.compact(request.revision)?),
            Op::LeaseGrant(request) => Reply::LeaseGrant(self.grant_lease(&request)?),
            Op::LeaseRevoke(request) => Reply::LeaseRevoke(self.revoke_lease(request.id)?),
            Op::LeaseCheckpoint(request) => {
                self.checkpoint_leases(&request)?;
                Reply::LeaseCheckpoint
            }
        })
    }

    /// Moves the compacted revision. From here on reads below it are refused.
    fn compact(&mut self, revision: i64) -> Result<CompactionResponse, EtcdError> {
        if revision <= self.standing.compacted {
            return Err(EtcdError::Compacted);
        }
        if revision > self.standing.revision {
            return Err(EtcdError::FutureRevision);
        }
        self.standing.compacted = revision;
        Ok(CompactionResponse {
            header: header(self.standing.revision),
        })
    }
}

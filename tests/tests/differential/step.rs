//! One request of a sequence, and the answer to it.

use quorate_proto::etcdserverpb::*;

/// A request. Leases that the servers choose ids for are named by [`chosen`].
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    Range(RangeRequest),
    Put(PutRequest),
    DeleteRange(DeleteRangeRequest),
    Txn(TxnRequest),
    Compact(CompactionRequest),
    HashKv(HashKvRequest),
    LeaseGrant(LeaseGrantRequest),
    LeaseRevoke(LeaseRevokeRequest),
    LeaseTimeToLive(LeaseTimeToLiveRequest),
    LeaseLeases,
    LeaseKeepAlive(LeaseKeepAliveRequest),
    /// A message on one of the watch streams.
    Watch(usize, WatchRequest),
}

/// What a server answered, in the common form. Watch streams answer by [`crate::watches`].
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answer {
    Range(RangeResponse),
    Put(PutResponse),
    DeleteRange(DeleteRangeResponse),
    Txn(TxnResponse),
    Compact(CompactionResponse),
    HashKv(HashKvResponse),
    LeaseGrant(LeaseGrantResponse),
    LeaseRevoke(LeaseRevokeResponse),
    LeaseTimeToLive(LeaseTimeToLiveResponse),
    LeaseLeases(LeaseLeasesResponse),
    LeaseKeepAlive(LeaseKeepAliveResponse),
    /// The streams tell the rest.
    Sent,
    Refused(tonic::Code, String),
}

/// Stands for the id of the n-th lease that a server was asked to choose an id for.
pub(crate) fn chosen(number: usize) -> i64 {
    CHOSEN + i64::try_from(number).unwrap_or(0)
}

/// Above the ids that sequences choose themselves, as are the servers' with all but certainty.
pub(crate) const CHOSEN: i64 = 1_000_000;

impl Answer {
    /// The revision in its header, if it was not refused.
    pub(crate) fn revision(&self) -> Option<i64> {
        let header = match self {
            Self::Range(answer) => &answer.header,
            Self::Put(answer) => &answer.header,
            Self::DeleteRange(answer) => &answer.header,
            Self::Txn(answer) => &answer.header,
            Self::Compact(answer) => &answer.header,
            Self::HashKv(answer) => &answer.header,
            Self::LeaseGrant(answer) => &answer.header,
            Self::LeaseRevoke(answer) => &answer.header,
            Self::LeaseTimeToLive(answer) => &answer.header,
            Self::LeaseLeases(answer) => &answer.header,
            Self::LeaseKeepAlive(answer) => &answer.header,
            Self::Sent | Self::Refused(..) => return None,
        };
        header.as_ref().map(|header| header.revision)
    }
}

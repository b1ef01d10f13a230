//! Who speaks to whom. A message that is for another cluster or another member must not be acted on: addresses are
//! reused, and configurations copied.

use quorate_proto::v1::Envelope;

/// The protocol this version speaks between members.
const PROTOCOL: u32 = 1;

/// A member, as it signs its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Party {
    pub(crate) cluster_id: u64,
    pub(crate) member_id: u64,
}

/// Why a message is not acted on: what is another one than here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("etcdserver: cluster ID mismatch")]
    Cluster,
    #[error("the message is for another member")]
    Member,
    #[error("the members speak different protocols; bring them to the same version")]
    Protocol,
}

impl Party {
    /// The envelope of a message to a member.
    pub(crate) fn to(self, member_id: u64) -> Envelope {
        Envelope {
            protocol: PROTOCOL,
            cluster_id: self.cluster_id,
            from: self.member_id,
            to: member_id,
        }
    }

    /// The sender of a message to this member.
    pub(crate) fn sender(self, envelope: Option<&Envelope>) -> Result<u64, Refused> {
        let envelope = envelope.ok_or(Refused::Protocol)?;
        if envelope.protocol != PROTOCOL {
            return Err(Refused::Protocol);
        }
        if envelope.cluster_id != self.cluster_id {
            return Err(Refused::Cluster);
        }
        if envelope.to != self.member_id {
            return Err(Refused::Member);
        }
        Ok(envelope.from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_meant_for_this_member_is_taken() {
        let one = Party {
            cluster_id: 0xc1,
            member_id: 1,
        };
        let two = Party {
            member_id: 2,
            ..one
        };
        let stranger = Party {
            cluster_id: 0xc2,
            ..one
        };
        assert_eq!(two.sender(Some(&one.to(2))), Ok(1));
        assert_eq!(two.sender(Some(&one.to(3))), Err(Refused::Member));
        assert_eq!(two.sender(Some(&stranger.to(2))), Err(Refused::Cluster));
        let newer = Envelope {
            protocol: PROTOCOL + 1,
            ..one.to(2)
        };
        assert_eq!(two.sender(Some(&newer)), Err(Refused::Protocol));
        assert_eq!(two.sender(None), Err(Refused::Protocol));
    }
}

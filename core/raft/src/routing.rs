//! Where proposals go: here, to the leader, or nowhere yet.

use std::sync::Arc;

use openraft::ServerState;
use openraft::metrics::RaftServerMetrics;
use tokio::sync::watch;

use crate::types::{Member, TypeConfig};

/// Where proposals go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Route {
    /// No leader is known.
    #[default]
    Nowhere,
    /// This member leads, in this term.
    Here(u64),
    /// Another member leads.
    To(Leader),
}

/// Another member that leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Leader {
    pub(crate) id: u64,
    /// The term it leads.
    pub(crate) term: u64,
    /// Where it is reached.
    pub(crate) member: Arc<Member>,
}

impl Route {
    /// What openraft knows.
    pub(crate) fn of(metrics: &RaftServerMetrics<TypeConfig>) -> Self {
        let term = metrics.vote.leader_id.term;
        if metrics.state == ServerState::Leader && metrics.vote.committed {
            return Self::Here(term);
        }
        let Some(id) = metrics.current_leader.filter(|id| *id != metrics.id) else {
            return Self::Nowhere;
        };
        let member = metrics.membership_config.membership().get_node(&id);
        member.map_or(Self::Nowhere, |member| {
            Self::To(Leader {
                id,
                term,
                member: Arc::new(member.clone()),
            })
        })
    }
}

impl Route {
    /// Whether this leader still leads, in the same term.
    pub(crate) fn is_to(&self, leader: &Leader) -> bool {
        matches!(self, Self::To(now) if (now.id, now.term) == (leader.id, leader.term))
    }
}

/// The newest route; to be asked, and to be waited on.
pub(crate) type Routing = watch::Receiver<Route>;

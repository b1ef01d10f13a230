//! Where an answer comes from, told with every answer.

use std::fmt;

/// Where the instances of an answer come from, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CacheState {
    /// From a server this client is in contact with.
    Live,
    /// From a server, kept in memory; no contact right now.
    Stale,
    /// From the disk, written by an earlier run; no server has answered yet.
    Snapshot,
    /// From the static configuration; nothing better is known.
    Static,
}

impl CacheState {
    /// The lower-case name, as every language shows it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Stale => "stale",
            Self::Snapshot => "snapshot",
            Self::Static => "static",
        }
    }
}

impl fmt::Display for CacheState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

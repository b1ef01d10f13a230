//! The IDENTITY file: which cluster and member a data directory belongs to.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use quorate_raft::Member;
use serde::{Deserialize, Serialize};

pub(super) const FILE: &str = "IDENTITY";
/// An identity that is being written.
pub(super) const UNFINISHED: &str = "IDENTITY.unfinished";

/// The layouts of the whole directory that this program reads; the first is also what it writes, where it can: an
/// older program would take a member of a larger cluster for one that is alone.
const ALONE: u32 = 1;
const TOGETHER: u32 = 2;

/// Whose directory it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    format: u32,
    /// Not zero; the same for all members of a cluster.
    pub(crate) cluster_id: Id,
    /// Not zero; this directory's only.
    pub(crate) member_id: Id,
    /// Unix time in milliseconds.
    created_ms: u64,
    /// Who founded the cluster, if this member was not alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    founders: Vec<Founder>,
}

/// A member that founded the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Founder {
    id: Id,
    name: String,
    peer_urls: Vec<String>,
}

/// A 64-bit id; in hexadecimal for people and in JSON, where numbers end at 2^53.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Id(pub(crate) u64);

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl From<Id> for String {
    fn from(id: Id) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for Id {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match u64::from_str_radix(&text, 16) {
            Ok(id) if id != 0 => Ok(Self(id)),
            _ => Err(format!("'{text}' is not an id")),
        }
    }
}

impl Identity {
    /// A new cluster of one new member.
    pub(crate) fn random() -> Self {
        Self {
            format: ALONE,
            cluster_id: random_id(),
            member_id: random_id(),
            created_ms: now_ms(),
            founders: Vec::new(),
        }
    }

    /// A member of those that found a cluster.
    pub(crate) fn founder(
        cluster_id: u64,
        member_id: u64,
        founders: &BTreeMap<u64, Member>,
    ) -> Self {
        let founders = founders.iter().map(|(&id, member)| Founder {
            id: Id(id),
            name: member.name.clone(),
            peer_urls: member.peer_urls.clone(),
        });
        Self {
            format: TOGETHER,
            cluster_id: Id(cluster_id),
            member_id: Id(member_id),
            created_ms: now_ms(),
            founders: founders.collect(),
        }
    }

    /// Who founded the cluster, by id; `None` if this member was alone.
    pub(crate) fn founders(&self) -> Option<BTreeMap<u64, Member>> {
        let members = self.founders.iter().map(|founder| {
            let member = Member {
                name: founder.name.clone(),
                peer_urls: founder.peer_urls.clone(),
                client_urls: Vec::new(),
            };
            (founder.id.0, member)
        });
        (!self.founders.is_empty()).then(|| members.collect())
    }
}

fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as u64)
}

/// Random enough to be unique: the standard hasher's keys come from the operating system.
fn random_id() -> Id {
    loop {
        let id = RandomState::new().hash_one(SystemTime::now());
        if id != 0 {
            return Id(id);
        }
    }
}

/// Reads the identity; `None` if there is none yet. The error is a clause after the path.
pub(super) fn read(directory: &Path) -> Result<Option<Identity>, String> {
    let text = match fs::read_to_string(directory.join(FILE)) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("cannot read {FILE}: {error}")),
    };
    // A newer format may have other fields: look at the number first.
    #[derive(Deserialize)]
    struct Header {
        format: u32,
    }
    let damaged = |error: serde_json::Error| {
        format!("its {FILE} is damaged ({error}); restore it from a backup of this directory")
    };
    let Header { format } = serde_json::from_str(&text).map_err(damaged)?;
    if format > TOGETHER {
        return Err(format!(
            "it has format {format}, this program knows up to {TOGETHER}; use a newer quorate"
        ));
    }
    serde_json::from_str(&text).map(Some).map_err(damaged)
}

/// Writes the identity so that after a crash it is there whole or not at all.
pub(super) fn write(directory: &Path, identity: &Identity) -> io::Result<()> {
    let unfinished = directory.join(UNFINISHED);
    let mut file = File::create(&unfinished)?;
    serde_json::to_writer_pretty(&mut file, identity)?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    fs::rename(&unfinished, directory.join(FILE))?;
    File::open(directory)?.sync_all()?;
    // The directory's own name must survive too, or its contents are lost with it.
    match directory.canonicalize()?.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

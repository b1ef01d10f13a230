//! The IDENTITY file: which cluster and member a data directory belongs to.

use std::fmt;
use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

pub(super) const FILE: &str = "IDENTITY";
/// An identity that is being written.
pub(super) const UNFINISHED: &str = "IDENTITY.unfinished";

/// The layout of the whole directory that this program reads and writes.
const FORMAT: u32 = 1;

/// Whose directory it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    format: u32,
    /// Random, not zero; the same for all members of a cluster.
    pub(crate) cluster_id: Id,
    /// Random, not zero; this directory's only.
    pub(crate) member_id: Id,
    /// Unix time in milliseconds.
    created_ms: u64,
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
    pub(super) fn random() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            format: FORMAT,
            cluster_id: random_id(),
            member_id: random_id(),
            created_ms: now.map_or(0, |since| since.as_millis() as u64),
        }
    }
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
    if format > FORMAT {
        return Err(format!(
            "it has format {format}, this program knows up to {FORMAT}; use a newer quorate"
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

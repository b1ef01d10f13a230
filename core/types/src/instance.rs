//! An instance: one address that serves a service, and what callers need to know of it.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{AddAssign, SubAssign};
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use crate::error::{Error, ErrorCode};

/// Longest instance id, in bytes.
pub const MAX_ID: usize = 255;
/// Longest address, in bytes.
pub const MAX_ADDRESS: usize = 255;
/// Longest zone or program version, in bytes.
pub const MAX_LABEL: usize = 128;
/// Most metadata entries of an instance.
pub const MAX_METADATA_ENTRIES: usize = 64;
/// Most bytes of all metadata keys and values of an instance.
pub const MAX_METADATA_BYTES: usize = 8 * 1024;

/// The weight of those that name none.
pub const DEFAULT_WEIGHT: u16 = 100;

/// One address that serves a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// Unique within its service; the address, unless the program chose another.
    pub id: String,
    /// `host:port`; IPv6 hosts in brackets.
    pub address: String,
    /// Relative share of the calls; 0 receives none.
    pub weight: u16,
    /// Where it runs: a rack, a data centre. May be empty.
    pub zone: String,
    /// The program's version, for routing. May be empty. Not this record's: see `revision`.
    pub version: String,
    /// Labels for people and routing.
    pub metadata: BTreeMap<String, String>,
    /// Whether it wants calls.
    pub status: InstanceStatus,
    /// How long it stays without a sign of life.
    pub ttl: Ttl,
    /// Grows with every change of this record, also across re-registrations. Set by the server.
    pub revision: u64,
}

impl Instance {
    /// An instance at `host:port` with default weight, TTL, and status `Up`.
    pub fn new(address: impl Into<String>) -> Self {
        let address = address.into();
        Self {
            id: address.clone(),
            address,
            weight: DEFAULT_WEIGHT,
            zone: String::new(),
            version: String::new(),
            metadata: BTreeMap::new(),
            status: InstanceStatus::Up,
            ttl: Ttl::DEFAULT,
            revision: 0,
        }
    }

    /// Checks every limit.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArgument`] naming the field and the limit.
    pub fn validate(&self) -> Result<(), Error> {
        check_text("instance id", &self.id, 1, MAX_ID)?;
        check_address(&self.address)?;
        check_text("zone", &self.zone, 0, MAX_LABEL)?;
        check_text("version", &self.version, 0, MAX_LABEL)?;
        check_metadata(&self.metadata)
    }

    /// Whether two records say the same, apart from their revision: re-registering such a one
    /// changes nothing and is told to nobody.
    #[must_use]
    pub fn same_content(&self, other: &Self) -> bool {
        self.id == other.id
            && self.address == other.address
            && self.weight == other.weight
            && self.zone == other.zone
            && self.version == other.version
            && self.metadata == other.metadata
            && self.status == other.status
            && self.ttl == other.ttl
    }

    /// The hash of this record, revision included, by which views of a service are compared.
    fn hash(&self) -> u64 {
        let mut hasher = Xxh3::new();
        let mut field = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u32).to_le_bytes());
            hasher.update(bytes);
        };
        field(self.id.as_bytes());
        field(self.address.as_bytes());
        field(&self.weight.to_le_bytes());
        field(self.zone.as_bytes());
        field(self.version.as_bytes());
        field(&[self.status as u8]);
        field(&self.ttl.as_millis().to_le_bytes());
        field(&self.revision.to_le_bytes());
        for (key, value) in &self.metadata {
            field(key.as_bytes());
            field(value.as_bytes());
        }
        hasher.digest()
    }
}

/// Checks metadata alone, as an update carries it.
///
/// # Errors
/// [`ErrorCode::InvalidArgument`] naming the limit.
pub fn check_metadata(metadata: &BTreeMap<String, String>) -> Result<(), Error> {
    if metadata.len() > MAX_METADATA_ENTRIES {
        return Err(Error::new(
            ErrorCode::InvalidArgument,
            format!(
                "metadata has {} entries, over {MAX_METADATA_ENTRIES}",
                metadata.len()
            ),
        ));
    }
    if metadata.keys().any(String::is_empty) {
        return Err(Error::new(
            ErrorCode::InvalidArgument,
            "metadata has an empty key",
        ));
    }
    let bytes: usize = metadata.iter().map(|(k, v)| k.len() + v.len()).sum();
    if bytes > MAX_METADATA_BYTES {
        return Err(Error::new(
            ErrorCode::InvalidArgument,
            format!("metadata has {bytes} bytes, over {MAX_METADATA_BYTES}"),
        ));
    }
    Ok(())
}

fn check_text(what: &str, text: &str, min: usize, max: usize) -> Result<(), Error> {
    if text.len() < min {
        return Err(Error::new(
            ErrorCode::InvalidArgument,
            format!("{what} is empty"),
        ));
    }
    if text.len() > max {
        return Err(Error::new(
            ErrorCode::InvalidArgument,
            format!("{what} has {} bytes, over {max}", text.len()),
        ));
    }
    if let Some(bad) = text.chars().find(|c| c.is_control()) {
        return Err(Error::new(
            ErrorCode::InvalidArgument,
            format!("{what} contains the control character {bad:?}"),
        ));
    }
    Ok(())
}

fn check_address(address: &str) -> Result<(), Error> {
    check_text("address", address, 1, MAX_ADDRESS)?;
    let wrong = |why: &str| {
        Err(Error::new(
            ErrorCode::InvalidArgument,
            format!("address {address:?} {why}; expected host:port"),
        ))
    };
    if address.contains(char::is_whitespace) || address.contains('/') {
        return wrong("has a space or a '/'");
    }
    let Some((host, port)) = address.rsplit_once(':') else {
        return wrong("has no port");
    };
    if port.parse::<u16>().is_err() {
        return wrong("has no valid port");
    }
    if host.is_empty() {
        return wrong("has no host");
    }
    let bracketed = host.starts_with('[') && host.ends_with(']');
    if host.contains(':') && !bracketed {
        return wrong("has an IPv6 host without brackets");
    }
    Ok(())
}

/// Whether an instance wants calls. Only `Up` instances receive new ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum InstanceStatus {
    /// Ready.
    #[default]
    Up = 1,
    /// Registered, not ready yet.
    Starting = 2,
    /// Finishing what it has.
    Draining = 3,
    /// Reports itself unhealthy.
    Down = 4,
}

impl InstanceStatus {
    /// The lower-case name, as every language and the command line show it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Starting => "starting",
            Self::Draining => "draining",
            Self::Down => "down",
        }
    }

    /// Reads what [`name`](Self::name) gives.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Up, Self::Starting, Self::Draining, Self::Down]
            .into_iter()
            .find(|status| status.name() == name)
    }
}

impl fmt::Display for InstanceStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for InstanceStatus {
    type Err = Error;

    /// As [`from_name`](Self::from_name), for a name that a person gave.
    fn from_str(name: &str) -> Result<Self, Error> {
        Self::from_name(name).ok_or_else(|| {
            Error::new(
                ErrorCode::InvalidArgument,
                format!("unknown status {name:?}: use up, starting, draining or down"),
            )
        })
    }
}

/// Why an instance went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RemovalReason {
    /// Its client asked for it or closed its session.
    Deregistered,
    /// No sign of life for its TTL.
    LeaseExpired,
    /// Its session broke and was not resumed within the TTL.
    SessionLost,
    /// A person took it out.
    Operator,
    /// Another node is responsible now.
    Moved,
}

impl RemovalReason {
    /// The name in `snake_case`, as every language and the command line show it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Deregistered => "deregistered",
            Self::LeaseExpired => "lease_expired",
            Self::SessionLost => "session_lost",
            Self::Operator => "operator",
            Self::Moved => "moved",
        }
    }
}

impl fmt::Display for RemovalReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How long an instance stays without a sign of life: 1 s to 1 h.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Ttl(u32);

impl Ttl {
    /// 10 s.
    pub const DEFAULT: Self = Self(10_000);
    /// 1 s.
    pub const MIN: Self = Self(1_000);
    /// 1 h.
    pub const MAX: Self = Self(3_600_000);

    /// A TTL of so many milliseconds; 0 means [`Ttl::DEFAULT`].
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArgument`] outside 1 s to 1 h.
    pub fn from_millis(millis: u32) -> Result<Self, Error> {
        match millis {
            0 => Ok(Self::DEFAULT),
            _ if (Self::MIN.0..=Self::MAX.0).contains(&millis) => Ok(Self(millis)),
            _ => Err(Error::new(
                ErrorCode::InvalidArgument,
                format!("TTL of {millis} ms is not within 1 s and 1 h"),
            )),
        }
    }

    /// In milliseconds.
    #[must_use]
    pub const fn as_millis(self) -> u32 {
        self.0
    }

    /// As a duration.
    #[must_use]
    pub const fn as_duration(self) -> Duration {
        Duration::from_millis(self.0 as u64)
    }
}

/// The hash of a set of instances: the wrapping sum of their XXH3-64 hashes, so it does not
/// depend on order and is kept up to date by adding and removing one instance at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ContentHash(u64);

impl ContentHash {
    /// The hash of these instances.
    pub fn of<'a>(instances: impl IntoIterator<Item = &'a Instance>) -> Self {
        let mut hash = Self::default();
        for instance in instances {
            hash.add(instance);
        }
        hash
    }

    /// Takes an instance in.
    pub fn add(&mut self, instance: &Instance) {
        self.0 = self.0.wrapping_add(instance.hash());
    }

    /// Takes an instance out; it must be as it was when it was added.
    pub fn remove(&mut self, instance: &Instance) {
        self.0 = self.0.wrapping_sub(instance.hash());
    }

    /// As the wire carries it.
    #[must_use]
    pub const fn value(self) -> u64 {
        self.0
    }
}

/// Takes in all instances of another set: for those who keep each instance's hash.
impl AddAssign for ContentHash {
    fn add_assign(&mut self, other: Self) {
        self.0 = self.0.wrapping_add(other.0);
    }
}

/// Takes out all instances of another set, each as it was when it was added.
impl SubAssign for ContentHash {
    fn sub_assign(&mut self, other: Self) {
        self.0 = self.0.wrapping_sub(other.0);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn addresses_are_checked() {
        for good in ["127.0.0.1:80", "web:8080", "[::1]:443", "a.b.c:1"] {
            assert!(Instance::new(good).validate().is_ok(), "{good}");
        }
        for bad in [
            "",
            "web",
            "web:",
            "web:x",
            "web:99999",
            ":80",
            "::1:80",
            "http://web:80",
            "a b:80",
            "web\n:80",
        ] {
            let error = Instance::new(bad).validate().unwrap_err();
            assert_eq!(error.code(), ErrorCode::InvalidArgument, "{bad:?}");
        }
    }

    #[test]
    fn metadata_is_bounded() {
        let mut instance = Instance::new("web:80");
        instance
            .metadata
            .insert("k".into(), "v".repeat(MAX_METADATA_BYTES));
        assert!(instance.validate().is_err());
        instance.metadata.clear();
        for n in 0..=MAX_METADATA_ENTRIES {
            instance.metadata.insert(format!("k{n}"), String::new());
        }
        assert!(instance.validate().is_err());
        instance.metadata.clear();
        instance.metadata.insert(String::new(), "v".into());
        assert!(instance.validate().is_err());
    }

    #[test]
    fn ttl_has_a_range() {
        assert_eq!(Ttl::from_millis(0).unwrap(), Ttl::DEFAULT);
        assert!(Ttl::from_millis(999).is_err());
        assert!(Ttl::from_millis(3_600_001).is_err());
        assert_eq!(
            Ttl::from_millis(3_000).unwrap().as_duration(),
            Duration::from_secs(3)
        );
    }

    #[test]
    fn the_hash_sees_every_field() {
        let base = Instance::new("web:80");
        let mut seen = vec![ContentHash::of([&base])];
        let mut changed = |change: &dyn Fn(&mut Instance)| {
            let mut other = base.clone();
            change(&mut other);
            let hash = ContentHash::of([&other]);
            assert!(!seen.contains(&hash), "{other:?}");
            seen.push(hash);
        };
        changed(&|i| i.id = "x".into());
        changed(&|i| i.address = "web:81".into());
        changed(&|i| i.weight = 7);
        changed(&|i| i.zone = "z".into());
        changed(&|i| i.version = "z".into());
        changed(&|i| i.status = InstanceStatus::Down);
        changed(&|i| i.ttl = Ttl::MIN);
        changed(&|i| i.revision = 9);
        changed(&|i| {
            i.metadata.insert("a".into(), "b".into());
        });
    }

    proptest! {
        #[test]
        fn the_hash_ignores_order_and_follows_changes(
            addresses in proptest::collection::btree_set("[a-z]{1,8}:[1-9][0-9]{1,3}", 1..20),
            rotate in 0usize..20,
        ) {
            let instances: Vec<_> = addresses.iter().map(Instance::new).collect();
            let mut rotated = instances.clone();
            rotated.rotate_left(rotate % instances.len());
            let mut hash = ContentHash::of(&rotated);
            prop_assert_eq!(hash, ContentHash::of(&instances));
            hash.remove(&instances[0]);
            prop_assert_eq!(hash, ContentHash::of(&instances[1..]));
            hash += ContentHash::of(&instances[..1]);
            prop_assert_eq!(hash, ContentHash::of(&instances));
            hash -= ContentHash::of(&instances[..1]);
            prop_assert_eq!(hash, ContentHash::of(&instances[1..]));
        }
    }
}

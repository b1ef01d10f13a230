//! A service's name, and the slot it belongs to.

use std::fmt;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::error::{Error, ErrorCode};

/// How many slots the available plane is divided into. Fixed: it is part of every node's routing.
pub const SLOTS: u16 = 1024;

/// The namespace of those that name none.
pub const DEFAULT_NAMESPACE: &str = "default";

/// Longest namespace or service name, in bytes.
pub const MAX_NAME: usize = 255;

/// A part of the key space of services; below [`SLOTS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u16);

impl Slot {
    /// The slot's number, from 0 to 1,023.
    #[must_use]
    pub fn number(self) -> u16 {
        self.0
    }
}

/// A namespace and a service name, both checked: 1 to 255 bytes of letters, digits, `.`, `_`, `-`,
/// `:`, `/`, `@` or `+`, starting with a letter, a digit or `_`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ServiceKey {
    namespace: Box<str>,
    name: Box<str>,
}

impl ServiceKey {
    /// Checks and joins the two; an empty namespace means [`DEFAULT_NAMESPACE`].
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArgument`] with what is wrong.
    pub fn new(namespace: &str, name: &str) -> Result<Self, Error> {
        let namespace = if namespace.is_empty() {
            DEFAULT_NAMESPACE
        } else {
            namespace
        };
        check_name("namespace", namespace)?;
        check_name("service name", name)?;
        Ok(Self {
            namespace: namespace.into(),
            name: name.into(),
        })
    }

    /// The namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The name within the namespace.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The slot: XXH3-64 of `namespace NUL name`, modulo [`SLOTS`]. The same on every node and
    /// in every version.
    #[must_use]
    pub fn slot(&self) -> Slot {
        let mut bytes = Vec::with_capacity(self.namespace.len() + self.name.len() + 1);
        bytes.extend_from_slice(self.namespace.as_bytes());
        bytes.push(0);
        bytes.extend_from_slice(self.name.as_bytes());
        Slot((xxh3_64(&bytes) % u64::from(SLOTS)) as u16)
    }
}

impl fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if &*self.namespace == DEFAULT_NAMESPACE {
            f.write_str(&self.name)
        } else {
            write!(f, "{}/{}", self.namespace, self.name)
        }
    }
}

fn check_name(what: &str, name: &str) -> Result<(), Error> {
    let invalid = |why: String| {
        Err(Error::new(
            ErrorCode::InvalidArgument,
            format!("{what} {why}"),
        ))
    };
    if name.is_empty() {
        return invalid("is empty".to_owned());
    }
    if name.len() > MAX_NAME {
        return invalid(format!("has {} bytes, over {MAX_NAME}", name.len()));
    }
    let first = name.as_bytes()[0];
    if !(first.is_ascii_alphanumeric() || first == b'_') {
        return invalid(format!("{name:?} must start with a letter, a digit or '_'"));
    }
    match name
        .chars()
        .find(|c| !(c.is_ascii_alphanumeric() || "._-:/@+".contains(*c)))
    {
        Some(bad) => invalid(format!(
            "{name:?} contains {bad:?}; allowed are letters, digits and . _ - : / @ +"
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_slot_of_a_name_never_changes() {
        let slot = |ns, name| ServiceKey::new(ns, name).unwrap().slot().number();
        assert_eq!(slot("", "web"), slot("default", "web"));
        // Golden values: changing them would reroute every service of a running cluster.
        assert_eq!(slot("default", "web"), GOLDEN_WEB);
        assert_eq!(slot("payments", "ledger.v2"), GOLDEN_LEDGER);
    }

    const GOLDEN_WEB: u16 = 252;
    const GOLDEN_LEDGER: u16 = 630;

    #[test]
    fn slots_are_used_evenly() {
        let mut counts = vec![0u32; usize::from(SLOTS)];
        for n in 0..102_400 {
            let key = ServiceKey::new("", &format!("service-{n}")).unwrap();
            counts[usize::from(key.slot().number())] += 1;
        }
        let (min, max) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
        assert!(*min > 50 && *max < 160, "{min}..{max}");
    }

    #[test]
    fn bad_names_are_refused_with_the_reason() {
        for (name, why) in [
            ("", "is empty"),
            ("a b", "contains ' '"),
            ("-web", "must start with"),
            ("caf\u{e9}", "contains"),
            ("a\0b", "contains"),
            ("*", "must start with"),
        ] {
            let error = ServiceKey::new("default", name).unwrap_err();
            assert_eq!(error.code(), ErrorCode::InvalidArgument);
            assert!(error.message().contains(why), "{name:?}: {error}");
        }
        assert!(ServiceKey::new("default", &"x".repeat(256)).is_err());
        assert!(ServiceKey::new("default", &"x".repeat(255)).is_ok());
        assert!(ServiceKey::new("not ok", "web").is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_accepted_or_refused_without_panic(ns in ".*", name in ".*") {
            if let Ok(key) = ServiceKey::new(&ns, &name) {
                prop_assert!(key.slot().number() < SLOTS);
                prop_assert_eq!(key.name(), name);
            }
        }
    }
}

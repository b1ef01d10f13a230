//! The kinds of values the settings of a cluster have.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

use super::values::{ListenAddress, read_from_string};

/// Where the other members reach a member: `http://HOST:PORT`; the scheme may be left out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct PeerUrl(String);

/// One pair of `--initial-cluster`. A member with several URLs appears several times.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct InitialMember {
    pub(crate) name: String,
    pub(crate) url: PeerUrl,
}

/// Whether the initial cluster is there already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum InitialClusterState {
    /// Its members found it with their first start.
    #[default]
    New,
    /// This member joins it.
    Existing,
}

impl PeerUrl {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PeerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for PeerUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with("https://") {
            return Err(
                "connections between members are not encrypted yet: http:// only".to_owned(),
            );
        }
        let address = text.strip_prefix("http://").unwrap_or(text);
        let address = address.strip_suffix('/').unwrap_or(address);
        let valid = address.parse::<ListenAddress>().is_ok() && !address.ends_with(":0");
        valid
            .then(|| Self(format!("http://{address}")))
            .ok_or_else(|| {
                "expected HOST:PORT or http://HOST:PORT, such as 10.0.0.1:2380".to_owned()
            })
    }
}

impl FromStr for InitialMember {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = "expected NAME=HOST:PORT, such as one=10.0.0.1:2380";
        match text.split_once('=') {
            Some((name, url)) if !name.is_empty() => Ok(Self {
                name: name.to_owned(),
                url: url.parse()?,
            }),
            _ => Err(wanted.to_owned()),
        }
    }
}

read_from_string!(PeerUrl, InitialMember);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scheme_may_be_left_out() {
        for text in ["h:1", "http://h:1", "http://h:1/"] {
            let member: InitialMember = format!("a={text}").parse().unwrap();
            assert_eq!(member.name, "a");
            assert_eq!(member.url.as_str(), "http://h:1");
        }
        for bad in ["h:1", "=h:1", "a=", "a=h", "a=h:0", "a=http://h", "a=b=c"] {
            assert!(bad.parse::<InitialMember>().is_err(), "{bad}");
        }
        let encrypted = "a=https://h:1".parse::<InitialMember>().unwrap_err();
        assert!(encrypted.contains("http://"), "{encrypted}");
    }
}

//! The kinds of values settings have, each read from one string the same way everywhere.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;
use tracing_subscriber::EnvFilter;

/// Where to listen: `HOST:PORT`; port 0 lets the system choose.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct ListenAddress(String);

impl ListenAddress {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = "expected HOST:PORT, such as 127.0.0.1:2379 or [::1]:2379";
        let (host, port) = text.rsplit_once(':').ok_or(wanted)?;
        let bare_v6 = host.contains(':') && !host.starts_with('[');
        if host.is_empty() || host.contains('/') || bare_v6 || port.parse::<u16>().is_err() {
            return Err(wanted.to_owned());
        }
        Ok(Self(text.to_owned()))
    }
}

/// A length of time: a whole number and `ms`, `s`, `m` or `h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Period(pub(crate) Duration);

impl FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, unit) = number_and_unit(text);
        let duration = match (number, unit) {
            (Some(n), "ms") => Some(Duration::from_millis(n)),
            (Some(n), "s") => Some(Duration::from_secs(n)),
            (Some(n), "m") => n.checked_mul(60).map(Duration::from_secs),
            (Some(n), "h") => n.checked_mul(3600).map(Duration::from_secs),
            _ => None,
        };
        duration
            .map(Self)
            .ok_or_else(|| "expected a number and ms, s, m or h, such as 15s".to_owned())
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// A size: a whole number of bytes, or with `KiB`, `MiB` or `GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct ByteSize(pub(crate) usize);

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, unit) = number_and_unit(text);
        let shift = match unit {
            "" => Some(0),
            "KiB" => Some(10),
            "MiB" => Some(20),
            "GiB" => Some(30),
            _ => None,
        };
        number
            .zip(shift)
            .and_then(|(n, shift)| n.checked_mul(1 << shift))
            .and_then(|n| usize::try_from(n).ok())
            .map(Self)
            .ok_or_else(|| {
                "expected a number of bytes, or one with KiB, MiB or GiB, such as 1536KiB"
                    .to_owned()
            })
    }
}

fn number_and_unit(text: &str) -> (Option<u64>, &str) {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    (text[..digits].parse().ok(), text[digits..].trim_start())
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// For programs: one JSON object per line.
    Json,
}

/// How much is logged: a level, or `target=level` directives as `tracing` has them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct LogLevel(String);

impl LogLevel {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it says more than one level for everything.
    pub(crate) fn names_targets(&self) -> bool {
        self.0.contains([',', '='])
    }
}

impl FromStr for LogLevel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let plain = ["error", "warn", "info", "debug", "trace", "off"];
        let known = plain.contains(&text)
            || (text.contains('=') && EnvFilter::builder().parse(text).is_ok());
        known
            .then(|| Self(text.to_owned()))
            .ok_or_else(|| format!("expected one of {}", plain.join(", ")))
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! read_from_string {
    ($($kind:ty),*) => {$(
        impl TryFrom<String> for $kind {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                text.parse()
                    .map_err(|expected| format!("'{text}' is not valid: {expected}"))
            }
        }
    )*};
}
read_from_string!(ListenAddress, Period, ByteSize, LogLevel);
pub(super) use read_from_string;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_need_a_host_and_a_port() {
        for good in [
            "127.0.0.1:2379",
            "localhost:0",
            "[::1]:2379",
            "0.0.0.0:65535",
        ] {
            assert_eq!(good.parse::<ListenAddress>().unwrap().as_str(), good);
        }
        for bad in [
            "2379",
            ":2379",
            "host:",
            "host:65536",
            "::1:2379",
            "http://host:2379",
            "",
        ] {
            assert!(bad.parse::<ListenAddress>().is_err(), "{bad}");
        }
    }

    #[test]
    fn periods_need_a_unit() {
        let read = |text: &str| text.parse::<Period>().map(|period| period.0);
        assert_eq!(read("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(read("15s"), Ok(Duration::from_secs(15)));
        assert_eq!(read("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(read("1h"), Ok(Duration::from_secs(3600)));
        for bad in [
            "15",
            "s",
            "-1s",
            "1.5s",
            "1d",
            "99999999999999999999s",
            "99999999999999999h",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_are_bytes_unless_said() {
        let read = |text: &str| text.parse::<ByteSize>().map(|size| size.0);
        assert_eq!(read("1000"), Ok(1000));
        assert_eq!(read("1536KiB"), Ok(1536 * 1024));
        assert_eq!(read("2 GiB"), Ok(2 << 30));
        for bad in ["KiB", "1KB", "1.5MiB", "99999999999GiB"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_level_is_one_word_or_directives() {
        assert!(!"debug".parse::<LogLevel>().unwrap().names_targets());
        assert!(
            "info,openraft=debug"
                .parse::<LogLevel>()
                .unwrap()
                .names_targets()
        );
        assert!("loud".parse::<LogLevel>().is_err());
        assert!("info,openraft=loud".parse::<LogLevel>().is_err());
    }
}

//! How much history is kept: the value of `--auto-compaction-retention`, which depends on the mode.

use std::time::Duration;

use serde::Deserialize;

/// What `--auto-compaction-retention` counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum CompactionMode {
    /// Time.
    #[default]
    Periodic,
    /// Revisions.
    Revision,
}

/// How much history automatic compaction keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retention {
    /// What was written in this time; never zero.
    Period(Duration),
    /// This many revisions; at least one.
    Revisions(i64),
}

impl Retention {
    /// Reads it as the mode has it; `None` is no automatic compaction.
    ///
    /// # Errors
    /// What would be valid.
    pub(crate) fn parse(mode: CompactionMode, text: &str) -> Result<Option<Self>, String> {
        match mode {
            CompactionMode::Periodic => {
                let period = period(text).ok_or_else(|| {
                    format!(
                        "'auto-compaction-retention' is '{text}': expected hours, or a time such \
                         as 30m or 1h30m; 0 keeps all history"
                    )
                })?;
                Ok((!period.is_zero()).then_some(Self::Period(period)))
            }
            CompactionMode::Revision => {
                let revisions = text.parse().ok().filter(|&number: &i64| number >= 0);
                let revisions = revisions.ok_or_else(|| {
                    format!(
                        "'auto-compaction-retention' is '{text}': with the mode 'revision' it is a \
                         number of revisions; 0 keeps all history"
                    )
                })?;
                Ok((revisions > 0).then_some(Self::Revisions(revisions)))
            }
        }
    }
}

/// A plain number is hours, as in etcd; else numbers with units, largest first.
fn period(text: &str) -> Option<Duration> {
    if let Ok(hours) = text.parse::<u64>() {
        return hours.checked_mul(3600).map(Duration::from_secs);
    }
    let mut rest = text;
    let mut period = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, behind) = rest.split_at(letters);
        period = period.checked_add(match unit {
            "ms" => Duration::from_millis(number),
            "s" => Duration::from_secs(number),
            "m" => Duration::from_secs(number.checked_mul(60)?),
            "h" => Duration::from_secs(number.checked_mul(3600)?),
            _ => return None,
        })?;
        rest = behind;
    }
    (!text.is_empty()).then_some(period)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_are_hours_or_have_units() {
        let read = |text: &str| Retention::parse(CompactionMode::Periodic, text);
        let seconds = |seconds| Ok(Some(Retention::Period(Duration::from_secs(seconds))));
        assert_eq!(read("1"), seconds(3600));
        assert_eq!(read("10m"), seconds(600));
        assert_eq!(read("1h30m"), seconds(5400));
        for off in ["0", "0s"] {
            assert_eq!(read(off), Ok(None));
        }
        for bad in [
            "",
            "h",
            "-1",
            "1x",
            "1h30",
            "1.5h",
            "99999999999999999999",
            "9999999999999999h",
        ] {
            let error = read(bad).unwrap_err();
            assert!(error.contains("expected hours"), "{bad}: {error}");
        }
    }

    #[test]
    fn revisions_are_a_number() {
        let read = |text: &str| Retention::parse(CompactionMode::Revision, text);
        assert_eq!(read("1000"), Ok(Some(Retention::Revisions(1000))));
        assert_eq!(read("0"), Ok(None));
        for bad in ["", "1h", "-1", "99999999999999999999"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}

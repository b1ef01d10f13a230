//! The names under which options of keys go in every language.

use std::str::FromStr;

use quorate_types::{Error, ErrorCode};

use super::{Comparison, SortBy};

impl SortBy {
    const NAMED: [(Self, &'static str); 5] = [
        (Self::Key, "key"),
        (Self::Version, "version"),
        (Self::CreateRevision, "create_revision"),
        (Self::ModRevision, "mod_revision"),
        (Self::Value, "value"),
    ];
}

impl Comparison {
    const NAMED: [(Self, &'static str); 4] = [
        (Self::Equal, "=="),
        (Self::NotEqual, "!="),
        (Self::Greater, ">"),
        (Self::Less, "<"),
    ];
}

impl FromStr for SortBy {
    type Err = Error;

    /// Reads `key`, `version`, `create_revision`, `mod_revision` or `value`.
    fn from_str(name: &str) -> Result<Self, Error> {
        find(&Self::NAMED, name).ok_or_else(|| {
            invalid(format!(
                "cannot sort by {name:?}: use key, version, create_revision, mod_revision or value"
            ))
        })
    }
}

impl FromStr for Comparison {
    type Err = Error;

    /// Reads `==`, `!=`, `>` or `<`.
    fn from_str(symbol: &str) -> Result<Self, Error> {
        find(&Self::NAMED, symbol)
            .ok_or_else(|| invalid(format!("unknown comparison {symbol:?}: use ==, !=, > or <")))
    }
}

fn find<T: Copy>(named: &[(T, &str)], name: &str) -> Option<T> {
    let found = named.iter().find(|(_, other)| *other == name);
    found.map(|(value, _)| *value)
}

fn invalid(message: String) -> Error {
    Error::new(ErrorCode::InvalidArgument, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_others_refused() {
        assert_eq!("mod_revision".parse(), Ok(SortBy::ModRevision));
        assert_eq!("!=".parse(), Ok(Comparison::NotEqual));
        let error = "size".parse::<SortBy>().unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidArgument);
        let error = "<>".parse::<Comparison>().unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidArgument);
    }
}

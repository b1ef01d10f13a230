//! Which keys to read, and how.

use quorate_proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use quorate_proto::etcdserverpb::{RangeRequest, RangeResponse};
use quorate_types::{Error, ErrorCode};

use super::{KeyValue, unsigned};

/// "To the end of the key space", as a range's end.
const TO_THE_END: &[u8] = b"\0";

/// The end of the range of all keys that begin with `prefix`: the prefix with its last byte that
/// can grow grown by one. An empty prefix, or one of 0xff alone, has no end.
pub(crate) fn prefix_end(prefix: &[u8]) -> Vec<u8> {
    match prefix.iter().rposition(|&byte| byte != 0xff) {
        Some(last) => {
            let mut end = prefix[..=last].to_vec();
            end[last] += 1;
            end
        }
        None => TO_THE_END.to_vec(),
    }
}

/// What records are ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SortBy {
    /// The key.
    Key,
    /// The number of changes.
    Version,
    /// The revision of creation.
    CreateRevision,
    /// The revision of the last change.
    ModRevision,
    /// The value.
    Value,
}

/// Smallest or greatest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Smallest first.
    Ascending,
    /// Greatest first.
    Descending,
}

/// Which keys to read, and how: a key, a prefix or a range; then limit, revision, order.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct RangeOptions {
    wire: RangeRequest,
}

impl RangeOptions {
    fn new(key: Vec<u8>, range_end: Vec<u8>) -> Self {
        Self {
            wire: RangeRequest {
                key,
                range_end,
                ..RangeRequest::default()
            },
        }
    }

    /// One key.
    pub fn key(key: impl Into<Vec<u8>>) -> Self {
        Self::new(key.into(), Vec::new())
    }

    /// All keys that begin with `prefix`; with an empty one, all keys.
    pub fn prefix(prefix: impl Into<Vec<u8>>) -> Self {
        let prefix = prefix.into();
        let end = prefix_end(&prefix);
        if prefix.is_empty() {
            return Self::new(TO_THE_END.to_vec(), end);
        }
        Self::new(prefix, end)
    }

    /// All keys from `from`, included, to `to`, excluded.
    pub fn between(from: impl Into<Vec<u8>>, to: impl Into<Vec<u8>>) -> Self {
        Self::new(from.into(), to.into())
    }

    /// All keys from `key` on, included.
    pub fn from(key: impl Into<Vec<u8>>) -> Self {
        Self::new(key.into(), TO_THE_END.to_vec())
    }

    /// All keys that begin with `prefix`; or those from `start`, included, to `end`, excluded, of
    /// which one may be left out. For those who take these as options.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArgument`] for none of them, or for a prefix and another.
    pub fn select(
        prefix: Option<Vec<u8>>,
        start: Option<Vec<u8>>,
        end: Option<Vec<u8>>,
    ) -> Result<Self, Error> {
        let invalid = |message| Err(Error::new(ErrorCode::InvalidArgument, message));
        match (prefix, start, end) {
            (Some(prefix), None, None) => Ok(Self::prefix(prefix)),
            (None, Some(start), None) => Ok(Self::from(start)),
            // NUL is the smallest key.
            (None, start, Some(end)) => Ok(Self::between(start.unwrap_or_else(|| vec![0]), end)),
            (None, None, None) => invalid("a range needs a prefix, a start or an end"),
            (Some(_), _, _) => invalid("a range has either a prefix or a start and end"),
        }
    }

    /// At most so many records; 0, the default, is no limit.
    pub fn limit(mut self, limit: u32) -> Self {
        self.wire.limit = i64::from(limit);
        self
    }

    /// As it was at this revision; 0, the default, is now.
    pub fn revision(mut self, revision: i64) -> Self {
        self.wire.revision = revision;
        self
    }

    /// Whatever the chosen server has, which may be stale: cheaper, and possible without a leader.
    pub fn serializable(mut self) -> Self {
        self.wire.serializable = true;
        self
    }

    /// Without values.
    pub fn keys_only(mut self) -> Self {
        self.wire.keys_only = true;
        self
    }

    /// Only how many there are.
    pub fn count_only(mut self) -> Self {
        self.wire.count_only = true;
        self
    }

    /// Ordered so. Default: by key, ascending.
    pub fn sort(mut self, by: SortBy, order: Order) -> Self {
        self.wire.set_sort_target(match by {
            SortBy::Key => SortTarget::Key,
            SortBy::Version => SortTarget::Version,
            SortBy::CreateRevision => SortTarget::Create,
            SortBy::ModRevision => SortTarget::Mod,
            SortBy::Value => SortTarget::Value,
        });
        self.wire.set_sort_order(match order {
            Order::Ascending => SortOrder::Ascend,
            Order::Descending => SortOrder::Descend,
        });
        self
    }

    /// Only records created at this revision or before; 0, the default, is no bound.
    pub fn max_create_revision(mut self, revision: i64) -> Self {
        self.wire.max_create_revision = revision;
        self
    }

    pub(crate) fn into_wire(self) -> Result<RangeRequest, Error> {
        super::check_key(&self.wire.key)?;
        let end = &self.wire.range_end;
        if !end.is_empty() && end != TO_THE_END && *end <= self.wire.key {
            return Err(Error::new(
                ErrorCode::InvalidArgument,
                format!(
                    "the range from \"{}\" to \"{}\" is empty",
                    self.wire.key.escape_ascii(),
                    end.escape_ascii()
                ),
            ));
        }
        Ok(self.wire)
    }
}

/// The records read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RangeResult {
    /// The records, in the order asked for.
    pub kvs: Vec<KeyValue>,
    /// How many there are in the range, whatever the limit.
    pub count: u64,
    /// Whether the limit cut some off.
    pub more: bool,
    /// The store's revision at the read.
    pub revision: i64,
}

impl From<RangeResponse> for RangeResult {
    fn from(wire: RangeResponse) -> Self {
        Self {
            kvs: wire.kvs.into_iter().map(KeyValue::from).collect(),
            count: unsigned(wire.count),
            more: wire.more,
            revision: wire.header.map_or(0, |header| header.revision),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn prefixes_end_where_etcd_says() {
        assert_eq!(prefix_end(b"a"), b"b");
        assert_eq!(prefix_end(b"a/"), b"a0");
        assert_eq!(prefix_end(b"a\xff"), b"b");
        assert_eq!(prefix_end(b"a\xff\xff"), b"b");
        assert_eq!(prefix_end(b"\xff\xff"), b"\0");
        assert_eq!(prefix_end(b""), b"\0");
    }

    #[test]
    fn an_empty_prefix_is_everything() {
        let wire = RangeOptions::prefix("").into_wire().unwrap();
        assert_eq!(
            (&wire.key[..], &wire.range_end[..]),
            (&b"\0"[..], &b"\0"[..])
        );
    }

    #[test]
    fn empty_keys_and_ranges_are_refused() {
        for options in [
            RangeOptions::key(""),
            RangeOptions::between("b", "b"),
            RangeOptions::between("b", "a"),
        ] {
            let error = options.into_wire().unwrap_err();
            assert_eq!(error.code(), ErrorCode::InvalidArgument);
        }
        assert!(RangeOptions::between("a", "b").into_wire().is_ok());
        assert!(RangeOptions::from("zzz").into_wire().is_ok());
    }

    #[test]
    fn a_selection_is_one_of_the_ranges_or_refused() {
        let text = |text: &str| Some(text.as_bytes().to_vec());
        let select = RangeOptions::select;
        assert_eq!(select(text("a"), None, None), Ok(RangeOptions::prefix("a")));
        assert_eq!(select(None, text("a"), None), Ok(RangeOptions::from("a")));
        assert_eq!(
            select(None, text("a"), text("b")),
            Ok(RangeOptions::between("a", "b"))
        );
        assert_eq!(
            select(None, None, text("b")),
            Ok(RangeOptions::between("\0", "b"))
        );
        for wrong in [
            select(None, None, None),
            select(text("a"), text("a"), None),
            select(text("a"), None, text("b")),
        ] {
            assert_eq!(wrong.unwrap_err().code(), ErrorCode::InvalidArgument);
        }
    }

    #[test]
    fn options_reach_the_wire() {
        let wire = RangeOptions::prefix("p/")
            .limit(7)
            .revision(9)
            .serializable()
            .keys_only()
            .sort(SortBy::CreateRevision, Order::Descending)
            .max_create_revision(5)
            .into_wire()
            .unwrap();
        assert_eq!(
            wire,
            RangeRequest {
                key: b"p/".to_vec(),
                range_end: b"p0".to_vec(),
                limit: 7,
                revision: 9,
                serializable: true,
                keys_only: true,
                sort_target: SortTarget::Create as i32,
                sort_order: SortOrder::Descend as i32,
                max_create_revision: 5,
                ..RangeRequest::default()
            }
        );
    }

    proptest! {
        #[test]
        fn a_key_is_in_the_range_exactly_if_it_has_the_prefix(
            prefix in proptest::collection::vec(prop_oneof![Just(0xffu8), any::<u8>()], 1..5),
            key in proptest::collection::vec(prop_oneof![Just(0xffu8), any::<u8>()], 0..7),
        ) {
            let end = prefix_end(&prefix);
            let inside = key >= prefix && (end == TO_THE_END || key < end);
            prop_assert_eq!(inside, key.starts_with(&prefix));
        }
    }
}

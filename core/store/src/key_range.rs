//! Ranges of keys, as requests spell them.

use std::ops::Bound;

use bytes::Bytes;

/// A non-empty key, an interval of keys, or every key from one on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct KeyRange {
    pub(crate) start: Bytes,
    pub(crate) end: RangeEnd,
}

/// Where a range stops.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum RangeEnd {
    /// It is the one key.
    Single,
    /// Before this key.
    Before(Bytes),
    /// At the end of the key space.
    Open,
}

impl KeyRange {
    /// Reads a range from the wire: no end is the one key, `"\0"` is every key from `key` on.
    pub(crate) fn new(key: impl Into<Bytes>, range_end: impl Into<Bytes>) -> Self {
        let range_end = range_end.into();
        let end = match &range_end[..] {
            [] => RangeEnd::Single,
            [0] => RangeEnd::Open,
            _ => RangeEnd::Before(range_end),
        };
        Self {
            start: key.into(),
            end,
        }
    }

    pub(crate) fn borrowed(key: &[u8], range_end: &[u8]) -> Self {
        Self::new(
            Bytes::copy_from_slice(key),
            Bytes::copy_from_slice(range_end),
        )
    }

    /// The one key, if the range is one.
    pub(crate) fn single(&self) -> Option<&Bytes> {
        (self.end == RangeEnd::Single).then_some(&self.start)
    }

    /// Whether no key can be in it.
    pub(crate) fn is_empty(&self) -> bool {
        matches!(&self.end, RangeEnd::Before(end) if *end <= self.start)
    }

    pub(crate) fn contains(&self, key: &[u8]) -> bool {
        match &self.end {
            RangeEnd::Single => key == self.start,
            RangeEnd::Before(end) => key >= &self.start[..] && key < &end[..],
            RangeEnd::Open => key >= &self.start[..],
        }
    }

    /// Bounds for an ordered map; the range must not be empty.
    pub(crate) fn bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        let end = match &self.end {
            RangeEnd::Single => Bound::Included(&self.start[..]),
            RangeEnd::Before(end) => Bound::Excluded(&end[..]),
            RangeEnd::Open => Bound::Unbounded,
        };
        (Bound::Included(&self.start[..]), end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_end_is_one_key() {
        let range = KeyRange::borrowed(b"a", b"");
        assert!(range.contains(b"a"));
        assert!(!range.contains(b"ab"));
        assert!(!range.is_empty());
        assert_eq!(range.single().unwrap(), "a");
    }

    #[test]
    fn a_zero_byte_as_end_is_every_key_from_there() {
        let range = KeyRange::borrowed(b"b", b"\0");
        assert!(!range.contains(b"a"));
        assert!(range.contains(b"b") && range.contains(b"\xff\xff\xff"));
        let all = KeyRange::borrowed(b"\0", b"\0");
        assert!(all.contains(b"\0") && all.contains(b"a"));
    }

    #[test]
    fn the_end_is_exclusive_and_may_leave_nothing() {
        let range = KeyRange::borrowed(b"a", b"c");
        assert!(range.contains(b"a") && range.contains(b"b\xff") && !range.contains(b"c"));
        assert!(KeyRange::borrowed(b"c", b"c").is_empty());
        assert!(KeyRange::borrowed(b"d", b"c").is_empty());
    }
}

//! Which keys a transaction may change: no key may be changed twice in one revision.
//!
//! Two puts of a key are a mistake, and a put inside a deleted range is too; two deletes are
//! not. The branches of a nested transaction exclude each other, so each is compared with what
//! surrounds them, not with the other.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use quorate_proto::etcdserverpb::RequestOp;
use quorate_proto::etcdserverpb::request_op::Request;

use crate::error::EtcdError;

/// Keys put and ranges deleted by operations that may run together.
#[derive(Default)]
pub(crate) struct ChangedKeys<'a> {
    puts: BTreeSet<&'a [u8]>,
    deletes: Ranges,
}

impl<'a> ChangedKeys<'a> {
    /// Collects what `operations` change; an error if they change a key twice.
    pub(crate) fn of(operations: &'a [RequestOp]) -> Result<Self, EtcdError> {
        let mut all = Self::default();
        for operation in operations {
            match &operation.request {
                None | Some(Request::RequestRange(_)) => {}
                Some(Request::RequestPut(request)) => {
                    let mut one = Self::default();
                    one.puts.insert(&request.key);
                    all.add([one])?;
                }
                Some(Request::RequestDeleteRange(request)) => {
                    let mut one = Self::default();
                    one.deletes.delete(&request.key, &request.range_end);
                    all.add([one])?;
                }
                Some(Request::RequestTxn(request)) => {
                    all.add([Self::of(&request.success)?, Self::of(&request.failure)?])?;
                }
            }
        }
        Ok(all)
    }

    /// Adds alternatives, of which one will run.
    fn add<const N: usize>(&mut self, alternatives: [Self; N]) -> Result<(), EtcdError> {
        for other in &alternatives {
            let twice = other
                .puts
                .iter()
                .any(|key| self.puts.contains(key) || self.deletes.contain(key))
                || other.deletes.hit(&self.puts);
            if twice {
                return Err(EtcdError::DuplicateKey);
            }
        }
        for other in alternatives {
            self.puts.extend(other.puts);
            for (start, end) in other.deletes.0 {
                self.deletes.insert(start, end);
            }
        }
        Ok(())
    }
}

/// Disjoint ranges: start → exclusive end, where `None` is the end of the key space.
#[derive(Default)]
struct Ranges(BTreeMap<Vec<u8>, Option<Vec<u8>>>);

impl Ranges {
    /// Adds a range as the wire spells it.
    fn delete(&mut self, key: &[u8], range_end: &[u8]) {
        let end = match range_end {
            [] => Some([key, b"\0"].concat()),
            [0] => None,
            end => Some(end.to_vec()),
        };
        self.insert(key.to_vec(), end);
    }

    fn insert(&mut self, mut start: Vec<u8>, mut end: Option<Vec<u8>>) {
        if end.as_ref().is_some_and(|end| *end <= start) {
            return;
        }
        let reaches = |end: &Option<Vec<u8>>, key: &[u8]| match end {
            None => true,
            Some(end) => end.as_slice() >= key,
        };
        // Every range that starts within or right behind the new one, and the one before it if
        // that reaches the new one's start, melt into it.
        loop {
            let last = match &end {
                None => self.0.range::<Vec<u8>, _>(..).next_back(),
                Some(end) => self.0.range::<Vec<u8>, _>(..=end).next_back(),
            };
            match last {
                Some((other, other_end)) if *other >= start || reaches(other_end, &start) => {
                    let other = other.clone();
                    let other_end = self.0.remove(&other).flatten();
                    end = match (end, other_end) {
                        (Some(a), Some(b)) => Some(a.max(b)),
                        _ => None,
                    };
                    start = start.min(other);
                }
                _ => break,
            }
        }
        self.0.insert(start, end);
    }

    fn contain(&self, key: &[u8]) -> bool {
        let up_to = (Bound::Unbounded, Bound::Included(key));
        match self.0.range::<[u8], _>(up_to).next_back() {
            Some((_, Some(end))) => key < end.as_slice(),
            Some((_, None)) => true,
            None => false,
        }
    }

    /// Whether one of `keys` is in one of the ranges.
    fn hit(&self, keys: &BTreeSet<&[u8]>) -> bool {
        self.0.iter().any(|(start, end)| {
            let first = keys.range(start.as_slice()..).next();
            first.is_some_and(|key| end.as_ref().is_none_or(|end| *key < end.as_slice()))
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Merged ranges contain what the single ones do.
        #[test]
        fn ranges_merge_rightly(
            ranges in prop::collection::vec((0_u8..20, 0_u8..21, any::<bool>()), 0..12)
        ) {
            let mut merged = Ranges::default();
            for &(start, end, open) in &ranges {
                let end: &[u8] = if open { b"\0" } else { &[end + 1] };
                merged.delete(&[start + 1], end);
            }
            for key in 0_u8..22 {
                let expected = ranges.iter().any(|&(start, end, open)| {
                    key > start && (open || key < end + 1)
                });
                prop_assert_eq!(merged.contain(&[key]), expected, "{}", key);
            }
            let starts: Vec<_> = merged.0.iter().collect();
            for pair in starts.windows(2) {
                prop_assert!(pair[0].1.as_ref().unwrap() < pair[1].0);
            }
        }
    }
}

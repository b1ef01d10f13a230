//! A change's place in history, and its form as a row's key.

/// `main` counts mutating transactions, `sub` the changes inside one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Revision {
    pub(crate) main: i64,
    pub(crate) sub: u32,
}

/// A revision as a row's key: both numbers big-endian, so byte order is history's order.
pub(crate) type RowKey = [u8; 16];

impl Revision {
    pub(crate) fn new(main: i64, sub: u32) -> Self {
        Self { main, sub }
    }

    pub(crate) fn row_key(self) -> RowKey {
        let mut key = [0; 16];
        // Revisions are never negative, so their unsigned order is theirs.
        key[..8].copy_from_slice(&self.main.cast_unsigned().to_be_bytes());
        key[8..].copy_from_slice(&u64::from(self.sub).to_be_bytes());
        key
    }

    /// The revision of a row's key; `None` if no row of ours has it.
    pub(crate) fn from_row_key(key: &RowKey) -> Option<Self> {
        let (main, sub) = key.split_at(8);
        let main = u64::from_be_bytes(main.try_into().ok()?);
        let sub = u64::from_be_bytes(sub.try_into().ok()?);
        Some(Self {
            main: i64::try_from(main).ok()?,
            sub: u32::try_from(sub).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_keys_keep_the_order_and_read_back() {
        let revisions = [
            Revision::new(1, 0),
            Revision::new(1, 7),
            Revision::new(255, 300),
            Revision::new(256, 0),
            Revision::new(i64::MAX, u32::MAX),
        ];
        for pair in revisions.windows(2) {
            assert!(pair[0].row_key() < pair[1].row_key());
        }
        for revision in revisions {
            assert_eq!(Revision::from_row_key(&revision.row_key()), Some(revision));
        }
        assert_eq!(Revision::from_row_key(&[0xff; 16]), None);
    }
}

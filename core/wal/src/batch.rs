//! Records that go into the log together.

/// Records for one append: they get consecutive sequences, in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    payloads: Vec<u8>,
    records: Vec<(u8, usize)>,
}

impl Batch {
    /// A batch without records. Appending it waits for all that was appended before.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A batch of one record.
    #[must_use]
    pub fn one(kind: u8, payload: &[u8]) -> Self {
        let mut batch = Self::new();
        batch.push(kind, payload);
        batch
    }

    /// Adds a record; `kind` is the caller's and comes back on replay.
    pub fn push(&mut self, kind: u8, payload: &[u8]) {
        self.payloads.extend_from_slice(payload);
        self.records.push((kind, payload.len()));
    }

    /// How many records.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there are no records.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Size of all payloads.
    #[must_use]
    pub fn payload_bytes(&self) -> usize {
        self.payloads.len()
    }

    /// Payload sizes, in order.
    pub(crate) fn lengths(&self) -> impl Iterator<Item = usize> + '_ {
        self.records.iter().map(|&(_, length)| length)
    }

    /// Kinds and payloads, in order.
    pub(crate) fn records(&self) -> impl Iterator<Item = (u8, &[u8])> {
        let mut rest = self.payloads.as_slice();
        self.records.iter().map(move |&(kind, length)| {
            let (payload, after) = rest.split_at(length);
            rest = after;
            (kind, payload)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_back_what_was_pushed() {
        let mut batch = Batch::one(1, b"one");
        batch.push(2, b"");
        batch.push(3, b"three");
        let records: Vec<_> = batch.records().collect();
        assert_eq!(records, [(1, &b"one"[..]), (2, b""), (3, b"three")]);
        assert_eq!(batch.lengths().collect::<Vec<_>>(), [3, 0, 5]);
        assert_eq!(batch.payload_bytes(), 8);
    }
}

//! The log's sizes and bounds.

use crate::WalError;
use crate::cursor::Cursor;
use crate::segment::HEADER_BLOCK;

/// Sizes and bounds of a log. A log may be opened with others than it was written with.
#[derive(Clone, Debug)]
pub struct WalOptions {
    /// Size of new segments in bytes; a multiple of 4096 from 8 KiB to 1 GiB. The whole of it is written with
    /// zeros before use, so tests want it small. Default 64 MiB.
    pub segment_bytes: u32,
    /// How much the writer takes from the queue for one write and one sync, in bytes; a larger append goes
    /// alone. Default 4 MiB.
    pub group_bytes: usize,
    /// Most bytes of payload that may wait in the queue; appending blocks beyond. Default 64 MiB.
    pub queue_bytes: usize,
    /// Most appends that may wait in the queue; appending blocks beyond. Default 65,536.
    pub queue_appends: usize,
}

impl Default for WalOptions {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            group_bytes: 4 << 20,
            queue_bytes: 64 << 20,
            queue_appends: 1 << 16,
        }
    }
}

impl WalOptions {
    /// The largest payload a record may have.
    #[must_use]
    pub fn largest_payload(&self) -> usize {
        Cursor::largest_payload(self.segment_bytes)
    }

    pub(crate) fn validate(&self) -> Result<(), WalError> {
        if !(2 * HEADER_BLOCK..=1 << 30).contains(&self.segment_bytes)
            || !self.segment_bytes.is_multiple_of(HEADER_BLOCK)
        {
            return Err(WalError::InvalidOptions(
                "segment_bytes must be a multiple of 4096 from 8 KiB to 1 GiB",
            ));
        }
        if self.group_bytes == 0 || self.queue_bytes == 0 || self.queue_appends == 0 {
            return Err(WalError::InvalidOptions(
                "group_bytes, queue_bytes and queue_appends must be over 0",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_nonsense_is_not() {
        assert!(WalOptions::default().validate().is_ok());
        for segment_bytes in [0, 4096, 8193, (1 << 30) + 4096] {
            let options = WalOptions {
                segment_bytes,
                ..WalOptions::default()
            };
            assert!(options.validate().is_err(), "{segment_bytes}");
        }
        let options = WalOptions {
            queue_appends: 0,
            ..WalOptions::default()
        };
        assert!(options.validate().is_err());
    }
}

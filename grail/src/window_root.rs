//! The commitment to a window file that a miner puts on chain before the window ends (DESIGN 4.11).

use crate::{Hash, encoding::sha256};

/// Bytes of a window root: the size of the chain's `Raw48`.
pub const WINDOW_ROOT_BYTES: usize = 48;

const TAG: &[u8; 8] = b"grail1w:";

/// A window's first block and the hash of the stored object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowRoot {
    /// First block of the window.
    pub window_start: u64,
    /// SHA-256 of the stored gzip bytes.
    pub file_hash: Hash,
}

impl WindowRoot {
    /// The root of a stored object.
    #[must_use]
    pub fn of_file(window_start: u64, stored: &[u8]) -> Self {
        Self { window_start, file_hash: sha256(stored) }
    }

    /// `grail1w:` ‖ be64 of the first block ‖ hash.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; WINDOW_ROOT_BYTES] {
        let mut bytes = [0; WINDOW_ROOT_BYTES];
        bytes[..8].copy_from_slice(TAG);
        bytes[8..16].copy_from_slice(&self.window_start.to_be_bytes());
        bytes[16..].copy_from_slice(&self.file_hash);
        bytes
    }

    /// The root that bytes hold; `None` for anything but 48 bytes with the tag.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(TAG)?;
        let (block, hash) = rest.split_first_chunk::<8>()?;
        Some(Self { window_start: u64::from_be_bytes(*block), file_hash: hash.try_into().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn other_bytes_hold_no_root() {
        let good = WindowRoot::of_file(50, b"file").to_bytes();
        assert!(WindowRoot::from_bytes(&good).is_some());
        assert_eq!(WindowRoot::from_bytes(&good[..47]), None);
        assert_eq!(WindowRoot::from_bytes(&[&good[..], &[0]].concat()), None);
        let mut tagged = good;
        tagged[0] ^= 1;
        assert_eq!(WindowRoot::from_bytes(&tagged), None);
        assert_eq!(WindowRoot::from_bytes(&[]), None);
    }

    proptest! {
        #[test]
        fn a_root_reads_back(window_start: u64, file_hash: Hash) {
            let root = WindowRoot { window_start, file_hash };
            prop_assert_eq!(WindowRoot::from_bytes(&root.to_bytes()), Some(root));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = WindowRoot::from_bytes(&bytes);
        }
    }
}

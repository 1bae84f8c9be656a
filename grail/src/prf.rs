//! The protocol's pseudo-random function: SHAKE-256 over labelled parts (PROTOCOL 2.1).
//!
//! Parts are joined by `||` without escaping or lengths, as the original does, so parts that contain
//! `||` can collide. Every use in `grail-exact-1` has parts of fixed length, where that cannot happen.

use sha3::Shake256;
use sha3::digest::{ExtendableOutput, Update, XofReader};

use crate::{Error, Hash, Result};

/// Most bytes one call may ask for.
pub const MAX_OUTPUT_BYTES: usize = 65536;

const SEPARATOR: &[u8] = b"||";

/// First `bytes` bytes of SHAKE-256 over `label || part1 || part2 ...`.
///
/// # Errors
/// [`Error::Range`] when more than [`MAX_OUTPUT_BYTES`] are asked for.
pub fn prf(label: &[u8], parts: &[&[u8]], bytes: usize) -> Result<Vec<u8>> {
    if bytes > MAX_OUTPUT_BYTES {
        return Err(Error::range(
            "prf output",
            format!("{bytes} bytes asked for, at most {MAX_OUTPUT_BYTES} are given"),
        ));
    }
    let mut out = vec![0; bytes];
    fill(label, parts, &mut out);
    Ok(out)
}

/// The first 32 bytes of [`prf`]'s output.
#[must_use]
pub fn prf32(label: &[u8], parts: &[&[u8]]) -> Hash {
    let mut out = [0; 32];
    fill(label, parts, &mut out);
    out
}

fn fill(label: &[u8], parts: &[&[u8]], out: &mut [u8]) {
    let mut shake = Shake256::default();
    shake.update(label);
    // A label without parts is still followed by one separator.
    shake.update(SEPARATOR);
    for (i, part) in parts.iter().enumerate() {
        if i > 0 {
            shake.update(SEPARATOR);
        }
        shake.update(part);
    }
    shake.finalize_xof().read(out);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_longer_output_extends_a_shorter_one() {
        let long = prf(b"sketch", &[b"a", b"b"], 100).unwrap();
        for n in [0, 1, 31, 32, 99] {
            assert_eq!(prf(b"sketch", &[b"a", b"b"], n).unwrap(), long[..n]);
        }
        assert_eq!(prf32(b"sketch", &[b"a", b"b"]), long[..32]);
    }

    #[test]
    fn label_and_parts_all_count() {
        let base = prf32(b"open", &[b"x"]);
        assert_ne!(base, prf32(b"sketch", &[b"x"]));
        assert_ne!(base, prf32(b"open", &[b"y"]));
        assert_ne!(base, prf32(b"open", &[b"x", b""]));
        assert_ne!(base, prf32(b"open", &[]));
    }

    #[test]
    fn more_than_the_limit_is_refused() {
        assert!(prf(b"l", &[], MAX_OUTPUT_BYTES).is_ok());
        assert!(prf(b"l", &[], MAX_OUTPUT_BYTES + 1).is_err());
        assert!(prf(b"l", &[], usize::MAX).is_err());
    }
}

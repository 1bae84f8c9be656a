//! Which positions of a sequence are opened under a challenge (PROTOCOL 3.6).
//!
//! `grail-exact-1` checks every position of a checked rollout; these indices serve the spot check.

use crate::encoding::hash_tokens;
use crate::mersenne::Mersenne;
use crate::prf::prf32;
use crate::{Error, Result};

/// Positions a spot check opens.
pub const CHALLENGE_K: usize = 16;

/// `k` distinct positions below `length`, ascending.
///
/// # Errors
/// [`Error::Range`] when there are no tokens, no challenge, `k` is 0 or above `length`.
pub fn open_indices(tokens: &[u32], challenge: &[u8], length: usize, k: usize) -> Result<Vec<usize>> {
    if tokens.is_empty() {
        return Err(Error::range("tokens", "none"));
    }
    if challenge.is_empty() {
        return Err(Error::range("challenge randomness", "no bytes"));
    }
    if k == 0 || k > length {
        let problem = format!("{k} positions of {length} asked for");
        return Err(Error::range("opened positions", problem));
    }
    let material = prf32(b"open", &[&hash_tokens(tokens), challenge]);
    let mut random = Mersenne::from_bytes(&material);
    let mut indices = if (k as f64) < 0.1 * length as f64 {
        random.sample(length, k)?
    } else {
        let mut all: Vec<usize> = (0..length).collect();
        random.shuffle(&mut all);
        all.truncate(k);
        all
    };
    indices.sort_unstable();
    Ok(indices)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_cannot_be_opened_is_refused() {
        assert!(open_indices(&[], &[1], 16, 16).is_err());
        assert!(open_indices(&[1], &[], 16, 16).is_err());
        assert!(open_indices(&[1], &[1], 15, 16).is_err());
        assert!(open_indices(&[1], &[1], 16, 0).is_err());
        assert!(open_indices(&[1], &[1], 16, 16).is_ok());
    }

    proptest! {
        #[test]
        fn indices_ascend_below_the_length(tokens in prop::collection::vec(any::<u32>(), 1..20), challenge in prop::collection::vec(any::<u8>(), 1..40), length in 1_usize..1000, k in 1_usize..40) {
            prop_assume!(k <= length);
            let indices = open_indices(&tokens, &challenge, length, k).unwrap();
            prop_assert_eq!(indices.len(), k);
            prop_assert!(indices.windows(2).all(|w| w[0] < w[1]));
            prop_assert!(indices[k - 1] < length);
        }
    }
}

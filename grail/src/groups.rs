//! Which groups of a window file a validator checks in full (DESIGN 4.12).
//!
//! The choice depends on nothing a validator decides alone, so all of them check the same groups.

use crate::mersenne::Mersenne;
use crate::prf::prf32;
use crate::{AccountId, Error, Hash, Result};

/// Files with at most this many groups are checked whole.
pub const CHECK_ALL_UP_TO: usize = 32;

/// Fewest groups checked in a larger file.
pub const FEWEST_CHECKED: usize = 8;

/// Most groups a file of this format may ever have: a bound for inputs, above every max_groups.
pub const GROUPS_LIMIT: usize = 1 << 20;

/// How many of `groups` are checked by the rule alone.
#[must_use]
pub fn checked_count(groups: usize) -> usize {
    if groups <= CHECK_ALL_UP_TO { groups } else { groups.div_ceil(10).max(FEWEST_CHECKED) }
}

/// The places of the checked groups, in the order drawn.
///
/// `lowered_to` is the g of a validator that cannot keep up; it acts on files that are not checked
/// whole, and never raises g.
///
/// # Errors
/// [`Error::Range`] when `groups` exceeds [`GROUPS_LIMIT`] or `lowered_to` is below [`FEWEST_CHECKED`].
pub fn checked_groups(c_w: &Hash, account: &AccountId, groups: usize, lowered_to: Option<usize>) -> Result<Vec<usize>> {
    if groups > GROUPS_LIMIT {
        return Err(Error::range("groups", format!("{groups}")));
    }
    if let Some(g) = lowered_to.filter(|&g| g < FEWEST_CHECKED) {
        let problem = format!("{g}, at least {FEWEST_CHECKED} are checked");
        return Err(Error::range("lowered number of checked groups", problem));
    }
    if groups <= CHECK_ALL_UP_TO {
        return Ok((0..groups).collect());
    }
    let g = checked_count(groups);
    let g = lowered_to.map_or(g, |lowered| lowered.min(g));
    let seed = prf32(b"groups", &[c_w, account]);
    Mersenne::from_bytes(&seed).sample(groups, g)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_files_are_checked_whole() {
        for groups in [0, 1, 32] {
            let drawn = checked_groups(&[1; 32], &[2; 32], groups, None).unwrap();
            assert_eq!(drawn, (0..groups).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_tenth_of_a_large_file_is_checked_but_never_fewer_than_eight() {
        for (groups, g) in [(33, 8), (80, 8), (81, 9), (512, 52)] {
            assert_eq!(checked_count(groups), g);
            let drawn = checked_groups(&[1; 32], &[2; 32], groups, None).unwrap();
            assert_eq!(drawn.len(), g);
        }
    }

    #[test]
    fn a_validator_may_lower_but_neither_raise_nor_go_below_eight() {
        let count = |lowered| checked_groups(&[1; 32], &[2; 32], 512, lowered).map(|d| d.len());
        assert_eq!(count(Some(8)), Ok(8));
        assert_eq!(count(Some(20)), Ok(20));
        assert_eq!(count(Some(500)), Ok(52));
        assert!(count(Some(7)).is_err());
    }

    #[test]
    fn miner_and_challenge_decide() {
        let drawn = |c, a| checked_groups(&[c; 32], &[a; 32], 512, None).unwrap();
        assert_eq!(drawn(1, 2), drawn(1, 2));
        assert_ne!(drawn(1, 2), drawn(0, 2));
        assert_ne!(drawn(1, 2), drawn(1, 0));
    }
}

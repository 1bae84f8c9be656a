//! Scaling of weights to the full range of u16, in the chain's own fixed-point arithmetic.

/// Fraction bits of the fixed-point numbers that the pallet calculates with.
const FRACTION_BITS: u32 = 32;

const FULL: u128 = u16::MAX as u128;

/// Above this, weight times 65535 would leave the pallet's 31 integer bits, so it divides first.
const LARGEST_MULTIPLIED_FIRST: u128 = 32768;

/// Weights scaled so that the largest is 65535, rounded half up after truncation to 32 fraction bits, as the
/// pallet does it. Zeros stay zeros.
#[must_use]
pub fn max_upscale(weights: &[u16]) -> Vec<u16> {
    let Some(largest) = weights.iter().copied().max().map(u128::from).filter(|largest| *largest > 0) else {
        return weights.to_vec();
    };
    let scale = |weight: u128| {
        if largest > LARGEST_MULTIPLIED_FIRST {
            weight * ((FULL << FRACTION_BITS) / largest)
        } else {
            ((weight * FULL) << FRACTION_BITS) / largest
        }
    };
    let half = 1 << (FRACTION_BITS - 1);
    weights
        .iter()
        .map(|weight| u16::try_from((scale(u128::from(*weight)) + half) >> FRACTION_BITS).unwrap_or(u16::MAX))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::max_upscale;
    use proptest::prelude::*;

    #[test]
    fn the_largest_weight_becomes_the_full_range() {
        assert_eq!(max_upscale(&[]), Vec::<u16>::new());
        assert_eq!(max_upscale(&[0, 0]), [0, 0]);
        assert_eq!(max_upscale(&[1, 2, 3]), [21845, 43690, 65535]);
        assert_eq!(max_upscale(&[65535, 32768, 1]), [65535, 32768, 1]);
        assert_eq!(max_upscale(&[1, 65535 / 2]), [2, 65535]);
    }

    proptest! {
        #[test]
        fn order_and_zeros_stay(weights in proptest::collection::vec(any::<u16>(), 1..50)) {
            let scaled = max_upscale(&weights);
            prop_assert_eq!(scaled.len(), weights.len());
            for (a, b) in weights.iter().zip(&scaled) {
                prop_assert_eq!(*a == 0, *b == 0);
                for (c, d) in weights.iter().zip(&scaled) {
                    prop_assert!(a > c || b <= d);
                }
            }
            if weights.iter().any(|weight| *weight > 0) {
                prop_assert_eq!(scaled.iter().max(), Some(&u16::MAX));
            }
        }
    }
}

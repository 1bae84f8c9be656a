//! Sums without rounding in between, and a summary of a distribution of weights (PROTOCOL 11).

/// The sum of finite values, rounded once: Shewchuk's partials, as Python's `math.fsum`.
#[must_use]
pub fn exact_sum(values: &[f64]) -> f64 {
    let mut partials: Vec<f64> = Vec::new();
    for &value in values {
        let mut high = value;
        let mut kept = 0;
        for i in 0..partials.len() {
            let (large, small) = if high.abs() < partials[i].abs() { (partials[i], high) } else { (high, partials[i]) };
            high = large + small;
            let low = small - (high - large);
            if low != 0.0 {
                partials[kept] = low;
                kept += 1;
            }
        }
        partials.truncate(kept);
        partials.push(high);
    }
    round_partials(&partials)
}

/// Partials ascend in magnitude and do not overlap, so the first inexact addition decides the rounding; the
/// sign of the next partial settles an exact half.
fn round_partials(partials: &[f64]) -> f64 {
    let Some((&last, rest)) = partials.split_last() else {
        return 0.0;
    };
    let mut high = last;
    for (i, &next) in rest.iter().enumerate().rev() {
        let before = high;
        high = before + next;
        let low = next - (high - before);
        if low == 0.0 {
            continue;
        }
        let below = i.checked_sub(1).map_or(0.0, |j| rest[j]);
        if (low < 0.0 && below < 0.0) || (low > 0.0 && below > 0.0) {
            let twice = low * 2.0;
            let nudged = high + twice;
            if twice == nudged - high {
                high = nudged;
            }
        }
        break;
    }
    high
}

/// A summary of weights.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Statistics {
    /// Smallest weight.
    pub min: f64,
    /// Mean weight.
    pub mean: f64,
    /// Greatest weight.
    pub max: f64,
    /// Gini coefficient: 0 when all are equal, near 1 when one has everything.
    pub gini: f64,
}

/// The summary of weights that are not negative; all zero for an empty list.
#[must_use]
pub fn statistics(weights: &[f64]) -> Statistics {
    let mut ascending = weights.to_vec();
    ascending.sort_by(f64::total_cmp);
    let count = ascending.len() as f64;
    let sum = exact_sum(&ascending);
    let gini = if sum > 0.0 {
        let ranked: f64 = ascending.iter().zip(1..).map(|(w, i)| f64::from(i) * w).sum();
        (2.0 * ranked / (count * sum) - (count + 1.0) / count).max(0.0)
    } else {
        0.0
    };
    Statistics {
        min: ascending.first().copied().unwrap_or(0.0),
        mean: if weights.is_empty() { 0.0 } else { sum / count },
        max: ascending.last().copied().unwrap_or(0.0),
        gini,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tiny_terms_are_not_lost() {
        assert_eq!(exact_sum(&[0.1; 10]), 1.0);
        assert_eq!(exact_sum(&[1e16, 1.0, -1e16]), 1.0);
        assert_eq!(exact_sum(&[1.0, 1e100, 1.0, -1e100]), 2.0);
        assert_ne!([0.1; 10].iter().sum::<f64>(), 1.0, "a plain sum would not do");
    }

    #[test]
    fn a_half_is_settled_by_what_lies_below() {
        let half = (2.0_f64).powi(-53);
        assert_eq!(exact_sum(&[1.0, half]), 1.0);
        assert_eq!(exact_sum(&[1.0, half, 1e-40]), 1.0 + 2.0 * half);
        assert_eq!(exact_sum(&[1.0, half, -1e-40]), 1.0);
    }

    proptest! {
        #[test]
        fn the_order_does_not_count(mut values in prop::collection::vec(-1e12..1e12, 0..40)) {
            let sum = exact_sum(&values);
            values.reverse();
            prop_assert_eq!(exact_sum(&values).to_bits(), sum.to_bits());
        }
    }
}

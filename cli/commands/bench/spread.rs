//! Several runs of the same thing: the middle and the ends.

use anyhow::{Result, ensure};

/// Of at least one finite value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// The middle value, or the mean of the two.
    pub median: f64,
    /// The least.
    pub least: f64,
    /// The greatest.
    pub greatest: f64,
}

impl Spread {
    /// Of values in any order.
    ///
    /// # Errors
    /// There are none, or one is not finite: something was too fast for the clock.
    pub fn of(mut values: Vec<f64>) -> Result<Self> {
        ensure!(!values.is_empty() && values.iter().all(|v| v.is_finite()), "too fast for this machine's clock");
        values.sort_by(f64::total_cmp);
        let (low, high) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
        Ok(Self { median: (low + high) / 2.0, least: values[0], greatest: values[values.len() - 1] })
    }

    /// `12.1 to 13.4`.
    pub fn range(&self) -> String {
        format!("{:.1} to {:.1}", self.least, self.greatest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_the_mean_of_the_two() {
        let median = |values: &[f64]| Spread::of(values.to_vec()).unwrap().median;
        assert_eq!(median(&[1.0]), 1.0);
        assert_eq!(median(&[9.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 9.0, 2.0]), 3.0);
        assert_eq!(Spread::of(vec![2.0, 1.04, 9.0]).unwrap().range(), "1.0 to 9.0");
    }

    #[test]
    fn what_no_clock_saw_has_no_median() {
        assert!(Spread::of(Vec::new()).is_err());
        assert!(Spread::of(vec![1.0, f64::INFINITY]).is_err());
        assert!(Spread::of(vec![f64::NAN]).is_err());
    }
}

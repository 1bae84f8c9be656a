//! A linear axis with round ticks that always holds zero, so that lengths of bars compare as their values do.

use super::numbers::{length, number};

/// Steps between ticks, at most.
const STEPS: f64 = 5.0;

/// From a round number to a round number, zero between or at an end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Axis {
    low: f64,
    high: f64,
    step: f64,
}

impl Axis {
    /// Over all values and zero. Values must be finite; without any it goes from 0 to 1.
    pub fn over(values: impl IntoIterator<Item = f64>) -> Self {
        let (low, high) = values.into_iter().fold((0.0_f64, 0.0_f64), |(low, high), v| (low.min(v), high.max(v)));
        if low >= high {
            return Self { low: 0.0, high: 1.0, step: 0.5 };
        }
        let step = round_step((high - low) / STEPS);
        Self { low: (low / step).floor() * step, high: (high / step).ceil() * step, step }
    }

    /// Over counts: ticks at whole numbers only.
    pub fn over_counts(values: impl IntoIterator<Item = f64>) -> Self {
        let axis = Self::over(values);
        let step = axis.step.max(1.0);
        Self { low: 0.0, high: (axis.high / step).ceil() * step, step }
    }

    /// Where a value is, 0 at the low end and 1 at the high one.
    pub fn place(&self, value: f64) -> f64 {
        ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }

    /// Ticks, ascending, with their words.
    pub fn ticks(&self) -> Vec<(f64, String)> {
        let first = (self.low / self.step).round();
        let count = ((self.high - self.low) / self.step).round().clamp(1.0, 2.0 * STEPS) as i32;
        (0..=count).map(|i| (first + f64::from(i)) * self.step).map(|tick| (tick, self.tick(tick))).collect()
    }

    /// Exactly the digits that the step needs.
    fn tick(&self, tick: f64) -> String {
        let digits = (-self.step.log10()).ceil().clamp(0.0, 6.0) as usize;
        match tick.abs() {
            a if a >= 1e6 => format!("{tick:.1e}"),
            a if a >= 1e3 || self.step < 1e-6 => number(tick),
            _ => format!("{tick:.digits$}"),
        }
    }
}

/// The least of 1, 2, 5 times a power of ten that is not below `x`.
pub fn round_step(x: f64) -> f64 {
    let power = 10.0_f64.powf(x.max(1e-200).log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|by| by * power).find(|step| *step >= x * (1.0 - 1e-9));
    step.unwrap_or(10.0 * power)
}

/// Ticks as SVG lines across a drawing `left..right`, with words left of it; `place` gives heights.
pub fn grid(axis: &Axis, left: f64, right: f64, place: impl Fn(f64) -> f64) -> String {
    let tick = |(tick, words): (f64, String)| {
        let class = if tick == 0.0 { "zero" } else { "grid" };
        let (y, below) = (length(place(tick)), length(place(tick) + 3.5));
        let (left, right, end) = (length(left), length(right), length(left - 5.0));
        format!(
            "<line class=\"{class}\" x1=\"{left}\" x2=\"{right}\" y1=\"{y}\" y2=\"{y}\"/>\
             <text class=\"tick\" text-anchor=\"end\" x=\"{end}\" y=\"{below}\">{words}</text>"
        )
    };
    axis.ticks().into_iter().map(tick).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ticks_are_round_and_begin_at_zero() {
        let words = |axis: Axis| axis.ticks().into_iter().map(|tick| tick.1).collect::<Vec<_>>();
        assert_eq!(words(Axis::over([3.0, 812.0])), ["0", "200", "400", "600", "800", "1000"]);
        assert_eq!(words(Axis::over([0.9])), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(words(Axis::over([-0.2, 0.3])), ["-0.2", "-0.1", "0.0", "0.1", "0.2", "0.3"]);
        assert_eq!(words(Axis::over([])), ["0.0", "0.5", "1.0"]);
        assert_eq!(words(Axis::over_counts([2.0])), ["0", "1", "2"]);
    }

    proptest! {
        #[test]
        fn every_value_has_a_finite_place_and_order_is_kept(
            values in prop::collection::vec(prop_oneof![-1e100..1e100, -10.0..10.0, -1e-300..1e-300], 0..20),
        ) {
            let axis = Axis::over(values.iter().copied());
            prop_assert!(axis.ticks().len() <= 12);
            for (tick, words) in axis.ticks() {
                prop_assert!(tick.is_finite() && !words.contains("NaN") && !words.contains("inf"));
            }
            let mut sorted = values.clone();
            sorted.sort_by(f64::total_cmp);
            let places: Vec<f64> = sorted.iter().map(|&v| axis.place(v)).collect();
            prop_assert!(places.iter().all(|p| (0.0..=1.0).contains(p)) && places.is_sorted());
        }
    }
}

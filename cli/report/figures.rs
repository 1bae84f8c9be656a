//! Which drawings a report has: speed and rewards of every miner by window, the spread of its rewards, and the weights.

use super::axis::{Axis, round_step};
use super::escape::escape;
use super::model::{Entry, Outcome, Party, Report};
use super::numbers::{length, mean, number, number_or_absent, percent, plottable, speed, whole};
use super::plot::{Bar, Panel, Slot, draw};
use super::totals::Totals;

const BINS: f64 = 12.0;

/// Sign of an outcome, and its class in the style sheet.
pub fn sign(outcome: Option<Outcome>) -> (&'static str, &'static str) {
    match outcome {
        Some(Outcome::Valid) => ("\u{2713}", "valid"),
        Some(Outcome::Void) => ("\u{25cb}", "void"),
        Some(Outcome::Fraud) => ("\u{2715}", "fraud"),
        Some(Outcome::NoVerdict) => ("?", "unknown"),
        None => ("\u{b7}", "unknown"),
    }
}

/// Tokens a second of every miner and window: generated, and verified.
pub fn throughput(report: &Report) -> String {
    let windows = report.windows();
    let speeds = |entry: &Entry| {
        let totals = Totals::of([entry]);
        [totals.generation_speed().and_then(plottable), totals.verification_speed().and_then(plottable)]
    };
    let axis = Axis::over(report.miners().flat_map(|party| &party.entries).flat_map(speeds).flatten());
    let figures = report.miners().map(|party| {
        let slot = |&window: &u64| {
            let entry = party.entry(window);
            let bars = entry.map_or([None, None], speeds);
            let bar = |i: usize, class: &'static str, what: &str| {
                let value = bars[i]?;
                let tip = format!("{}, window {window}: {what} at {} tokens/s", party.name, speed(Some(value)));
                Some(Bar { value, class, tip })
            };
            Slot { bars: vec![bar(0, "generation", "generated"), bar(1, "verification", "verified")], mark: None }
        };
        let totals = party.totals();
        let (generated, verified) = (speed(totals.generation_speed()), speed(totals.verification_speed()));
        let words = format!("{generated} vs {verified} tokens/s ({}\u{d7})", speed(totals.advantage()));
        figure(party, &words, by_window(party, "tokens/s", &windows, slot), &axis)
    });
    grid_of(figures)
}

/// Mean reward of every miner and window, with a sign where the window does not count.
pub fn rewards(report: &Report) -> String {
    let windows = report.windows();
    let means = |entry: &Entry| mean(&entry.rewards);
    let axis = Axis::over(report.miners().flat_map(|party| &party.entries).filter_map(means));
    let figures = report.miners().map(|party| {
        let slot = |&window: &u64| {
            let Some(entry) = party.entry(window) else { return Slot::default() };
            let (sign, class) = sign(entry.outcome());
            let outcome = entry.outcome().map_or("not judged", Outcome::name);
            let counts = entry.outcome() == Some(Outcome::Valid);
            let bar = means(entry).map(|value| Bar {
                value,
                class: if counts { "reward" } else { "reward uncounted" },
                tip: format!("{}, window {window} ({outcome}): mean reward {}", party.name, number(value)),
            });
            Slot { bars: vec![bar], mark: (!counts).then(|| (class, sign, outcome.to_owned())) }
        };
        let words = format!("mean {}", number_or_absent(mean(&all_rewards(party))));
        figure(party, &words, by_window(party, "mean reward", &windows, slot), &axis)
    });
    grid_of(figures)
}

/// How often each miner got which reward.
pub fn reward_spread(report: &Report) -> String {
    let per_miner: Vec<(&Party, Vec<f64>)> = report.miners().map(|party| (party, all_rewards(party))).collect();
    let bins = Bins::over(per_miner.iter().flat_map(|(_, rewards)| rewards.iter().copied()));
    let counts: Vec<Vec<u64>> = per_miner.iter().map(|(_, rewards)| bins.count(rewards)).collect();
    let axis = Axis::over_counts(counts.iter().flatten().map(|&n| n as f64));
    let figures = per_miner.iter().zip(&counts).map(|((party, rewards), counts)| {
        let slot = |(i, &n): (usize, &u64)| {
            let tip = format!("{} of {} rollouts: {}", n, rewards.len(), bins.words(i));
            Slot { bars: vec![(n > 0).then_some(Bar { value: n as f64, class: "reward", tip })], mark: None }
        };
        let edges = (0..=counts.len()).map(|i| (i as f64 / counts.len() as f64, number(bins.edge(i))));
        let panel = Panel {
            summary: format!("Histogram of the rewards of {}", party.name),
            unit: "rollouts",
            along: "reward",
            slots: counts.iter().enumerate().map(slot).collect(),
            labels: edges.collect(),
            gap: 0.0,
        };
        figure(party, &format!("{} rollouts", whole(rewards.len() as u64)), panel, &axis)
    });
    grid_of(figures)
}

/// Shares of the weight on chain, as bars from zero.
pub fn weights(report: &Report) -> String {
    const ROW: f64 = 38.0;
    let axis = Axis::over(report.weights.iter().filter_map(|weight| plottable(weight.share * 100.0)));
    let percent_of = |value: f64| length(axis.place(value) * 100.0);
    let bottom = ROW * report.weights.len() as f64;
    let ticks = axis.ticks().into_iter().map(|(tick, words)| {
        let x = percent_of(tick);
        let anchor = match axis.place(tick) {
            p if p < 0.01 => "start",
            p if p > 0.99 => "end",
            _ => "middle",
        };
        let class = if tick == 0.0 { "zero" } else { "grid" };
        format!(
            "<line class=\"{class}\" x1=\"{x}%\" x2=\"{x}%\" y1=\"0\" y2=\"{bottom}\"/>\
             <text class=\"tick\" text-anchor=\"{anchor}\" x=\"{x}%\" y=\"{}\">{words} %</text>",
            bottom + 14.0
        )
    });
    let rows = report.weights.iter().enumerate().map(|(i, weight)| {
        let top = i as f64 * ROW;
        let share = plottable(weight.share * 100.0).unwrap_or(0.0);
        format!(
            "<text class=\"row\" x=\"6\" y=\"{}\">{} <tspan class=\"faint\">uid {}, raw {}</tspan></text>\
             <text class=\"row\" text-anchor=\"end\" x=\"100%\" y=\"{}\">{} %</text>\
             <rect class=\"weight\" x=\"0\" y=\"{}\" width=\"{}%\" height=\"12\"><title>{}: {} %</title></rect>",
            top + 14.0,
            escape(&weight.name),
            weight.uid,
            whole(u64::from(weight.raw)),
            top + 14.0,
            percent(Some(weight.share)),
            top + 20.0,
            percent_of(share),
            escape(&weight.name),
            percent(Some(weight.share)),
        )
    });
    format!(
        "<svg class=\"weights\" width=\"100%\" height=\"{}\" role=\"img\" aria-label=\"Share of the weight on chain\">\
         {}{}</svg>",
        bottom + 20.0,
        ticks.collect::<String>(),
        rows.collect::<String>()
    )
}

fn all_rewards(party: &Party) -> Vec<f64> {
    party.entries.iter().flat_map(|entry| &entry.rewards).copied().filter_map(plottable).collect()
}

fn by_window(party: &Party, unit: &'static str, windows: &[u64], slot: impl Fn(&u64) -> Slot) -> Panel {
    let count = windows.len().max(1) as f64;
    let label = |(i, window): (usize, &u64)| ((i as f64 + 0.5) / count, window.to_string());
    Panel {
        summary: format!("{unit} of {} by window", party.name),
        unit,
        along: "first block of the window",
        slots: windows.iter().map(slot).collect(),
        labels: windows.iter().enumerate().map(label).collect(),
        gap: 0.3,
    }
}

fn figure(party: &Party, words: &str, panel: Panel, axis: &Axis) -> String {
    format!(
        "<figure><figcaption><b>{}</b> <span class=\"faint\">{words}</span></figcaption>{}</figure>",
        escape(&party.name),
        draw(&panel, axis)
    )
}

fn grid_of(figures: impl Iterator<Item = String>) -> String {
    format!("<div class=\"panels\">{}</div>", figures.collect::<String>())
}

/// Equally wide bins with round edges, the upper edge of the last one included.
struct Bins {
    first: f64,
    width: f64,
    count: usize,
}

impl Bins {
    fn over(values: impl Iterator<Item = f64>) -> Self {
        let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
        let Some(range) = Some(high - low).filter(|range| range.is_finite()) else {
            return Self { first: 0.0, width: 1.0, count: 1 };
        };
        // One value alone still needs a width that is not lost beside it.
        let width = round_step((range / BINS).max(low.abs().max(high.abs()) * 1e-6).max(1e-9));
        let first = (low / width).floor();
        let count = ((high / width).ceil() - first).clamp(1.0, 2.0 * BINS);
        Self { first, width, count: count as usize }
    }

    fn edge(&self, i: usize) -> f64 {
        (self.first + i as f64) * self.width
    }

    fn count(&self, values: &[f64]) -> Vec<u64> {
        let mut counts = vec![0; self.count];
        for value in values {
            // The quotient of an edge may fall just below its bin.
            let bin = (value / self.width + 1e-9 - self.first).floor().max(0.0) as usize;
            counts[bin.min(self.count - 1)] += 1;
        }
        counts
    }

    fn words(&self, i: usize) -> String {
        format!("reward from {} to {}", number(self.edge(i)), number(self.edge(i + 1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_weight_has_a_bar_as_long_as_its_share() {
        let report = Report::example();
        let svg = weights(&report);
        let width = |part: &str| part.split('%').next().unwrap().parse::<f64>().unwrap();
        let widths: Vec<f64> =
            svg.split("<rect").skip(1).map(|r| width(r.split(" width=\"").nth(1).unwrap())).collect();
        assert_eq!(widths.len(), report.weights.len());
        let most = widths.iter().copied().fold(0.0, f64::max);
        let largest = report.weights.iter().map(|weight| weight.share).fold(0.0, f64::max);
        assert!(most > 50.0);
        for (weight, width) in report.weights.iter().zip(&widths) {
            assert!((width / most - weight.share / largest).abs() < 1e-3, "{widths:?}");
        }
    }

    #[test]
    fn every_reward_is_in_one_bin_and_bins_are_round() {
        let rewards = [0.0, 0.1, 0.3, 0.3, 1.2];
        let bins = Bins::over(rewards.iter().copied());
        assert_eq!((bins.width, bins.count, bins.edge(0)), (0.1, 12, 0.0));
        assert_eq!(bins.count(&rewards), [1, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1]);
    }

    proptest! {
        #[test]
        fn a_histogram_loses_nothing(values in prop::collection::vec(prop_oneof![-1e100..1e100, -2.0..2.0], 0..50)) {
            let bins = Bins::over(values.iter().copied());
            let counts = bins.count(&values);
            prop_assert_eq!(counts.iter().sum::<u64>(), values.len() as u64);
            prop_assert!(counts.len() <= 24 && bins.edge(0).is_finite() && bins.edge(counts.len()).is_finite());
        }
    }
}

//! Bars over an axis, as one small SVG drawing.
//!
//! Many small drawings on one shared axis instead of one large: they fit a phone, they compare, and thirty miners are
//! as readable as three. Nothing is told by colour alone: the second of two bars is hollow, marks are signs.

use super::axis::{Axis, grid};
use super::escape::escape;
use super::numbers::length;

const SIZE: (f64, f64) = (340.0, 190.0);
const LEFT: f64 = 48.0;
const RIGHT: f64 = SIZE.0 - 8.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = SIZE.1 - 36.0;
/// Width of a letter of a tick's words.
const LETTER: f64 = 6.4;

/// One bar. `tip` is shown to whoever points at it.
#[derive(Debug, Clone)]
pub struct Bar {
    /// Its end; it begins at zero.
    pub value: f64,
    /// Class of the style sheet: what it measures.
    pub class: &'static str,
    /// Words about it.
    pub tip: String,
}

/// Bars that stand together, and a sign above them.
#[derive(Debug, Clone, Default)]
pub struct Slot {
    /// From left to right; absent where there was nothing to measure.
    pub bars: Vec<Option<Bar>>,
    /// Class, sign and words.
    pub mark: Option<(&'static str, &'static str, String)>,
}

/// One drawing.
#[derive(Debug, Clone)]
pub struct Panel {
    /// What the drawing shows, in words, for who does not see it.
    pub summary: String,
    /// Unit of the values.
    pub unit: &'static str,
    /// What stands along the bottom.
    pub along: &'static str,
    /// From left to right, equally wide.
    pub slots: Vec<Slot>,
    /// Words along the bottom: at 0 is the left end, at 1 the right one.
    pub labels: Vec<(f64, String)>,
    /// Part of a slot's width that is left empty.
    pub gap: f64,
}

/// Draws it on an axis that others may share.
pub fn draw(panel: &Panel, axis: &Axis) -> String {
    let place = |value: f64| BOTTOM - axis.place(value) * (BOTTOM - TOP);
    let slot_width = (RIGHT - LEFT) / panel.slots.len().max(1) as f64;
    let slots = panel.slots.iter().enumerate().map(|(i, slot)| {
        let left = LEFT + i as f64 * slot_width;
        draw_slot(slot, left, slot_width, panel.gap, place)
    });
    let (width, height) = SIZE;
    let axis_words = format!(
        "<text class=\"unit\" x=\"4\" y=\"10\">{}</text>\
         <text class=\"unit\" text-anchor=\"end\" x=\"{RIGHT}\" y=\"{}\">{}</text>",
        panel.unit,
        height - 5.0,
        panel.along
    );
    format!(
        "<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{}\">{}{axis_words}{}{}</svg>",
        escape(&panel.summary),
        grid(axis, LEFT, RIGHT, place),
        draw_labels(&panel.labels),
        slots.collect::<String>(),
    )
}

fn draw_slot(slot: &Slot, left: f64, width: f64, gap: f64, place: impl Fn(f64) -> f64) -> String {
    let (inner_left, inner) = (left + width * gap / 2.0, width * (1.0 - gap));
    let bar_width = (inner / slot.bars.len().max(1) as f64).min(36.0);
    let inner_left = inner_left + (inner - bar_width * slot.bars.len() as f64) / 2.0;
    let bars = slot.bars.iter().enumerate().filter_map(|(i, bar)| {
        let bar = bar.as_ref()?;
        let (end, zero) = (place(bar.value), place(0.0));
        Some(format!(
            "<rect class=\"{}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"><title>{}</title></rect>",
            bar.class,
            length(inner_left + i as f64 * bar_width),
            length(end.min(zero)),
            length(bar_width * 0.94),
            length((end - zero).abs()),
            escape(&bar.tip),
        ))
    });
    let mark = slot.mark.as_ref().map(|(class, sign, words)| {
        let (x, y) = (length(left + width / 2.0), length(TOP - 5.0));
        format!(
            "<text class=\"mark {class}\" text-anchor=\"middle\" x=\"{x}\" y=\"{y}\">{sign}<title>{}</title></text>",
            escape(words)
        )
    });
    bars.chain(mark).collect()
}

/// As many labels as have room, evenly.
fn draw_labels(labels: &[(f64, String)]) -> String {
    let widest = labels.iter().map(|(_, words)| words.chars().count()).max().unwrap_or(0) as f64 * LETTER + 10.0;
    let room = ((RIGHT - LEFT) / widest).floor().max(1.0) as usize;
    let stride = labels.len().div_ceil(room).max(1);
    let label = |(at, words): &(f64, String)| {
        let (x, y) = (length(LEFT + at * (RIGHT - LEFT)), length(BOTTOM + 14.0));
        format!("<text class=\"tick\" text-anchor=\"middle\" x=\"{x}\" y=\"{y}\">{}</text>", escape(words))
    };
    labels.iter().step_by(stride).map(label).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heights(values: &[f64]) -> Vec<f64> {
        let bar = |&value: &f64| Slot { bars: vec![Some(Bar { value, class: "b", tip: "t".into() })], mark: None };
        let panel = Panel {
            summary: String::new(),
            unit: "u",
            along: "a",
            slots: values.iter().map(bar).collect(),
            labels: Vec::new(),
            gap: 0.2,
        };
        let svg = draw(&panel, &Axis::over(values.iter().copied()));
        let height = |part: &str| part.split('"').next().unwrap().parse().unwrap();
        svg.split(" height=\"").skip(1).map(height).collect()
    }

    #[test]
    fn a_higher_value_is_a_higher_bar_in_proportion() {
        let values = [0.0, 1.0, 2.0, 7.5, 30.0, 31.0];
        let heights = heights(&values);
        assert_eq!(heights.len(), values.len());
        assert!(heights.windows(2).all(|pair| pair[0] < pair[1]), "{heights:?}");
        for (value, height) in values.iter().zip(&heights) {
            assert!((height - value * heights[1]).abs() < 0.2, "{value} is {height} high: {heights:?}");
        }
    }

    #[test]
    fn a_value_below_zero_hangs_from_zero() {
        let heights = heights(&[-2.0, 1.0, -1.0]);
        assert!(heights[0] > heights[1] && (heights[1] - heights[2]).abs() < 0.02, "{heights:?}");
    }

    #[test]
    fn labels_never_run_into_each_other() {
        let labels: Vec<(f64, String)> = (0..40).map(|i| ((f64::from(i) + 0.5) / 40.0, "5123450".into())).collect();
        let xs: Vec<f64> = draw_labels(&labels)
            .split(" x=\"")
            .skip(1)
            .map(|part| part.split('"').next().unwrap().parse().unwrap())
            .collect();
        assert!((3..=6).contains(&xs.len()) && xs.windows(2).all(|pair| pair[1] - pair[0] > 7.0 * LETTER), "{xs:?}");
    }
}

//! Both tables of `grail bench growth` as one SVG file that loads nothing: measured and limit side by side.

use super::growth::Point;
use crate::report::axis::Axis;
use crate::report::escape::escape;
use crate::report::numbers::number;
use crate::report::plot::{Bar, Panel, Slot, draw};

/// Of one drawing, as `draw` makes it.
const SIZE: (u32, u32) = (340, 190);
const TOP: u32 = 44;
const GAP: u32 = 24;

const STYLE: &str = "\
svg { --page: #ffffff; --text: #1c2024; --faint: #5b636d; --grid: #e6e6e1; --measured: #0060a8; --limit: #b8500f;
  background: var(--page); font-family: system-ui, sans-serif; }
@media (prefers-color-scheme: dark) { svg { --page: #1c2024; --text: #e6e8ea; --faint: #a3abb5; --grid: #2b3036;
  --measured: #6cb6f0; --limit: #f0a05a; } }
text { fill: var(--text); font-size: 11px; }
.tick, .unit { fill: var(--faint); }
.grid { stroke: var(--grid); } .zero { stroke: var(--faint); }
.measured { fill: var(--measured); }
.limit { fill: var(--limit); fill-opacity: 0.2; stroke: var(--limit); }
";

/// The drawing.
pub fn svg(title: &str, batches: &[Point], contexts: &[Point]) -> String {
    let panels = [
        panel("tokens/s", "sequences at once", batches),
        panel("ms per token", "positions before it, at batch 1", contexts),
    ];
    let (width, height) = (2 * SIZE.0 + 3 * GAP, SIZE.1 + TOP + GAP);
    let place = |(i, panel): (usize, &Panel)| {
        let axis = Axis::over(panel.slots.iter().flat_map(|s| s.bars.iter().flatten()).map(|bar| bar.value));
        let (x, (width, height)) = (GAP + i as u32 * (SIZE.0 + GAP), SIZE);
        let drawn = draw(panel, &axis);
        format!("<svg x=\"{x}\" y=\"{TOP}\" width=\"{width}\" height=\"{height}\">{drawn}</svg>")
    };
    let drawn: String = panels.iter().enumerate().map(place).collect();
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\">\n<style>\n{STYLE}</style>\n<text x=\"{GAP}\" y=\"18\">{}</text>\n\
         <rect class=\"measured\" x=\"{GAP}\" y=\"26\" width=\"9\" height=\"9\"/><text x=\"38\" y=\"35\">measured</text>\
         <rect class=\"limit\" x=\"100\" y=\"26\" width=\"9\" height=\"9\"/>\
         <text x=\"114\" y=\"35\">limit of the machine</text>\n{drawn}\n</svg>\n",
        escape(title)
    )
}

fn panel(unit: &'static str, along: &'static str, points: &[Point]) -> Panel {
    let bar = |value: f64, class: &'static str, what: &str, at: usize| {
        Some(Bar { value, class, tip: format!("{at}: {what} {} {unit}", number(value)) })
    };
    let slot = |p: &Point| Slot {
        bars: vec![bar(p.value, "measured", "measured", p.at), bar(p.limit, "limit", "limit", p.at)],
        mark: None,
    };
    let place = |i: usize| (i as f64 + 0.5) / points.len() as f64;
    let words: Vec<String> = points.iter().map(|p| format!("{}: {}", p.at, number(p.value))).collect();
    Panel {
        summary: format!("{unit} by {along}: {}", words.join(", ")),
        unit,
        along,
        slots: points.iter().map(slot).collect(),
        labels: points.iter().enumerate().map(|(i, p)| (place(i), p.at.to_string())).collect(),
        gap: 0.25,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plot_has_a_pair_of_bars_for_each_point_and_loads_nothing() {
        let point = |at: usize| Point { at, value: at as f64, limit: 2.0 * at as f64 };
        let text = svg("a <model> & more", &[1, 2, 4].map(point), &[256, 1024].map(point));
        assert_eq!(text.matches("<rect class=\"measured\"").count(), 1 + 5);
        assert_eq!(text.matches("<rect class=\"limit\"").count(), 1 + 5);
        assert_eq!(text.matches("<svg").count(), text.matches("</svg>").count());
        assert!(text.contains("a &lt;model&gt; &amp; more"));
        assert_eq!(text.matches("http").count(), 1, "the name of the format alone");
        assert!(!text.contains("NaN") && !text.contains("inf"));
    }

    #[test]
    fn a_plot_of_nothing_is_a_plot() {
        let text = svg("", &[], &[]);
        assert!(text.starts_with("<svg") && !text.contains("NaN"));
    }
}

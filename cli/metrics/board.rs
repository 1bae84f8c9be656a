//! Values by name, and their text as Prometheus reads it (exposition format 0.0.4).

use std::collections::BTreeMap;
use std::fmt::Write;

/// How Prometheus reads a family's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Grows until the program ends.
    Counter,
    /// The newest value.
    Gauge,
    /// Counts of values up to each of [`BOUNDS`], their sum and their number.
    Histogram,
    /// A sum of seconds and the number of what took them.
    Summary,
}

/// Values of one name.
#[derive(Debug, Clone, Copy)]
pub struct Family {
    /// The name.
    pub name: &'static str,
    /// How it is read.
    pub kind: Kind,
    /// What it is, in a line.
    pub help: &'static str,
}

/// Upper bounds of a histogram's buckets: an answer of the SAT environment is worth -0.2 to about 1.2.
pub const BOUNDS: [f64; 8] = [-0.1, 0.0, 0.1, 0.25, 0.5, 0.75, 1.0, 1.1];

/// Which value of a family; the order is that of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Whole,
    Uid(u16),
    UpTo(usize),
    Sum,
    Count,
}

/// The values of some families. Counters, histograms and summaries begin with 0, gauges without a value.
#[derive(Debug, Clone)]
pub struct Board {
    families: &'static [Family],
    values: BTreeMap<(&'static str, Part), f64>,
}

impl Board {
    /// With these families.
    #[must_use]
    pub fn new(families: &'static [Family]) -> Self {
        let mut values = BTreeMap::new();
        for family in families {
            let parts: Vec<Part> = match family.kind {
                Kind::Gauge => vec![],
                Kind::Counter => vec![Part::Whole],
                Kind::Summary => vec![Part::Sum, Part::Count],
                Kind::Histogram => (0..=BOUNDS.len()).map(Part::UpTo).chain([Part::Sum, Part::Count]).collect(),
            };
            values.extend(parts.into_iter().map(|part| ((family.name, part), 0.0)));
        }
        Self { families, values }
    }

    /// A counter grows.
    pub fn add(&mut self, name: &'static str, by: u64) {
        self.grow(name, Part::Whole, by as f64);
    }

    /// A gauge has a new value.
    pub fn set(&mut self, name: &'static str, value: f64) {
        self.values.insert((name, Part::Whole), value);
    }

    /// A gauge of a neuron has a new value.
    pub fn set_of(&mut self, name: &'static str, uid: u16, value: f64) {
        self.values.insert((name, Part::Uid(uid)), value);
    }

    /// A gauge has no neurons any more.
    pub fn clear(&mut self, name: &'static str) {
        self.values.retain(|(of, part), _| *of != name || !matches!(part, Part::Uid(_)));
    }

    /// A histogram takes a value.
    pub fn observe(&mut self, name: &'static str, value: f64) {
        let above = BOUNDS.iter().filter(|&&bound| value > bound).count();
        (above..=BOUNDS.len()).for_each(|bucket| self.grow(name, Part::UpTo(bucket), 1.0));
        self.took(name, value, 1);
    }

    /// A summary takes the seconds of `count` of what it measures.
    pub fn took(&mut self, name: &'static str, seconds: f64, count: u64) {
        self.grow(name, Part::Sum, seconds);
        self.grow(name, Part::Count, count as f64);
    }

    fn grow(&mut self, name: &'static str, part: Part, by: f64) {
        *self.values.entry((name, part)).or_default() += by;
    }

    /// The text; families without a value are not in it.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        for Family { name, kind, help } in self.families {
            let mut values = self.values.range((*name, Part::Whole)..=(*name, Part::Count)).peekable();
            if values.peek().is_none() {
                continue;
            }
            let kind = match kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram => "histogram",
                Kind::Summary => "summary",
            };
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
            for ((_, part), value) in values {
                let _ = match part {
                    Part::Whole => writeln!(text, "{name} {value}"),
                    Part::Uid(uid) => writeln!(text, "{name}{{uid=\"{uid}\"}} {value}"),
                    Part::UpTo(bucket) => match BOUNDS.get(*bucket) {
                        Some(bound) => writeln!(text, "{name}_bucket{{le=\"{bound}\"}} {value}"),
                        None => writeln!(text, "{name}_bucket{{le=\"+Inf\"}} {value}"),
                    },
                    Part::Sum => writeln!(text, "{name}_sum {value}"),
                    Part::Count => writeln!(text, "{name}_count {value}"),
                };
            }
        }
        text
    }

    /// Names that have a value, also those of no family.
    #[cfg(test)]
    pub fn named(&self) -> std::collections::BTreeSet<&'static str> {
        self.values.keys().map(|(name, _)| *name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAMILIES: [Family; 5] = [
        Family { name: "b", kind: Kind::Counter, help: "Things" },
        Family { name: "a", kind: Kind::Histogram, help: "Sizes" },
        Family { name: "c", kind: Kind::Gauge, help: "Nothing yet" },
        Family { name: "d", kind: Kind::Gauge, help: "Of each" },
        Family { name: "e", kind: Kind::Summary, help: "Work" },
    ];

    #[test]
    fn the_text_is_the_exposition_format_of_prometheus() {
        let mut board = Board::new(&FAMILIES);
        board.add("b", 2);
        board.add("b", 1);
        [-1.0, 0.25, 0.3, 7.0].into_iter().for_each(|value| board.observe("a", value));
        [(7, 0.5), (30, 1.0), (7, 0.25)].into_iter().for_each(|(uid, value)| board.set_of("d", uid, value));
        board.took("e", 1.5, 3);
        let expected = "# HELP b Things\n# TYPE b counter\nb 3\n\
            # HELP a Sizes\n# TYPE a histogram\n\
            a_bucket{le=\"-0.1\"} 1\na_bucket{le=\"0\"} 1\na_bucket{le=\"0.1\"} 1\na_bucket{le=\"0.25\"} 2\n\
            a_bucket{le=\"0.5\"} 3\na_bucket{le=\"0.75\"} 3\na_bucket{le=\"1\"} 3\na_bucket{le=\"1.1\"} 3\n\
            a_bucket{le=\"+Inf\"} 4\na_sum 6.55\na_count 4\n\
            # HELP d Of each\n# TYPE d gauge\nd{uid=\"7\"} 0.25\nd{uid=\"30\"} 1\n\
            # HELP e Work\n# TYPE e summary\ne_sum 1.5\ne_count 3\n";
        assert_eq!(board.text(), expected);
        board.clear("d");
        assert!(!board.text().contains("Of each"), "{}", board.text());
    }
}

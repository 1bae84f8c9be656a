//! How many groups of a large file a validator checks when it cannot keep up (DESIGN 4.12).

use std::time::Duration;

use grail_protocol::groups::{FEWEST_CHECKED, checked_count};

/// The g of this validator, from how long its windows took.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// What the rule asks for in the largest file.
    most: usize,
    lowered_to: Option<usize>,
}

impl Load {
    /// For files of up to this many groups.
    #[must_use]
    pub fn new(max_groups: usize) -> Self {
        Self { most: checked_count(max_groups), lowered_to: None }
    }

    /// The lowered g, if it is lowered.
    #[must_use]
    pub fn lowered_to(&self) -> Option<usize> {
        self.lowered_to
    }

    /// Learns how long a window's judging took. Says whether g has changed.
    pub fn learn(&mut self, took: Duration, window: Duration) -> bool {
        let g = self.lowered_to.unwrap_or(self.most);
        let share = took.as_secs_f64() / window.as_secs_f64().max(f64::MIN_POSITIVE);
        let fitting = match share {
            // A tenth is kept for what varies.
            s if s > 1.0 => (g as f64 * 0.9 / s) as usize,
            s if s < 0.5 && self.lowered_to.is_some() => g + g.div_ceil(2),
            _ => g,
        };
        let lowered_to = Some(fitting.max(FEWEST_CHECKED)).filter(|&fitting| fitting < self.most);
        std::mem::replace(&mut self.lowered_to, lowered_to) != lowered_to
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn g_falls_when_windows_take_too_long_and_rises_again() {
        let mut load = Load::new(512);
        assert!(!load.learn(MINUTE / 2, MINUTE) && load.lowered_to().is_none());
        assert!(load.learn(MINUTE * 2, MINUTE));
        assert_eq!(load.lowered_to(), Some(23));
        for _ in 0..9 {
            load.learn(MINUTE * 10, MINUTE);
        }
        assert_eq!(load.lowered_to(), Some(FEWEST_CHECKED));
        assert!(!load.learn(MINUTE * 10, MINUTE));
        for _ in 0..9 {
            load.learn(MINUTE / 4, MINUTE);
        }
        assert_eq!(load.lowered_to(), None);
    }

    #[test]
    fn small_files_have_nothing_to_lower() {
        let mut load = Load::new(8);
        assert!(!load.learn(MINUTE * 100, MINUTE) && load.lowered_to().is_none());
    }
}

//! The time of day as something that is handed in, so that tests set it instead of waiting.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Tells the time in Unix milliseconds.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> u64 + Send + Sync>);

impl Clock {
    /// The machine's clock. A time before 1970 is 0.
    #[must_use]
    pub fn system() -> Self {
        Self::from_fn(|| {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        })
    }

    /// The machine's clock, but for being set back: then it goes on from where it was, as fast as before, until the
    /// machine's has caught up. Whoever works with such a clock does not stop because somebody set the other.
    #[must_use]
    pub fn steady() -> Self {
        Self::steady_over(Self::system())
    }

    /// The same over another clock than the machine's.
    #[must_use]
    pub fn steady_over(machine: Self) -> Self {
        let last = Mutex::new(None);
        Self::from_fn(move || {
            let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
            let (now, shown) = (Instant::now(), machine.now_ms());
            let ms = last.map_or(shown, |last| forward(last, now, shown));
            *last = Some((now, ms));
            ms
        })
    }

    /// A clock that shows what `now_ms` returns.
    #[must_use]
    pub fn from_fn(now_ms: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(now_ms))
    }

    /// Unix milliseconds.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        (self.0)()
    }
}

/// The time after a time that was told, where the machine's clock shows another.
fn forward((at, told_ms): (Instant, u64), now: Instant, shown_ms: u64) -> u64 {
    let passed = u64::try_from(now.saturating_duration_since(at).as_millis()).unwrap_or(u64::MAX);
    // Within a second the two count alike, but for rounding.
    let steady = told_ms.saturating_add(passed);
    if shown_ms.abs_diff(steady) < 1000 { shown_ms.max(told_ms) } else { shown_ms.max(steady) }
}

impl Default for Clock {
    fn default() -> Self {
        Self::steady()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Clock({} ms)", self.now_ms())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_steady_clock_is_not_set_back() {
        let begun = Instant::now();
        let at = |ms| begun + Duration::from_millis(ms);
        let hour = 3_600_000;
        // As the machine's, also when that is set forward.
        assert_eq!(forward((begun, 10 * hour), at(500), 10 * hour + 501), 10 * hour + 501);
        assert_eq!(forward((begun, 10 * hour), at(500), 11 * hour), 11 * hour);
        // Set back, it goes on; a little back, it stands.
        assert_eq!(forward((begun, 10 * hour), at(500), 9 * hour), 10 * hour + 500);
        assert_eq!(forward((begun, 10 * hour), at(0), 10 * hour - 3), 10 * hour);
        assert_eq!(forward((begun, u64::MAX), at(500), 0), u64::MAX);
        let clock = Clock::steady();
        assert!(clock.now_ms() <= clock.now_ms() && clock.now_ms().abs_diff(Clock::system().now_ms()) < 1000);
    }
}

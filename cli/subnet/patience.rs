//! Waiting for others to come back: with growing pauses, saying so, until it no longer matters.

use std::fmt::Display;
use std::future::Future;
use std::time::Duration;

use super::{Part, Stop};

/// Lengths of the pauses between attempts, and who has to get on with them.
#[derive(Debug, Clone)]
pub struct Patience {
    /// After the first failure; doubled after each further one.
    first: Duration,
    /// The longest.
    longest: Duration,
    part: Part,
    /// No attempt takes longer.
    longest_attempt: Duration,
}

/// What a failure asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Another attempt after the usual pause.
    Later,
    /// Another attempt after this time, or after the longest pause: what the time was told from, a clock, may be set
    /// right meanwhile. Nothing is wrong.
    After(Duration),
    /// No other attempt.
    Never,
}

/// How patience ended without a result.
#[derive(Debug, thiserror::Error)]
pub enum Ended<E> {
    /// The program is stopping.
    #[error("stopped")]
    Stopped,
    /// A result would come too late by now. With the last failure, if there was one.
    #[error("too late{}", .0.as_ref().map(|e| format!(": {e}")).unwrap_or_default())]
    TooLate(Option<E>),
    /// Trying again would not help.
    #[error("{0}")]
    Failed(E),
}

impl Patience {
    /// Pauses in proportion to a block time: from a quarter of a block to four, between 100 ms and 30 s.
    #[must_use]
    pub fn of_block_time(block_time: Duration) -> Self {
        let first = (block_time / 4).clamp(Duration::from_millis(100), Duration::from_secs(2));
        let longest = (block_time * 4).clamp(Duration::from_secs(1), Duration::from_secs(30));
        Self { first, longest, part: Part::unwatched(), longest_attempt: Duration::ZERO }
    }

    /// The same for a part of the program, whose attempts end by themselves within a time.
    #[must_use]
    pub(super) fn of(self, part: Part, longest_attempt: Duration) -> Self {
        Self { part, longest_attempt, ..self }
    }

    /// The part of the program that waits.
    pub(super) fn part(&self) -> &Part {
        &self.part
    }

    /// The pause after `failed` failures.
    fn pause(&self, failed: u32) -> Duration {
        self.first.saturating_mul(1 << failed.min(16)).min(self.longest)
    }

    /// Attempts until one succeeds. `left` is the time for which a result is still of use; it is asked before every
    /// attempt and bounds every pause.
    ///
    /// # Errors
    /// [`Ended`].
    pub async fn attempt<T, E, F>(
        &self,
        what: &str,
        stop: &Stop,
        left: impl Fn() -> Duration,
        advise: impl Fn(&E) -> Retry,
        mut attempt: impl FnMut() -> F,
    ) -> Result<T, Ended<E>>
    where
        E: Display,
        F: Future<Output = Result<T, E>>,
    {
        let (mut failed, mut last) = (0, None);
        loop {
            if stop.is_set() {
                return Err(Ended::Stopped);
            }
            if left().is_zero() {
                return Err(Ended::TooLate(last));
            }
            let error = tokio::select! {
                result = self.part.within(self.longest_attempt, attempt()) => match result {
                    Ok(value) => {
                        if failed > 0 {
                            tracing::info!(failed, "{what}: works again");
                        }
                        return Ok(value);
                    }
                    Err(error) => error,
                },
                () = stop.wait() => return Err(Ended::Stopped),
            };
            let pause = match advise(&error) {
                Retry::Never => return Err(Ended::Failed(error)),
                Retry::After(pause) => pause.min(self.longest),
                Retry::Later => {
                    let pause = self.pause(failed);
                    tracing::warn!(wait_s = pause.as_secs_f64(), "{what}: {error}; waiting");
                    failed += 1;
                    pause
                }
            };
            last = Some(error);
            let pause = pause.min(left());
            tokio::select! {
                () = self.part.within(pause, tokio::time::sleep(pause)) => {}
                () = stop.wait() => return Err(Ended::Stopped),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subnet::Stopper;
    use std::cell::Cell;

    const MS: Duration = Duration::from_millis(1);

    fn patience() -> Patience {
        let usual = Patience::of_block_time(Duration::ZERO);
        Patience { first: MS, longest: 4 * MS, ..usual }
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        let pauses: Vec<u32> = (0..4).map(|n| patience().pause(n).as_millis() as u32).collect();
        assert_eq!(pauses, [1, 2, 4, 4]);
        assert_eq!(patience().pause(u32::MAX), patience().longest);
        let slow = Patience::of_block_time(Duration::from_secs(12));
        assert_eq!((slow.first, slow.longest), (Duration::from_secs(2), Duration::from_secs(30)));
    }

    async fn failing(
        times: u32,
        left: impl Fn() -> Duration,
        advise: fn(&String) -> Retry,
    ) -> (u32, Result<u32, String>) {
        let (_stopper, stop) = Stopper::new();
        let tried = Cell::new(0);
        let attempt = || {
            tried.set(tried.get() + 1);
            let result = if tried.get() > times { Ok(7) } else { Err(format!("no {}", tried.get())) };
            async { result }
        };
        let result = patience().attempt("a thing", &stop, left, advise, attempt).await;
        (tried.get(), result.map_err(|e| e.to_string()))
    }

    #[tokio::test]
    async fn what_comes_back_is_waited_for() {
        assert_eq!(failing(3, || MS, |_| Retry::Later).await, (4, Ok(7)));
        assert_eq!(failing(3, || MS, |_| Retry::After(MS)).await, (4, Ok(7)));
    }

    #[tokio::test]
    async fn nobody_sleeps_longer_than_the_longest_pause_for_what_a_wrong_clock_says() {
        let an_hour = |_: &String| Retry::After(Duration::from_secs(3600));
        let asked = tokio::time::timeout(Duration::from_secs(60), failing(3, || Duration::MAX, an_hour)).await;
        assert_eq!(asked, Ok((4, Ok(7))));
    }

    #[tokio::test]
    async fn what_cannot_help_is_not_repeated() {
        assert_eq!(failing(3, || MS, |_| Retry::Never).await, (1, Err("no 1".into())));
    }

    #[tokio::test]
    async fn nobody_waits_for_what_is_too_late() {
        let asked = Cell::new(0);
        let left = || {
            asked.set(asked.get() + 1);
            if asked.get() > 3 { Duration::ZERO } else { MS }
        };
        assert_eq!(failing(9, left, |_| Retry::Later).await, (2, Err("too late: no 2".into())));
        assert_eq!(failing(9, || Duration::ZERO, |_| Retry::Later).await, (0, Err("too late".into())));
    }

    #[tokio::test]
    async fn a_stop_ends_an_attempt_that_hangs() {
        let (stopper, stop) = Stopper::new();
        let hang = || std::future::pending::<Result<(), String>>();
        let patience = patience();
        let patient = patience.attempt("a thing", &stop, || Duration::MAX, |_| Retry::Later, hang);
        let (ended, ()) = tokio::join!(patient, async { stopper.stop() });
        assert!(matches!(ended, Err(Ended::Stopped)));
    }
}

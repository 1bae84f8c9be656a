//! Where the chain is, and how long it takes to get somewhere.
//!
//! One task follows the finalised blocks. Time is counted by this machine's own steps from the moment a block was
//! heard of: clocks of other machines do not enter.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use grail_chain::{Block, Chain};
use tokio::sync::watch;

use super::{Part, Stop};

/// Blocks that the block time is measured by.
const MEASURED: usize = 16;
/// Fewer intervals than this tell too little.
const FEWEST_INTERVALS: usize = 3;

/// A finalised block, when it was heard of, and what follows for those to come.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// The block.
    pub block: Block,
    /// When it was heard of.
    pub at: Instant,
    /// By how many blocks the best block was ahead, when that was last looked at.
    pub lag: u64,
    /// Time between blocks, as it was lately.
    pub block_time: Duration,
}

impl Seen {
    /// Time until the chain makes a block of this number; zero if that is past.
    #[must_use]
    pub fn left_until(&self, number: u64, now: Instant) -> Duration {
        let blocks = number.saturating_sub(self.block.number.saturating_add(self.lag));
        let time = self.block_time.saturating_mul(u32::try_from(blocks).unwrap_or(u32::MAX));
        time.saturating_sub(now.saturating_duration_since(self.at))
    }
}

/// The newest finalised block, followed by a task of its own. Clones share it.
#[derive(Debug, Clone)]
pub struct Heads(watch::Receiver<Option<Seen>>);

impl Heads {
    /// Begins to follow a chain, until the last clone is dropped; every answer and every attempt that ended is marked.
    ///
    /// # Panics
    /// Outside a Tokio runtime.
    #[must_use]
    pub fn follow(chain: &Chain, part: Part) -> Self {
        let (sender, receiver) = watch::channel(None);
        tokio::spawn(follow(chain.clone(), sender, part));
        Self(receiver)
    }

    /// The newest finalised block; none before the first was heard of.
    #[must_use]
    pub fn latest(&self) -> Option<Seen> {
        *self.0.borrow()
    }

    /// Waits until the finalised head has reached a block; none if told to stop.
    pub async fn reach(&self, number: u64, stop: &Stop) -> Option<Seen> {
        let mut receiver = self.0.clone();
        tokio::select! {
            found = receiver.wait_for(|seen| seen.is_some_and(|seen| seen.block.number >= number)) => *found.ok()?,
            () = stop.wait() => None,
        }
    }

    /// Whether the chain has made a block of this number for certain. One that is away may not have: when it is back,
    /// it goes on where it was.
    #[must_use]
    pub fn has_made(&self, number: u64) -> bool {
        self.latest().is_some_and(|seen| seen.block.number >= number)
    }

    /// Time until the chain makes a block of this number, as far as can be told; zero before anything was heard.
    #[must_use]
    pub fn left_until(&self, number: u64) -> Duration {
        self.latest().map_or(Duration::ZERO, |seen| seen.left_until(number, Instant::now()))
    }
}

async fn follow(chain: Chain, sender: watch::Sender<Option<Seen>>, part: Part) {
    let mut times = Times::new(chain.settings().block_time);
    let marks = part.clone();
    let mut blocks = chain.follow().watched(move |longest| marks.expect(longest));
    let mut lag = 0;
    loop {
        let block = tokio::select! {
            block = blocks.next() => block,
            () = sender.closed() => return,
        };
        match block {
            Ok(block) => {
                let seen = Seen { block, at: Instant::now(), lag, block_time: times.learn(&block) };
                sender.send_replace(Some(seen));
                // Once in a while: it costs a request, and changes seldom.
                if block.number % MEASURED as u64 == 0 || times.count() == 1 {
                    match part.within(chain.longest_call(), chain.best()).await {
                        Ok(best) => lag = best.number.saturating_sub(block.number),
                        Err(error) => tracing::debug!(%error, "the best block"),
                    }
                }
            }
            // The block is gone, or the endpoints disagree: what counts here is the newest one.
            Err(error) => {
                tracing::warn!(%error, "finalised blocks; going on with the newest");
                let pause = chain.settings().block_time;
                part.within(pause, tokio::time::sleep(pause)).await;
                blocks.begin_at_head();
            }
        }
    }
}

/// Times of the last blocks by the chain's own clock.
struct Times {
    configured: Duration,
    last: VecDeque<(u64, u64)>,
}

impl Times {
    fn new(configured: Duration) -> Self {
        Self { configured, last: VecDeque::new() }
    }

    fn count(&self) -> usize {
        self.last.len()
    }

    fn learn(&mut self, block: &Block) -> Duration {
        self.last.push_back((block.number, block.timestamp_ms));
        if self.last.len() > MEASURED {
            self.last.pop_front();
        }
        let pairs = self.last.iter().zip(self.last.iter().skip(1));
        let interval = |(a, b): (&(u64, u64), &(u64, u64))| b.1.saturating_sub(a.1) / b.0.saturating_sub(a.0).max(1);
        let mut intervals: Vec<u64> = pairs.map(interval).collect();
        intervals.sort_unstable();
        // The one in the middle: a chain that was away, or whose clock was set, is as fast as before.
        match intervals.get(intervals.len().saturating_sub(1) / 2) {
            Some(&ms) if intervals.len() >= FEWEST_INTERVALS && ms > 0 => Duration::from_millis(ms),
            _ => self.configured,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn block(number: u64, timestamp_ms: u64) -> Block {
        Block { number, hash: [0; 32], parent_hash: [0; 32], timestamp_ms }
    }

    #[test]
    fn the_time_left_shrinks_with_time_and_with_the_lag() {
        let at = Instant::now();
        let second = Duration::from_secs(1);
        let seen = Seen { block: block(100, 0), at, lag: 0, block_time: 2 * second };
        assert_eq!(seen.left_until(110, at), 20 * second);
        assert_eq!(seen.left_until(110, at + 5 * second), 15 * second);
        assert_eq!(Seen { lag: 3, ..seen }.left_until(110, at), 14 * second);
        assert_eq!(seen.left_until(110, at + 60 * second), Duration::ZERO);
        assert_eq!(seen.left_until(99, at), Duration::ZERO);
    }

    #[test]
    fn the_block_time_is_the_configured_one_until_blocks_tell_another() {
        let mut times = Times::new(Duration::from_secs(12));
        assert_eq!(times.learn(&block(7, 1000)), Duration::from_secs(12));
        assert_eq!(times.learn(&block(8, 2000)), Duration::from_secs(12));
        let learnt: Vec<Duration> = (9..60).map(|n| times.learn(&block(n, 1000 + (n - 7) * 500))).collect();
        assert_eq!(learnt.last(), Some(&Duration::from_millis(500)));
    }

    #[test]
    fn a_chain_that_was_away_or_whose_clock_was_set_is_as_fast_as_before() {
        let hour = 3_600_000;
        for jump in [30_000, hour, -hour] {
            let mut times = Times::new(Duration::from_secs(12));
            let time = |n: u64| 10 * hour + n as i64 * 500 + if n > 20 { jump } else { 0 };
            let learnt: Vec<Duration> = (0..60).map(|n| times.learn(&block(n, time(n) as u64))).collect();
            assert!(learnt[4..].iter().all(|&learnt| learnt == Duration::from_millis(500)), "{jump}: {learnt:?}");
        }
    }

    proptest! {
        #[test]
        fn any_blocks_give_a_time(blocks: Vec<(u64, u64)>, target: u64, lag: u64) {
            let mut times = Times::new(Duration::from_secs(1));
            for (number, ms) in blocks {
                let block = block(number, ms);
                let seen = Seen { block, at: Instant::now(), lag, block_time: times.learn(&block) };
                let _ = seen.left_until(target, seen.at);
            }
        }
    }
}

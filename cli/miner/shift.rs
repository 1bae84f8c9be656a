//! One window's work: groups until the time is up or the file is full, each on disk before the next batch begins.

use std::cell::Cell;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use grail_engine::Engine;
use grail_engine::types::{Event, Failure, Observer};
use grail_protocol::assignment::{Assignment, WindowHead};
use grail_protocol::environment::Environment;
use grail_protocol::prove::{self, Ended, Moment};
use grail_protocol::signature::Signer;
use grail_protocol::verify::{Claimed, Extent, Outcome, Scorer, Selection, Verifier};
use grail_protocol::window::{GroupText, MAX_STORED_BYTES, MAX_TEXT_BYTES, Schema, WindowFile};

use super::{Journal, Pace};

/// Groups of the first batch, before the speed is known.
const FIRST_BATCH: u64 = 1;

/// Room left below the format's caps: more than any batch adds.
const SPARE_STORED_BYTES: u64 = 4 << 20;
const SPARE_TEXT_BYTES: u64 = 64 << 20;

/// Why a shift ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShiftEnd {
    /// No other group would have been finished in time.
    TimeUp,
    /// The file holds what it may.
    Full,
    /// A rollout has no value; a file holds the groups before it.
    Fault(Ended),
}

/// What a window's work needs.
pub struct Shift<'a, E: Environment> {
    /// What there is to do.
    pub assignment: &'a Assignment<'a, E>,
    /// The miner's key.
    pub signer: &'a Signer,
    /// Most groups of one call of the engine.
    pub batch_groups: u64,
    /// Groups on disk, for whoever watches.
    pub kept: &'a Cell<u64>,
}

impl<E: Environment> Shift<'_, E> {
    /// Works until the end. `left` tells the time to go and `moment` what to note beside an entry; both are asked often.
    ///
    /// # Errors
    /// The engine's and the disk's. What was kept until then is kept.
    pub fn work(
        &self,
        engine: &mut Engine,
        journal: &mut Journal,
        pace: &mut Pace,
        left: &dyn Fn() -> Duration,
        moment: &dyn Fn() -> Moment,
        observer: &mut Observer<'_>,
    ) -> Result<ShiftEnd> {
        let parameters = self.assignment.protocol().network().parameters();
        let size = parameters.rollouts_per_problem as usize;
        loop {
            let next = journal.groups();
            let room = u64::from(parameters.max_groups).saturating_sub(next);
            if room == 0 || is_full(journal)? {
                return Ok(ShiftEnd::Full);
            }
            let left_now = left();
            let groups = match pace.groups(left_now, FIRST_BATCH, room.min(self.batch_groups)) {
                // There is nothing to lose yet, and a pace is of the past: without an attempt, a miner that was slow once
                // would never learn that it is not any more.
                0 if next == 0 && !left_now.is_zero() => FIRST_BATCH,
                groups => groups,
            };
            if groups == 0 {
                return Ok(ShiftEnd::TimeUp);
            }
            let begun = Instant::now();
            // Late groups are worth nothing, so they are not finished.
            let mut watch = |event: Event<'_>| match observer(event) {
                ControlFlow::Continue(()) if !left().is_zero() => ControlFlow::Continue(()),
                _ => ControlFlow::Break(()),
            };
            let problems = next..next + groups;
            let proven = prove::answer(self.assignment, engine, problems, self.signer, moment(), &mut watch)?;
            for group in proven.entries.chunks(size) {
                journal.push(&GroupText::new(group, &Schema::of::<E>()))?;
                self.kept.set(journal.groups());
            }
            match proven.ended {
                None => pace.learn(groups, begun.elapsed()),
                Some(Ended { failure: Failure::Cancelled, .. }) => return Ok(ShiftEnd::TimeUp),
                Some(ended) => return Ok(ShiftEnd::Fault(ended)),
            }
        }
    }
}

fn is_full(journal: &Journal) -> Result<bool> {
    let is_near = |bytes: u64, spare: u64, cap: u64| bytes.saturating_add(spare) > cap;
    Ok(is_near(journal.text_bytes(), SPARE_TEXT_BYTES, MAX_TEXT_BYTES)
        || is_near(journal.stored_bytes()?, SPARE_STORED_BYTES, MAX_STORED_BYTES))
}

/// What a miner does before it publishes: one group of its file, verified like a stranger's. `random` chooses it.
///
/// # Errors
/// The reason why the file must not be published, and the engine's trouble.
pub fn check_own<E: Environment>(
    verifier: &Verifier<'_, E>,
    file: &WindowFile,
    head: &WindowHead,
    signer: &Signer,
    random: u64,
    scorer: &mut Scorer<'_>,
) -> Result<()> {
    let size = verifier.protocol().network().parameters().rollouts_per_problem as usize;
    let groups = file.inferences.len() / size;
    let place = random.checked_rem(groups as u64).map(|place| place as usize);
    let account = signer.account();
    let claimed = Claimed { file, head, account: &account };
    let selection = Selection::Places(place.as_slice());
    let verdict = verifier.verify(claimed, selection, Extent::Deciding, scorer)?;
    match verdict.reason {
        None if verdict.outcome == Outcome::Valid => Ok(()),
        Some(reason) => bail!("the check of an own group failed: {reason}"),
        None => bail!("the check of an own group gave {}", verdict.outcome.name()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity;
    use crate::network::{NetworkFile, offline};
    use crate::offline::{made_head, public_signer};
    use crate::sat::Sat;
    use grail_engine::EngineOptions;
    use grail_engine::checkpoint::Checkpoint;
    use grail_engine::tokenizer::Tokenizer;
    use grail_engine::types::unobserved;
    use grail_protocol::assignment::Protocol;
    use grail_protocol::verify::scorer;
    use grail_protocol::window::{Form, read_stored};
    use std::path::Path;

    const HOUR: Duration = Duration::from_secs(3600);

    fn moment() -> Moment {
        Moment { block: 1, timestamp: 2.0 }
    }

    struct Stage {
        tokenizer: Tokenizer,
        network: NetworkFile,
        engine: Engine,
        pace: Pace,
    }

    fn stage(max_groups: u32) -> Stage {
        let checkpoint = Checkpoint::sat_tiny().unwrap();
        let tokenizer = Tokenizer::from_checkpoint(&checkpoint).unwrap();
        let plain = offline("sat-tiny", identity::digest(&checkpoint).unwrap(), vec![661], 24, 2).unwrap();
        let parameters = grail_protocol::params::Parameters { max_groups, ..plain.network().parameters().clone() };
        let network = NetworkFile::new(parameters, plain.beacon().clone()).unwrap();
        let options = EngineOptions { memory_bytes: Some(1 << 29), ..EngineOptions::default() };
        Stage { tokenizer, network, engine: Engine::load(checkpoint, options).unwrap(), pace: Pace::default() }
    }

    impl Stage {
        /// Works in a folder for as long as `left` allows, and closes the file if asked to.
        fn shift(
            &mut self,
            folder: &Path,
            left: &dyn Fn() -> Duration,
            close: bool,
        ) -> (ShiftEnd, u64, Option<WindowFile>) {
            let protocol = Protocol::new(self.network.network(), &Sat, &self.tokenizer, self.engine.config()).unwrap();
            let (head, signer) = (made_head(&self.network, "shift").unwrap(), public_signer());
            let assignment = protocol.assignment(&head, signer.account());
            let empty = prove::window_file(self.network.network(), &head, &signer.account(), Vec::new(), 3.0);
            let mut journal = Journal::open(folder, &empty, 2).unwrap();
            let kept = Cell::new(journal.groups());
            let shift = Shift { assignment: &assignment, signer: &signer, batch_groups: 2, kept: &kept };
            let pace = &mut self.pace;
            let end = shift.work(&mut self.engine, &mut journal, pace, left, &moment, &mut unobserved).unwrap();
            let groups = journal.groups();
            assert_eq!(kept.get(), groups);
            if !close {
                return (end, groups, None);
            }
            let closed = journal.close(&empty).unwrap();
            let stored = std::fs::read(&closed.path).unwrap();
            let file = read_stored(&stored[..], &Schema::of::<Sat>(), &protocol.limits()).unwrap();
            let verifier = Verifier::new(&protocol);
            (0..groups)
                .for_each(|g| check_own(&verifier, &file, &head, &signer, g, &mut scorer(&mut self.engine)).unwrap());
            let mut forged = file.clone();
            forged.inferences[0].commit.s_vals[0] ^= 1;
            assert!(check_own(&verifier, &forged, &head, &signer, 0, &mut scorer(&mut self.engine)).is_err());
            (end, groups, Some(file))
        }
    }

    fn text(file: &WindowFile) -> String {
        file.to_text(&Schema::of::<Sat>(), Form::Deterministic)
    }

    #[test]
    fn a_shift_that_was_killed_at_any_point_ends_with_the_same_file() {
        let mut stage = stage(5);
        let whole = tempfile::tempdir().unwrap();
        let (end, groups, expected) = stage.shift(whole.path(), &|| HOUR, true);
        assert_eq!((end, groups), (ShiftEnd::Full, 5));
        let expected = text(&expected.unwrap());
        let mut seen = Vec::new();
        for calls in [1, 90, 160, 250] {
            let folder = tempfile::tempdir().unwrap();
            let asked = Cell::new(0);
            // Killed where it stands: the journal is dropped, nothing is closed.
            let left = || {
                asked.set(asked.get() + 1);
                if asked.get() > calls { Duration::ZERO } else { HOUR }
            };
            stage.pace = Pace::default();
            let (end, groups, _) = stage.shift(folder.path(), &left, false);
            assert_eq!(end, ShiftEnd::TimeUp);
            seen.push(groups);
            stage.pace = Pace::default();
            let (end, groups, file) = stage.shift(folder.path(), &|| HOUR, true);
            assert_eq!((end, groups), (ShiftEnd::Full, 5));
            assert_eq!(text(&file.unwrap()), expected, "stopped after {calls} steps");
        }
        assert!(seen[0] == 0 && seen.iter().any(|&groups| (1..5).contains(&groups)), "{seen:?}");
    }

    #[test]
    fn a_pace_that_was_slow_once_keeps_no_miner_from_its_first_group() {
        let mut stage = stage(5);
        stage.pace.learn(1, 100 * HOUR);
        let folder = tempfile::tempdir().unwrap();
        // One in the first window, whatever the pace; all as it is learnt anew.
        assert_eq!(stage.shift(folder.path(), &|| HOUR, false), (ShiftEnd::TimeUp, 1, None));
        let windows = (0..40).find(|_| {
            let folder = tempfile::tempdir().unwrap();
            stage.shift(folder.path(), &|| HOUR, false) == (ShiftEnd::Full, 5, None)
        });
        assert!(windows.is_some(), "{:?}", stage.pace);
    }

    #[test]
    fn no_time_is_an_empty_file() {
        let mut stage = stage(5);
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(stage.shift(folder.path(), &|| Duration::ZERO, false), (ShiftEnd::TimeUp, 0, None));
    }
}

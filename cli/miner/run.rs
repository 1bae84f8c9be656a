//! `grail mine`: window after window, from the first block's beacon to the file in the bucket.

use std::cell::Cell;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use grail_chain::StateError;
use grail_engine::Engine;
use grail_engine::types::{Event as EngineEvent, ScoreRequest};
use grail_protocol::assignment::{Assignment, Protocol, WindowHead};
use grail_protocol::environment::Environment;
use grail_protocol::prove::{self, Moment};
use grail_protocol::signature::Signer;
use grail_protocol::verify::Verifier;
use grail_protocol::window::{Schema, WindowFile, read_stored};
use tokio::task::{JoinSet, block_in_place};
use tokio::time::timeout;

use super::publish::Publisher;
use super::{Closed, Journal, Pace, Shift, ShiftEnd, Stage, check_own, closed, stage};
use crate::subnet::{Ended, Event, Events, HeadError, OwnBucket, Retry, Stop, Subnet, WindowWork, head_of, window_of};

/// For publications that are under way when a miner is told to stop.
const GRACE: Duration = Duration::from_secs(20);
/// Windows whose work is kept on disk.
pub(super) const KEPT_WINDOWS: u64 = 24;
/// Between two events about work in progress.
const TELL_EVERY: Duration = Duration::from_millis(500);

/// How to mine.
#[derive(Debug, Clone)]
pub struct MinerOptions {
    /// Folder of this hotkey on this network.
    pub folder: PathBuf,
    /// Ends after so many windows.
    pub windows: Option<u64>,
    /// Blocks at the end of a window that are kept for its root.
    pub upload_blocks: u64,
    /// Most groups of one call of the engine.
    pub batch_groups: u64,
}

/// A miner.
pub struct Miner<'a, E: Environment> {
    protocol: &'a Protocol<'a, E>,
    engine: Engine,
    publisher: Publisher,
    options: MinerOptions,
    pace: Pace,
    /// What the check of an own group took, which is time a window does not have.
    check: Duration,
}

/// How a window's work ended.
enum Worked {
    Closed(Closed),
    Nothing(String),
    /// The window is not ours: the hotkey has come later than it began.
    NotOurs,
    Stopped,
}

impl<'a, E: Environment> Miner<'a, E> {
    /// A miner with a place on a network.
    pub fn new(
        protocol: &'a Protocol<'a, E>,
        engine: Engine,
        subnet: Subnet,
        bucket: OwnBucket,
        signer: Signer,
        options: MinerOptions,
        events: Events,
    ) -> Self {
        let subnet = subnet.as_part("mining");
        let publisher = Publisher::new(subnet, signer, bucket, events);
        Self { protocol, engine, publisher, options, pace: Pace::default(), check: Duration::ZERO }
    }

    fn subnet(&self) -> &Subnet {
        &self.publisher.subnet
    }

    fn folder(&self, window: u64) -> PathBuf {
        self.options.folder.join(window.to_string())
    }

    /// Mines until told to stop, or for as many windows as were asked for.
    ///
    /// # Errors
    /// What waiting does not cure: a hotkey without a place, a disk that takes nothing, an engine that fails.
    pub async fn run(&mut self, stop: &Stop) -> Result<()> {
        let longest = self.subnet().chain.longest_call().saturating_mul(3);
        self.subnet().part().within(longest, self.publisher.credentials(stop)).await?;
        let mut publishing = JoinSet::new();
        let (mut worked, mut last) = (0, None);
        while self.options.windows.is_none_or(|most| worked < most) {
            let Some(window) = self.next_window(last, &mut publishing, stop).await? else {
                break;
            };
            last = Some(window);
            match self.window(window, stop).await? {
                Worked::Closed(closed) => {
                    worked += 1;
                    self.publish(&mut publishing, window, closed, stop);
                }
                Worked::Nothing(why) => {
                    worked += 1;
                    self.publisher.events.tell(Event::WindowMissed { window, why });
                }
                Worked::NotOurs => {
                    tracing::info!(window, "the hotkey was not registered when the window began; waiting for the next");
                }
                Worked::Stopped => break,
            }
            self.prune(window)?;
        }
        let all = async { while publishing.join_next().await.is_some() {} };
        match stop.is_set() {
            false => self.subnet().part().waiting(all).await,
            // What does not get out now gets out at the next start, if that is in time.
            true => drop(timeout(GRACE, all).await),
        }
        Ok(())
    }

    fn publish(&self, publishing: &mut JoinSet<()>, window: u64, closed: Closed, stop: &Stop) {
        let (publisher, folder, stop) = (self.publisher.clone(), self.folder(window), stop.clone());
        publishing.spawn(async move { publisher.publish(&folder, &closed, &stop).await });
    }

    /// Goes on with files that are not in the bucket although their root may be on chain. One of the window that is under
    /// way, and without a root as far as is known, is left to whoever works in it.
    fn resume(&self, current: u64, publishing: &mut JoinSet<()>, stop: &Stop) -> Result<()> {
        for window in self.kept()? {
            let folder = self.folder(window);
            let is_out = match stage(&folder)? {
                Stage::Closed => window >= current,
                Stage::Rooted => false,
                Stage::Open | Stage::Published | Stage::Missed => true,
            };
            if !is_out {
                self.publish(publishing, window, closed(&folder, window.into())?, stop);
            }
        }
        Ok(())
    }

    /// Windows that have a folder, ascending.
    fn kept(&self) -> Result<Vec<u64>> {
        let folder = &self.options.folder;
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
        let mut windows: Vec<u64> =
            entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
        windows.sort_unstable();
        Ok(windows)
    }

    fn prune(&self, current: u64) -> Result<()> {
        let oldest = current.saturating_sub(KEPT_WINDOWS * self.subnet().window_length());
        for window in self.kept()?.into_iter().filter(|&window| window < oldest) {
            let folder = self.folder(window);
            fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
        }
        Ok(())
    }

    /// The last block before which a root must be on its way.
    fn deadline(&self, window: u64) -> u64 {
        window + (self.subnet().window_length() - 1).saturating_sub(self.options.upload_blocks)
    }

    /// The window to work in, waited for; none if told to stop. The first time, what an earlier run left is published.
    async fn next_window(&self, last: Option<u64>, publishing: &mut JoinSet<()>, stop: &Stop) -> Result<Option<u64>> {
        let (length, heads) = (self.subnet().window_length(), &self.subnet().heads);
        let Some(mut seen) = self.subnet().reach(0, stop).await else {
            return Ok(None);
        };
        if last.is_none() {
            self.resume(window_of(seen.block.number, length), publishing, stop)?;
        }
        loop {
            let window = window_of(seen.block.number, length);
            if last.is_none_or(|last| window > last) {
                let (folder, is_over) = (self.folder(window), heads.left_until(self.deadline(window)).is_zero());
                match stage(&folder)? {
                    Stage::Open | Stage::Closed if !is_over => return Ok(Some(window)),
                    // Its root may be on chain, or still come in.
                    Stage::Closed => self.publish(publishing, window, closed(&folder, window.into())?, stop),
                    _ => {}
                }
            }
            match self.subnet().reach(window + length, stop).await {
                Some(next) => seen = next,
                None => return Ok(None),
            }
        }
    }

    async fn window(&mut self, window: u64, stop: &Stop) -> Result<Worked> {
        self.subnet().part().begins(format!("window {window}"));
        let folder = self.folder(window);
        let head = match self.head(window, stop).await {
            Ok(head) => head,
            // The root of a file from before may be on chain.
            Err(Worked::Nothing(_)) if stage(&folder)? == Stage::Closed => {
                return Ok(Worked::Closed(closed(&folder, window.into())?));
            }
            Err(worked) => return Ok(worked),
        };
        let assignment = self.protocol.assignment(&head, self.publisher.signer.account());
        if stage(&folder)? == Stage::Open
            && let Some(worked) = block_in_place(|| self.work(window, &head, &assignment, stop))?
        {
            return Ok(worked);
        }
        // Also for a file from before: whether it was checked then is not known.
        let closed = closed(&folder, window.into())?;
        match block_in_place(|| self.check(&closed, &head)) {
            Ok(()) => Ok(Worked::Closed(closed)),
            Err(error) => {
                // Not to be published, but to be looked at.
                let refused = folder.with_extension("refused");
                fs::rename(&folder, &refused).with_context(|| folder.display().to_string())?;
                Ok(Worked::Nothing(format!("{error:#}; its file is kept in {}", refused.display())))
            }
        }
    }

    /// What everybody knows of a window once it has begun; or why there is nothing to do in it.
    async fn head(&self, window: u64, stop: &Stop) -> std::result::Result<WindowHead, Worked> {
        let subnet = self.subnet();
        // A chain that is away stands still as far as anybody knows, and so does the window.
        let left = || match subnet.heads.has_made(self.deadline(window)) {
            true => Duration::ZERO,
            false => Duration::MAX,
        };
        let ended = |error: Ended<HeadError>| match error {
            Ended::Stopped => Worked::Stopped,
            error => Worked::Nothing(error.to_string()),
        };
        let block = subnet.block(window, stop, left).await.map_err(ended)?;
        let account = self.publisher.signer.account();
        let advise = |error: &StateError| if error.is_transient() { Retry::Later } else { Retry::Never };
        let registration = || subnet.chain.registration(&block, &account);
        match subnet.patience.attempt("chain", stop, left, advise, registration).await {
            Ok(Some(_)) => {}
            Ok(None) => return Err(Worked::NotOurs),
            Err(Ended::Stopped) => return Err(Worked::Stopped),
            Err(error) => return Err(Worked::Nothing(format!("chain: {error}"))),
        }
        let beacon = subnet.beacon_of(block.timestamp_ms, stop, left).await.map_err(ended)?;
        Ok(head_of(&block, beacon))
    }

    /// Makes a window's file; or nothing, for a reason.
    fn work(
        &mut self,
        window: u64,
        head: &WindowHead,
        assignment: &Assignment<'_, E>,
        stop: &Stop,
    ) -> Result<Option<Worked>> {
        let Publisher { subnet, signer, events, .. } = &self.publisher;
        let network = self.protocol.network();
        let size = network.parameters().rollouts_per_problem as usize;
        let empty = prove::window_file(network, head, &signer.account(), Vec::new(), now());
        let mut journal = Journal::open(&self.folder(window), &empty, size)?;
        let deadline = self.deadline(window);
        let reserved = reserved(self.check, subnet.heads.left_until(deadline));
        let left = || match stop.is_set() {
            true => Duration::ZERO,
            false => subnet.heads.left_until(deadline).saturating_sub(reserved),
        };
        let moment = || Moment {
            block: subnet.heads.latest().map_or(head.block_number, |seen| seen.block.number),
            timestamp: now(),
        };
        let (begun, before) = (Instant::now(), journal.groups());
        events.tell(Event::WindowBegun { window, groups: before, left_s: left().as_secs_f64() });
        let (told, kept, rows) = (Cell::new(begun), Cell::new(before), Cell::new(0));
        let tell = |rollouts: u64| {
            let positions_per_s = rows.get() as f64 / begun.elapsed().as_secs_f64();
            events.tell(Event::Working { window, groups: kept.get(), rollouts, positions_per_s });
        };
        let mut observer = |event: EngineEvent<'_>| {
            subnet.part().mark();
            if let EngineEvent::Step(progress) = event {
                rows.set(progress.rows);
                if told.get().elapsed() >= TELL_EVERY {
                    told.set(Instant::now());
                    tell(progress.total as u64 - progress.finished as u64);
                }
            }
            ControlFlow::Continue(())
        };
        let shift = Shift { assignment, signer, batch_groups: self.options.batch_groups, kept: &kept };
        let end = shift.work(&mut self.engine, &mut journal, &mut self.pace, &left, &moment, &mut observer)?;
        if stop.is_set() {
            return Ok(Some(Worked::Stopped));
        }
        // Also of work that took less than it takes to be told.
        tell(0);
        if journal.groups() == 0 {
            let why = match end {
                ShiftEnd::Fault(ended) => format!("the first group has no value: {ended}"),
                _ => "no group was finished in time".to_owned(),
            };
            return Ok(Some(Worked::Nothing(why)));
        }
        let ended = match end {
            ShiftEnd::TimeUp => "the time was up".to_owned(),
            ShiftEnd::Full => "the file is full".to_owned(),
            ShiftEnd::Fault(ended) => ended.to_string(),
        };
        let generation = begun.elapsed();
        let closed = journal.close(&prove::window_file(network, head, &signer.account(), Vec::new(), now()))?;
        let file = self.read(&closed)?;
        events.tell(Event::WindowClosed(WindowWork::of(window, &file, size, before, generation, ended)));
        Ok(None)
    }

    fn read(&self, closed: &Closed) -> Result<WindowFile> {
        let stored = fs::File::open(&closed.path).with_context(|| closed.path.display().to_string())?;
        let stored = std::io::BufReader::new(stored);
        read_stored(stored, &Schema::of::<E>(), &self.protocol.limits()).context("reading the own file back")
    }

    /// One group of the own file, verified like a stranger's.
    fn check(&mut self, closed: &Closed, head: &WindowHead) -> Result<()> {
        let begun = Instant::now();
        let file = self.read(closed)?;
        let verifier = Verifier::new(self.protocol);
        // Nobody gains from knowing which: the clock is random enough.
        let random = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| u64::from(t.subsec_nanos()));
        let (engine, part) = (&mut self.engine, self.publisher.subnet.part());
        let mut mark = |_: EngineEvent<'_>| {
            part.mark();
            ControlFlow::Continue(())
        };
        let mut scorer = |request: &ScoreRequest<'_>| engine.score(request, &mut mark);
        let result = check_own(&verifier, &file, head, &self.publisher.signer, random, &mut scorer);
        self.check = begun.elapsed();
        result
    }
}

/// Time of a window that is kept for the check of an own group: twice what it took last. Never more than half of what is
/// `left`: one check that was slow must not keep a miner from every group, as without one no other check tells better.
fn reserved(check: Duration, left: Duration) -> Duration {
    (check * 2).min(left / 2)
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |t| t.as_secs_f64())
}

/// Folder of a hotkey's work on a network, under a program's data folder.
#[must_use]
pub fn folder(data: &Path, network_id: &[u8; 32], hotkey: &str) -> PathBuf {
    data.join("mine").join(hex::encode(&network_id[..8])).join(hotkey)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_that_once_took_long_leaves_half_of_a_window() {
        let second = Duration::from_secs(1);
        assert_eq!(reserved(second, 60 * second), 2 * second);
        assert_eq!(reserved(3600 * second, 60 * second), 30 * second);
        assert_eq!(reserved(second, Duration::ZERO), Duration::ZERO);
    }
}

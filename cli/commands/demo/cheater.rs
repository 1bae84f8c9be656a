//! A miner that cheats: it works like the others, then edits one token of its best rollout and signs that again.
//!
//! Everything else is a miner's: the same beacon, the same prover, root and file in time. Only the edit is a lie, so
//! only the model can find it.

use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use grail_engine::Engine;
use grail_protocol::assignment::{Assignment, Protocol};
use grail_protocol::prove::{self, Moment};
use grail_protocol::window::{Form, Inference, Schema, WindowFile, store};
use grail_protocol::window_root::WindowRoot;
use tokio::task::block_in_place;

use super::edit::Edit;
use crate::miner::{Closed, Publisher};
use crate::sat::Sat;
use crate::subnet::{Event, Stop, WindowWork, head_of, window_of};

/// What a cheater needs.
pub struct Cheater<'a> {
    pub protocol: &'a Protocol<'a, Sat>,
    pub engine: Engine,
    pub publisher: Publisher,
    pub folder: PathBuf,
    pub windows: u64,
    pub problems: u64,
}

/// One forged file.
#[derive(Debug, Clone)]
pub struct Forged {
    pub window: u64,
    pub edit: Edit,
    pub entry: Inference,
}

impl Cheater<'_> {
    /// Cheats in so many windows, and tells what it did.
    pub async fn run(&mut self, stop: &Stop) -> Result<Vec<Forged>> {
        self.publisher.credentials(stop).await?;
        let (subnet, mut forged) = (self.publisher.subnet.clone(), Vec::new());
        let length = subnet.window_length();
        let Some(seen) = subnet.heads.reach(0, stop).await else {
            return Ok(forged);
        };
        let first = window_of(seen.block.number, length);
        for window in (first..).step_by(usize::try_from(length)?).take(usize::try_from(self.windows)?) {
            if subnet.heads.reach(window, stop).await.is_none() {
                break;
            }
            let left = || subnet.heads.left_until(window + length - 3);
            let block = subnet.block(window, stop, left).await?;
            let beacon = subnet.beacon_of(block.timestamp_ms, stop, left).await?;
            let head = head_of(&block, beacon);
            let assignment = self.protocol.assignment(&head, self.publisher.signer.account());
            let (mut file, work) = block_in_place(|| self.work(window, &assignment, &head))?;
            let folder = self.folder.join(window.to_string());
            if let Some(lie) = forge(&assignment, &mut file, &self.publisher)? {
                forged.push(Forged { window, edit: lie, entry: file.inferences[lie.rollout].clone() });
            }
            let closed = write(&folder, window, &file)?;
            self.publisher.events.tell(Event::WindowClosed(work));
            self.publisher.clone().publish(&folder, &closed, stop).await;
        }
        Ok(forged)
    }

    fn work(
        &mut self,
        window: u64,
        assignment: &Assignment<'_, Sat>,
        head: &grail_protocol::assignment::WindowHead,
    ) -> Result<(WindowFile, WindowWork)> {
        let begun = Instant::now();
        let (signer, length) = (&self.publisher.signer, self.publisher.subnet.window_length());
        let heads = &self.publisher.subnet.heads;
        let mut observer = |_: grail_engine::types::Event<'_>| match heads.left_until(window + length - 3).is_zero() {
            true => std::ops::ControlFlow::Break(()),
            false => std::ops::ControlFlow::Continue(()),
        };
        let moment = Moment { block: window, timestamp: now() };
        let mut entries = Vec::new();
        for problem in 0..self.problems {
            let problems = problem..problem + 1;
            let proven = prove::answer(assignment, &mut self.engine, problems, signer, moment, &mut observer)?;
            entries.extend(proven.entries);
            if proven.ended.is_some() {
                break;
            }
        }
        let file = prove::window_file(self.protocol.network(), head, &signer.account(), entries, now());
        let size = self.protocol.network().parameters().rollouts_per_problem as usize;
        let work = WindowWork::of(window, &file, size, 0, begun.elapsed(), "enough".into());
        Ok((file, work))
    }
}

/// The lie: one token, and signatures over it.
fn forge(assignment: &Assignment<'_, Sat>, file: &mut WindowFile, publisher: &Publisher) -> Result<Option<Edit>> {
    let protocol = assignment.protocol();
    let vocab = protocol.limits().vocab_size as usize;
    let Some(edit) = Edit::choose(&file.inferences, protocol.tokenizer(), vocab) else {
        return Ok(None);
    };
    edit.apply(&mut file.inferences);
    let entry = &mut file.inferences[edit.rollout];
    let index = u64::try_from(entry.rollout_group).context("an own index")?;
    let place = u32::try_from(entry.rollout_index).context("an own index")?;
    let problem = assignment.problem(index)?;
    prove::sign(assignment, &problem, place, entry, &publisher.signer);
    Ok(Some(edit))
}

fn write(folder: &Path, window: u64, file: &WindowFile) -> Result<Closed> {
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let path = folder.join("window.json.gz");
    let stored = store(&file.to_text(&Schema::of::<Sat>(), Form::Whole));
    std::fs::write(&path, &stored).with_context(|| path.display().to_string())?;
    Ok(Closed { path, root: WindowRoot::of_file(window, &stored), stored_bytes: stored.len() as u64 })
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |t| t.as_secs_f64())
}

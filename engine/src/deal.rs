//! Groups dealt out to several devices: each takes the next group when it has room, and none more than its share at once.
//! What a group's results are does not depend on who works on it.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::lane::Lane;
use crate::types::{Event, Logprobs, Observer, Progress, Rollout};
use crate::{Fault, Result};

/// Groups that nobody has begun, and how many a lane may have in work.
pub(crate) struct Deck {
    waiting: Mutex<VecDeque<usize>>,
    share: usize,
}

impl Deck {
    pub fn new(groups: impl Iterator<Item = usize>, lanes: usize) -> Self {
        let waiting: VecDeque<usize> = groups.collect();
        let share = waiting.len().div_ceil(lanes.max(1));
        Self { waiting: Mutex::new(waiting), share }
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// The next group, if a lane with `held` groups may have it and `fits` says that it has room.
    pub fn take(&self, held: usize, fits: impl FnOnce(usize) -> bool) -> Option<usize> {
        let mut waiting = self.lock();
        let next = *waiting.front()?;
        (held < self.share && fits(next)).then(|| waiting.pop_front()).flatten()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<usize>> {
        // A panic elsewhere leaves a whole queue.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An [`Event`] on its way from a lane's thread to the caller's.
enum Told {
    Token { group: usize, rollout: usize, token: u32, logprobs: Option<Logprobs> },
    Finished { group: usize, rollout: usize, result: std::result::Result<Box<Rollout>, Fault> },
    Step(Progress),
}

impl From<Event<'_>> for Told {
    fn from(event: Event<'_>) -> Self {
        match event {
            Event::Token { group, rollout, token, logprobs } => Self::Token { group, rollout, token, logprobs },
            Event::Finished { group, rollout, result } => {
                Self::Finished { group, rollout, result: result.map(|rollout| Box::new(rollout.clone())) }
            }
            Event::Step(progress) => Self::Step(progress),
        }
    }
}

/// Runs `work` on every lane, on a thread of its own where there are several, and hands what each tells to the one observer.
///
/// # Errors
/// The first lane's that failed; the others break off after their step.
pub(crate) fn on_each<R: Send>(
    lanes: &mut [Lane],
    observer: &mut Observer<'_>,
    work: impl Fn(&mut Lane, &mut Observer<'_>) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    if let [lane] = lanes {
        return Ok(vec![work(lane, observer)?]);
    }
    let (stop, work) = (AtomicBool::new(false), &work);
    let (sender, told) = channel();
    let mut progress = vec![Progress::default(); lanes.len()];
    std::thread::scope(|scope| {
        let mut threads = Vec::new();
        for (index, lane) in lanes.iter_mut().enumerate() {
            let (sender, stop): (Sender<(usize, Told)>, _) = (sender.clone(), &stop);
            threads.push(scope.spawn(move || {
                let mut tell = |event: Event<'_>| {
                    // Nobody listens once the caller's observer has panicked.
                    let heard = sender.send((index, event.into())).is_ok();
                    if heard && !stop.load(Relaxed) { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
                };
                let result = work(lane, &mut tell);
                stop.fetch_or(result.is_err(), Relaxed);
                result
            }));
        }
        drop(sender);
        for (index, event) in told {
            let event = match &event {
                Told::Token { group, rollout, token, logprobs } => {
                    Event::Token { group: *group, rollout: *rollout, token: *token, logprobs: *logprobs }
                }
                Told::Finished { group, rollout, result } => Event::Finished {
                    group: *group,
                    rollout: *rollout,
                    result: result.as_deref().map_err(|fault| *fault),
                },
                Told::Step(of_lane) => {
                    progress[index] = *of_lane;
                    Event::Step(sum(&progress))
                }
            };
            if observer(event).is_break() {
                stop.store(true, Relaxed);
            }
        }
        let ended = threads.into_iter().map(|thread| match thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        ended.collect()
    })
}

/// Where all lanes together stand; each counts towards the same total.
fn sum(lanes: &[Progress]) -> Progress {
    lanes.iter().fold(Progress::default(), |a, b| Progress {
        finished: a.finished + b.finished,
        total: a.total.max(b.total),
        live: a.live + b.live,
        rows: a.rows + b.rows,
        new_tokens: a.new_tokens + b.new_tokens,
    })
}

/// Of each (group, rollout) the one result that a lane has.
pub(crate) fn merge<T>(mut lanes: Vec<Vec<Vec<Option<T>>>>) -> Vec<Vec<Option<T>>> {
    let mut all = lanes.pop().unwrap_or_default();
    for lane in lanes {
        for (all, group) in all.iter_mut().zip(lane) {
            for (all, one) in all.iter_mut().zip(group) {
                *all = all.take().or(one);
            }
        }
    }
    all
}

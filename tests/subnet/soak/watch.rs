//! Looks at the memory of processes, and whether this machine stands still or works for others, while everything else
//! happens.

use std::collections::BTreeMap;
use std::fs;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::busy::{Busy, Used, processors};
use super::facts::{MACHINE, Name, Outage};
use crate::random::now_ms;

const LOOK_EVERY: Duration = Duration::from_millis(250);
/// A look that comes this much later than it should: nobody on this machine had its time.
const STOOD_STILL_MS: u64 = 2000;

/// Resident memory of a process at a time.
#[derive(Debug, Clone, Copy)]
struct Sample {
    who: Name,
    at_ms: u64,
    kib: u64,
}

#[derive(Default)]
struct Seen {
    processes: BTreeMap<Name, u32>,
    samples: Vec<Sample>,
    stalls: Vec<Outage>,
    busy: Busy,
    over: bool,
}

/// The watch; it ends when it is dropped.
pub struct Watch {
    seen: Arc<Mutex<Seen>>,
    thread: Option<JoinHandle<()>>,
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Watch {
    pub fn start() -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let shared = Arc::clone(&seen);
        Self { seen, thread: Some(thread::spawn(move || look(&shared))) }
    }

    pub fn follow(&self, who: Name, process: u32) {
        lock(&self.seen).processes.insert(who, process);
    }

    pub fn lose(&self, who: Name) {
        lock(&self.seen).processes.remove(who);
    }

    /// The least memory that somebody had between two times.
    pub fn least_kib(&self, who: Name, from_ms: u64, to_ms: u64) -> Option<u64> {
        let seen = lock(&self.seen);
        let of = seen.samples.iter().filter(|s| s.who == who && (from_ms..=to_ms).contains(&s.at_ms));
        of.map(|sample| sample.kib).min()
    }

    /// When the machine stood still, or others had it.
    pub fn stalls(&self) -> Vec<Outage> {
        let seen = lock(&self.seen);
        seen.stalls.iter().cloned().chain(seen.busy.spans()).collect()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        lock(&self.seen).over = true;
        // A watch that panicked has said so.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn look(seen: &Mutex<Seen>) {
    let mut before = now_ms();
    loop {
        thread::sleep(LOOK_EVERY);
        let at_ms = now_ms();
        let mut seen = lock(seen);
        if seen.over {
            return;
        }
        if at_ms > before + LOOK_EVERY.as_millis() as u64 + STOOD_STILL_MS {
            seen.stalls.push(Outage { who: MACHINE, from_ms: before, to_ms: at_ms });
        }
        before = at_ms;
        if let Some(used) = Used::now(at_ms, seen.processes.values().copied()) {
            seen.busy.learn(used, processors());
        }
        let found = seen.processes.iter().filter_map(|(&who, &id)| Some(Sample { who, at_ms, kib: resident_kib(id)? }));
        let found: Vec<Sample> = found.collect();
        seen.samples.extend(found);
    }
}

fn resident_kib(process: u32) -> Option<u64> {
    resident_of(&fs::read_to_string(format!("/proc/{process}/status")).ok()?)
}

/// `VmRSS` of a process's status; none of one that has ended.
fn resident_of(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

#[test]
fn resident_memory_is_what_the_system_says_of_a_process() {
    assert_eq!(resident_of("Name:\tgrail\nVmHWM:\t   60000 kB\nVmRSS:\t   46880 kB\nThreads:\t7\n"), Some(46_880));
    assert_eq!(resident_of("Name:\tgrail\nState:\tZ (zombie)\n"), None);
    assert!(resident_kib(std::process::id()) > Some(1000));
    assert_eq!(resident_kib(u32::MAX), None);
}

//! A persistent pool of threads that run one function together.
//!
//! A decode step has a few hundred short parallel sections, so workers spin for some microseconds
//! before they sleep; where there are more threads than cores they sleep at once. Work is dealt out by
//! an atomic counter, so a core that is busy elsewhere delays nobody. Deliberately not a task
//! scheduler: no futures, no queues, no stealing.

use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::io;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long a thread spins before it sleeps: longer than the serial code between two matrix products.
const SPIN: Duration = Duration::from_micros(50);

type Job = *const (dyn Fn(usize) + Sync);

/// A fixed number of threads, the calling one included.
pub struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    turn: Mutex<()>,
}

struct Shared {
    /// Counts the jobs; a worker that sees it move runs `job`.
    epoch: AtomicUsize,
    job: UnsafeCell<Option<Job>>,
    /// Workers still inside the current job.
    left: AtomicUsize,
    stop: AtomicBool,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    sleepers: AtomicUsize,
    gate: Mutex<()>,
    wake: Condvar,
    caller_sleeps: AtomicBool,
    finished: Condvar,
    spin: Duration,
}

// SAFETY: `job` is written only by the caller that holds `turn`, while `left` is 0, and read by workers only
// between the following move of `epoch` and their decrement of `left`; both are SeqCst.
unsafe impl Sync for Shared {}
// SAFETY: as above; the pointer itself is plain data.
unsafe impl Send for Shared {}

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

impl Pool {
    /// A pool of `threads` threads (at least 1), of which `threads - 1` are started.
    ///
    /// # Panics
    /// If a thread cannot be started, or the calling thread's rounding mode is not the default one.
    pub fn new(threads: usize) -> Self {
        Self::start(threads).expect("a worker thread starts")
    }

    /// [`Pool::new`] where it matters that the system may refuse a thread.
    ///
    /// # Errors
    /// What the system said; threads already started have ended.
    ///
    /// # Panics
    /// If the calling thread's rounding mode is not the default one.
    pub fn start(threads: usize) -> io::Result<Self> {
        let threads = threads.max(1);
        assert_default_float_mode();
        let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
        let shared = Arc::new(Shared {
            epoch: AtomicUsize::new(0),
            job: UnsafeCell::new(None),
            left: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            panic: Mutex::new(None),
            sleepers: AtomicUsize::new(0),
            gate: Mutex::new(()),
            wake: Condvar::new(),
            caller_sleeps: AtomicBool::new(false),
            finished: Condvar::new(),
            spin: if threads > cores { Duration::ZERO } else { SPIN },
        });
        let mut pool = Self { shared, workers: Vec::new(), turn: Mutex::new(()) };
        for index in 1..threads {
            let shared = Arc::clone(&pool.shared);
            let work = move || shared.work(index);
            pool.workers.push(std::thread::Builder::new().name(format!("cpu-{index}")).spawn(work)?);
        }
        Ok(pool)
    }

    /// Number of threads that run a job, the caller's included.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `f` once for each thread index `0..threads()`, index 0 on the calling thread, and returns when all
    /// have. Called from several threads it takes turns; called from inside a job it runs all indices in place.
    ///
    /// # Panics
    /// With the payload of the first call of `f` that panicked, after all have ended.
    pub fn run(&self, f: &(dyn Fn(usize) + Sync)) {
        if self.workers.is_empty() || INSIDE.get() {
            (0..self.threads()).for_each(f);
            return;
        }
        let turn = lock(&self.turn);
        let shared = &*self.shared;
        // SAFETY: only the lifetime is erased; workers use the pointer before `left` reaches 0, awaited below.
        let job: Job = unsafe { std::mem::transmute::<*const (dyn Fn(usize) + Sync + '_), Job>(f) };
        // SAFETY: this thread holds `turn` and no worker is inside a job.
        unsafe { *shared.job.get() = Some(job) };
        shared.left.store(self.workers.len(), SeqCst);
        shared.epoch.fetch_add(1, SeqCst);
        if shared.sleepers.load(SeqCst) > 0 {
            drop(lock(&shared.gate));
            shared.wake.notify_all();
        }
        shared.call(f, 0);
        shared.await_workers();
        let panicked = lock(&shared.panic).take();
        drop(turn);
        if let Some(payload) = panicked {
            resume_unwind(payload);
        }
    }

    /// Splits `0..items` into ranges of `grain` (the last may be shorter) and calls `f` once for each, in any order.
    pub fn for_each(&self, items: usize, grain: usize, f: impl Fn(Range<usize>) + Sync) {
        let grain = grain.max(1);
        if self.workers.is_empty() || items <= grain {
            let mut start = 0;
            while start < items {
                let end = items.min(start + grain);
                f(start..end);
                start = end;
            }
            return;
        }
        let next = AtomicUsize::new(0);
        let chunks = items.div_ceil(grain);
        self.run(&|_| {
            loop {
                let chunk = next.fetch_add(1, SeqCst);
                if chunk >= chunks {
                    return;
                }
                f(chunk * grain..items.min((chunk + 1) * grain));
            }
        });
    }

    /// Calls `f` once for each of `0..items`, in any order, with a state that each thread starts for itself.
    pub fn for_each_with<S>(&self, items: usize, start: impl Fn() -> S + Sync, f: impl Fn(&mut S, usize) + Sync) {
        let next = AtomicUsize::new(0);
        let work = |_| {
            let mut state = None;
            loop {
                let item = next.fetch_add(1, SeqCst);
                if item >= items {
                    return;
                }
                f(state.get_or_insert_with(&start), item);
            }
        };
        if self.workers.is_empty() || items <= 1 { work(0) } else { self.run(&work) }
    }

    /// [`Pool::for_each`] with ranges that shrink: each takes a share of what is left, so that threads mostly work on long ranges and
    /// still end together.
    pub fn for_each_guided(&self, items: usize, f: impl Fn(Range<usize>) + Sync) {
        if self.workers.is_empty() || items <= 1 {
            if items > 0 {
                f(0..items);
            }
            return;
        }
        let (next, parts) = (AtomicUsize::new(0), 2 * self.threads());
        self.run(&|_| {
            let take = |start: usize| (start < items).then(|| start + (items - start).div_ceil(parts));
            while let Ok(start) = next.fetch_update(SeqCst, SeqCst, take) {
                f(start..take(start).unwrap_or(items));
            }
        });
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, SeqCst);
        self.shared.epoch.fetch_add(1, SeqCst);
        drop(lock(&self.shared.gate));
        self.shared.wake.notify_all();
        for worker in self.workers.drain(..) {
            let _ = worker.join(); // a worker's panics are caught and were reported by `run`
        }
    }
}

impl Shared {
    fn work(&self, index: usize) {
        assert_default_float_mode();
        let mut seen = 0;
        loop {
            self.await_epoch(seen);
            seen += 1;
            if self.stop.load(SeqCst) {
                return;
            }
            // SAFETY: the epoch moved, so `job` is set and stays valid until this worker decrements `left`.
            let job = unsafe { &*(*self.job.get()).expect("a job is set before the epoch moves") };
            self.call(job, index);
            if self.left.fetch_sub(1, SeqCst) == 1 && self.caller_sleeps.load(SeqCst) {
                drop(lock(&self.gate));
                self.finished.notify_all();
            }
        }
    }

    fn call(&self, job: &(dyn Fn(usize) + Sync), index: usize) {
        INSIDE.set(true);
        let outcome = catch_unwind(AssertUnwindSafe(|| job(index)));
        INSIDE.set(false);
        if let Err(payload) = outcome {
            lock(&self.panic).get_or_insert(payload);
        }
    }

    fn await_epoch(&self, seen: usize) {
        if self.spins(|| self.epoch.load(SeqCst) != seen) {
            return;
        }
        let mut gate = lock(&self.gate);
        self.sleepers.fetch_add(1, SeqCst);
        while self.epoch.load(SeqCst) == seen {
            gate = self.wake.wait(gate).unwrap_or_else(PoisonError::into_inner);
        }
        self.sleepers.fetch_sub(1, SeqCst);
    }

    fn await_workers(&self) {
        if self.spins(|| self.left.load(SeqCst) == 0) {
            return;
        }
        let mut gate = lock(&self.gate);
        self.caller_sleeps.store(true, SeqCst);
        while self.left.load(SeqCst) != 0 {
            gate = self.finished.wait(gate).unwrap_or_else(PoisonError::into_inner);
        }
        self.caller_sleeps.store(false, SeqCst);
    }

    /// Whether `ready` became true while spinning.
    fn spins(&self, ready: impl Fn() -> bool) -> bool {
        if ready() {
            return true;
        }
        if self.spin.is_zero() {
            return false;
        }
        let start = Instant::now();
        while start.elapsed() < self.spin {
            for _ in 0..32 {
                if ready() {
                    return true;
                }
                std::hint::spin_loop();
            }
        }
        false
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// NUMERICS 12: round to nearest even, subnormals kept, exceptions masked.
fn assert_default_float_mode() {
    #[cfg(target_arch = "x86_64")]
    {
        let mut mxcsr = 0u32;
        // SAFETY: stores four bytes to a local; SSE is part of x86-64.
        unsafe { std::arch::asm!("stmxcsr [{}]", in(reg) &mut mxcsr, options(nostack)) };
        assert_eq!(mxcsr & !0x3f, 0x1f80, "the thread's MXCSR is not the default");
    }
    #[cfg(target_arch = "aarch64")]
    {
        let fpcr: u64;
        // SAFETY: reads a control register that user code may read.
        unsafe { std::arch::asm!("mrs {}, fpcr", out(reg) fpcr, options(nomem, nostack)) };
        assert_eq!(fpcr, 0, "the thread's FPCR is not the default");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;

    #[test]
    fn every_index_runs_exactly_once_per_job() {
        for threads in [1, 2, 3, 5] {
            let pool = Pool::new(threads);
            let counts: Vec<AtomicU32> = (0..threads).map(|_| AtomicU32::new(0)).collect();
            for _ in 0..200 {
                pool.run(&|i| {
                    counts[i].fetch_add(1, SeqCst);
                });
            }
            assert!(counts.iter().all(|c| c.load(SeqCst) == 200), "{threads} threads");
        }
    }

    #[test]
    fn ranges_cover_all_items_once() {
        let pool = Pool::new(3);
        for items in [0, 1, 2, 7, 64, 1000] {
            for grain in [0, 1, 3, 64, 5000] {
                let hits: Vec<AtomicU32> = (0..items).map(|_| AtomicU32::new(0)).collect();
                pool.for_each(items, grain, |range| {
                    assert!(!range.is_empty() && range.len() <= grain.max(1));
                    for hit in &hits[range] {
                        hit.fetch_add(1, SeqCst);
                    }
                });
                assert!(hits.iter().all(|h| h.load(SeqCst) == 1), "{items} by {grain}");
            }
        }
    }

    #[test]
    fn a_thread_keeps_its_state_from_item_to_item() {
        for threads in [1, 3] {
            let (pool, states) = (Pool::new(threads), AtomicU32::new(0));
            for items in [0, 1, 2, 100] {
                let hits: Vec<AtomicU32> = (0..items).map(|_| AtomicU32::new(0)).collect();
                states.store(0, SeqCst);
                pool.for_each_with(
                    items,
                    || states.fetch_add(1, SeqCst),
                    |_, item| {
                        hits[item].fetch_add(1, SeqCst);
                    },
                );
                assert!(hits.iter().all(|h| h.load(SeqCst) == 1), "{items} by {threads}");
                assert!(states.load(SeqCst) as usize <= threads.min(items), "{items} by {threads}");
            }
        }
    }

    #[test]
    fn guided_ranges_cover_all_items_once() {
        for threads in [1, 2, 3] {
            let pool = Pool::new(threads);
            for items in [0, 1, 2, 7, 64, 1000] {
                let hits: Vec<AtomicU32> = (0..items).map(|_| AtomicU32::new(0)).collect();
                pool.for_each_guided(items, |range| {
                    assert!(!range.is_empty());
                    for hit in &hits[range] {
                        hit.fetch_add(1, SeqCst);
                    }
                });
                assert!(hits.iter().all(|h| h.load(SeqCst) == 1), "{items} by {threads}");
            }
        }
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_lives_on() {
        let pool = Pool::new(3);
        for culprit in [0, 1, 2] {
            let outcome = catch_unwind(AssertUnwindSafe(|| pool.run(&|i| assert_ne!(i, culprit, "culprit"))));
            let payload = outcome.expect_err("the panic must arrive");
            assert!(payload.downcast_ref::<String>().unwrap().contains("culprit"));
            let alive = AtomicU32::new(0);
            pool.run(&|_| {
                alive.fetch_add(1, SeqCst);
            });
            assert_eq!(alive.load(SeqCst), 3);
        }
    }

    #[test]
    fn nested_and_concurrent_jobs_complete() {
        let pool = Pool::new(2);
        let total = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        pool.run(&|_| {
                            pool.run(&|_| {
                                total.fetch_add(1, SeqCst);
                            });
                        });
                    }
                });
            }
        });
        assert_eq!(total.load(SeqCst), 3 * 100 * 2 * 2);
    }

    #[test]
    fn sleeping_workers_wake_up() {
        let pool = Pool::new(2);
        let runs = AtomicU32::new(0);
        while pool.shared.sleepers.load(SeqCst) == 0 {
            std::thread::yield_now();
        }
        pool.run(&|_| {
            runs.fetch_add(1, SeqCst);
        });
        assert_eq!(runs.load(SeqCst), 2);
    }
}

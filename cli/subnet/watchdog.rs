//! Whether a program that runs for months still gets on.
//!
//! Every part of it that has a loop of its own marks what it really did: a block seen, a step of the model, an attempt that
//! came to an end, well or not. A part that marks nothing for the timeout hangs. Nothing marks on its own account, so
//! nothing is kept alive by a clock; and what waits for another part, as a loop for the next block, is not judged
//! meanwhile: the other part is. A chain that stands still and a network that is away are therefore no hang, as long as
//! somebody looks after them.
//!
//! Time is counted by the looks of the watching thread: a process that was suspended is not blamed for it.

use std::future::Future;
use std::process::abort;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

/// For an orderly end. Whatever hangs may keep the program from one.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// The parts of a program. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Watchdog(Arc<Mutex<Vec<Weak<State>>>>);

/// A part that has to get on, until the last clone is dropped.
#[derive(Debug, Clone)]
pub struct Part {
    state: Arc<State>,
    /// A part that nobody watches has none.
    watchdog: Option<Watchdog>,
}

#[derive(Debug, Default)]
struct State {
    name: String,
    marks: AtomicU64,
    /// How many waits for other parts are under way.
    waits: AtomicU64,
    /// What may be added to the timeout now, in milliseconds.
    slack_ms: AtomicU64,
    last: Mutex<String>,
    /// Marks at the last look, and the time of looks that found no other.
    looked: Mutex<(u64, Duration)>,
}

/// A part that does not get on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("hung: {part} made no progress for {} s{}", silent.as_secs(), told(last))]
pub struct Hung {
    /// Which.
    pub part: String,
    /// What it last began, if it said.
    pub last: String,
    /// For how long, as far as looks can tell.
    pub silent: Duration,
}

fn told(last: &str) -> String {
    if last.is_empty() { String::new() } else { format!("; the last it told was: {last}") }
}

impl Watchdog {
    /// A part from now on.
    #[must_use]
    pub fn part(&self, name: &str) -> Part {
        let state = Arc::new(State { name: name.to_owned(), ..State::default() });
        let mut parts = lock(&self.0);
        parts.retain(|part| part.strong_count() > 0);
        parts.push(Arc::downgrade(&state));
        drop(parts);
        Part { state, watchdog: Some(self.clone()) }
    }

    /// Looks at every part; `passed` is the time since the last look.
    ///
    /// # Errors
    /// The first part that hangs.
    pub fn look(&self, passed: Duration, timeout: Duration) -> Result<(), Hung> {
        lock(&self.0).iter().filter_map(Weak::upgrade).try_for_each(|part| part.look(passed, timeout))
    }

    /// Looks so often, from a thread of its own, until what is returned is dropped. `well` is called after every look that
    /// found nothing, `hung` when a part hangs, which should end the program.
    ///
    /// # Errors
    /// The system's, if it gives no thread.
    pub fn watch(
        &self,
        every: Duration,
        timeout: Duration,
        well: impl Fn() + Send + 'static,
        hung: impl FnOnce(&Hung) + Send + 'static,
    ) -> std::io::Result<Watching> {
        let (ended, ends) = sync_channel::<()>(0);
        let watchdog = self.clone();
        let look = move || {
            for number in 1_u64.. {
                let since = Instant::now();
                if ends.recv_timeout(every) == Err(RecvTimeoutError::Disconnected) {
                    return;
                }
                // Longer, and this thread stood still, too.
                if let Err(found) = watchdog.look(since.elapsed().min(every), timeout) {
                    return hung(&found);
                }
                tracing::debug!(look = number, "every part of the program gets on");
                well();
            }
        };
        thread::Builder::new().name("watchdog".into()).spawn(look)?;
        Ok(Watching { _ended: ended })
    }
}

/// Ends watching when dropped.
#[derive(Debug)]
pub struct Watching {
    _ended: SyncSender<()>,
}

impl State {
    fn look(&self, passed: Duration, timeout: Duration) -> Result<(), Hung> {
        let marks = self.marks.load(Ordering::Acquire);
        let mut looked = lock(&self.looked);
        if marks != looked.0 || self.waits.load(Ordering::Acquire) > 0 {
            *looked = (marks, Duration::ZERO);
            return Ok(());
        }
        looked.1 += passed;
        let slack = Duration::from_millis(self.slack_ms.load(Ordering::Acquire));
        if looked.1 < timeout.saturating_add(slack) {
            return Ok(());
        }
        let last = lock(&self.last).clone();
        Err(Hung { part: self.name.clone(), last, silent: looked.1 })
    }
}

impl Part {
    /// A part that nobody watches.
    #[must_use]
    pub fn unwatched() -> Self {
        Self { state: Arc::default(), watchdog: None }
    }

    /// Another part of the same program; unwatched, if this one is.
    #[must_use]
    pub fn beside(&self, name: &str) -> Self {
        self.watchdog.as_ref().map_or_else(Self::unwatched, |watchdog| watchdog.part(name))
    }

    /// Something was done.
    pub fn mark(&self) {
        self.state.marks.fetch_add(1, Ordering::Release);
    }

    /// The same, and what begins now; told if that does not end.
    pub fn begins(&self, what: impl Into<String>) {
        *lock(&self.state.last) = what.into();
        self.mark();
    }

    /// Waits for what another part has to bring.
    pub async fn waiting<T>(&self, wait: impl Future<Output = T>) -> T {
        self.state.waits.fetch_add(1, Ordering::AcqRel);
        let _end = End(|| {
            self.mark();
            self.state.waits.fetch_sub(1, Ordering::AcqRel);
        });
        wait.await
    }

    /// Waits for what ends by itself within a time, which is added to the timeout. For one task of a part.
    pub async fn within<T>(&self, limit: Duration, wait: impl Future<Output = T>) -> T {
        let outer = self.allow(limit);
        let _end = End(|| {
            self.state.slack_ms.store(outer, Ordering::Release);
            self.mark();
        });
        wait.await
    }

    /// Something was done, and the next may take so much longer than the timeout.
    pub fn expect(&self, limit: Duration) {
        self.allow(limit);
    }

    fn allow(&self, limit: Duration) -> u64 {
        let limit = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        let before = self.state.slack_ms.swap(limit, Ordering::AcqRel);
        self.mark();
        before
    }
}

/// Does something at the end of a wait, also of one that is given up.
struct End<F: FnMut()>(F);

impl<F: FnMut()> Drop for End<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Ends the process with this exit code, and without one if it is kept from that.
pub fn end(code: i32, last_words: impl FnOnce()) -> ! {
    thread::spawn(|| {
        thread::sleep(LAST_WORDS);
        abort();
    });
    last_words();
    std::process::exit(code)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    const SECOND: Duration = Duration::from_secs(1);

    /// Looks that pass before one finds something, of at most `most`.
    fn looks(watchdog: &Watchdog, most: u32, mut between: impl FnMut()) -> Option<(u32, Hung)> {
        (1..=most).find_map(|look| {
            between();
            watchdog.look(SECOND, 3 * SECOND).err().map(|hung| (look, hung))
        })
    }

    #[test]
    fn a_part_that_marks_nothing_for_the_timeout_hangs() {
        let watchdog = Watchdog::default();
        let (busy, stuck) = (watchdog.part("one that works"), watchdog.part("one that does not"));
        stuck.begins("a file");
        let (look, hung) = looks(&watchdog, 10, || busy.mark()).expect("it hangs");
        // The first look sees the mark before it.
        assert_eq!((look, hung.part.as_str(), hung.silent), (4, "one that does not", 3 * SECOND));
        let told = hung.to_string();
        assert!(told.contains("no progress for 3 s") && told.ends_with("the last it told was: a file"), "{told}");
        stuck.mark();
        assert_eq!(looks(&watchdog, 3, || busy.mark()), None);
    }

    #[test]
    fn a_part_that_works_or_is_gone_does_not_hang() {
        let watchdog = Watchdog::default();
        let part = watchdog.part("a part");
        assert_eq!(looks(&watchdog, 100, || part.mark()), None);
        drop(part);
        assert_eq!(looks(&watchdog, 100, || ()), None);
        drop(watchdog.part("a part").clone());
        let kept = watchdog.part("a part");
        let clone = kept.clone();
        drop(kept);
        assert_eq!(looks(&watchdog, 100, || ()).map(|(look, _)| look), Some(3));
        drop(clone);
    }

    #[tokio::test]
    async fn waiting_for_another_part_is_no_hang_but_that_part_may() {
        let watchdog = Watchdog::default();
        let (blocks, mining) = (watchdog.part("blocks"), watchdog.part("mining"));
        mining.waiting(async { assert_eq!(looks(&watchdog, 100, || blocks.mark()), None) }).await;
        let hung = mining.waiting(async { looks(&watchdog, 100, || ()) }).await;
        assert_eq!(hung.map(|(_, hung)| hung.part), Some("blocks".to_owned()));
    }

    #[tokio::test]
    async fn a_wait_that_is_given_up_is_over() {
        let watchdog = Watchdog::default();
        let part = watchdog.part("a part");
        for _ in 0..2 {
            tokio::select! {
                biased;
                () = part.waiting(part.within(1000 * SECOND, std::future::pending())) => {}
                () = std::future::ready(()) => {}
            }
            assert_eq!(looks(&watchdog, 10, || ()).map(|(look, _)| look), Some(4));
        }
    }

    #[tokio::test]
    async fn what_may_take_longer_hangs_later() {
        let watchdog = Watchdog::default();
        let part = watchdog.part("a part");
        let hung =
            part.within(5 * SECOND, async { looks(&watchdog, 100, || ()) }).await.expect("it hangs all the same");
        assert_eq!((hung.0, hung.1.silent), (9, 8 * SECOND));
        assert_eq!(looks(&watchdog, 10, || ()).map(|(look, _)| look), Some(4));
        part.expect(2 * SECOND);
        assert_eq!(looks(&watchdog, 10, || ()).map(|(look, _)| look), Some(6));
    }

    #[test]
    fn parts_beside_one_that_nobody_watches_are_not_watched() {
        let watchdog = Watchdog::default();
        let (part, nobodys) = (watchdog.part("a part"), Part::unwatched().beside("a child"));
        assert_eq!(looks(&watchdog, 10, || part.mark()), None);
        let child = part.beside("a child");
        let hung = looks(&watchdog, 10, || (part.mark(), nobodys.mark()).0).expect("it hangs");
        assert_eq!(hung.1.part, "a child");
        drop((child, nobodys));
    }

    #[test]
    fn the_thread_tells_of_good_looks_and_ends_with_a_hang_or_with_its_guard() {
        let ms = Duration::from_millis(30);
        let watchdog = Watchdog::default();
        let part = watchdog.part("a part");
        let (told, hears) = channel();
        let hung = told.clone();
        let marks = part.clone();
        let well = move || {
            marks.mark();
            told.send(None).unwrap_or_default();
        };
        let watching =
            watchdog.watch(ms, 3 * ms, well, move |hang| hung.send(Some(hang.part.clone())).unwrap()).unwrap();
        assert!((0..6).all(|_| hears.recv() == Ok(None)), "it marks whenever somebody looked");
        drop(watching);
        // Its end drops both senders; a look may have been on its way.
        assert!(hears.iter().all(|hang| hang.is_none()));

        let (told, hears) = channel();
        let _watching = watchdog.watch(ms, 3 * ms, || (), move |hang| told.send(hang.part.clone()).unwrap()).unwrap();
        assert_eq!((hears.recv().as_deref(), hears.recv().is_err()), (Ok("a part"), true));
    }
}

//! The file of events: one JSON object a line, appended, for whoever watches a miner or a validator.
//!
//! Nobody who works waits for it: lines go through a queue of fixed length to a thread of its own. What does not fit, or
//! cannot be written, is lost, counted, and told by a line of its own when writing goes on.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::subnet::{Event, Events};

/// Lines that may wait.
const CAPACITY: usize = 1024;
/// After a failure, before the file is tried again.
const PAUSE: Duration = Duration::from_secs(5);
/// For lines that wait when a program ends.
const GRACE: Duration = Duration::from_secs(1);

/// A line of the file.
#[derive(Debug, Serialize)]
struct Line<'a> {
    unix_ms: u64,
    #[serde(flatten)]
    event: &'a Event,
}

/// Appends events to a file. Dropping it waits a second at most for the lines under way.
#[derive(Debug)]
pub struct EventFile {
    lines: Option<SyncSender<String>>,
    ended: Mutex<Receiver<()>>,
    lost: Arc<AtomicU64>,
}

impl EventFile {
    /// Begins to append; a file that cannot be written is a warning, and tried again.
    ///
    /// # Errors
    /// The system's, if it gives no thread.
    pub fn append(path: PathBuf) -> io::Result<Self> {
        Self::append_with(path, PAUSE)
    }

    fn append_with(path: PathBuf, pause: Duration) -> io::Result<Self> {
        let (lines, waiting) = sync_channel::<String>(CAPACITY);
        let (end, ended) = sync_channel(1);
        let lost = Arc::new(AtomicU64::new(0));
        let mut writer = Writer { path, pause, file: None, failed: None, lost: Arc::clone(&lost) };
        thread::Builder::new().name("events".to_owned()).spawn(move || {
            while let Ok(line) = waiting.recv() {
                writer.line(&line);
            }
            // Nobody may wait for it any more.
            let _ = end.send(());
        })?;
        Ok(Self { lines: Some(lines), ended: Mutex::new(ended), lost })
    }

    /// Takes an event; progress within a window is none that is kept.
    pub fn tell(&self, event: &Event) {
        if matches!(event, Event::Working { .. }) {
            return;
        }
        let Ok(line) = serde_json::to_string(&Line { unix_ms: unix_ms(), event }) else {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        };
        if self.lines.as_ref().is_none_or(|lines| lines.try_send(line).is_err()) {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Lines that were lost and of which the file does not tell yet.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

impl Drop for EventFile {
    fn drop(&mut self) {
        self.lines = None;
        let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner);
        if ended.recv_timeout(GRACE) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!("the file of events takes no lines; the last are lost");
        }
    }
}

/// The thread's end of the queue.
struct Writer {
    path: PathBuf,
    pause: Duration,
    file: Option<File>,
    failed: Option<Instant>,
    lost: Arc<AtomicU64>,
}

impl Writer {
    fn line(&mut self, line: &str) {
        let is_paused = self.failed.is_some_and(|at| at.elapsed() < self.pause);
        if is_paused {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let lost = self.lost.load(Ordering::Relaxed);
        let mut text = String::new();
        if lost > 0 {
            text = format!("{{\"unix_ms\":{},\"event\":\"events_lost\",\"lines\":{lost}}}\n", unix_ms());
        }
        text.push_str(line);
        text.push('\n');
        match self.write(&text) {
            Ok(()) => {
                self.lost.fetch_sub(lost, Ordering::Relaxed);
                self.failed = None;
            }
            Err(error) => {
                if self.failed.is_none() {
                    tracing::warn!("{}: {error}; events are lost until it can be written", self.path.display());
                }
                // The next attempt opens it again, and begins a new line.
                self.file = None;
                self.failed = Some(Instant::now());
                self.lost.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn write(&mut self, text: &str) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(open(&self.path)?),
        };
        file.write_all(text.as_bytes())
    }
}

/// Opens a file to append to, after a line that was cut by a kill or a full disk.
fn open(path: &PathBuf) -> io::Result<File> {
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    let about = file.metadata()?;
    if about.is_file() && about.len() > 0 {
        let mut last = [0];
        let mut reader = File::open(path)?;
        reader.seek(SeekFrom::End(-1))?;
        reader.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
        }
    }
    Ok(file)
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Events that also go to a file, if there is one.
///
/// # Errors
/// As [`EventFile::append`].
pub fn with_file(events: Events, path: Option<PathBuf>) -> io::Result<Events> {
    let Some(path) = path else {
        return Ok(events);
    };
    let file = EventFile::append(path)?;
    Ok(Events::to(move |event| {
        file.tell(&event);
        events.tell(event);
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use std::process::Command;

    fn event(window: u64) -> Event {
        Event::WindowMissed { window, why: "a\nb".to_owned() }
    }

    fn lines(path: &PathBuf) -> Vec<String> {
        std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn events_are_appended_a_line_each_also_after_one_that_was_cut() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        std::fs::write(&path, "{\"cut").unwrap();
        for window in [50, 100] {
            let file = EventFile::append(path.clone()).unwrap();
            file.tell(&event(window));
            file.tell(&Event::Working { window, groups: 1, rollouts: 1, positions_per_s: 1.0 });
        }
        let lines = lines(&path);
        assert_eq!((lines.len(), lines[0].as_str()), (3, "{\"cut"));
        for (line, window) in lines[1..].iter().zip([50, 100]) {
            let value: Value = serde_json::from_str(line).unwrap();
            assert_eq!((value["event"].as_str(), value["window"].as_u64()), (Some("window_missed"), Some(window)));
            assert!(value["unix_ms"].as_u64() > Some(1 << 40));
        }
    }

    #[test]
    fn a_reader_that_is_stuck_holds_nobody_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        let begun = Instant::now();
        let file = EventFile::append(path).unwrap();
        (0..10 * CAPACITY as u64).for_each(|window| file.tell(&event(window)));
        // One line may be with the thread, which waits for a reader.
        assert!(file.lost() >= 9 * CAPACITY as u64 - 1, "{}", file.lost());
        drop(file);
        assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    }

    #[test]
    fn what_cannot_be_written_is_lost_counted_and_told_when_writing_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events");
        std::fs::create_dir(&path).unwrap();
        let file = EventFile::append_with(path.clone(), Duration::ZERO).unwrap();
        let lost = |n: u64| {
            let begun = Instant::now();
            while file.lost() != n {
                assert!(begun.elapsed() < Duration::from_secs(30), "{} of {n}", file.lost());
                thread::yield_now();
            }
        };
        (0..3).for_each(|window| file.tell(&event(window)));
        lost(3);
        std::fs::remove_dir(&path).unwrap();
        file.tell(&event(3));
        lost(0);
        drop(file);
        let lines = lines(&path);
        let first: Value = serde_json::from_str(&lines[0]).unwrap();
        assert_eq!((lines.len(), first["event"].as_str(), first["lines"].as_u64()), (2, Some("events_lost"), Some(3)));
    }

    #[test]
    fn a_full_disk_loses_lines_and_nothing_else() {
        let file = EventFile::append("/dev/full".into()).unwrap();
        (0..5).for_each(|window| file.tell(&event(window)));
        let begun = Instant::now();
        while file.lost() < 5 {
            assert!(begun.elapsed() < Duration::from_secs(30), "{}", file.lost());
            thread::yield_now();
        }
    }
}

//! A window's groups on disk, in the order they were made.
//!
//! One line per complete group goes to `groups.jsonl` and to the disk itself before the group counts; the gzip stream of
//! the file grows beside it. A miner that was killed reads its lines back, drops one that was cut, and compresses them
//! again. `stage` says how far a finished file came on its way out. Every file but the two that grow is replaced as a whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use grail_protocol::encoding::sha256;
use grail_protocol::window::{Form, GroupText, GrowingFile, Schema, WindowFile};
use grail_protocol::window_root::WindowRoot;

const GROUPS: &str = "groups.jsonl";
const STREAM: &str = "window.json.gz.part";
const FILE: &str = "window.json.gz";
const HEAD: &str = "head.json";
const STAGE: &str = "stage";

/// What a journal can meet.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The disk.
    #[error("{path}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The folder holds another window's work.
    #[error("{path}: made for another window, network or hotkey")]
    OtherWindow {
        /// The file that tells.
        path: PathBuf,
    },
    /// The window's file has been closed.
    #[error("{path}: the window is closed")]
    Closed {
        /// The finished file.
        path: PathBuf,
    },
    /// A file of ours holds what we never write.
    #[error("{path}: {found:?} is no stage of a window")]
    Stage {
        /// The file.
        path: PathBuf,
        /// What is there.
        found: String,
    },
}

type Result<T> = std::result::Result<T, JournalError>;

/// How far a window came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Groups are being made.
    Open,
    /// The file is whole.
    Closed,
    /// Its root is on chain.
    Rooted,
    /// The file is in the bucket.
    Published,
    /// The window is over, and its root was not on chain.
    Missed,
}

impl Stage {
    const ALL: [(Self, &'static str); 5] = [
        (Self::Open, "open"),
        (Self::Closed, "closed"),
        (Self::Rooted, "rooted"),
        (Self::Published, "published"),
        (Self::Missed, "missed"),
    ];

    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(stage, _)| *stage == self).map_or("open", |(_, name)| name)
    }
}

/// The work of one hotkey in one window.
pub struct Journal {
    folder: PathBuf,
    groups: File,
    stream: GrowingFile<BufWriter<File>>,
    count: u64,
    text_bytes: u64,
}

/// A finished file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// Where it is.
    pub path: PathBuf,
    /// What goes on chain before it is published.
    pub root: WindowRoot,
    /// Bytes of it.
    pub stored_bytes: u64,
}

impl Journal {
    /// Opens a window's folder, with what is there from before. `head` is the file without rollouts.
    ///
    /// # Errors
    /// [`JournalError::OtherWindow`] for a folder of another window, [`JournalError::Closed`] for one whose file is whole.
    pub fn open(folder: &Path, head: &WindowFile, rollouts_per_group: usize) -> Result<Self> {
        fs::create_dir_all(folder).map_err(at(folder))?;
        if stage(folder)? > Stage::Open {
            return Err(JournalError::Closed { path: folder.join(FILE) });
        }
        hold_to_head(folder, head)?;
        let path = folder.join(GROUPS);
        let open = OpenOptions::new().read(true).append(true).create(true).open(&path);
        let groups = open.map_err(at(&path))?;
        let stream = folder.join(STREAM);
        let out = BufWriter::new(File::create(&stream).map_err(at(&stream))?);
        let stream = GrowingFile::begin(out).map_err(at(&stream))?;
        let mut journal = Self { folder: folder.to_owned(), groups, stream, count: 0, text_bytes: 0 };
        journal.replay(rollouts_per_group).map_err(at(&path))?;
        Ok(journal)
    }

    /// Compresses the complete lines again, and cuts off the rest.
    fn replay(&mut self, rollouts_per_group: usize) -> io::Result<()> {
        let mut lines = BufReader::new(self.groups.try_clone()?);
        let (mut line, mut kept) = (String::new(), 0);
        loop {
            line.clear();
            // What is cut inside a letter is cut.
            let read = match lines.read_line(&mut line) {
                Ok(read) => read,
                Err(e) if e.kind() == io::ErrorKind::InvalidData => break,
                Err(e) => return Err(e),
            };
            let Some(text) = line.strip_suffix('\n').filter(|_| read > 0) else {
                break;
            };
            self.add(&GroupText::from_line(text, rollouts_per_group))?;
            kept += read as u64;
        }
        self.groups.set_len(kept)
    }

    fn add(&mut self, group: &GroupText) -> io::Result<()> {
        self.stream.push(group)?;
        self.count += 1;
        self.text_bytes += group.line().len() as u64 + 1;
        Ok(())
    }

    /// Complete groups, and so the index of the next problem.
    #[must_use]
    pub fn groups(&self) -> u64 {
        self.count
    }

    /// Bytes of the groups' text so far.
    #[must_use]
    pub fn text_bytes(&self) -> u64 {
        self.text_bytes
    }

    /// Bytes of the compressed file so far, but for what the compressor still holds.
    ///
    /// # Errors
    /// The disk's.
    pub fn stored_bytes(&self) -> Result<u64> {
        let path = self.folder.join(STREAM);
        fs::metadata(&path).map(|m| m.len()).map_err(at(&path))
    }

    /// Keeps a group. When this returns, the group outlives the process and the machine's power.
    ///
    /// # Errors
    /// The disk's; the group then does not count.
    pub fn push(&mut self, group: &GroupText) -> Result<()> {
        let path = self.folder.join(GROUPS);
        let mut line = group.line().to_owned();
        line.push('\n');
        self.groups.write_all(line.as_bytes()).and_then(|()| self.groups.sync_data()).map_err(at(&path))?;
        self.add(group).map_err(at(&self.folder.join(STREAM)))
    }

    /// Finishes the file.
    ///
    /// # Errors
    /// The disk's.
    pub fn close(self, head: &WindowFile) -> Result<Closed> {
        let (part, path) = (self.folder.join(STREAM), self.folder.join(FILE));
        let finish = || -> io::Result<()> {
            let mut out = self.stream.finish(head)?;
            out.flush()?;
            out.get_ref().sync_all()?;
            fs::rename(&part, &path)?;
            File::open(&self.folder)?.sync_all()
        };
        finish().map_err(at(&path))?;
        set_stage(&self.folder, Stage::Closed)?;
        closed(&self.folder, head.window_start)
    }
}

/// The finished file of a folder.
///
/// # Errors
/// The disk's.
pub fn closed(folder: &Path, window_start: i128) -> Result<Closed> {
    let path = folder.join(FILE);
    let stored = fs::read(&path).map_err(at(&path))?;
    let window_start = u64::try_from(window_start).unwrap_or(u64::MAX);
    let root = WindowRoot { window_start, file_hash: sha256(&stored) };
    Ok(Closed { path, root, stored_bytes: stored.len() as u64 })
}

/// How far the window of a folder came.
///
/// # Errors
/// The disk's, and [`JournalError::Stage`].
pub fn stage(folder: &Path) -> Result<Stage> {
    let path = folder.join(STAGE);
    let found = match fs::read_to_string(&path) {
        Ok(found) => found,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Stage::Open),
        Err(source) => return Err(JournalError::Io { path, source }),
    };
    let stage = Stage::ALL.into_iter().find(|(_, name)| *name == found).map(|(stage, _)| stage);
    stage.ok_or(JournalError::Stage { path, found })
}

/// Says that the window of a folder came this far.
///
/// # Errors
/// The disk's.
pub fn set_stage(folder: &Path, stage: Stage) -> Result<()> {
    replace(&folder.join(STAGE), stage.name().as_bytes())
}

/// Writes the head on the first opening, and compares it on every other.
fn hold_to_head(folder: &Path, head: &WindowFile) -> Result<()> {
    let path = folder.join(HEAD);
    let head = WindowFile { inferences: Vec::new(), timestamp: 0.0, ..head.clone() };
    let text = head.to_text(&Schema { statement: &[], answer: &[] }, Form::Whole);
    match fs::read_to_string(&path) {
        Ok(found) if found == text => Ok(()),
        Ok(_) => Err(JournalError::OtherWindow { path }),
        Err(e) if e.kind() == io::ErrorKind::NotFound => replace(&path, text.as_bytes()),
        Err(source) => Err(JournalError::Io { path, source }),
    }
}

/// A file is there as a whole or as it was.
fn replace(path: &Path, content: &[u8]) -> Result<()> {
    let part = path.with_extension("new");
    let write = || -> io::Result<()> {
        let mut file = File::create(&part)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&part, path)
    };
    write().map_err(at(path))
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> JournalError {
    let path = path.to_owned();
    |source| JournalError::Io { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use grail_protocol::window::{Beacon, Block, Limits, read_stored};

    const SCHEMA: Schema = Schema { statement: &[], answer: &[] };
    const LIMITS: Limits = Limits { text_bytes: 1 << 20, inferences: 100, positions: 9, vocab_size: 9 };

    fn head(window_start: i128) -> WindowFile {
        WindowFile {
            proof_version: "v".into(),
            network_id: "n".into(),
            window_start,
            window_length: 5,
            wallet: "w".into(),
            block: Block { number: window_start, hash: "h".into(), timestamp_ms: 1 },
            beacon: Beacon { round: 1, signature: "s".into() },
            timestamp: 2.5,
            inferences: Vec::new(),
        }
    }

    /// Lines are not looked at while they are kept; an empty object marks its place in what is malformed.
    fn group(i: usize) -> GroupText {
        GroupText::from_line(&format!("{{\"group\":{i}}}"), 1)
    }

    fn text(closed: &Closed) -> String {
        let mut text = String::new();
        let stored = fs::read(&closed.path).unwrap();
        io::Read::read_to_string(&mut flate2::bufread::GzDecoder::new(&stored[..]), &mut text).unwrap();
        text
    }

    #[test]
    fn a_window_goes_on_where_it_was_killed() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let mut journal = Journal::open(folder, &head(10), 1).unwrap();
        journal.push(&group(0)).unwrap();
        journal.push(&group(1)).unwrap();
        // Killed: nothing is closed, and the next line is half there.
        drop(journal);
        let mut lines = OpenOptions::new().append(true).open(folder.join(GROUPS)).unwrap();
        lines.write_all("{\"group\":2,\u{e9}".as_bytes().split_last().unwrap().1).unwrap();
        let mut journal = Journal::open(folder, &head(10), 1).unwrap();
        assert_eq!(journal.groups(), 2);
        journal.push(&group(2)).unwrap();
        let closed = journal.close(&head(10)).unwrap();
        assert!(text(&closed).starts_with("{\"inferences\":[{\"group\":0},{\"group\":1},{\"group\":2}],"));
        assert!(text(&closed).contains("\"inference_count\":3"));
        assert_eq!(closed.root, WindowRoot::of_file(10, &fs::read(&closed.path).unwrap()));
    }

    #[test]
    fn every_cut_of_the_journal_keeps_the_lines_before_it() {
        let whole = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(whole.path(), &head(10), 1).unwrap();
        (0..3).for_each(|i| journal.push(&group(i)).unwrap());
        drop(journal);
        let bytes = fs::read(whole.path().join(GROUPS)).unwrap();
        for cut in 0..=bytes.len() {
            fs::write(whole.path().join(GROUPS), &bytes[..cut]).unwrap();
            let journal = Journal::open(whole.path(), &head(10), 1).unwrap();
            let complete = bytes[..cut].iter().filter(|&&b| b == b'\n').count() as u64;
            assert_eq!(journal.groups(), complete, "cut at {cut}");
            drop(journal);
            assert_eq!(
                fs::read(whole.path().join(GROUPS)).unwrap().split(|&b| b == b'\n').count() as u64,
                complete + 1
            );
        }
    }

    #[test]
    fn an_empty_window_is_a_file_too() {
        let folder = tempfile::tempdir().unwrap();
        let closed = Journal::open(folder.path(), &head(10), 4).unwrap().close(&head(10)).unwrap();
        let file = read_stored(&fs::read(&closed.path).unwrap()[..], &SCHEMA, &LIMITS).unwrap();
        assert_eq!(file, head(10));
    }

    #[test]
    fn a_closed_window_stays_closed_and_its_stage_moves_on() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        assert_eq!(stage(folder).unwrap(), Stage::Open);
        let made = Journal::open(folder, &head(10), 1).unwrap().close(&head(10)).unwrap();
        assert_eq!(stage(folder).unwrap(), Stage::Closed);
        assert!(matches!(Journal::open(folder, &head(10), 1), Err(JournalError::Closed { .. })));
        for next in [Stage::Rooted, Stage::Published, Stage::Missed] {
            set_stage(folder, next).unwrap();
            assert_eq!(stage(folder).unwrap(), next);
        }
        assert_eq!(closed(folder, 10).unwrap(), made);
        fs::write(folder.join(STAGE), "elsewhere").unwrap();
        assert!(matches!(stage(folder), Err(JournalError::Stage { found, .. }) if found == "elsewhere"));
    }

    #[test]
    fn a_folder_of_another_window_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        drop(Journal::open(folder.path(), &head(10), 1).unwrap());
        let Err(JournalError::OtherWindow { path }) = Journal::open(folder.path(), &head(15), 1) else {
            panic!("another window's folder was taken");
        };
        assert!(path.ends_with(HEAD));
        assert!(Journal::open(folder.path(), &head(10), 1).is_ok());
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(matches!(Journal::open(&file, &head(10), 1), Err(JournalError::Io { .. })));
    }
}

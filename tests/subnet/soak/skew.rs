//! A clock per party, which the soak sets while the party runs.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const SOURCE: &str = include_str!("skew.c");

/// What is loaded into every party, compiled.
pub struct Skew {
    library: PathBuf,
    folder: PathBuf,
}

/// The clock of one party.
pub struct SetClock {
    file: File,
    path: PathBuf,
}

impl Skew {
    /// Compiled in a folder by the C compiler that also links Rust programs.
    pub fn compile(folder: &Path) -> Self {
        let (source, library) = (folder.join("skew.c"), folder.join("skew.so"));
        fs::write(&source, SOURCE).expect("a file");
        let mut cc = Command::new("cc");
        let ended = cc.args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"]).arg(&library).arg(&source).output();
        let ended = ended.expect("a C compiler: cc");
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        Self { library, folder: folder.to_owned() }
    }

    /// A clock that shows the machine's time.
    pub fn clock(&self, name: &str) -> SetClock {
        let path = self.folder.join(format!("{name}.clock"));
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(&path).expect("a file");
        let clock = SetClock { file, path };
        clock.set_ms(0);
        clock
    }

    /// What a process needs in its environment to have this clock.
    pub fn variables(&self, clock: &SetClock) -> [(&'static str, String); 2] {
        [("LD_PRELOAD", crate::net::text(&self.library)), ("SOAK_CLOCK", crate::net::text(&clock.path))]
    }
}

impl SetClock {
    /// So many milliseconds ahead of the machine's, or behind it.
    pub fn set_ms(&self, ahead: i64) {
        // Eight bytes at once: nobody reads half of them.
        self.file.write_all_at(&ahead.to_ne_bytes(), 0).expect("a small file");
    }
}

#[test]
fn a_set_clock_is_ahead_and_behind_by_so_much_and_comes_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let skew = Skew::compile(folder.path());
    let clock = skew.clock("date");
    for ahead in [0, 3_600_250, -7_200_750, -1, 0] {
        clock.set_ms(ahead);
        let before = crate::random::now_ms() as i64;
        let date = Command::new("date").arg("+%s%3N").envs(skew.variables(&clock)).output().expect("date");
        let after = crate::random::now_ms() as i64;
        let shown: i64 = String::from_utf8_lossy(&date.stdout).trim().parse().expect("milliseconds");
        assert!((before + ahead..=after + ahead).contains(&shown), "{ahead}: {before} {shown} {after}");
    }
}

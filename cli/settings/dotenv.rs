//! Variables: those of the process, and those of `./.env` where the process has none.
//!
//! Unlike the reference's loader, which lets `.env` override the process: a variable given for one call would not count.
//! An empty variable counts as not set, in both places. A folder named `.env` (Python's) is no file of variables.

use std::cell::Cell;
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::rc::Rc;

/// Longest file that is read.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// The variables of a call.
#[derive(Clone, Default)]
pub struct Variables {
    process: HashMap<OsString, OsString>,
    dotenv: HashMap<OsString, OsString>,
    problem: Option<String>,
}

/// Names only: values can be secrets.
impl std::fmt::Debug for Variables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Variables").field("dotenv", &self.dotenv.keys()).finish_non_exhaustive()
    }
}

impl Variables {
    /// Those of the process and of `./.env`, without changing the process.
    #[must_use]
    pub fn read() -> Self {
        let process = std::env::vars_os().collect();
        match pairs_of(Path::new(".env")) {
            Ok(pairs) => Self::of(process, pairs),
            Err(problem) => Self { process, problem: Some(format!(".env: {problem}")), ..Self::default() },
        }
    }

    /// Made from given ones; of a repeated name in `dotenv` the first counts.
    #[must_use]
    pub fn of(process: HashMap<OsString, OsString>, dotenv: Vec<(String, String)>) -> Self {
        let mut variables = Self { process, ..Self::default() };
        for (name, value) in dotenv {
            let is_set = variables.process.get(OsStr::new(&name)).is_some_and(|v| !v.is_empty());
            if !is_set && !value.is_empty() {
                variables.dotenv.entry(name.into()).or_insert_with(|| value.into());
            }
        }
        variables
    }

    /// Sets those of `.env` in the process, for whoever reads its environment later.
    ///
    /// # Safety
    /// No other thread may exist.
    pub unsafe fn apply(&self) {
        for (name, value) in &self.dotenv {
            // SAFETY: no other thread exists, says the caller. Names and values were checked for what this panics at.
            unsafe { std::env::set_var(name, value) };
        }
    }

    /// A variable that is set and not empty, and whether it is of `.env`.
    #[must_use]
    pub fn get(&self, name: &OsStr) -> Option<(&OsStr, bool)> {
        let process = self.process.get(name).filter(|value| !value.is_empty());
        let process = process.map(|value| (value.as_os_str(), false));
        process.or_else(|| self.dotenv.get(name).map(|value| (value.as_os_str(), true)))
    }

    /// How many are of `.env`.
    #[must_use]
    pub fn of_dotenv(&self) -> usize {
        self.dotenv.len()
    }

    /// Why `.env` cannot be used; never its content.
    #[must_use]
    pub fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }
}

fn pairs_of(path: &Path) -> Result<Vec<(String, String)>, String> {
    let mut bytes = Vec::new();
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e.to_string()),
    };
    if file.metadata().is_ok_and(|facts| facts.is_dir()) {
        return Ok(Vec::new());
    }
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(format!("more than {MAX_FILE_BYTES} bytes"));
    }
    parse(bytes)
}

/// The variables of a `.env` file's bytes, in their order.
fn parse(mut bytes: Vec<u8>) -> Result<Vec<(String, String)>, String> {
    if bytes.starts_with(b"\xef\xbb\xbf") {
        bytes.drain(..3);
    }
    // The parser takes blanks at the end of a file without a last line's end for an open quote.
    bytes.push(b'\n');
    let read = Rc::new(Cell::new(0));
    let lines = Lines { rest: &bytes, read: Rc::clone(&read) };
    let mut pairs = Vec::new();
    for pair in dotenvy::Iter::new(lines) {
        match pair {
            Ok((name, value)) if value.contains('\0') => {
                return Err(format!("line {}: {name} holds a zero byte", read.get()));
            }
            Ok(pair) => pairs.push(pair),
            Err(dotenvy::Error::LineParse(text, _)) => {
                let first = (read.get() + 1).saturating_sub(text.lines().count().max(1));
                return Err(format!("line {}: expected NAME=value, with quotes in pairs", first.min(read.get())));
            }
            Err(dotenvy::Error::Io(e)) if e.kind() == io::ErrorKind::InvalidData => {
                return Err(format!("line {}: is no UTF-8 text", read.get()));
            }
            // Whatever it says, it might say a line's content.
            Err(_) => return Err(format!("line {}: cannot be read", read.get())),
        }
    }
    Ok(pairs)
}

/// Hands out one line at a time, so that the parser's buffer is never ahead of it, and counts them.
struct Lines<'a> {
    rest: &'a [u8],
    read: Rc<Cell<usize>>,
}

impl Read for Lines<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let line = self.rest.iter().position(|&b| b == b'\n').map_or(self.rest.len(), |end| end + 1);
        let taken = line.min(buffer.len());
        buffer[..taken].copy_from_slice(&self.rest[..taken]);
        if taken > 0 && taken == line {
            self.read.set(self.read.get() + 1);
        }
        self.rest = &self.rest[taken..];
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pairs(text: &str) -> Result<Vec<(String, String)>, String> {
        parse(text.as_bytes().to_vec())
    }

    #[test]
    fn the_first_line_of_what_cannot_be_read_is_named_and_nothing_of_it() {
        for (text, line) in [
            ("hush", 1),
            ("A=1\n\n# x\nhush hush\nB=2\n", 4),
            ("A=1\nB='a\nb'\nC=\"hush\nhush\n", 4),
            ("A='x\ny' hush\n", 1),
            ("A=1\nB=hush\0hush", 2),
        ] {
            let problem = pairs(text).unwrap_err();
            assert!(problem.starts_with(&format!("line {line}:")), "{text:?}: {problem}");
            assert!(!problem.contains("hush"), "{problem}");
        }
        let problem = parse(b"A=1\nB=\xff\n".to_vec()).unwrap_err();
        assert!(problem.starts_with("line 2: is no UTF-8"), "{problem}");
    }

    #[test]
    fn a_file_without_a_last_line_end_or_with_a_mark_is_read() {
        let expected = vec![("A".to_owned(), "1".to_owned())];
        for text in ["A=1", "A=1 ", "A=1 # x", "\u{feff}A=1\n", "export A='1'\r\n"] {
            assert_eq!(pairs(text), Ok(expected.clone()), "{text:?}");
        }
    }

    #[test]
    fn the_process_wins_unless_its_variable_is_empty() {
        let own = |text: &str| (text.to_owned(), format!("{text} of .env"));
        let process = [("A", "a"), ("B", "")].map(|(n, v)| (n.into(), v.into())).into();
        let variables = Variables::of(process, vec![own("A"), own("B"), ("C".into(), String::new())]);
        assert_eq!(variables.get("A".as_ref()), Some(("a".as_ref(), false)));
        assert_eq!(variables.get("B".as_ref()), Some(("B of .env".as_ref(), true)));
        assert_eq!(variables.get("C".as_ref()), None);
        assert!(!format!("{variables:?}").contains("of .env"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_variables_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(bytes);
        }

        #[test]
        fn any_text_is_variables_or_an_error(text in "[A-C=\\\\'\"$ {}#\n\0x]{0,60}") {
            for (name, value) in pairs(&text).unwrap_or_default() {
                prop_assert!(!name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0'));
            }
        }
    }
}

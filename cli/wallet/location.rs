//! Where a hotkey is kept, and how it is read and written there.
//!
//! `<root>/<wallet>/hotkeys/<hotkey>`, with `<hotkey>pub.txt` beside it. Files are made with mode 0600 from their
//! first byte on, folders with 0700, and nothing is replaced unless that was asked for.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use zeroize::Zeroizing;

use super::{Error, Hotkey, MOST_BYTES, Result, nacl, public_account};

/// What the name of a public file ends with.
pub(super) const PUBLIC_END: &str = "pub.txt";

/// Most bytes of a file's name on the usual file systems, less the ending of the public file.
const MOST_NAME_BYTES: usize = 240;

/// A name of a wallet or hotkey: one part of a path, visible, and no public file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name(String);

impl FromStr for Name {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let problem = match text {
            "" => "it is empty",
            _ if text.contains(['/', '\\']) => "it holds a path separator",
            _ if text.starts_with('.') => "it begins with a dot",
            _ if text.contains(char::is_control) => "it holds a control character",
            _ if text.ends_with(PUBLIC_END) => "pub.txt ends the name of a public file",
            _ if text.len() > MOST_NAME_BYTES => "it is longer than 240 bytes",
            _ => return Ok(Self(text.to_owned())),
        };
        Err(Error::Name { text: text.chars().take(80).collect(), problem })
    }
}

impl Default for Name {
    /// `default`, as everywhere in this field.
    fn default() -> Self {
        Self("default".to_owned())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The place of one hotkey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The folder of all wallets.
    pub root: PathBuf,
    /// The wallet, named after its coldkey.
    pub wallet: Name,
    /// The hotkey.
    pub hotkey: Name,
}

impl Location {
    fn folder(&self) -> PathBuf {
        self.root.join(&self.wallet.0).join("hotkeys")
    }

    /// The file with the secret.
    #[must_use]
    pub fn hotkey_file(&self) -> PathBuf {
        self.folder().join(&self.hotkey.0)
    }

    /// The file without it.
    #[must_use]
    pub fn public_file(&self) -> PathBuf {
        self.folder().join(format!("{}{PUBLIC_END}", self.hotkey))
    }

    /// Reads the hotkey. The password is asked for only if the file is encrypted.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Io`], what `password` says, and [`Error::In`] around what is wrong with the file.
    pub fn open(&self, password: impl FnOnce() -> Result<Zeroizing<Vec<u8>>>) -> Result<Hotkey> {
        let path = self.hotkey_file();
        let bytes = read(&path)?.ok_or_else(|| Error::Missing { path: path.clone() })?;
        let plain = match nacl::is_encrypted(&bytes) {
            Ok(true) => password().and_then(|password| nacl::decrypt(&bytes, &password)),
            Ok(false) => Ok(bytes),
            Err(problem) => Err(problem),
        };
        plain.and_then(|plain| Hotkey::read(&plain)).map_err(Error::within(path))
    }

    /// Writes the hotkey and its public file.
    ///
    /// # Errors
    /// [`Error::Exists`] where a file would be replaced without `overwrite`; [`Error::Io`].
    pub fn write(&self, hotkey: &Hotkey, overwrite: bool) -> Result<()> {
        let (path, public) = (self.hotkey_file(), self.public_file());
        if !overwrite && let Some(bytes) = read(&public)? {
            // The public file of a hotkey kept elsewhere: its secret may come to it, another one's may not.
            let same = public_account(&bytes).is_ok_and(|account| account == hotkey.account());
            if !same {
                return Err(Error::Exists { path: public });
            }
        }
        let folder = self.folder();
        DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(Error::io(&folder))?;
        let json = hotkey.to_json();
        match overwrite {
            true => replace(&path, json.as_bytes())?,
            false => create(&path, json.as_bytes())?,
        }
        replace(&public, hotkey.to_public_json().as_bytes())
    }

    /// The mode of the hotkey's file if others than its owner can use it.
    #[must_use]
    pub fn exposed(&self) -> Option<u32> {
        let mode = fs::metadata(self.hotkey_file()).ok()?.mode() & 0o777;
        (mode & 0o077 != 0).then_some(mode)
    }
}

/// A file's bytes; `None` if there is no such file.
pub(super) fn read(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>> {
    // Asked before opening: a pipe would wait for somebody to write.
    match fs::metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io(path)(e)),
        Ok(found) if !found.is_file() => return Err(Error::io(path)(io::Error::other("is no file"))),
        Ok(_) => {}
    }
    read_from(File::open(path).map_err(Error::io(path))?, path).map(Some)
}

/// All that a reader gives, of which there may not be much.
pub(super) fn read_from(from: impl Read, path: &Path) -> Result<Zeroizing<Vec<u8>>> {
    // Room for all of it at once: memory that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MOST_BYTES as usize + 1));
    from.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(Error::io(path))?;
    match bytes.len() as u64 > MOST_BYTES {
        true => Err(Error::io(path)(io::Error::other(format!("is longer than {MOST_BYTES} bytes")))),
        false => Ok(bytes),
    }
}

/// A new file for its owner alone.
fn create(path: &Path, bytes: &[u8]) -> Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = file.map_err(|e| match e.kind() {
        io::ErrorKind::AlreadyExists => Error::Exists { path: path.to_owned() },
        _ => Error::io(path)(e),
    })?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(|e| {
        // Half a file would be in the way of the next attempt.
        let _ = fs::remove_file(path);
        Error::io(path)(e)
    })
}

/// A file with new content, at no time half of it: a new file takes the old one's name.
fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}", std::process::id()));
    let new = path.with_file_name(name);
    create(&new, bytes)?;
    fs::rename(&new, path).map_err(|e| {
        let _ = fs::remove_file(&new);
        Error::io(path)(e)
    })
}

#[cfg(test)]
mod tests {
    use super::super::uri;
    use super::*;
    use proptest::prelude::*;

    fn place(root: &Path) -> Location {
        Location { root: root.join("wallets"), wallet: "w".parse().unwrap(), hotkey: "h".parse().unwrap() }
    }

    fn never() -> Result<Zeroizing<Vec<u8>>> {
        panic!("a plain file needs no password")
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn what_is_written_is_for_its_owner_and_opens_again() {
        let dir = tempfile::tempdir().unwrap();
        let place = place(dir.path());
        let alice = uri::parse("//Alice").unwrap();
        place.write(&alice, false).unwrap();
        assert_eq!(place.open(never).unwrap().account(), alice.account());
        for path in [place.hotkey_file(), place.public_file()] {
            assert_eq!(mode(&path), 0o600, "{}", path.display());
        }
        for path in [place.root.clone(), place.root.join("w"), place.folder()] {
            assert_eq!(mode(&path), 0o700, "{}", path.display());
        }
        assert_eq!(place.exposed(), None);
        assert_eq!(fs::read_dir(place.folder()).unwrap().count(), 2, "nothing is left over");
    }

    #[test]
    fn nothing_is_replaced_unasked() {
        let dir = tempfile::tempdir().unwrap();
        let place = place(dir.path());
        let (alice, bob) = (uri::parse("//Alice").unwrap(), uri::parse("//Bob").unwrap());
        place.write(&alice, false).unwrap();
        assert!(matches!(place.write(&alice, false), Err(Error::Exists { .. })));
        assert!(matches!(place.write(&bob, false), Err(Error::Exists { .. })));
        assert_eq!(place.open(never).unwrap().account(), alice.account());

        fs::remove_file(place.hotkey_file()).unwrap();
        assert!(matches!(place.write(&bob, false), Err(Error::Exists { path }) if path == place.public_file()));
        place.write(&alice, false).unwrap();

        place.write(&bob, true).unwrap();
        assert_eq!(place.open(never).unwrap().account(), bob.account());
        assert_eq!(public_account(&fs::read(place.public_file()).unwrap()).unwrap(), bob.account());
        assert_eq!(mode(&place.hotkey_file()), 0o600);
    }

    #[test]
    fn what_is_no_small_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let place = place(dir.path());
        assert!(matches!(place.open(never), Err(Error::Missing { .. })));
        fs::create_dir_all(place.hotkey_file()).unwrap();
        assert!(place.open(never).unwrap_err().to_string().ends_with("is no file"));
        fs::remove_dir(place.hotkey_file()).unwrap();
        fs::write(place.hotkey_file(), vec![b' '; MOST_BYTES as usize + 1]).unwrap();
        assert!(place.open(never).unwrap_err().to_string().ends_with("is longer than 65536 bytes"));
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for text in
            ["", ".", "..", "a/b", "../a", "/etc", "a\\b", ".hidden", "a\nb", "a\0", "xpub.txt", &"x".repeat(241)]
        {
            assert!(text.parse::<Name>().is_err(), "{text:?}");
        }
        for text in ["default", "my hotkey", "a.b", "-a", "名", "coldkey"] {
            assert_eq!(text.parse::<Name>().unwrap().to_string(), text);
        }
    }

    proptest! {
        #[test]
        fn any_name_stays_in_its_folder(text: String) {
            if let Ok(hotkey) = text.parse::<Name>() {
                let place = Location { hotkey, ..place(Path::new("/r")) };
                let file = place.hotkey_file();
                prop_assert_eq!(file.parent(), Some(Path::new("/r/wallets/w/hotkeys")));
                prop_assert_ne!(&file, &place.public_file());
            }
        }
    }
}

//! From what was typed to a key that signs: where it is, its password, and a warning if others can read it.

use std::env;
use std::ffi::OsStr;
use std::io::{IsTerminal, Write, stderr, stdin};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use grail_protocol::signature::Signer;
use zeroize::Zeroizing;

use super::location::{read, read_from};
use super::{Error, Hotkey, Location, Result};
use crate::flags::{WalletFlags, WalletPlace, WalletRoot};

const ROOT: &str = "GRAIL_WALLET_PATH";
const PASSWORD: &str = "GRAIL_WALLET_PASSWORD";

/// The folder of all wallets: as typed, else of the environment, else bittensor's.
///
/// # Errors
/// [`Error::Machine`] where there is no home folder.
pub fn root(flags: &WalletRoot) -> Result<PathBuf> {
    let set = || env::var_os(ROOT).filter(|path| !path.is_empty()).map(PathBuf::from);
    let home = || env::home_dir().filter(|home| !home.as_os_str().is_empty());
    let chosen = flags.wallet_path.clone().or_else(set).or_else(|| Some(home()?.join(".bittensor/wallets")));
    chosen.ok_or_else(|| Error::Machine {
        what: "home folder",
        problem: format!("there is none; --wallet-path or {ROOT} says where wallets are"),
    })
}

/// Where the hotkey is that was named.
///
/// # Errors
/// As [`root`].
pub fn location(flags: &WalletPlace) -> Result<Location> {
    Ok(Location { root: root(&flags.root)?, wallet: flags.wallet.clone(), hotkey: flags.hotkey.clone() })
}

/// Opens the hotkey that was named; warns on standard error if others can read its file.
///
/// # Errors
/// As [`Location::open`].
pub fn open(flags: &WalletFlags) -> Result<Hotkey> {
    let place = location(&flags.place)?;
    warn_if_exposed(&place);
    place.open(|| password(flags.password_file.as_deref(), &place))
}

/// The key of the hotkey that was named, for whoever only signs with it.
///
/// # Errors
/// As [`open`].
pub fn signer(flags: &WalletFlags) -> Result<Signer> {
    open(flags).map(Hotkey::into_signer)
}

/// Says how to keep others from a hotkey's file, if they can use it.
pub(crate) fn warn_if_exposed(place: &Location) {
    if let Some(mode) = place.exposed() {
        let path = place.hotkey_file();
        let quoted = path.display().to_string().replace('\'', r"'\''");
        // A broken standard error is no reason to stop.
        let _ = writeln!(stderr(), "warning: others can use this secret (mode {mode:o}); run: chmod 600 '{quoted}'");
    }
}

/// The text of a file, or of standard input for `-`, without the end of its last line.
///
/// # Errors
/// [`Error::Io`].
pub(crate) fn secret_input(path: &Path) -> Result<Zeroizing<Vec<u8>>> {
    let mut bytes = match path == Path::new("-") {
        true => read_from(stdin().lock(), Path::new("standard input"))?,
        false => read(path)?.ok_or_else(|| Error::io(path)(std::io::ErrorKind::NotFound.into()))?,
    };
    for end in [b'\n', b'\r'] {
        if bytes.last() == Some(&end) {
            bytes.pop();
        }
    }
    Ok(bytes)
}

fn password(file: Option<&Path>, place: &Location) -> Result<Zeroizing<Vec<u8>>> {
    if let Some(path) = file {
        return secret_input(path);
    }
    if let Some(set) = env::var_os(PASSWORD) {
        let set: &OsStr = &set;
        return Ok(Zeroizing::new(set.as_bytes().to_vec()));
    }
    if !stdin().is_terminal() {
        return Err(Error::NoPassword);
    }
    let question = format!("Password of {}: ", place.hotkey_file().display());
    let asked = rpassword::prompt_password(question);
    let failed = |e: std::io::Error| Error::Machine { what: "terminal", problem: e.to_string() };
    asked.map(|typed| Zeroizing::new(typed.into_bytes())).map_err(failed)
}

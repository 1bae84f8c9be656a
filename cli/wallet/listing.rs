//! What wallets there are, told without a password.
//!
//! What is wrong with one file is said beside its name and hides no other.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use grail_protocol::AccountId;

use super::location::{PUBLIC_END, read};
use super::{Error, Hotkey, Location, Name, Result, nacl, public_account};

/// How a hotkey is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As plain JSON.
    Plain,
    /// Under a password.
    Encrypted,
    /// Elsewhere: only the public file is here.
    PublicOnly,
    /// In a way that cannot be read.
    Unreadable,
}

/// A hotkey as far as it can be known without a password.
#[derive(Debug)]
pub struct Listed {
    /// Its name, or what stands in its place.
    pub name: String,
    /// Its account, if any file says it.
    pub account: Option<AccountId>,
    /// How it is kept.
    pub form: Form,
    /// What is wrong with it.
    pub problem: Option<Error>,
}

/// A wallet: the hotkeys under one coldkey.
#[derive(Debug)]
pub struct Wallet {
    /// Its name.
    pub name: String,
    /// The account of `coldkeypub.txt`, if there is a good one.
    pub coldkey: Option<AccountId>,
    /// What is wrong with the wallet as a whole.
    pub problem: Option<Error>,
    /// Its hotkeys, by name.
    pub hotkeys: Vec<Listed>,
}

/// All wallets below a folder, by name. Hidden files are passed over, and so are files where wallets should be.
///
/// # Errors
/// [`Error::Io`] when the folder itself cannot be read.
pub fn list(root: &Path) -> Result<Vec<Wallet>> {
    let names = names(root)?;
    Ok(names.into_iter().filter(|name| root.join(name).is_dir()).map(|name| wallet(root, name)).collect())
}

fn names(folder: &Path) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder).map_err(Error::io(folder))? {
        let name = entry.map_err(Error::io(folder))?.file_name();
        found.insert(name.to_string_lossy().into_owned());
    }
    found.retain(|name| !name.starts_with('.'));
    Ok(found)
}

fn wallet(root: &Path, name: String) -> Wallet {
    let (mut coldkey, mut problem, mut hotkeys) = (None, None, Vec::new());
    match name.parse::<Name>() {
        Err(refused) => problem = Some(refused),
        Ok(wallet) => {
            match account_of(&root.join(&name).join("coldkeypub.txt")) {
                Ok(account) => coldkey = account,
                Err(refused) => problem = Some(refused),
            }
            match hotkeys_of(root, &wallet) {
                Ok(found) => hotkeys = found,
                Err(refused) => problem = problem.or(Some(refused)),
            }
        }
    }
    Wallet { name, coldkey, problem, hotkeys }
}

fn hotkeys_of(root: &Path, wallet: &Name) -> Result<Vec<Listed>> {
    let folder = root.join(wallet.to_string()).join("hotkeys");
    if !folder.exists() {
        return Ok(Vec::new());
    }
    // A public file stands for its hotkey, which may be elsewhere.
    let own = |name: String| name.strip_suffix(PUBLIC_END).map(str::to_owned).unwrap_or(name);
    let names: BTreeSet<String> = names(&folder)?.into_iter().map(own).filter(|name| !name.is_empty()).collect();
    let one = |name: String| match name.parse() {
        Ok(hotkey) => look(&Location { root: root.to_owned(), wallet: wallet.clone(), hotkey }),
        Err(problem) => Listed { name, account: None, form: Form::Unreadable, problem: Some(problem) },
    };
    Ok(names.into_iter().map(one).collect())
}

/// One hotkey, looked at without a password.
#[must_use]
pub fn look(place: &Location) -> Listed {
    let public = account_of(&place.public_file());
    let (form, own) = match secret_file(place) {
        Ok((form, own)) => (form, Ok(own)),
        Err(problem) => (Form::Unreadable, Err(problem)),
    };
    let mut account = public.as_ref().ok().copied().flatten();
    let mut problem = None;
    match own {
        Err(refused) => problem = Some(refused),
        Ok(Some(own)) if account.is_some_and(|told| told != own) => {
            let refused = Error::field("publicKey", "is not that of the hotkey beside it");
            problem = Some(Error::within(place.public_file())(refused));
            account = Some(own);
        }
        Ok(own) => account = own.or(account),
    }
    let problem = problem.or(public.err()).or_else(|| match (form, account) {
        (Form::PublicOnly, None) => Some(Error::Missing { path: place.hotkey_file() }),
        (Form::Encrypted, None) => Some(Error::field("address", "no pub.txt tells it, and the file is encrypted")),
        _ => None,
    });
    Listed { name: place.hotkey.to_string(), account, form, problem }
}

/// How the secret is kept, and the account where no password is needed.
fn secret_file(place: &Location) -> Result<(Form, Option<AccountId>)> {
    let path = place.hotkey_file();
    let Some(bytes) = read(&path)? else {
        return Ok((Form::PublicOnly, None));
    };
    let read = |bytes: &[u8]| match nacl::is_encrypted(bytes)? {
        true => Ok((Form::Encrypted, None)),
        false => Hotkey::read(bytes).map(|hotkey| (Form::Plain, Some(hotkey.account()))),
    };
    read(&bytes).map_err(Error::within(path))
}

/// The account of a public file; `None` if there is no such file.
fn account_of(path: &Path) -> Result<Option<AccountId>> {
    read(path)?.map(|bytes| public_account(&bytes).map_err(Error::within(path))).transpose()
}

#[cfg(test)]
mod tests {
    use super::super::uri;
    use super::*;

    fn place(root: &Path, hotkey: &str) -> Location {
        Location { root: root.to_owned(), wallet: "w".parse().unwrap(), hotkey: hotkey.parse().unwrap() }
    }

    #[test]
    fn one_bad_file_hides_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let (alice, bob) = (uri::parse("//Alice").unwrap(), uri::parse("//Bob").unwrap());
        for name in ["away", "broken", "good", "moved", "sealed", "silent"] {
            place(dir.path(), name).write(&alice, false).unwrap();
        }
        fs::remove_file(place(dir.path(), "away").hotkey_file()).unwrap();
        fs::write(place(dir.path(), "broken").hotkey_file(), "{").unwrap();
        fs::write(place(dir.path(), "moved").public_file(), bob.to_public_json()).unwrap();
        fs::write(place(dir.path(), "sealed").hotkey_file(), "$NACL").unwrap();
        fs::write(place(dir.path(), "silent").hotkey_file(), "$NACL").unwrap();
        fs::remove_file(place(dir.path(), "silent").public_file()).unwrap();
        fs::write(dir.path().join("w/hotkeys/.hidden"), "").unwrap();
        fs::write(dir.path().join("w/hotkeys/a\nb"), "").unwrap();
        fs::write(dir.path().join("w/coldkeypub.txt"), bob.to_public_json()).unwrap();
        fs::write(dir.path().join("file"), "").unwrap();
        fs::create_dir(dir.path().join("empty")).unwrap();

        let wallets = list(dir.path()).unwrap();
        assert_eq!(wallets.iter().map(|w| w.name.as_str()).collect::<Vec<_>>(), ["empty", "w"]);
        assert!(wallets[0].hotkeys.is_empty() && wallets[0].coldkey.is_none() && wallets[0].problem.is_none());
        assert_eq!(wallets[1].coldkey, Some(bob.account()));
        let known = Some(alice.account());
        let found: Vec<_> =
            wallets[1].hotkeys.iter().map(|h| (h.name.as_str(), h.form, h.account, h.problem.is_some())).collect();
        assert_eq!(
            found,
            [
                ("a\nb", Form::Unreadable, None, true),
                ("away", Form::PublicOnly, known, false),
                ("broken", Form::Unreadable, known, true),
                ("good", Form::Plain, known, false),
                ("moved", Form::Plain, known, true),
                ("sealed", Form::Encrypted, known, false),
                ("silent", Form::Encrypted, None, true),
            ]
        );
    }
}

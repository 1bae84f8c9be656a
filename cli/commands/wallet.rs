//! `grail wallet`: hotkeys made, stored, listed, shown and signed with.

use std::fs::File;
use std::io::{Read, Write, stderr, stdin};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use grail_protocol::{AccountId, signature, ss58};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{Outcome, Usage};
use crate::flags::{Message, Origin, SecretKind, Wallet, WalletCommand, WalletFlags, WalletPlace, WalletRoot};
use crate::wallet::{self, Error, Form, Hotkey, Listed, Location, Name, Phrase, Words, uri};

/// Most bytes of a message; it is held in memory.
const MOST_MESSAGE_BYTES: u64 = 1 << 30;

pub fn run(flags: &Wallet, out: &mut dyn Write) -> Result<Outcome> {
    match &flags.command {
        WalletCommand::New { words, show_phrase, overwrite, place } => {
            let words = if words == "24" { Words::TwentyFour } else { Words::Twelve };
            let hotkey = Hotkey::from_phrase(Phrase::generate(words)?);
            store(&hotkey, place, *overwrite, out)?;
            if *show_phrase && let Some(phrase) = hotkey.phrase() {
                row(out, "phrase", &phrase)?;
            }
            Ok(Outcome::Done)
        }
        WalletCommand::Import { origin, overwrite, place } => {
            store(&origin_key(origin)?, place, *overwrite, out)?;
            Ok(Outcome::Done)
        }
        WalletCommand::List { json, root } => list(root, *json, out),
        WalletCommand::Show { json, secret, wallet } => show(wallet, *secret, *json, out),
        WalletCommand::Sign { message, wallet } => {
            let from_input = |path: &Option<PathBuf>| path.as_deref() == Some(Path::new("-"));
            if from_input(&message.file) && from_input(&wallet.password_file) {
                bail!(Usage("--file and --password-file cannot both be standard input".to_owned()));
            }
            let message = bytes(message)?;
            let signature = wallet::signer(wallet)?.sign(&message);
            writeln!(out, "{}", hex::encode(signature))?;
            Ok(Outcome::Done)
        }
        WalletCommand::Verify { address, signature, message } => {
            let valid = signature::verify(&address.0, &bytes(message)?, &signature.0);
            writeln!(out, "{}", if valid { "valid" } else { "not valid" })?;
            Ok(if valid { Outcome::Done } else { Outcome::Rejected })
        }
    }
}

fn row(out: &mut dyn Write, label: &str, value: &str) -> Result<()> {
    Ok(writeln!(out, "{label:<11} {value}")?)
}

fn store(hotkey: &Hotkey, place: &WalletPlace, overwrite: bool, out: &mut dyn Write) -> Result<()> {
    let place = wallet::location(place)?;
    place.write(hotkey, overwrite)?;
    row(out, "address", &ss58::encode(&hotkey.account()))?;
    row(out, "path", &place.hotkey_file().display().to_string())
}

fn origin_key(origin: &Origin) -> Result<Hotkey> {
    if let Some(path) = &origin.phrase_file {
        let phrase = secret_text(path)?;
        return Phrase::parse(&phrase).map(Hotkey::from_phrase).with_context(|| path.display().to_string());
    }
    if let Some(path) = &origin.seed_file {
        let seed = wallet::seed_from_hex("seed", secret_text(path)?.trim());
        return seed.map(Hotkey::from_seed).with_context(|| path.display().to_string());
    }
    match &origin.uri {
        Some(text) if text.0.as_str() == "-" => Ok(uri::parse(&secret_text(Path::new("-"))?)?),
        Some(text) => Ok(uri::parse(&text.0)?),
        None => bail!("one of --phrase-file, --seed-file and --uri is needed"),
    }
}

fn secret_text(path: &Path) -> Result<Zeroizing<String>> {
    let bytes = wallet::secret_input(path)?;
    match std::str::from_utf8(&bytes) {
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(_) => bail!("{}: is no UTF-8 text", path.display()),
    }
}

fn list(root: &WalletRoot, as_json: bool, out: &mut dyn Write) -> Result<Outcome> {
    let root = wallet::root(root)?;
    if !root.is_dir() {
        bail!("{}: there is no such folder; `grail wallet new` makes it", root.display());
    }
    let wallets = wallet::list(&root)?;
    wallets.iter().for_each(|found| warn_of(&root, found));
    if as_json {
        let hotkeys = |w: &wallet::Wallet| w.hotkeys.iter().map(facts).collect::<Vec<_>>();
        let wallets = wallets.iter().map(|w| {
            json!({"name": w.name, "coldkey": w.coldkey.as_ref().map(ss58::encode), "hotkeys": hotkeys(w),
                   "problem": w.problem.as_ref().map(Error::to_string)})
        });
        writeln!(out, "{}", json!({"path": root, "wallets": wallets.collect::<Vec<_>>()}))?;
        return Ok(Outcome::Done);
    }
    for found in &wallets {
        line(out, "", &found.name, found.coldkey.as_ref(), None, found.problem.as_ref())?;
        for hotkey in &found.hotkeys {
            line(out, "  ", &hotkey.name, hotkey.account.as_ref(), Some(hotkey.form), hotkey.problem.as_ref())?;
        }
    }
    Ok(Outcome::Done)
}

fn warn_of(root: &Path, found: &wallet::Wallet) {
    let Ok(name) = found.name.parse::<Name>() else { return };
    for hotkey in found.hotkeys.iter().filter_map(|hotkey| hotkey.name.parse().ok()) {
        wallet::warn_if_exposed(&Location { root: root.to_owned(), wallet: name.clone(), hotkey });
    }
}

/// One line of the list: name, address, how it is kept, what is wrong.
fn line(
    out: &mut dyn Write,
    indent: &str,
    name: &str,
    account: Option<&AccountId>,
    form: Option<Form>,
    problem: Option<&Error>,
) -> Result<()> {
    // A file's name can hold anything; nothing but its own letters reaches the terminal.
    let name = format!("{indent}{}", name.escape_debug());
    let mut line = format!("{name:<24} {:<48}", account.map_or_else(|| "-".to_owned(), ss58::encode));
    if let Some(form) = form {
        line.push_str(&format!(" {}", form_name(form)));
    }
    if let Some(problem) = problem {
        line.push_str(&format!(" ({})", problem.to_string().escape_debug()));
    }
    Ok(writeln!(out, "{}", line.trim_end())?)
}

fn form_name(form: Form) -> &'static str {
    match form {
        Form::Plain => "plain",
        Form::Encrypted => "encrypted",
        Form::PublicOnly => "public only",
        Form::Unreadable => "unreadable",
    }
}

fn facts(hotkey: &Listed) -> Value {
    json!({"name": hotkey.name, "address": hotkey.account.as_ref().map(ss58::encode),
           "public_key": hotkey.account.map(hex::encode), "form": form_name(hotkey.form),
           "problem": hotkey.problem.as_ref().map(Error::to_string)})
}

fn show(flags: &WalletFlags, kind: Option<SecretKind>, as_json: bool, out: &mut dyn Write) -> Result<Outcome> {
    let place = wallet::location(&flags.place)?;
    let (account, secret) = match kind {
        // Nobody is asked for a password to see what is public.
        None => {
            wallet::warn_if_exposed(&place);
            let found = wallet::look(&place);
            match (found.account, found.problem) {
                (Some(account), None) => (account, None),
                (_, Some(problem)) => return Err(problem.into()),
                (None, None) => bail!("{}: no file tells its address", place.hotkey_file().display()),
            }
        }
        Some(kind) => {
            let hotkey = wallet::open(flags)?;
            let Some(secret) = secret_of(&hotkey, kind) else {
                bail!("{}: holds no {}", place.hotkey_file().display(), kind_name(kind));
            };
            (hotkey.account(), Some((kind_name(kind), secret)))
        }
    };
    let (address, public_key, path) = (ss58::encode(&account), hex::encode(account), place.hotkey_file());
    if as_json {
        let mut facts = json!({"wallet": place.wallet.to_string(), "hotkey": place.hotkey.to_string(),
                               "address": address, "public_key": public_key, "path": path});
        if let Some((kind, secret)) = &secret {
            facts[kind.replace('-', "_")] = json!(secret.as_str());
        }
        writeln!(out, "{facts}")?;
        return Ok(Outcome::Done);
    }
    row(out, "address", &address)?;
    row(out, "public key", &public_key)?;
    row(out, "path", &path.display().to_string())?;
    if let Some((kind, secret)) = &secret {
        row(out, kind, secret)?;
    }
    Ok(Outcome::Done)
}

fn secret_of(hotkey: &Hotkey, kind: SecretKind) -> Option<Zeroizing<String>> {
    match kind {
        SecretKind::Phrase => hotkey.phrase(),
        SecretKind::Seed => hotkey.seed(),
        SecretKind::PrivateKey => Some(hotkey.private_key()),
    }
}

fn kind_name(kind: SecretKind) -> &'static str {
    match kind {
        SecretKind::Phrase => "phrase",
        SecretKind::Seed => "seed",
        SecretKind::PrivateKey => "private-key",
    }
}

fn bytes(message: &Message) -> Result<Vec<u8>> {
    if let Some(hex) = &message.hex {
        return Ok(hex.0.clone());
    }
    if let Some(path) = &message.file {
        let read = |from: &mut dyn Read| {
            let mut bytes = Vec::new();
            from.take(MOST_MESSAGE_BYTES + 1).read_to_end(&mut bytes).map(|_| bytes)
        };
        let name = || path.display().to_string();
        let bytes = match path == Path::new("-") {
            true => read(&mut stdin().lock()).context("standard input")?,
            false => File::open(path).and_then(|mut file| read(&mut file)).with_context(name)?,
        };
        if bytes.len() as u64 > MOST_MESSAGE_BYTES {
            bail!("{}: a message is at most {MOST_MESSAGE_BYTES} bytes", path.display());
        }
        return Ok(bytes);
    }
    let text = message.text.as_deref().unwrap_or_default();
    if text.starts_with("0x") {
        // bittensor-wallet decodes such a text. A broken standard error is no reason to stop.
        let _ = writeln!(stderr(), "note: the message is the letters of the text itself; --hex takes digits as bytes");
    }
    Ok(text.as_bytes().to_vec())
}

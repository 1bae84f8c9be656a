//! network/wallet/expected.json: what bittensor-wallet wrote and signed, read and verified by the program's library.
//!
//! Two differences are meant. Text that begins with `0x` is signed as the text it is, where the library decodes it.
//! A signature over `<Bytes>message</Bytes>` is none of the message, where the library takes it for one. And the
//! encrypted coldkey, which the program never opens, is input of the decryption alone.

use std::path::Path;

use grail::flags::HexBytes;
use grail::wallet::{Error, Form, Hotkey, Location, Phrase, list, look, nacl, public_account, uri};
use grail_protocol::{signature, ss58};
use serde::Deserialize;
use serde_json::Value;
use zeroize::Zeroizing;

use super::protocol::support::{Hex, Hex32, each, load, same, text};

type Outcome<T = ()> = Result<T, String>;

#[derive(Deserialize)]
struct File {
    wallets: Vec<Value>,
    hotkeys: Vec<Key>,
    unreadable_by_its_writer: TextSeed,
    sign_verify: Vec<Signed>,
    sign_text: Vec<Text>,
    wrapped: Wrapped,
}

#[derive(Deserialize)]
struct Origin {
    kind: String,
    value: String,
}

#[derive(Deserialize)]
struct Key {
    file: String,
    made_from: Origin,
    fields_present: Vec<String>,
    public_key_hex: Hex32,
    ss58: String,
    secret_seed_hex: Option<Hex32>,
    private_key_hex: Hex,
    public_file: String,
}

#[derive(Deserialize)]
struct TextSeed {
    file: String,
    made_from: Origin,
    true_public_key_hex: Hex32,
    private_key_in_file: Hex,
}

#[derive(Deserialize)]
struct Signed {
    public_key_hex: Hex32,
    hotkey: Option<String>,
    message_hex: Hex,
    signature_hex: Hex,
    valid: bool,
    signed_as_text: Option<String>,
}

#[derive(Deserialize)]
struct Text {
    text: String,
    hotkey: Option<String>,
    signature_hex: Option<Hex>,
    signs_decoded_hex: Option<bool>,
    signs_utf8: Option<bool>,
}

#[derive(Deserialize)]
struct Wrapped {
    message_hex: Hex,
    signature_of_wrapped_hex: Hex,
    schnorrkel_accepts_for_plain: bool,
}

pub fn run(path: &Path) -> Outcome<usize> {
    let root = path.parent().ok_or("no folder")?;
    let file: File = load(root, "expected.json")?;
    let hotkeys = each("hotkeys", &file.hotkeys, |case| hotkey(root, case))?;
    text_seed(root, &file.unreadable_by_its_writer).map_err(|e| format!("unreadable_by_its_writer: {e}"))?;
    let signed = each("sign_verify", &file.sign_verify, |case| sign_verify(root, case))?;
    let texts = each("sign_text", &file.sign_text, |case| sign_text(root, case))?;
    wrapped(root, &file.wrapped).map_err(|e| format!("wrapped: {e}"))?;
    listing(root, &file)?;
    let encrypted = encrypted(root, &file.wallets)?;
    Ok(hotkeys + 1 + signed + texts + 1 + encrypted)
}

/// `wallets/<wallet>/hotkeys/<hotkey>` as a place.
fn place(root: &Path, file: &str) -> Outcome<Location> {
    let parts: Vec<&str> = file.split('/').collect();
    let ["wallets", wallet, "hotkeys", hotkey] = parts[..] else {
        return Err(format!("{file} is no file of a hotkey"));
    };
    let (wallet, hotkey) = (wallet.parse().map_err(text)?, hotkey.parse().map_err(text)?);
    Ok(Location { root: root.join("wallets"), wallet, hotkey })
}

fn plain(root: &Path, file: &str) -> Outcome<Hotkey> {
    place(root, file)?.open(|| Err(Error::NoPassword)).map_err(text)
}

/// A hotkey by its name in the wallet `test`.
fn by_name(root: &Path, name: &str) -> Outcome<Hotkey> {
    plain(root, &format!("wallets/test/hotkeys/{name}"))
}

fn made(origin: &Origin) -> Outcome<Option<Hotkey>> {
    Ok(Some(match origin.kind.as_str() {
        "mnemonic" => Hotkey::from_phrase(Phrase::parse(&origin.value).map_err(text)?),
        "seed" | "uri" => uri::parse(&origin.value).map_err(text)?,
        "new" => return Ok(None),
        kind => return Err(format!("made_from: {kind} is not known")),
    }))
}

fn hotkey(root: &Path, case: &Key) -> Outcome {
    let read = plain(root, &case.file)?;
    let mut keys = vec![read.clone()];
    keys.extend(made(&case.made_from)?);
    for key in &keys {
        same("public key", key.account(), case.public_key_hex.0)?;
        same("address", ss58::encode(&key.account()), case.ss58.clone())?;
        same("private key", key.private_key().as_str(), &format!("0x{}", hex::encode(&case.private_key_hex.0)))?;
        let seed = case.secret_seed_hex.map(|seed| format!("0x{}", hex::encode(seed.0)));
        same("seed", key.seed().map(|seed| seed.to_string()), seed)?;
        same("phrase", key.phrase().is_some(), case.fields_present.iter().any(|f| f == "secretPhrase"))?;
    }
    if case.made_from.kind == "mnemonic" {
        same("phrase", read.phrase().map(|p| p.to_string()), Some(case.made_from.value.clone()))?;
    }
    // Our own file of the key has the library's fields and values, whatever their order.
    let parse = |text: &str| serde_json::from_str::<Value>(text).map_err(|e| e.to_string());
    let theirs = std::fs::read_to_string(root.join(&case.file)).map_err(text)?;
    same("file", parse(&read.to_json())?, parse(&theirs)?)?;
    let fields = parse(&theirs)?.as_object().map_or(0, serde_json::Map::len);
    same("fields", fields, case.fields_present.len())?;
    let public = std::fs::read_to_string(root.join(&case.public_file)).map_err(text)?;
    same("account of the public file", public_account(public.as_bytes()).map_err(text)?, case.public_key_hex.0)?;
    same("public file", parse(&read.to_public_json())?, parse(&public)?)
}

fn text_seed(root: &Path, case: &TextSeed) -> Outcome {
    let read = plain(root, &case.file)?;
    same("public key", read.account(), case.true_public_key_hex.0)?;
    same("private key", read.private_key().as_str(), &format!("0x{}", hex::encode(&case.private_key_in_file.0)))?;
    same("seed", read.seed().map(|s| s.to_string()), Some(case.made_from.value.clone()))?;
    let found = look(&place(root, &case.file)?);
    same("listed", (found.account, found.problem.is_some()), (Some(case.true_public_key_hex.0), false))
}

fn sign_verify(root: &Path, case: &Signed) -> Outcome {
    let account = case.public_key_hex.0;
    same("valid", signature::verify(&account, &case.message_hex.0, &case.signature_hex.0), case.valid)?;
    if let Some(text) = &case.signed_as_text {
        let decoded = text.strip_prefix("0x").map(|digits| hex::decode(digits).unwrap_or_default());
        same("message", &decoded.unwrap_or_else(|| text.clone().into_bytes()), &case.message_hex.0)?;
    }
    let Some(name) = &case.hotkey else { return Ok(()) };
    let key = by_name(root, name)?;
    same("hotkey", key.account(), account)?;
    let ours = key.signer().sign(&case.message_hex.0);
    same("our own signature", signature::verify(&account, &case.message_hex.0, &ours), true)
}

/// The library's signature is valid for what `--hex` reads, and not for the text, which is what we sign.
fn sign_text(root: &Path, case: &Text) -> Outcome {
    let decoded = case.text.parse::<HexBytes>();
    let (Some(name), Some(theirs)) = (&case.hotkey, &case.signature_hex) else {
        return same("digits are read", decoded.is_ok(), false);
    };
    let key = by_name(root, name)?;
    let decoded = decoded?.0;
    let valid = |message: &[u8]| Some(signature::verify(&key.account(), message, &theirs.0));
    same("over the digits", valid(&decoded), case.signs_decoded_hex)?;
    same("over the text", valid(case.text.as_bytes()), case.signs_utf8)?;
    let ours = key.signer().sign(case.text.as_bytes());
    let valid = |message: &[u8]| signature::verify(&key.account(), message, &ours);
    same("ours, over text and digits", (valid(case.text.as_bytes()), valid(&decoded)), (true, false))
}

fn wrapped(root: &Path, case: &Wrapped) -> Outcome {
    let account = by_name(root, "abandon-about")?.account();
    let valid = |message: &[u8]| signature::verify(&account, message, &case.signature_of_wrapped_hex.0);
    let message = [b"<Bytes>", &case.message_hex.0[..], b"</Bytes>"].concat();
    same("for the wrapped message", valid(&message), true)?;
    same("for the plain message", valid(&case.message_hex.0), case.schnorrkel_accepts_for_plain)
}

/// Every file below `wallets/` is listed as what it is, with its address and without a password.
fn listing(root: &Path, file: &File) -> Outcome {
    let wallets = list(&root.join("wallets")).map_err(text)?;
    same("wallets", wallets.len(), file.wallets.len())?;
    for wallet in &wallets {
        let problems: Vec<String> = wallet.hotkeys.iter().filter_map(|h| h.problem.as_ref()).map(text).collect();
        same("problems", problems, Vec::new())?;
    }
    let keys: Vec<_> = wallets.iter().flat_map(|w| &w.hotkeys).collect();
    for case in &file.hotkeys {
        let found = keys.iter().any(|key| key.account == Some(case.public_key_hex.0) && key.form == Form::Plain);
        same(&case.file, found, true)?;
    }
    same("encrypted hotkeys", keys.iter().filter(|key| key.form == Form::Encrypted).count(), 1)?;
    let coldkeys: Vec<_> = wallets.iter().filter_map(|w| w.coldkey).map(|key| ss58::encode(&key)).collect();
    let expected: Vec<_> = file.wallets.iter().filter_map(|w| w.pointer("/coldkeypub/ss58")?.as_str()).collect();
    same("coldkeys", coldkeys.iter().map(String::as_str).collect::<Vec<_>>(), expected)
}

/// Two keys are derived from passwords, which takes seconds each: the hotkey's, and the one that must not open.
fn encrypted(root: &Path, wallets: &[Value]) -> Outcome<usize> {
    let field = |pointer: &str| {
        let found = wallets.iter().find_map(|w| w.pointer(pointer)?.as_str());
        found.ok_or_else(|| format!("wallets: no {pointer}"))
    };
    let place = place(root, field("/encrypted_hotkey/file")?)?;
    same("without a password", place.open(|| Err(Error::NoPassword)).is_err(), true)?;
    let password = Zeroizing::new(field("/encrypted_hotkey/password")?.as_bytes().to_vec());
    let key = place.open(|| Ok(password)).map_err(text)?;
    same("encrypted hotkey", hex::encode(key.account()).as_str(), field("/encrypted_hotkey/public_key_hex")?)?;

    let sealed = std::fs::read(root.join(field("/coldkey/file")?)).map_err(text)?;
    same("prefix", sealed.starts_with(field("/coldkey/prefix")?.as_bytes()), true)?;
    let wrong = nacl::decrypt(&sealed, field("/coldkey/wrong_password/password")?.as_bytes());
    same("a wrong password", matches!(wrong, Err(Error::WrongPassword)), true)?;
    Ok(3)
}

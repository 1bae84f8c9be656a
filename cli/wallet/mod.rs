//! Wallets: the hotkey files that bittensor-wallet keeps, read, written and listed.
//!
//! A miner or validator signs with its hotkey and needs nothing else, so a hotkey is all that is read here. A coldkey
//! holds the money: its file is never opened, only `coldkeypub.txt` beside it. Hotkeys are written as plain JSON, as
//! the library does, readable by their owner alone; the form encrypted with a password is read, not written.
//!
//! No secret is in an error, a `Debug` or a log: errors name fields and places, never what stands there.

mod error;
mod fields;
mod hotkey;
mod listing;
mod location;
pub mod nacl;
mod phrase;
mod unlock;
pub mod uri;

pub use error::{Error, Result};
pub use hotkey::{Hotkey, public_account};
pub use listing::{Form, Listed, Wallet, list, look};
pub use location::{Location, Name};
pub use phrase::{Phrase, Words};
pub use unlock::{location, open, root, signer};
pub(crate) use unlock::{secret_input, warn_if_exposed};

use zeroize::Zeroizing;

/// Bytes of a secret seed.
pub const SEED_BYTES: usize = 32;

/// Most bytes of a wallet's file, a password or a phrase; theirs are below one thousand.
const MOST_BYTES: u64 = 64 << 10;

/// The seed of 64 hex digits, with or without `0x` before them.
///
/// # Errors
/// [`Error::Field`] with the name `field`.
pub fn seed_from_hex(field: &'static str, text: &str) -> Result<Zeroizing<[u8; SEED_BYTES]>> {
    from_hex(field, text)
}

/// Hex digits of exactly N bytes, with or without `0x`. The error does not quote them: they may be secret.
fn from_hex<const N: usize>(field: &'static str, text: &str) -> Result<Zeroizing<[u8; N]>> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let mut bytes = Zeroizing::new([0; N]);
    match hex::decode_to_slice(digits, bytes.as_mut_slice()) {
        Ok(()) => Ok(bytes),
        Err(_) => Err(Error::field(field, format!("expected {} hex digits", 2 * N))),
    }
}

/// `0x` and the digits, in memory that is wiped.
fn to_hex(bytes: &[u8]) -> Zeroizing<String> {
    let digits = Zeroizing::new(hex::encode(bytes));
    let mut text = Zeroizing::new(String::with_capacity(2 + digits.len()));
    text.push_str("0x");
    text.push_str(&digits);
    text
}

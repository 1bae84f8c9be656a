//! `grail wallet`, and the flags by which other commands name a hotkey.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Subcommand, ValueEnum};
use grail_protocol::{AccountId, ss58};
use zeroize::Zeroizing;

use crate::wallet::Name;

/// Where wallets are.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Wallet")]
pub struct WalletRoot {
    /// Folder of all wallets [default: ~/.bittensor/wallets]
    #[arg(long, value_name = "DIR", env = "GRAIL_WALLET_PATH")]
    pub wallet_path: Option<PathBuf>,
}

/// One hotkey's place.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Wallet")]
pub struct WalletPlace {
    #[command(flatten)]
    pub root: WalletRoot,
    /// Wallet, which is named after its coldkey
    #[arg(long, value_name = "NAME", default_value = "default", env = "BT_WALLET_COLD")]
    pub wallet: Name,
    /// Hotkey in it
    #[arg(long, value_name = "NAME", default_value = "default", env = "BT_WALLET_HOT")]
    pub hotkey: Name,
}

/// A hotkey to sign with.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Wallet")]
pub struct WalletFlags {
    #[command(flatten)]
    pub place: WalletPlace,
    /// File with the password of an encrypted hotkey, - for standard input [default: GRAIL_WALLET_PASSWORD from the
    /// environment, else asked at the terminal]
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
}

/// `grail wallet`.
#[derive(Debug, Args)]
#[command(after_help = "\
Files are those of bittensor-wallet: <DIR>/<wallet>/hotkeys/<hotkey>, plain JSON that only its owner can read. Coldkeys
are never made or opened. No secret is printed unless it is asked for by name.

Examples:
  grail wallet new --wallet miner --hotkey first
  grail wallet import --hotkey second --phrase-file -
  grail wallet show --secret phrase
  grail wallet sign --file results.json")]
pub struct Wallet {
    /// What to do with it.
    #[command(subcommand)]
    pub command: WalletCommand,
}

/// The commands of `grail wallet`.
#[derive(Debug, Subcommand)]
pub enum WalletCommand {
    /// Make a hotkey; prints its address and file
    New {
        /// Words of its phrase
        #[arg(long, value_name = "12|24", default_value = "12", value_parser = ["12", "24"])]
        words: String,
        /// Print the phrase, too
        #[arg(long)]
        show_phrase: bool,
        /// Replace a hotkey of this name, which is lost
        #[arg(long)]
        overwrite: bool,
        #[command(flatten)]
        place: WalletPlace,
    },
    /// Store a hotkey that exists already; prints its address and file
    Import {
        #[command(flatten)]
        origin: Origin,
        /// Replace a hotkey of this name, which is lost
        #[arg(long)]
        overwrite: bool,
        #[command(flatten)]
        place: WalletPlace,
    },
    /// Name all wallets and hotkeys with their addresses; needs no password
    List {
        /// One JSON object
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        root: WalletRoot,
    },
    /// Show a hotkey's address and public key
    Show {
        /// One JSON object
        #[arg(long)]
        json: bool,
        /// Show this secret, too
        #[arg(long, value_name = "KIND")]
        secret: Option<SecretKind>,
        #[command(flatten)]
        wallet: WalletFlags,
    },
    /// Sign bytes with a hotkey; prints the signature as 128 hex digits
    Sign {
        #[command(flatten)]
        message: Message,
        #[command(flatten)]
        wallet: WalletFlags,
    },
    /// Check a signature; exits with 3 if it is not valid
    #[command(after_help = "\
A signature over <Bytes>...</Bytes>, which some wallets make of what a web page asks them to sign, is not valid for the
message inside.")]
    Verify {
        /// Address of the signer
        #[arg(long, value_name = "SS58")]
        address: Address,
        /// The signature
        #[arg(long, value_name = "HEX")]
        signature: HexBytes,
        #[command(flatten)]
        message: Message,
    },
}

/// What a hotkey is made from.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Origin {
    /// File with a secret phrase, - for standard input
    #[arg(long, value_name = "FILE")]
    pub phrase_file: Option<PathBuf>,
    /// File with a seed of 64 hex digits, - for standard input
    #[arg(long, value_name = "FILE")]
    pub seed_file: Option<PathBuf>,
    /// Secret URI such as //Alice, for development keys only: a command line is seen by others and remembered by
    /// shells. - reads it from standard input, where it may be phrase//hard/soft///password
    // Hidden as a variable's value would be: what marks a secret for `crate::settings`.
    #[arg(long, value_name = "URI", hide_env_values = true)]
    pub uri: Option<SecretText>,
}

/// The bytes that are signed.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Message {
    /// Text, signed as UTF-8. Text that begins with 0x is no exception: --hex decodes digits
    #[arg(value_name = "MESSAGE", allow_hyphen_values = true)]
    pub text: Option<String>,
    /// A file's bytes as they are, - for standard input
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// The bytes of these hex digits
    #[arg(long, value_name = "HEX")]
    pub hex: Option<HexBytes>,
}

/// Secrets of a hotkey.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SecretKind {
    /// The words it was made from.
    Phrase,
    /// The 32 bytes it was made from.
    Seed,
    /// The 64 bytes it signs with.
    PrivateKey,
}

/// Text that is not shown when flags are.
#[derive(Clone)]
pub struct SecretText(pub Zeroizing<String>);

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText")
    }
}

impl FromStr for SecretText {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(Zeroizing::new(text.to_owned())))
    }
}

/// An account by its address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address(pub AccountId);

impl FromStr for Address {
    type Err = grail_protocol::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        ss58::decode(text).map(Self)
    }
}

/// Bytes as hex digits of either case, with or without `0x`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HexBytes(pub Vec<u8>);

impl FromStr for HexBytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.strip_prefix("0x").unwrap_or(text);
        hex::decode(digits).map(Self).map_err(|_| "expected an even number of hex digits".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::Cli;
    use clap::Parser;
    use proptest::prelude::*;

    #[test]
    fn contradicting_flags_are_refused() {
        for line in [
            "grail wallet",
            "grail wallet import",
            "grail wallet import --uri //A --seed-file x",
            "grail wallet new --words 13",
            "grail wallet new --hotkey ../coldkey",
            "grail wallet new --wallet ..",
            "grail wallet show --secret all",
            "grail wallet sign",
            "grail wallet sign a --hex 00",
            "grail wallet sign --hex 0",
            "grail wallet verify a",
            "grail wallet verify --address x --signature 00 a",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
        for line in [
            "grail wallet new --words 24 --show-phrase",
            "grail wallet import --uri -",
            "grail wallet sign -- -a",
            "grail wallet sign --hex 0x00FF --hotkey h",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_ok(), "{line}");
        }
    }

    #[test]
    fn flags_do_not_show_a_secret() {
        let typed = Cli::try_parse_from(["grail", "wallet", "import", "--uri", "//hush"]).unwrap();
        assert!(!format!("{typed:?}").contains("hush"));
    }

    proptest! {
        #[test]
        fn any_text_is_a_value_or_an_error(text: String) {
            let _ = text.parse::<Address>();
            let _ = text.parse::<HexBytes>();
        }
    }
}

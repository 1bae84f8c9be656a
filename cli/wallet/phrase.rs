//! Secret phrases: BIP-39's English words, with the seed that Substrate makes of them.
//!
//! BIP-39 stretches the text of the words; Substrate stretches the entropy behind them. The same words therefore
//! give other keys in wallets of other chains, and BIP-39's own seed is computed nowhere here.

use std::fmt;

use bip39::{Language, Mnemonic};
use sha2::Sha512;
use zeroize::Zeroizing;

use super::{Error, Result, SEED_BYTES};

const FIELD: &str = super::fields::PHRASE;

/// Rounds of PBKDF2-HMAC-SHA512.
const ROUNDS: u32 = 2048;

/// Length of a new phrase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Words {
    /// 12 words, 128 bits.
    Twelve,
    /// 24 words, 256 bits.
    TwentyFour,
}

/// A phrase with a good checksum. Wiped when dropped; printed only as [`Phrase::text`].
#[derive(Clone)]
pub struct Phrase(Mnemonic);

impl fmt::Debug for Phrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Phrase({} words)", self.0.word_count())
    }
}

impl Phrase {
    /// A new phrase from the system's randomness.
    ///
    /// # Errors
    /// [`Error::Machine`] when the system has none.
    pub fn generate(words: Words) -> Result<Self> {
        let mut entropy = Zeroizing::new([0; 32]);
        let entropy = match words {
            Words::Twelve => &mut entropy[..16],
            Words::TwentyFour => &mut entropy[..],
        };
        let failed = |problem: String| Error::Machine { what: "randomness of the system", problem };
        getrandom::fill(entropy).map_err(|e| failed(e.to_string()))?;
        Mnemonic::from_entropy(entropy).map(Self).map_err(|e| failed(e.to_string()))
    }

    /// 12, 15, 18, 21 or 24 words in lower case, with white space between them.
    ///
    /// # Errors
    /// [`Error::Field`], which says the place of a wrong word and not the word.
    pub fn parse(text: &str) -> Result<Self> {
        let problem = match Mnemonic::parse_in_normalized(Language::English, text) {
            Ok(mnemonic) => return Ok(Self(mnemonic)),
            Err(bip39::Error::BadWordCount(n)) => format!("has {n} words, expected 12, 15, 18, 21 or 24"),
            Err(bip39::Error::UnknownWord(i)) => format!("word {} is not in BIP-39's English list", i + 1),
            Err(bip39::Error::InvalidChecksum) => "the checksum in its last word is wrong".to_owned(),
            Err(_) => "is no phrase of BIP-39".to_owned(),
        };
        Err(Error::field(FIELD, problem))
    }

    /// The words with one space between them.
    #[must_use]
    pub fn text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(24 * 9));
        for word in self.0.words() {
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(word);
        }
        text
    }

    /// Substrate's seed: the first half of PBKDF2-HMAC-SHA512 over the entropy, salted with `mnemonic` and the password.
    #[must_use]
    pub fn seed(&self, password: &str) -> Zeroizing<[u8; SEED_BYTES]> {
        let (entropy, length) = self.0.to_entropy_array();
        let entropy = Zeroizing::new(entropy);
        let salt = Zeroizing::new(["mnemonic", password].concat());
        // One block of SHA-512 holds the seed, so no more of it is computed than the half that is used.
        let mut seed = Zeroizing::new([0; SEED_BYTES]);
        pbkdf2::pbkdf2_hmac::<Sha512>(&entropy[..length], salt.as_bytes(), ROUNDS, seed.as_mut_slice());
        seed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABANDON: &str =
        "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about";

    #[test]
    fn the_seed_is_substrates() {
        // From the tests of the crate substrate-bip39 and from a file that bittensor-wallet wrote.
        let phrase = Phrase::parse(ABANDON).unwrap();
        let seed = |password| hex::encode(*phrase.seed(password));
        assert_eq!(seed("Substrate"), "44e9d125f037ac1d51f0a7d3649689d422c2af8b1ec8e00d71db4d7bf6d127e3");
        assert_eq!(seed(""), "4ed8d4b17698ddeaa1f1559f152f87b5d472f725ca86d341bd0276f1b61197e2");
    }

    #[test]
    fn a_new_phrase_reads_back_and_is_never_the_same() {
        for (words, count) in [(Words::Twelve, 12), (Words::TwentyFour, 24)] {
            let (one, other) = (Phrase::generate(words).unwrap(), Phrase::generate(words).unwrap());
            let text = one.text();
            assert_eq!(text.split(' ').count(), count);
            assert_ne!(*text, *other.text());
            assert_eq!(*Phrase::parse(&text).unwrap().text(), *text);
            assert_eq!(format!("{one:?}"), format!("Phrase({count} words)"));
        }
    }

    #[test]
    fn an_error_says_where_and_not_what() {
        for (text, says) in [
            (ABANDON.replace("about", "xylograph"), "secretPhrase: word 12 is not in BIP-39's English list"),
            (ABANDON.replace("about", "abandon"), "secretPhrase: the checksum in its last word is wrong"),
            (ABANDON.replace(" about", ""), "secretPhrase: has 11 words, expected 12, 15, 18, 21 or 24"),
            (ABANDON.to_uppercase(), "secretPhrase: word 1 is not in BIP-39's English list"),
            (String::new(), "secretPhrase: has 0 words, expected 12, 15, 18, 21 or 24"),
        ] {
            assert_eq!(Phrase::parse(&text).unwrap_err().to_string(), says);
        }
        assert_eq!(*Phrase::parse(&ABANDON.replace(' ', "\n ")).unwrap().text(), ABANDON);
    }
}

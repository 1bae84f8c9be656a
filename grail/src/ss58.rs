//! SS58 addresses of format 42 with 32-byte account ids (PROTOCOL 3.5), and no others.
//!
//! Each account has exactly one text here: other formats, other lengths of payload or checksum, and format
//! 42 spelled in two bytes are refused, so texts can be compared instead of accounts.

use blake2::{Blake2b512, Digest};

use crate::{AccountId, Error, Result};

/// The format of addresses on this chain.
const FORMAT: u8 = 42;

/// Format, account id and two bytes of checksum.
const DECODED_BYTES: usize = 1 + 32 + 2;

/// No 35 bytes need more letters; longer text is refused before it is decoded.
const MOST_LETTERS: usize = 48;

/// The address of an account.
#[must_use]
pub fn encode(account: &AccountId) -> String {
    let mut bytes = [0; DECODED_BYTES];
    bytes[0] = FORMAT;
    bytes[1..33].copy_from_slice(account);
    let checksum = checksum(&bytes[..33]);
    bytes[33..].copy_from_slice(&checksum);
    bs58::encode(bytes).into_string()
}

/// The account of an address.
///
/// # Errors
/// [`Error::Address`] for anything that [`encode`] does not give.
pub fn decode(address: &str) -> Result<AccountId> {
    if address.len() > MOST_LETTERS {
        let problem = format!("{} letters, at most {MOST_LETTERS}", address.len());
        return Err(Error::Address { problem });
    }
    let bytes = bs58::decode(address).into_vec().map_err(|e| Error::Address { problem: e.to_string() })?;
    let bytes: [u8; DECODED_BYTES] = bytes.try_into().map_err(|b: Vec<u8>| Error::Address {
        problem: format!("holds {} bytes instead of {DECODED_BYTES}", b.len()),
    })?;
    if bytes[0] != FORMAT {
        let problem = format!("format byte {} instead of {FORMAT}", bytes[0]);
        return Err(Error::Address { problem });
    }
    if bytes[33..] != checksum(&bytes[..33]) {
        let problem = "wrong checksum".to_owned();
        return Err(Error::Address { problem });
    }
    let mut account = [0; 32];
    account.copy_from_slice(&bytes[1..33]);
    Ok(account)
}

fn checksum(bytes: &[u8]) -> [u8; 2] {
    let hash = Blake2b512::new().chain_update(b"SS58PRE").chain_update(bytes).finalize();
    [hash[0], hash[1]]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_longest_address_is_within_the_letters() {
        assert_eq!(encode(&[0xff; 32]).len(), MOST_LETTERS);
        assert_eq!(encode(&[0; 32]).len(), MOST_LETTERS);
    }

    #[test]
    fn one_changed_letter_is_refused() {
        let address = encode(&[7; 32]);
        for place in 0..address.len() {
            let mut letters = address.clone().into_bytes();
            letters[place] = if letters[place] == b'a' { b'b' } else { b'a' };
            let changed = String::from_utf8(letters).unwrap();
            assert!(decode(&changed).is_err(), "{changed}");
        }
    }

    proptest! {
        #[test]
        fn an_account_reads_back(account: AccountId) {
            prop_assert_eq!(decode(&encode(&account)), Ok(account));
        }

        #[test]
        fn any_text_is_refused_or_the_one_spelling(text in "[1-9A-Za-z]{0,50}|\\PC{0,50}") {
            if let Ok(account) = decode(&text) {
                prop_assert_eq!(encode(&account), text);
            }
        }
    }
}

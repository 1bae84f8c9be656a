//! Timelock encryption to a round of an unchained beacon: whoever has the round's signature can read it, nobody before.
//!
//! The format is the one of Subtensor's commit-reveal (the `tle` crate of Ideal Labs: Boneh-Franklin IBE "FullIdent"
//! on BLS12-381 with keys on G2, AES-256-GCM inside), written here over the curve library that verifies beacons,
//! because that crate is not published and brings a second pairing library. All integers are 64 bits, little-endian:
//! `U (96) ‖ 32 ‖ V ‖ 32 ‖ W ‖ length ‖ (length ‖ ciphertext and tag ‖ 12 ‖ nonce) ‖ 8 ‖ "AES_GCM_"`.

use blst::min_sig::{PublicKey, SecretKey, Signature};
use blst::{blst_fp12, blst_p1_affine, blst_p2_affine};
use grail_protocol::encoding::sha256;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use sha2::{Digest, Sha256};

use crate::verify::{DST_G1, unchained_message};
use crate::{ChainInfo, Scheme};

const SUITE: &[u8] = b"AES_GCM_";
const POINT_BYTES: usize = 96;
const BLOCK_BYTES: usize = 32;
const FP_BYTES: usize = 48;
/// Order of the groups, big-endian.
const ORDER: [u8; 32] = [
    0x73, 0xed, 0xa7, 0x53, 0x29, 0x9d, 0x7d, 0x48, 0x33, 0x39, 0xd8, 0x08, 0x09, 0xa1, 0xd8, 0x05, 0x53, 0xbd, 0xa4,
    0x02, 0xff, 0xfe, 0x5b, 0xfe, 0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x01,
];

/// Why nothing was encrypted or decrypted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TimelockError {
    /// Rounds of a chained scheme cannot be encrypted to, as their message is not known in advance.
    #[error("timelock: the beacon's scheme is {}, expected {}", found.name(), Scheme::UnchainedG1.name())]
    Scheme {
        /// The beacon's.
        found: Scheme,
    },
    /// The system has no random numbers.
    #[error("timelock: the system's random numbers: {0}")]
    Random(String),
    /// The bytes are not laid out as a ciphertext.
    #[error("timelock: {field} of the ciphertext: expected {expected}")]
    Malformed {
        /// The part that is wrong.
        field: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// A good layout, but not encrypted to the round of this signature, or damaged.
    #[error("timelock: the ciphertext does not open with this signature")]
    WrongSignature,
}

/// Encrypts so that only the signature of `round` opens it.
///
/// # Errors
/// [`TimelockError::Scheme`] for a chained beacon, [`TimelockError::Random`].
pub fn seal(chain: &ChainInfo, round: u64, plaintext: &[u8]) -> Result<Vec<u8>, TimelockError> {
    let parts = chain.parts();
    if parts.scheme != Scheme::UnchainedG1 {
        return Err(TimelockError::Scheme { found: parts.scheme });
    }
    let mut random = [0; 2 * BLOCK_BYTES + NONCE_LEN];
    getrandom::fill(&mut random).map_err(|e| TimelockError::Random(e.to_string()))?;
    let (sigma, rest) = random.split_at(BLOCK_BYTES);
    let (key, nonce) = rest.split_at(BLOCK_BYTES);

    // U = r P, and e(P_pub, Q)^r = e(P_pub, r Q): both are what the library does for a secret key r.
    let r = exponent(sigma, key);
    let public = PublicKey::key_validate(&parts.public_key).expect("the key of a chain was checked");
    let shared = pairing(&public.into(), &r.sign(&unchained_message(round), DST_G1, &[]).into());

    let mut body = plaintext.to_vec();
    let nonce_of = |bytes: &[u8]| Nonce::try_assume_unique_for_key(bytes).expect("12 bytes");
    let sealed = cipher(key).seal_in_place_append_tag(nonce_of(nonce), Aad::empty(), &mut body);
    sealed.map_err(|_| TimelockError::Malformed { field: "plaintext", expected: "less than 64 GiB" })?;

    let mut inner = Vec::new();
    put(&mut inner, &body);
    put(&mut inner, nonce);
    let mut out = r.sk_to_pk().compress().to_vec();
    put(&mut out, &xor(sigma, &shared));
    put(&mut out, &xor(key, &sha256(sigma)));
    put(&mut out, &inner);
    put(&mut out, SUITE);
    Ok(out)
}

/// Decrypts with the signature of the round that it was encrypted to. The signature must have been verified.
///
/// # Errors
/// [`TimelockError::Malformed`] and [`TimelockError::WrongSignature`].
pub fn open(ciphertext: &[u8], signature: &[u8]) -> Result<Vec<u8>, TimelockError> {
    let malformed = |field, expected| TimelockError::Malformed { field, expected };
    let (point, mut rest) = ciphertext.split_at_checked(POINT_BYTES).ok_or(malformed("U", "96 bytes"))?;
    let u = PublicKey::key_validate(point).map_err(|_| malformed("U", "a point of G2"))?;
    let v = take(&mut rest).filter(|v| v.len() == BLOCK_BYTES).ok_or(malformed("V", "32 bytes"))?;
    let w = take(&mut rest).filter(|w| w.len() == BLOCK_BYTES).ok_or(malformed("W", "32 bytes"))?;
    let mut inner = take(&mut rest).ok_or(malformed("body", "as many bytes as its length says"))?;
    take(&mut rest).filter(|suite| *suite == SUITE).ok_or(malformed("cipher suite", "AES_GCM_"))?;
    let body = take(&mut inner).ok_or(malformed("AES ciphertext", "as many bytes as its length says"))?;
    let nonce = take(&mut inner).and_then(|nonce| Nonce::try_assume_unique_for_key(nonce).ok());
    let nonce = nonce.ok_or(malformed("nonce", "12 bytes"))?;
    if !rest.is_empty() || !inner.is_empty() {
        return Err(malformed("end", "no more bytes"));
    }

    let signature = Signature::sig_validate(signature, true).map_err(|_| TimelockError::WrongSignature)?;
    let sigma = xor(v, &pairing(&u.into(), &signature.into()));
    let key = xor(w, &sha256(&sigma));
    if exponent(&sigma, &key).sk_to_pk() != u {
        return Err(TimelockError::WrongSignature);
    }
    let mut body = body.to_vec();
    let plaintext = cipher(&key).open_in_place(nonce, Aad::empty(), &mut body);
    Ok(plaintext.map_err(|_| TimelockError::WrongSignature)?.to_vec())
}

fn cipher(key: &[u8]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).expect("32 bytes"))
}

fn xor(a: &[u8], b: &[u8]) -> Vec<u8> {
    a.iter().zip(b).map(|(a, b)| a ^ b).collect()
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as u64).to_le_bytes());
    out.extend(bytes);
}

/// A length and as many bytes.
fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk()?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    let (bytes, after) = after.split_at_checked(length)?;
    *rest = after;
    Some(bytes)
}

/// H3: the hash of both as a big-endian number modulo the order. It is zero for nobody: that would be a preimage.
fn exponent(sigma: &[u8], key: &[u8]) -> SecretKey {
    let mut number: [u8; 32] = Sha256::new().chain_update(sigma).chain_update(key).finalize().into();
    while number >= ORDER {
        let mut borrow = false;
        for (digit, of_order) in number.iter_mut().zip(ORDER).rev() {
            let (first, a) = digit.overflowing_sub(of_order);
            let (second, b) = first.overflowing_sub(borrow.into());
            (*digit, borrow) = (second, a || b);
        }
    }
    SecretKey::from_bytes(&number).expect("below the order, and not zero")
}

/// H2 of the pairing: SHA-256 over the twelve coordinates as arkworks writes them, little-endian, halves outermost.
fn pairing(q: &blst_p2_affine, p: &blst_p1_affine) -> [u8; 32] {
    let bytes = blst_fp12::miller_loop(q, p).final_exp().to_bendian();
    let mut hasher = Sha256::new();
    for half in 0..2 {
        for third in 0..3 {
            for part in 0..2 {
                // The library has thirds outermost.
                let at = ((third * 2 + half) * 2 + part) * FP_BYTES;
                let mut coordinate = bytes[at..at + FP_BYTES].to_vec();
                coordinate.reverse();
                hasher.update(&coordinate);
            }
        }
    }
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LocalBeacon;
    use proptest::prelude::*;

    fn beacon() -> LocalBeacon {
        LocalBeacon::from_seed(&[1; 32], 1_700_000_000, 3).unwrap()
    }

    #[test]
    fn only_the_signature_of_its_round_opens_it() {
        let beacon = beacon();
        let sealed = seal(beacon.info(), 7, b"weights").unwrap();
        assert_eq!(open(&sealed, &beacon.sign(7).unwrap()).unwrap(), b"weights");
        assert_eq!(open(&sealed, &beacon.sign(8).unwrap()), Err(TimelockError::WrongSignature));
        let other = LocalBeacon::from_seed(&[2; 32], 1_700_000_000, 3).unwrap();
        assert_eq!(open(&sealed, &other.sign(7).unwrap()), Err(TimelockError::WrongSignature));
        assert_ne!(sealed, seal(beacon.info(), 7, b"weights").unwrap(), "the same text twice looks different");
    }

    #[test]
    fn a_chained_beacon_cannot_be_encrypted_to() {
        let refused = seal(&ChainInfo::default_chain(), 7, b"weights").unwrap_err();
        assert!(refused.to_string().contains("expected bls-unchained-g1-rfc9380"), "{refused}");
    }

    #[test]
    fn no_changed_or_missing_byte_goes_unnoticed() {
        let beacon = beacon();
        let (sealed, signature) = (seal(beacon.info(), 7, b"weights").unwrap(), beacon.sign(7).unwrap());
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(open(&changed, &signature).is_err(), "byte {at}");
            assert!(open(&sealed[..at], &signature).is_err(), "cut at {at}");
        }
        assert!(open(&[&sealed[..], &[0]].concat(), &signature).is_err());
    }

    #[test]
    fn ciphertexts_of_the_real_network_open() {
        let file: serde_json::Value =
            serde_json::from_str(include_str!("../../../tests/vectors/network/tlock.json")).unwrap();
        let cases = file["ciphertexts"].as_array().unwrap();
        let bytes = |value: &serde_json::Value| hex::decode(value.as_str().unwrap()).unwrap();
        for case in cases {
            let opened = open(&bytes(&case["ciphertext_hex"]), &bytes(&case["signature_hex"]));
            assert_eq!(opened, Ok(bytes(&case["plaintext_hex"])));
        }
        assert!(!cases.is_empty());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20))]
        #[test]
        fn any_text_comes_back(text: Vec<u8>, round in 1_u64..) {
            let beacon = beacon();
            let sealed = seal(beacon.info(), round, &text).unwrap();
            prop_assert_eq!(open(&sealed, &beacon.sign(round).unwrap()), Ok(text));
        }
    }
}

//! Whether a round's signature is right, and the randomness it gives (DESIGN 4.2).
//!
//! Public keys and signatures are compressed points of BLS12-381; both are checked to lie in their subgroup and not to
//! be the point at infinity, which would verify anything. Only the scheme's own message is tried.

use blst::{BLST_ERROR, min_pk, min_sig};
use grail_protocol::Hash;
use grail_protocol::encoding::{bytes_from_text, sha256};
use sha2::{Digest, Sha256};

use super::chain::{ChainInfo, Scheme};

/// Domain of signatures on G1 (RFC 9380).
pub(crate) const DST_G1: &[u8] = b"BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_";
/// Domain of signatures on G2.
const DST_G2: &[u8] = b"BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_NUL_";

/// Why a round is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BeaconError {
    /// Text that should be hexadecimal is not.
    #[error("beacon: {0}")]
    Malformed(#[from] grail_protocol::Error),
    /// No beacon has this round.
    #[error("beacon: round 0 does not exist")]
    RoundZero,
    /// Bytes of another length than the scheme's.
    #[error("beacon: {field} has {found} bytes, the scheme's has {expected}")]
    WrongLength {
        /// Which bytes.
        field: &'static str,
        /// Bytes of the scheme.
        expected: usize,
        /// Bytes found.
        found: usize,
    },
    /// Bytes that are no point of the curve's subgroup, or the point at infinity.
    #[error("beacon: {field} is no point of its group: {problem}")]
    BadPoint {
        /// Which bytes.
        field: &'static str,
        /// What is wrong with them.
        problem: &'static str,
    },
    /// The previous signature is missing, superfluous or, for round 1, not the chain's group hash.
    #[error("beacon: previous signature of round {round}: {problem}")]
    BadPrevious {
        /// The round.
        round: u64,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Good points, but not a signature of this round by this chain.
    #[error("beacon: the signature is not that of round {round} by chain {}", hex::encode(chain))]
    BadSignature {
        /// The round.
        round: u64,
        /// The chain's hash.
        chain: Hash,
    },
}

/// The randomness of a round, from its verified signature.
///
/// `previous_signature` belongs to chained schemes only; round 1 has the chain's group hash there.
///
/// # Errors
/// [`BeaconError`] for anything but the chain's own signature of this round.
pub fn verify(
    chain: &ChainInfo,
    round: u64,
    signature: &[u8],
    previous_signature: Option<&[u8]>,
) -> Result<Hash, BeaconError> {
    if round == 0 {
        return Err(BeaconError::RoundZero);
    }
    let parts = chain.parts();
    check_length("signature", signature, parts.scheme.signature_bytes())?;
    check_length("public key", &parts.public_key, parts.scheme.key_bytes())?;
    let bad = |field: &'static str| move |error| BeaconError::BadPoint { field, problem: problem_of(error) };
    let outcome = match parts.scheme {
        Scheme::UnchainedG1 => {
            if previous_signature.is_some() {
                return Err(BeaconError::BadPrevious { round, problem: "the scheme has none" });
            }
            let key = min_sig::PublicKey::key_validate(&parts.public_key).map_err(bad("public key"))?;
            let signature = min_sig::Signature::sig_validate(signature, true).map_err(bad("signature"))?;
            signature.verify(false, &unchained_message(round), DST_G1, &[], &key, false)
        }
        Scheme::Chained => {
            let previous = check_previous(&parts.group_hash, round, previous_signature)?;
            let key = min_pk::PublicKey::key_validate(&parts.public_key).map_err(bad("public key"))?;
            let signature = min_pk::Signature::sig_validate(signature, true).map_err(bad("signature"))?;
            signature.verify(false, &chained_message(round, previous), DST_G2, &[], &key, false)
        }
    };
    match outcome {
        BLST_ERROR::BLST_SUCCESS => Ok(sha256(signature)),
        _ => Err(BeaconError::BadSignature { round, chain: *chain.hash() }),
    }
}

/// Bytes of a signature from the text of a file or a relay: lower-case digits without a prefix.
///
/// # Errors
/// [`BeaconError::Malformed`].
pub fn signature_from_text(text: &str) -> Result<Vec<u8>, BeaconError> {
    Ok(bytes_from_text("signature", text)?)
}

/// An error unless the bytes are a public key of the scheme.
pub(crate) fn check_key(scheme: Scheme, key: &[u8]) -> Result<(), BeaconError> {
    check_length("public key", key, scheme.key_bytes())?;
    let outcome = match scheme {
        Scheme::UnchainedG1 => min_sig::PublicKey::key_validate(key).map(|_| ()),
        Scheme::Chained => min_pk::PublicKey::key_validate(key).map(|_| ()),
    };
    outcome.map_err(|error| BeaconError::BadPoint { field: "public key", problem: problem_of(error) })
}

/// What an unchained scheme signs.
pub(crate) fn unchained_message(round: u64) -> Hash {
    sha256(&round.to_be_bytes())
}

fn chained_message(round: u64, previous: &[u8]) -> Hash {
    Sha256::new().chain_update(previous).chain_update(round.to_be_bytes()).finalize().into()
}

fn check_previous<'a>(group_hash: &Hash, round: u64, previous: Option<&'a [u8]>) -> Result<&'a [u8], BeaconError> {
    let previous = previous.ok_or(BeaconError::BadPrevious { round, problem: "missing" })?;
    if round > 1 {
        check_length("previous signature", previous, Scheme::Chained.signature_bytes())?;
    } else if previous != group_hash {
        return Err(BeaconError::BadPrevious { round, problem: "not the group hash" });
    }
    Ok(previous)
}

/// The length decides the encoding too: at these lengths the library takes compressed points only.
fn check_length(field: &'static str, bytes: &[u8], expected: usize) -> Result<(), BeaconError> {
    match bytes.len() {
        found if found == expected => Ok(()),
        found => Err(BeaconError::WrongLength { field, expected, found }),
    }
}

fn problem_of(error: BLST_ERROR) -> &'static str {
    match error {
        BLST_ERROR::BLST_BAD_ENCODING => "not a compressed point",
        BLST_ERROR::BLST_POINT_NOT_ON_CURVE => "not on the curve",
        BLST_ERROR::BLST_POINT_NOT_IN_GROUP => "not in the subgroup",
        BLST_ERROR::BLST_PK_IS_INFINITY => "the point at infinity",
        _ => "refused by the curve library",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LocalBeacon;
    use proptest::prelude::*;

    /// Round 123 of quicknet.
    const SIGNATURE: &str =
        "b75c69d0b72a5d906e854e808ba7e2accb1542ac355ae486d591aa9d43765482e26cd02df835d3546d23c4b13e0dfc92";

    fn genuine() -> (ChainInfo, Vec<u8>) {
        (ChainInfo::quicknet(), signature_from_text(SIGNATURE).unwrap())
    }

    fn infinity(bytes: usize) -> Vec<u8> {
        let mut point = vec![0; bytes];
        point[0] = 0xc0;
        point
    }

    #[test]
    fn a_signature_is_of_one_round_and_one_chain() {
        let (chain, signature) = genuine();
        let randomness = verify(&chain, 123, &signature, None).unwrap();
        assert_eq!(hex::encode(randomness), "fb8f7bc29bf24db51871ec8c79f3a1e4bd0557bc0dfcee9ed1d924e69d1c60dc");
        for round in [122, 124, 123 << 56, u64::MAX] {
            let refusal = verify(&chain, round, &signature, None).unwrap_err();
            assert_eq!(refusal, BeaconError::BadSignature { round, chain: *chain.hash() });
        }
        assert_eq!(verify(&chain, 0, &signature, None), Err(BeaconError::RoundZero));
        let other = LocalBeacon::from_seed(&[7; 32], 0, 3).unwrap();
        assert!(matches!(verify(other.info(), 123, &signature, None), Err(BeaconError::BadSignature { .. })));
        let theirs = other.sign(123).unwrap();
        assert!(matches!(verify(&chain, 123, &theirs, None), Err(BeaconError::BadSignature { .. })));
    }

    #[test]
    fn every_changed_bit_is_refused() {
        let (chain, signature) = genuine();
        for bit in 0..8 * signature.len() {
            let mut changed = signature.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let refusal = verify(&chain, 123, &changed, None).unwrap_err();
            let expected = matches!(refusal, BeaconError::BadPoint { .. } | BeaconError::BadSignature { .. });
            assert!(expected, "bit {bit}: {refusal}");
        }
    }

    #[test]
    fn the_point_at_infinity_is_no_signature() {
        for (chain, previous) in [(ChainInfo::quicknet(), None), (ChainInfo::default_chain(), Some(&[1; 96][..]))] {
            let point = infinity(chain.parts().scheme.signature_bytes());
            let problem = "the point at infinity";
            let expected = Err(BeaconError::BadPoint { field: "signature", problem });
            assert_eq!(verify(&chain, 5, &point, previous), expected);
        }
    }

    #[test]
    fn another_length_is_refused_as_such() {
        let (chain, signature) = genuine();
        let uncompressed = min_sig::Signature::uncompress(&signature).unwrap().serialize().to_vec();
        let longer = [&signature[..], &[0]].concat();
        for bytes in [vec![], signature[..47].to_vec(), longer, uncompressed] {
            let found = bytes.len();
            let expected = Err(BeaconError::WrongLength { field: "signature", expected: 48, found });
            assert_eq!(verify(&chain, 123, &bytes, None), expected);
        }
    }

    #[test]
    fn the_previous_signature_belongs_to_chained_schemes() {
        let (chain, signature) = genuine();
        let superfluous = verify(&chain, 123, &signature, Some(&[]));
        assert!(matches!(superfluous, Err(BeaconError::BadPrevious { .. })));
        let chained = ChainInfo::default_chain();
        let of = |round, previous| verify(&chained, round, &infinity(96), previous).unwrap_err();
        assert_eq!(of(2, None), BeaconError::BadPrevious { round: 2, problem: "missing" });
        let length = BeaconError::WrongLength { field: "previous signature", expected: 96, found: 32 };
        assert_eq!(of(2, Some(&[0; 32])), length);
        assert_eq!(of(1, Some(&[0; 32])), BeaconError::BadPrevious { round: 1, problem: "not the group hash" });
        assert!(matches!(of(1, Some(&chained.parts().group_hash)), BeaconError::BadPoint { .. }));
    }

    #[test]
    fn the_text_of_a_signature_has_one_spelling() {
        assert!(signature_from_text(SIGNATURE).is_ok());
        for text in
            [SIGNATURE.to_uppercase(), format!("0x{SIGNATURE}"), SIGNATURE[1..].to_owned(), format!(" {SIGNATURE}")]
        {
            assert!(matches!(signature_from_text(&text), Err(BeaconError::Malformed(_))), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..100), round: u64) {
            prop_assert!(verify(&ChainInfo::quicknet(), round, &bytes, None).is_err());
            prop_assert!(verify(&ChainInfo::default_chain(), round, &bytes, Some(&bytes)).is_err());
        }
    }
}

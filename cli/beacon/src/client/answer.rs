//! What relays answer, checked. Fields that are not known are left alone: relays of several makes are asked, and
//! nothing depends on what is not read.

use grail_protocol::Hash;
use grail_protocol::encoding::{bytes_from_text, hash_from_text};
use grail_protocol::json::{Members, Value};

use super::Beacon;
use super::error::Problem;
use crate::chain::Scheme;
use crate::{ChainError, ChainInfo, ChainParts, signature_from_text, verify};

/// A round of either version of the interface.
pub(super) fn round(chain: &ChainInfo, asked: u64, text: &str) -> Result<Beacon, Problem> {
    let document = Value::read("round", text)?;
    let mut members = Members::of("", &document)?;
    let found: u64 = members.integer("round")?;
    if found != asked {
        return Err(Problem::WrongRound { asked, found });
    }
    let signature = signature_from_text(members.text("signature")?)?;
    let previous = match optional_text(&mut members, "previous_signature")? {
        // Unchained schemes have none, and some relays say so.
        None | Some("") => None,
        Some(text) => Some(bytes_from_text("previous_signature", text)?),
    };
    let stated = optional_text(&mut members, "randomness")?;
    let stated = stated.map(|text| hash_from_text("randomness", text)).transpose()?;
    let randomness = verify(chain, asked, &signature, previous.as_deref())?;
    match stated {
        Some(stated) if stated != randomness => Err(Problem::WrongRandomness(stated)),
        _ => Ok(Beacon { round: asked, signature, randomness }),
    }
}

/// The description of a chain, in the words of either version.
pub(super) fn info(expected: &Hash, text: &str) -> Result<ChainInfo, Problem> {
    let document = Value::read("chain info", text)?;
    let mut members = Members::of("", &document)?;
    let scheme = either_text(&mut members, "scheme", "schemeID")?;
    let scheme = Scheme::from_name(scheme).ok_or_else(|| ChainError::UnknownScheme(scheme.to_owned()))?;
    let beacon_id = match optional_text(&mut members, "beacon_id")? {
        Some(id) => id.to_owned(),
        None => members.object("metadata")?.text("beaconID")?.to_owned(),
    };
    let parts = ChainParts {
        scheme,
        public_key: bytes_from_text("public_key", members.text("public_key")?)?,
        period: members.integer("period")?,
        genesis_time: members.integer("genesis_time")?,
        group_hash: hash_from_text("genesis_seed", either_text(&mut members, "genesis_seed", "groupHash")?)?,
        beacon_id,
    };
    let info = ChainInfo::new(parts)?;
    // What the answer states as its hash does not matter: this is what it describes.
    match info.hash() == expected {
        true => Ok(info),
        false => Err(Problem::OtherChain(*info.hash())),
    }
}

fn optional_text<'a>(members: &mut Members<'a>, key: &str) -> Result<Option<&'a str>, Problem> {
    match members.take(key) {
        Err(_) | Ok(Value::Null) => Ok(None),
        Ok(Value::Text(text)) => Ok(Some(text)),
        Ok(_) => Err(Problem::Malformed(format!("{}: not a text", members.path(key)))),
    }
}

fn either_text<'a>(members: &mut Members<'a>, key: &str, other: &str) -> Result<&'a str, Problem> {
    match optional_text(members, key)? {
        Some(text) => Ok(text),
        None => Ok(members.text(other)?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LocalBeacon;
    use grail_protocol::encoding::sha256;
    use grail_protocol::json::Style;
    use proptest::prelude::*;

    fn local() -> LocalBeacon {
        LocalBeacon::from_seed(&[1; 32], 1_700_000_000, 3).unwrap()
    }

    fn signed(round: u64) -> String {
        hex::encode(local().sign(round).unwrap())
    }

    #[test]
    fn a_round_is_read_with_or_without_its_randomness() {
        let signature = signed(7);
        let randomness = sha256(&local().sign(7).unwrap());
        for more in ["", r#","previous_signature":"""#, r#","previous_signature":null,"source":[1]"#] {
            for stated in [String::new(), format!(r#","randomness":"{}""#, hex::encode(randomness))] {
                let text = format!(r#"{{"round":7,"signature":"{signature}"{stated}{more}}}"#);
                let beacon = round(local().info(), 7, &text).unwrap();
                assert_eq!((beacon.round, beacon.randomness), (7, randomness), "{text}");
            }
        }
    }

    #[test]
    fn whatever_differs_from_the_round_asked_for_is_refused() {
        let (chain, signature) = (local(), signed(7));
        let of = |text: String| round(chain.info(), 7, &text).unwrap_err();
        let wrong_round = of(format!(r#"{{"round":8,"signature":"{}"}}"#, signed(8)));
        assert!(matches!(wrong_round, Problem::WrongRound { asked: 7, found: 8 }));
        assert!(matches!(of(format!(r#"{{"round":7,"signature":"{}"}}"#, signed(8))), Problem::Signature(_)));
        let randomness = of(format!(r#"{{"round":7,"signature":"{signature}","randomness":"{}"}}"#, "00".repeat(32)));
        assert!(matches!(randomness, Problem::WrongRandomness(stated) if stated == [0; 32]));
        let previous = of(format!(r#"{{"round":7,"signature":"{signature}","previous_signature":"00"}}"#));
        assert!(matches!(previous, Problem::Signature(_)));
        for text in [
            String::new(),
            "[]".to_owned(),
            format!(r#"{{"signature":"{signature}"}}"#),
            format!(r#"{{"round":"7","signature":"{signature}"}}"#),
            format!(r#"{{"round":7.0,"signature":"{signature}"}}"#),
            format!(r#"{{"round":7,"round":7,"signature":"{signature}"}}"#),
            format!(r#"{{"round":7,"signature":"{signature}","randomness":5}}"#),
            format!(r#"{{"round":7,"signature":"{signature}","randomness":"AA"}}"#),
            r#"{"round":7}"#.to_owned(),
        ] {
            assert!(matches!(of(text.clone()), Problem::Malformed(_)), "{text}");
        }
    }

    /// quicknet in the words of version 2.
    const VERSION_2: &str = r#"{"public_key":"83cf0f2896adee7eb8b5f01fcad3912212c437e0073e911fb90022d3e760183c8c4b450b6a0a6c3ac6a5776a2d1064510d1fec758c921cc22b0e17e63aaf4bcb5ed66304de9cf809bd274ca73bab4af5a6e9c76a4bc09e76eae8991ef5ece45a","period":3,"genesis_time":1692803367,"genesis_seed":"f477d5c89f21a17c863a7f937c6a6d15859414d2be09cd448d4279af331c5d3e","chain_hash":"52db9ba70e0cc0f6eaf7803dd07447a1f5477735fd3f661792ba94600c84e971","scheme":"bls-unchained-g1-rfc9380","beacon_id":"quicknet"}"#;

    #[test]
    fn a_description_is_taken_for_the_chain_it_hashes_to() {
        let quicknet = ChainInfo::quicknet();
        let version_1 = quicknet.to_value().to_text(Style::Canonical);
        for text in [VERSION_2, &version_1] {
            assert_eq!(info(quicknet.hash(), text).unwrap(), quicknet);
            let other = info(local().info().hash(), text).unwrap_err();
            assert!(matches!(other, Problem::OtherChain(hash) if hash == *quicknet.hash()));
            let moved = info(quicknet.hash(), &text.replace("1692803367", "1692803368")).unwrap_err();
            assert!(matches!(moved, Problem::OtherChain(_)), "the stated hash is no evidence");
        }
        let scheme = info(quicknet.hash(), &VERSION_2.replace("-rfc9380", "")).unwrap_err();
        assert!(matches!(scheme, Problem::Chain(ChainError::UnknownScheme(_))));
        assert!(matches!(info(quicknet.hash(), "{}").unwrap_err(), Problem::Malformed(_)));
    }

    proptest! {
        #[test]
        fn any_text_is_an_answer_or_a_problem(text: String, place: prop::sample::Index, byte: u8) {
            let quicknet = ChainInfo::quicknet();
            prop_assert!(round(&quicknet, 7, &text).is_err());
            prop_assert!(info(quicknet.hash(), &text).is_err());
            let mut bytes = VERSION_2.as_bytes().to_vec();
            let place = place.index(bytes.len());
            bytes[place] = byte;
            if let Ok(text) = String::from_utf8(bytes) {
                let _ = info(quicknet.hash(), &text);
                let _ = round(&quicknet, 7, &text);
            }
        }
    }
}

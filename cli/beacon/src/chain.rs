//! What identifies a drand chain, and its JSON of `/info` (version 1 of drand's HTTP interface).
//!
//! The chain hash is never taken from anybody: it is computed from the content, and a stated one is compared with it.

use grail_protocol::Hash;
use grail_protocol::encoding::{bytes_from_text, hash_from_text};
use grail_protocol::json::{Members, Value};
use grail_protocol::randomness::BeaconSchedule;
use sha2::{Digest, Sha256};

use super::verify::{self, BeaconError};

/// Beacon id that stands for none: chains older than beacon ids have it, and it is left out of the chain hash.
const DEFAULT_ID: &str = "default";

/// How rounds are signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// `bls-unchained-g1-rfc9380`: signatures on G1 over the round alone.
    UnchainedG1,
    /// `pedersen-bls-chained`: signatures on G2 over the previous signature and the round.
    Chained,
}

impl Scheme {
    /// drand's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::UnchainedG1 => "bls-unchained-g1-rfc9380",
            Self::Chained => "pedersen-bls-chained",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        [Self::UnchainedG1, Self::Chained].into_iter().find(|s| s.name() == name)
    }

    /// Bytes of a public key.
    #[must_use]
    pub fn key_bytes(self) -> usize {
        match self {
            Self::UnchainedG1 => 96,
            Self::Chained => 48,
        }
    }

    /// Bytes of a signature.
    #[must_use]
    pub fn signature_bytes(self) -> usize {
        144 - self.key_bytes()
    }
}

/// Why a chain is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// The JSON, or hexadecimal text in it, is not what it should be.
    #[error("chain info: {0}")]
    Malformed(#[from] grail_protocol::Error),
    /// A scheme that is not verified here.
    #[error("chain info: schemeID {0:?}, expected bls-unchained-g1-rfc9380 or pedersen-bls-chained")]
    UnknownScheme(String),
    /// A period of 0 or a genesis time beyond the milliseconds of 64 bits.
    #[error("chain info: {field}: {value} s is out of range")]
    OutOfRange {
        /// The field in drand's JSON.
        field: &'static str,
        /// Its value in seconds.
        value: u64,
    },
    /// The public key is none of its scheme.
    #[error("chain info: {0}")]
    Key(#[from] BeaconError),
    /// The stated hash is not that of the content.
    #[error("chain info: hash: stated {stated}, but the content has {computed}", stated = hex::encode(stated), computed = hex::encode(computed))]
    HashMismatch {
        /// What the JSON says.
        stated: Hash,
        /// What the other fields give.
        computed: Hash,
    },
}

/// The content of a chain, not yet checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainParts {
    /// How rounds are signed.
    pub scheme: Scheme,
    /// Compressed point, [`Scheme::key_bytes`] long.
    pub public_key: Vec<u8>,
    /// Seconds between rounds, at least 1.
    pub period: u32,
    /// Unix seconds of round 1.
    pub genesis_time: u64,
    /// Hash of the group file, the genesis seed; a chained scheme's round 1 signs it as previous signature.
    pub group_hash: Hash,
    /// Name of the beacon; empty and `default` are the same.
    pub beacon_id: String,
}

/// A chain whose key is a good one and whose times can be counted, with its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainInfo {
    parts: ChainParts,
    schedule: BeaconSchedule,
    hash: Hash,
}

impl ChainInfo {
    /// Checks a chain and hashes it.
    ///
    /// # Errors
    /// [`ChainError::OutOfRange`] for times, [`ChainError::Key`] for the public key.
    pub fn new(parts: ChainParts) -> Result<Self, ChainError> {
        let milliseconds = |field, seconds: u64| {
            let fits = seconds.checked_mul(1000).filter(|&ms| i64::try_from(ms).is_ok());
            fits.ok_or(ChainError::OutOfRange { field, value: seconds })
        };
        let genesis_ms = milliseconds("genesis_time", parts.genesis_time)?;
        let period_ms = milliseconds("period", parts.period.into())?;
        let schedule = BeaconSchedule::new(genesis_ms, period_ms)
            .map_err(|_| ChainError::OutOfRange { field: "period", value: parts.period.into() })?;
        verify::check_key(parts.scheme, &parts.public_key)?;
        let hash = chain_hash(&parts);
        Ok(Self { parts, schedule, hash })
    }

    /// Reads the JSON of `/info`. Every field is needed and no other is known.
    ///
    /// # Errors
    /// [`ChainError`]; hexadecimal text is strict: lower case, no prefix.
    pub fn from_json(text: &str) -> Result<Self, ChainError> {
        Self::from_value(&Value::read("chain info", text)?)
    }

    /// Reads the object of `/info`.
    ///
    /// # Errors
    /// As [`ChainInfo::from_json`].
    pub fn from_value(value: &Value) -> Result<Self, ChainError> {
        let mut members = Members::of("", value)?;
        let scheme = members.text("schemeID")?;
        let scheme = Scheme::from_name(scheme).ok_or_else(|| ChainError::UnknownScheme(scheme.to_owned()))?;
        let mut metadata = members.object("metadata")?;
        let parts = ChainParts {
            scheme,
            public_key: bytes_from_text("public_key", members.text("public_key")?)?,
            period: members.integer("period")?,
            genesis_time: members.integer("genesis_time")?,
            group_hash: hash_from_text("groupHash", members.text("groupHash")?)?,
            beacon_id: metadata.text("beaconID")?.to_owned(),
        };
        metadata.end()?;
        let stated = hash_from_text("hash", members.text("hash")?)?;
        members.end()?;
        let info = Self::new(parts)?;
        if info.hash != stated {
            return Err(ChainError::HashMismatch { stated, computed: info.hash });
        }
        Ok(info)
    }

    /// The object of `/info`, in drand's order.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let ChainParts { scheme, public_key, period, genesis_time, group_hash, beacon_id } = &self.parts;
        let text = |bytes: &[u8]| Value::Text(hex::encode(bytes));
        let members = [
            ("public_key", text(public_key)),
            ("period", Value::Integer((*period).into())),
            ("genesis_time", Value::Integer((*genesis_time).into())),
            ("hash", text(&self.hash)),
            ("groupHash", text(group_hash)),
            ("schemeID", scheme.name().into()),
            ("metadata", Value::Object(vec![("beaconID".to_owned(), beacon_id.as_str().into())])),
        ];
        Value::Object(members.map(|(key, value)| (key.to_owned(), value)).into())
    }

    /// The content.
    #[must_use]
    pub fn parts(&self) -> &ChainParts {
        &self.parts
    }

    /// The chain hash.
    #[must_use]
    pub fn hash(&self) -> &Hash {
        &self.hash
    }

    /// When the rounds come out.
    #[must_use]
    pub fn schedule(&self) -> BeaconSchedule {
        self.schedule
    }

    /// drand's main chain with a period of 3 seconds.
    #[must_use]
    pub fn quicknet() -> Self {
        built_in(include_str!("quicknet.json"))
    }

    /// drand's oldest chain, with a period of 30 seconds.
    #[must_use]
    pub fn default_chain() -> Self {
        built_in(include_str!("default.json"))
    }
}

fn built_in(text: &str) -> ChainInfo {
    ChainInfo::from_json(text).expect("the built-in chains are tested")
}

fn chain_hash(parts: &ChainParts) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update(parts.period.to_be_bytes());
    hasher.update(parts.genesis_time.to_be_bytes());
    hasher.update(&parts.public_key);
    hasher.update(parts.group_hash);
    if parts.beacon_id != DEFAULT_ID {
        hasher.update(&parts.beacon_id);
    }
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_built_in_chains_have_their_known_hashes() {
        let quicknet = "52db9ba70e0cc0f6eaf7803dd07447a1f5477735fd3f661792ba94600c84e971";
        let default = "8990e7a9aaed2ffed73dbd7092123d6f289930540d7651336225dc172e51b2ce";
        assert_eq!(hex::encode(ChainInfo::quicknet().hash()), quicknet);
        assert_eq!(hex::encode(ChainInfo::default_chain().hash()), default);
    }

    #[test]
    fn the_built_in_chains_come_from_the_vectors() {
        let file: serde_json::Value =
            serde_json::from_str(include_str!("../../../tests/vectors/network/drand.json")).unwrap();
        for (name, chain) in [("quicknet", ChainInfo::quicknet()), ("default", ChainInfo::default_chain())] {
            let expected = &file["chains"][name];
            let ChainParts { scheme, public_key, period, genesis_time, group_hash, .. } = chain.parts();
            assert_eq!(expected["hash"], hex::encode(chain.hash()));
            assert_eq!(expected["public_key"], hex::encode(public_key));
            assert_eq!(expected["group_hash"], hex::encode(group_hash));
            assert_eq!(expected["scheme"], scheme.name());
            assert_eq!((&expected["period"], &expected["genesis_time"]), (&(*period).into(), &(*genesis_time).into()));
        }
    }

    #[test]
    fn a_chain_reads_back_and_is_written_as_it_was_read() {
        for text in [include_str!("quicknet.json"), include_str!("default.json")] {
            let value = Value::read("test", text).unwrap();
            assert_eq!(ChainInfo::from_value(&value).unwrap().to_value(), value);
        }
    }

    /// quicknet's JSON with one piece of text replaced.
    fn altered(from: &str, to: &str) -> Result<ChainInfo, ChainError> {
        let text = include_str!("quicknet.json");
        assert!(text.contains(from), "{from}");
        ChainInfo::from_json(&text.replace(from, to))
    }

    #[test]
    fn every_field_moves_the_hash() {
        assert_eq!(altered("period", "period"), Ok(ChainInfo::quicknet()));
        for (from, to) in [
            ("\"period\": 3", "\"period\": 4"),
            ("1692803367", "1692803368"),
            ("\"f477d5", "\"e477d5"),
            ("\"52db", "\"42db"),
            ("\"quicknet\"", "\"quicknet2\""),
        ] {
            let refusal = altered(from, to).unwrap_err();
            assert!(matches!(refusal, ChainError::HashMismatch { .. }), "{from}: {refusal}");
            assert!(refusal.to_string().contains("hash"), "{refusal}");
        }
        let default = ChainInfo::default_chain();
        let renamed = |id: &str| ChainInfo::new(ChainParts { beacon_id: id.to_owned(), ..default.parts().clone() });
        assert_eq!(renamed("").unwrap().hash(), default.hash());
        assert_ne!(renamed("other").unwrap().hash(), default.hash());
    }

    #[test]
    fn what_is_no_chain_is_refused() {
        let malformed = [
            ("\"period\": 3", "\"period\": \"3\""),
            ("\"period\": 3", "\"period\": 3.0"),
            ("\"period\": 3", "\"period\": 4294967296"),
            ("\"period\": 3", "\"period\": 3, \"period\": 3"),
            ("\"period\": 3", "\"periods\": 3"),
            ("\"metadata\": {", "\"metadata\": {\"x\": 1, "),
            ("\"52db", "\"52DB"),
            ("\"52db", "\"0x52db"),
            ("\"f477", "\"F477"),
            ("\"83cf", "\"83CF"),
            ("\"83cf", "\"0x83cf"),
        ];
        for (from, to) in malformed {
            let refusal = altered(from, to).unwrap_err();
            assert!(matches!(refusal, ChainError::Malformed(_)), "{to}: {refusal}");
        }
        assert!(matches!(
            altered("bls-unchained-g1-rfc9380", "bls-unchained-on-g1"),
            Err(ChainError::UnknownScheme(_))
        ));
        assert!(matches!(
            altered("\"period\": 3", "\"period\": 0"),
            Err(ChainError::OutOfRange { field: "period", .. })
        ));
        let far = altered("1692803367", "18446744073709551615");
        assert!(matches!(far, Err(ChainError::OutOfRange { field: "genesis_time", .. })));
    }

    #[test]
    fn a_key_that_is_no_point_of_its_group_is_refused() {
        let base = ChainInfo::quicknet().parts().clone();
        let of_key = |public_key: Vec<u8>| ChainInfo::new(ChainParts { public_key, ..base.clone() });
        let mut infinity = vec![0; 96];
        infinity[0] = 0xc0;
        let mut bit = base.public_key.clone();
        bit[50] ^= 1;
        for key in [infinity, bit, vec![0; 96], vec![0xff; 96]] {
            assert!(matches!(of_key(key), Err(ChainError::Key(BeaconError::BadPoint { .. }))));
        }
        let lengths = [vec![], base.public_key[..95].to_vec(), ChainInfo::default_chain().parts().public_key.clone()];
        for key in lengths {
            assert!(matches!(of_key(key), Err(ChainError::Key(BeaconError::WrongLength { expected: 96, .. }))));
        }
        assert!(of_key(base.public_key.clone()).is_ok());
    }

    proptest! {
        #[test]
        fn any_text_is_a_chain_or_an_error(text: String, place in 0_usize..500, byte: u8) {
            let _ = ChainInfo::from_json(&text);
            let mut bytes = include_bytes!("quicknet.json").to_vec();
            let place = place % bytes.len();
            bytes[place] = byte;
            if let Ok(text) = String::from_utf8(bytes) {
                let _ = ChainInfo::from_json(&text);
            }
        }
    }
}

//! The network file: what all parties of a network agree on, with the beacon's chain (DESIGN 4.1).
//!
//! Strict, because a file that was read differently would give another network id and every rollout would be void:
//! a spelling other than the canonical one is an error, not a guess.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use grail_engine::types::Sampling;
use grail_protocol::Hash;
use grail_protocol::encoding::sha256;
use grail_protocol::json::{Members, Style, Value};
use grail_protocol::params::{DEFAULT_WINDOW_LENGTH, ENVIRONMENT, Network, Parameters};

use crate::beacon::{ChainError, ChainInfo, LocalBeacon};

/// Longest file that is read.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Milliseconds of one block of the real chain.
const BLOCK_MS: u64 = 12_000;
/// Groups of a window file where a network does not say otherwise.
const DEFAULT_MAX_GROUPS: u32 = 512;

/// 2023-08-23 00:00:00 UTC.
const OFFLINE_GENESIS_TIME: u64 = 1_692_748_800;
const OFFLINE_PERIOD: u32 = 3;

/// Why a network file is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// The file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is longer than any network file.
    #[error("network file: more than {MAX_FILE_BYTES} bytes")]
    TooLong,
    /// A field is missing, unknown, of another type or out of range.
    #[error("network file: {0}")]
    Field(#[from] grail_protocol::Error),
    /// The beacon's chain is refused.
    #[error("network file: beacon: {0}")]
    Beacon(#[from] ChainError),
    /// The parameters name another chain than the one described.
    #[error("network file: beacon_chain_hash: {named}, but the beacon's is {described}", named = hex::encode(named), described = hex::encode(described))]
    OtherBeacon {
        /// In the parameters.
        named: Hash,
        /// Computed from the beacon.
        described: Hash,
    },
}

/// A network and its beacon's chain, which agree with each other.
#[derive(Debug, Clone, PartialEq)]
pub struct NetworkFile {
    network: Network,
    beacon: ChainInfo,
}

impl NetworkFile {
    /// Checks that both belong together.
    ///
    /// # Errors
    /// [`NetworkError::Field`] for parameters out of range, [`NetworkError::OtherBeacon`].
    pub fn new(parameters: Parameters, beacon: ChainInfo) -> Result<Self, NetworkError> {
        let (named, described) = (parameters.beacon_chain_hash, *beacon.hash());
        if named != described {
            return Err(NetworkError::OtherBeacon { named, described });
        }
        Ok(Self { network: Network::new(parameters)?, beacon })
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`NetworkError`] names the first field that is not what it should be.
    pub fn read(path: &Path) -> Result<Self, NetworkError> {
        let failed = |source| NetworkError::File { path: path.to_owned(), source };
        let mut bytes = Vec::new();
        File::open(path).and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)).map_err(failed)?;
        // Before the text is looked at: a cut file may end inside a letter.
        if bytes.len() as u64 > MAX_FILE_BYTES {
            return Err(NetworkError::TooLong);
        }
        let text = String::from_utf8(bytes).map_err(|e| failed(std::io::Error::other(e)))?;
        Self::from_text(&text)
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    /// As [`NetworkFile::read`].
    pub fn from_text(text: &str) -> Result<Self, NetworkError> {
        if text.len() as u64 > MAX_FILE_BYTES {
            return Err(NetworkError::TooLong);
        }
        let document = Value::read("document", text)?;
        let mut members = Members::of("", &document)?;
        let parameters = Parameters::from_value(members.take("parameters")?)?;
        let beacon = ChainInfo::from_value(members.take("beacon")?)?;
        members.end()?;
        Self::new(parameters, beacon)
    }

    /// The text of the file, one member a line.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut out = "{\n".to_owned();
        let parts = [("parameters", self.network.parameters().to_value()), ("beacon", self.beacon.to_value())];
        for (i, (name, value)) in parts.iter().enumerate() {
            let Value::Object(members) = value else { unreachable!("both are objects") };
            let line = |(key, value): &(String, Value)| {
                format!("    {}: {}", Value::from(key.as_str()).to_text(Style::Python), value.to_text(Style::Python))
            };
            let lines: Vec<String> = members.iter().map(line).collect();
            let comma = if i == 0 { "," } else { "" };
            out.push_str(&format!("  \"{name}\": {{\n{}\n  }}{comma}\n", lines.join(",\n")));
        }
        out.push_str("}\n");
        out
    }

    /// Writes the file, over an older one if there is one.
    ///
    /// # Errors
    /// [`NetworkError::File`].
    pub fn write(&self, path: &Path) -> Result<(), NetworkError> {
        std::fs::write(path, self.to_text()).map_err(|source| NetworkError::File { path: path.to_owned(), source })
    }

    /// What the parties agree on, with its id.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The beacon's chain.
    #[must_use]
    pub fn beacon(&self) -> &ChainInfo {
        &self.beacon
    }
}

/// A network for work without a chain: its blocks are made up, and its beacon is [`offline_beacon`].
///
/// # Errors
/// [`NetworkError::Field`] for an argument out of range.
pub fn offline(
    model_name: &str,
    weights_digest: Hash,
    eos_ids: Vec<u32>,
    max_new_tokens: u32,
    rollouts_per_problem: u32,
) -> Result<NetworkFile, NetworkError> {
    let beacon = offline_beacon().info().clone();
    let Sampling { temperature, top_k, top_p, repetition_penalty } = Sampling::default();
    let parameters = Parameters {
        genesis_hash: sha256(b"grail offline genesis"),
        netuid: 0,
        window_length: DEFAULT_WINDOW_LENGTH,
        beacon_chain_hash: *beacon.hash(),
        beacon_delay_ms: BLOCK_MS,
        model_name: model_name.to_owned(),
        weights_digest,
        environment: ENVIRONMENT.into(),
        rollouts_per_problem,
        max_new_tokens,
        eos_ids,
        temperature,
        top_k,
        top_p,
        repetition_penalty,
        max_groups: DEFAULT_MAX_GROUPS,
    };
    NetworkFile::new(parameters, beacon)
}

/// The beacon of [`offline`] networks. Its seed is public: it proves nothing about when a round was known.
#[must_use]
pub fn offline_beacon() -> LocalBeacon {
    let seed = sha256(b"grail offline beacon");
    LocalBeacon::from_seed(&seed, OFFLINE_GENESIS_TIME, OFFLINE_PERIOD).expect("a period of 3 s in 2023")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::beacon::verify;
    use proptest::prelude::*;

    fn file() -> NetworkFile {
        offline("sat-tiny", [3; 32], vec![2, 7], 1024, 4).unwrap()
    }

    /// The base's text with one piece replaced.
    fn refusal(from: &str, to: &str) -> String {
        let text = file().to_text();
        assert!(text.contains(from), "{from}");
        let error = NetworkFile::from_text(&text.replacen(from, to, 1)).expect_err(to);
        error.to_string()
    }

    #[test]
    fn a_file_reads_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("network.json");
        file().write(&path).unwrap();
        let read = NetworkFile::read(&path).unwrap();
        assert_eq!(read, file());
        assert_eq!(read.network().id(), file().network().id());
        assert!(NetworkFile::read(&folder.path().join("none")).unwrap_err().to_string().contains("none"));
    }

    #[test]
    fn order_and_space_do_not_matter() {
        let parts = [file().beacon().to_value(), file().network().parameters().to_value()];
        let text = parts.map(|part| part.to_text(Style::Canonical));
        let text = format!("{{\"beacon\":{},\"parameters\":{}}}", text[0], text[1]);
        assert_eq!(NetworkFile::from_text(&text).unwrap(), file());
    }

    #[test]
    fn every_refusal_names_its_field() {
        for (from, to, named) in [
            ("\"netuid\": 0", "\"netuid\": 0, \"net\": 1", "parameters.net: unknown"),
            ("\"netuid\": 0", "\"netuid\": 0, \"netuid\": 0", "\"netuid\" is repeated"),
            ("\"netuid\"", "\"netUid\"", "netuid: missing"),
            ("\"netuid\": 0", "\"netuid\": \"0\"", "parameters.netuid: a text where an integer"),
            ("\"netuid\": 0", "\"netuid\": 65536", "parameters.netuid: 65536"),
            ("\"grail-exact-1\"", "\"grail-exact-2\"", "numerics"),
            ("\"sat\"", "\"\"", "environment"),
            ("\"0.7\"", "\"0.70\"", "temperature"),
            ("\"0.7\"", "0.7", "parameters.temperature"),
            ("[2, 7]", "[7, 2]", "eos_ids"),
            ("\"window_length\": 50", "\"window_length\": 0", "window_length"),
            ("\"period\": 3", "\"period\": 4", "hash: stated"),
            ("\"genesis_time\"", "\"genesis\"", "genesis_time: missing"),
            ("\"metadata\": {", "\"metadata\": {\"x\": 1, ", "metadata.x: unknown"),
            ("  \"beacon\"", "  \"note\": 1, \"beacon\"", "note: unknown"),
            ("  \"beacon\"", "  \"Beacon\"", "beacon: missing"),
            ("\"beacon_chain_hash\": \"", "\"beacon_chain_hash\": \"0x", "beacon_chain_hash"),
        ] {
            let message = refusal(from, to);
            assert!(message.contains(named), "{to}: {message}");
        }
        assert!(NetworkFile::from_text(&(file().to_text() + "x")).is_err());
    }

    #[test]
    fn another_beacon_than_the_named_one_is_refused() {
        let parameters = file().network().parameters().clone();
        let refusal = NetworkFile::new(parameters, ChainInfo::quicknet()).unwrap_err();
        assert!(matches!(refusal, NetworkError::OtherBeacon { .. }));
        assert!(refusal.to_string().contains("beacon_chain_hash"), "{refusal}");
    }

    #[test]
    fn a_file_that_is_too_long_or_no_text_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("network.json");
        std::fs::write(&path, "é".repeat(MAX_FILE_BYTES as usize / 2 + 1)).unwrap();
        assert!(matches!(NetworkFile::read(&path), Err(NetworkError::TooLong)));
        std::fs::write(&path, b"\xff").unwrap();
        assert!(matches!(NetworkFile::read(&path), Err(NetworkError::File { .. })));
    }

    #[test]
    fn the_offline_beacon_signs_for_the_offline_network() {
        let beacon = offline_beacon();
        let round = file().beacon().schedule().round_of_block(1_700_000_000_000, BLOCK_MS).unwrap();
        let signature = beacon.sign(round).unwrap();
        assert!(verify(file().beacon(), round, &signature, None).is_ok());
        assert!(verify(&ChainInfo::quicknet(), round, &signature, None).is_err());
    }

    #[test]
    fn offline_arguments_out_of_range_are_refused() {
        assert!(offline("", [3; 32], vec![2], 1024, 4).is_err());
        assert!(offline("m", [3; 32], vec![], 1024, 4).is_err());
        assert!(offline("m", [3; 32], vec![2], 0, 4).is_err());
        assert!(offline("m", [3; 32], vec![2], 1024, 0).is_err());
    }

    proptest! {
        #[test]
        fn any_name_is_written_and_read_back(name in ".+", tokens in 1_u32.., rollouts in 1_u32..) {
            let file = offline(&name, [9; 32], vec![tokens / 2], tokens, rollouts).unwrap();
            prop_assert_eq!(NetworkFile::from_text(&file.to_text()).unwrap(), file);
        }

        #[test]
        fn any_text_is_a_file_or_an_error(text: String, place: prop::sample::Index, byte: u8) {
            let _ = NetworkFile::from_text(&text);
            let mut bytes = file().to_text().into_bytes();
            let place = place.index(bytes.len());
            bytes[place] = byte;
            if let Ok(text) = String::from_utf8(bytes) {
                let _ = NetworkFile::from_text(&text);
            }
        }
    }
}

//! A beacon of our own, of quicknet's scheme: for work without a network and for the local network.
//!
//! Its secret follows from a seed that its users publish, so it binds nobody: whoever knows the seed knows every
//! round in advance. It exists so that the real verifier runs everywhere.

use blst::min_sig::SecretKey;
use grail_protocol::Hash;
use sha2::{Digest, Sha256};

use super::chain::{ChainError, ChainInfo, ChainParts, Scheme};
use super::verify::{BeaconError, DST_G1, unchained_message};

const BEACON_ID: &str = "grail-local";

/// A chain with its secret key.
pub struct LocalBeacon {
    key: SecretKey,
    info: ChainInfo,
}

impl LocalBeacon {
    /// The chain of a seed; `genesis_time` is in Unix seconds, `period` in seconds.
    ///
    /// # Errors
    /// [`ChainError::OutOfRange`] for a period of 0 or a genesis time too far away.
    pub fn from_seed(seed: &Hash, genesis_time: u64, period: u32) -> Result<Self, ChainError> {
        let key = SecretKey::key_gen(seed, b"grail-local-beacon-v1").expect("32 bytes are enough to derive a key");
        let public_key = key.sk_to_pk().compress().to_vec();
        let group_hash =
            Sha256::new().chain_update(b"grail-local-group-v1").chain_update(&public_key).finalize().into();
        let info = ChainInfo::new(ChainParts {
            scheme: Scheme::UnchainedG1,
            public_key,
            period,
            genesis_time,
            group_hash,
            beacon_id: BEACON_ID.to_owned(),
        })?;
        Ok(Self { key, info })
    }

    /// What a verifier needs to know.
    #[must_use]
    pub fn info(&self) -> &ChainInfo {
        &self.info
    }

    /// The signature of a round, whether its time has come or not.
    ///
    /// # Errors
    /// [`BeaconError::RoundZero`].
    pub fn sign(&self, round: u64) -> Result<Vec<u8>, BeaconError> {
        if round == 0 {
            return Err(BeaconError::RoundZero);
        }
        Ok(self.key.sign(&unchained_message(round), DST_G1, &[]).compress().to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify;
    use grail_protocol::encoding::sha256;

    #[test]
    fn what_is_signed_verifies_and_only_for_its_round_and_seed() {
        let beacon = LocalBeacon::from_seed(&[1; 32], 1_700_000_000, 3).unwrap();
        let other = LocalBeacon::from_seed(&[2; 32], 1_700_000_000, 3).unwrap();
        for round in [1, 2, 1_000_000, u64::MAX] {
            let signature = beacon.sign(round).unwrap();
            assert_eq!(verify(beacon.info(), round, &signature, None), Ok(sha256(&signature)));
            assert!(verify(beacon.info(), round - 1, &signature, None).is_err());
            assert!(verify(other.info(), round, &signature, None).is_err());
        }
        assert_eq!(beacon.sign(0), Err(BeaconError::RoundZero));
    }

    #[test]
    fn a_seed_gives_one_chain_and_its_json_reads_back() {
        let chain = |seed: u8, genesis, period| LocalBeacon::from_seed(&[seed; 32], genesis, period).unwrap().info;
        assert_eq!(chain(1, 5, 3), chain(1, 5, 3));
        let hashes = [chain(1, 5, 3), chain(2, 5, 3), chain(1, 6, 3), chain(1, 5, 4)].map(|c| *c.hash());
        assert!((1..4).all(|i| !hashes[..i].contains(&hashes[i])));
        assert_eq!(ChainInfo::from_value(&chain(1, 5, 3).to_value()), Ok(chain(1, 5, 3)));
        assert!(LocalBeacon::from_seed(&[1; 32], 5, 0).is_err());
    }
}

//! The runtime's version: what clients compare, and what every signature covers; and what an upgrade changes.
//!
//! As on a real chain the state holds the runtime: after the block that brings another one, the state says so, and the
//! next block is the first that it makes. That block itself was made, and its events encoded, by the one before.

use grail_protocol::AccountId;
use parity_scale_codec::{Compact, Encode};
use serde_json::{Value, json};

use super::metadata::API_VERSIONS;

/// Name of the runtime, Subtensor's own: clients choose their behaviour by it.
pub const SPEC_NAME: &str = "node-subtensor";

/// Name of this implementation of it.
pub const IMPL_NAME: &str = "grail-localnet";

/// The version of Subtensor's runtime whose metadata the tables follow: that of [`Runtime::FIRST`].
pub const SPEC_VERSION: u32 = 365;

/// Version of the format of calls and extrinsics of [`Runtime::FIRST`].
pub const TRANSACTION_VERSION: u32 = 1;

/// Format of addresses.
pub const SS58_PREFIX: u16 = 42;

/// How many blocks back `System.BlockHash` reaches, and so the oldest birth block of a mortal extrinsic.
pub const BLOCK_HASH_COUNT: u32 = 2400;

const AUTHORING_VERSION: u32 = 1;
const IMPL_VERSION: u32 = 1;
const SYSTEM_VERSION: u8 = 1;

/// The account without a key, which may not sign.
pub(crate) const ZERO_ACCOUNT: AccountId = [0; 32];

fn apis() -> Vec<([u8; 8], u32)> {
    API_VERSIONS.iter().map(|(name, version)| (sp_crypto_hashing::blake2_64(name.as_bytes()), *version)).collect()
}

/// Key of the runtime in the state, by Substrate's convention.
pub(crate) const CODE: &[u8] = b":code";

/// The index from which on upgrades move pallets; those below are at the same place in all Substrate runtimes of note.
const FIRST_MOVED: u8 = 7;

/// Upgrades after which there are no other: the places of pallets are a byte.
const MOST_UPGRADES: u8 = 100;

/// A runtime of this chain. Each upgrade counts both versions up, which every signature covers, and moves the pallets of
/// the subnet by one place, in calls, events and errors: a client that goes on with what it knew is refused.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Runtime {
    upgrades: u8,
}

impl Runtime {
    /// That of the first block, whose places are Subtensor's.
    pub const FIRST: Self = Self { upgrades: 0 };

    /// That of what the state has under its key for it.
    pub(crate) fn of(code: Option<&[u8]>) -> Self {
        Self { upgrades: code.and_then(<[u8]>::first).copied().unwrap_or(0).min(MOST_UPGRADES) }
    }

    /// What the state has for it.
    pub(crate) fn code(self) -> Vec<u8> {
        vec![self.upgrades]
    }

    /// The one that an upgrade brings.
    #[must_use]
    pub fn next(self) -> Self {
        Self { upgrades: (self.upgrades + 1).min(MOST_UPGRADES) }
    }

    /// Version of its rules.
    #[must_use]
    pub fn spec_version(self) -> u32 {
        SPEC_VERSION + u32::from(self.upgrades)
    }

    /// Version of its calls.
    #[must_use]
    pub fn transaction_version(self) -> u32 {
        TRANSACTION_VERSION + u32::from(self.upgrades)
    }

    /// Where a pallet is that was at this place in the first one.
    #[must_use]
    pub fn pallet(self, first: u8) -> u8 {
        if first < FIRST_MOVED { first } else { first.saturating_add(self.upgrades) }
    }

    /// The place in the first one of the pallet that is at this place now; none, where there is no pallet any more.
    #[must_use]
    pub fn first_place(self, now: u8) -> Option<u8> {
        if now < FIRST_MOVED { Some(now) } else { now.checked_sub(self.upgrades).filter(|&first| first >= FIRST_MOVED) }
    }
}

/// `RuntimeVersion` in SCALE, as `Core_version` gives it.
#[must_use]
pub fn runtime_version_scale(runtime: Runtime) -> Vec<u8> {
    let (spec, transaction) = (runtime.spec_version(), runtime.transaction_version());
    let versions = (AUTHORING_VERSION, spec, IMPL_VERSION, apis(), transaction, SYSTEM_VERSION);
    ((SPEC_NAME, IMPL_NAME), versions).encode()
}

/// `RuntimeVersion` in JSON, as `state_getRuntimeVersion` gives it.
#[must_use]
pub fn runtime_version_json(runtime: Runtime) -> Value {
    let apis = apis().iter().map(|(id, version)| json!([super::rpc::hex_text(id), version])).collect::<Vec<_>>();
    json!({
        "specName": SPEC_NAME,
        "implName": IMPL_NAME,
        "authoringVersion": AUTHORING_VERSION,
        "specVersion": runtime.spec_version(),
        "implVersion": IMPL_VERSION,
        "apis": apis,
        "transactionVersion": runtime.transaction_version(),
        "systemVersion": SYSTEM_VERSION,
        "stateVersion": SYSTEM_VERSION,
    })
}

/// The value of `System.LastRuntimeUpgrade`.
pub(crate) fn last_runtime_upgrade(runtime: Runtime) -> (Compact<u32>, String) {
    (Compact(runtime.spec_version()), SPEC_NAME.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pallet_is_found_where_an_upgrade_moved_it_and_nowhere_else() {
        let mut runtime = Runtime::FIRST;
        for upgrades in 0..3_u8 {
            for first in [0, 2, 7, 18] {
                assert_eq!(runtime.first_place(runtime.pallet(first)), Some(first));
            }
            assert_eq!(runtime.pallet(18), 18 + upgrades);
            assert_eq!(runtime.first_place(7), (upgrades == 0).then_some(7));
            assert_eq!(Runtime::of(Some(&runtime.code())), runtime);
            runtime = runtime.next();
        }
        assert_eq!(Runtime::of(None), Runtime::FIRST);
    }
}

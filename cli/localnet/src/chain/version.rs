//! The runtime's version: what clients compare, and what every signature covers.

use grail_protocol::AccountId;
use parity_scale_codec::{Compact, Encode};
use serde_json::{Value, json};

use super::metadata::API_VERSIONS;

/// Name of the runtime, Subtensor's own: clients choose their behaviour by it.
pub const SPEC_NAME: &str = "node-subtensor";

/// Name of this implementation of it.
pub const IMPL_NAME: &str = "grail-localnet";

/// The version of Subtensor's runtime whose metadata the tables follow.
pub const SPEC_VERSION: u32 = 365;

/// Version of the format of calls and extrinsics.
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

/// `RuntimeVersion` in SCALE, as `Core_version` gives it.
#[must_use]
pub fn runtime_version_scale() -> Vec<u8> {
    let names = (SPEC_NAME, IMPL_NAME);
    let versions = (AUTHORING_VERSION, SPEC_VERSION, IMPL_VERSION, apis(), TRANSACTION_VERSION, SYSTEM_VERSION);
    (names, versions).encode()
}

/// `RuntimeVersion` in JSON, as `state_getRuntimeVersion` gives it.
#[must_use]
pub fn runtime_version_json() -> Value {
    let apis = apis().iter().map(|(id, version)| json!([super::rpc::hex_text(id), version])).collect::<Vec<_>>();
    json!({
        "specName": SPEC_NAME,
        "implName": IMPL_NAME,
        "authoringVersion": AUTHORING_VERSION,
        "specVersion": SPEC_VERSION,
        "implVersion": IMPL_VERSION,
        "apis": apis,
        "transactionVersion": TRANSACTION_VERSION,
        "systemVersion": SYSTEM_VERSION,
        "stateVersion": SYSTEM_VERSION,
    })
}

/// The value of `System.LastRuntimeUpgrade`.
pub(crate) fn last_runtime_upgrade() -> (Compact<u32>, String) {
    (Compact(SPEC_VERSION), SPEC_NAME.to_owned())
}

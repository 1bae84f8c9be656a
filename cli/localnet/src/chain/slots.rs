//! Where each value lives: pallet, entry, hashers and default of every entry that is read or written here.
//!
//! Entries that the metadata offers are compared with the real chain's keys by the tests. The last ones are
//! the pallet's own bookkeeping, with Subtensor's names, and are not offered.

use grail_protocol::{AccountId, Hash};
use parity_scale_codec::{Compact, Decode, Encode};

use super::commitment::{Bounded, Registration, UsageTracker};
use super::state::Slot;

const SYSTEM: &str = "System";
const SUBTENSOR: &str = "SubtensorModule";
const COMMITMENTS: &str = "Commitments";

/// Balance and nonce of an account.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, PartialEq)]
pub struct AccountInfo {
    /// Extrinsics signed so far.
    pub nonce: u32,
    /// Reference counts, as the real chain keeps them.
    pub consumers: u32,
    /// One for an account with a balance.
    pub providers: u32,
    /// Always zero here.
    pub sufficients: u32,
    /// Balance that may be spent, in rao.
    pub free: u64,
    /// Always zero here.
    pub reserved: u64,
    /// Always zero here.
    pub frozen: u64,
    /// Marks the new logic of balances.
    pub flags: u128,
}

impl Default for AccountInfo {
    fn default() -> Self {
        let new_logic = 1 << 127;
        Self { nonce: 0, consumers: 0, providers: 0, sufficients: 0, free: 0, reserved: 0, frozen: 0, flags: new_logic }
    }
}

/// Where a neuron's server listens.
#[derive(Clone, Copy, Debug, Decode, Default, Encode, Eq, PartialEq)]
pub struct AxonInfo {
    /// Block of the call that published it.
    pub block: u64,
    /// Version of the server.
    pub version: u32,
    /// Address as a number.
    pub ip: u128,
    /// Port.
    pub port: u16,
    /// 4 or 6.
    pub ip_type: u8,
    /// Number of the protocol.
    pub protocol: u8,
    /// Unused.
    pub placeholder1: u8,
    /// Unused.
    pub placeholder2: u8,
}

/// Bytes of one commitment to weights.
pub const MAX_COMMIT_BYTES: usize = 5000;

/// Hotkey, block, commitment, and the beacon's round that opens it.
pub(crate) type TimelockedCommit = (AccountId, u64, Bounded<MAX_COMMIT_BYTES>, u64);

macro_rules! slots {
    ($($(#[$meta:meta])* $name:ident($($argument:ident: $ty:ty),*) -> $value:ty = $pallet:ident $entry:literal
        $(. $method:ident($($given:expr)?))*;)*) => {
        $($(#[$meta])* pub(crate) fn $name($($argument: $ty),*) -> Slot<$value> {
            Slot::new($pallet, $entry)$(.$method($($given)?))*
        })*
    };
}

const TIMESTAMP: &str = "Timestamp";

slots! {
    account(who: &AccountId) -> AccountInfo = SYSTEM "Account".blake2_128_concat(who);
    block_hash(number: u32) -> Hash = SYSTEM "BlockHash".twox_64_concat(number);
    number() -> u32 = SYSTEM "Number";
    parent_hash() -> Hash = SYSTEM "ParentHash";
    /// The list of event records, encoded by whoever collects them.
    events() -> Vec<EncodedRecord> = SYSTEM "Events";
    event_count() -> u32 = SYSTEM "EventCount";
    last_runtime_upgrade() -> (Compact<u32>, String) = SYSTEM "LastRuntimeUpgrade";
    now() -> u64 = TIMESTAMP "Now";

    owner(hotkey: &AccountId) -> AccountId = SUBTENSOR "Owner".blake2_128_concat(hotkey);
    total_hotkey_alpha(hotkey: &AccountId, netuid: u16) -> u64
        = SUBTENSOR "TotalHotkeyAlpha".blake2_128_concat(hotkey).identity(netuid);
    tempo(netuid: u16) -> u16 = SUBTENSOR "Tempo".identity(netuid).or(360);
    subnetwork_n(netuid: u16) -> u16 = SUBTENSOR "SubnetworkN".identity(netuid);
    networks_added(netuid: u16) -> bool = SUBTENSOR "NetworksAdded".identity(netuid);
    is_network_member(hotkey: &AccountId, netuid: u16) -> bool
        = SUBTENSOR "IsNetworkMember".blake2_128_concat(hotkey).identity(netuid);
    blocks_since_last_step(netuid: u16) -> u64 = SUBTENSOR "BlocksSinceLastStep".identity(netuid);
    max_allowed_uids(netuid: u16) -> u16 = SUBTENSOR "MaxAllowedUids".identity(netuid).or(4096);
    immunity_period(netuid: u16) -> u16 = SUBTENSOR "ImmunityPeriod".identity(netuid).or(4096);
    max_weights_limit(netuid: u16) -> u16 = SUBTENSOR "MaxWeightsLimit".identity(netuid).or(u16::MAX);
    weights_version_key(netuid: u16) -> u64 = SUBTENSOR "WeightsVersionKey".identity(netuid);
    min_allowed_weights(netuid: u16) -> u16 = SUBTENSOR "MinAllowedWeights".identity(netuid).or(1024);
    weights_set_rate_limit(netuid: u16) -> u64 = SUBTENSOR "WeightsSetRateLimit".identity(netuid).or(100);
    commit_reveal_weights_enabled(netuid: u16) -> bool
        = SUBTENSOR "CommitRevealWeightsEnabled".identity(netuid).or(true);
    burn(netuid: u16) -> u64 = SUBTENSOR "Burn".identity(netuid).or(100_000_000);
    uids(netuid: u16, hotkey: &AccountId) -> u16 = SUBTENSOR "Uids".identity(netuid).blake2_128_concat(hotkey);
    keys(netuid: u16, uid: u16) -> AccountId = SUBTENSOR "Keys".identity(netuid).identity(uid);
    active(netuid: u16) -> Vec<bool> = SUBTENSOR "Active".identity(netuid);
    last_update(netuid: u16) -> Vec<u64> = SUBTENSOR "LastUpdate".identity(netuid);
    validator_permit(netuid: u16) -> Vec<bool> = SUBTENSOR "ValidatorPermit".identity(netuid);
    weights(netuid: u16, uid: u16) -> Vec<(u16, u16)> = SUBTENSOR "Weights".identity(netuid).identity(uid);
    block_at_registration(netuid: u16, uid: u16) -> u64
        = SUBTENSOR "BlockAtRegistration".identity(netuid).identity(uid);
    axons(netuid: u16, hotkey: &AccountId) -> AxonInfo
        = SUBTENSOR "Axons".identity(netuid).blake2_128_concat(hotkey);
    stake_threshold() -> u64 = SUBTENSOR "StakeThreshold";
    commit_reveal_weights_version() -> u16 = SUBTENSOR "CommitRevealWeightsVersion".or(4);
    timelocked_weight_commits(netuid: u16, epoch: u64) -> Vec<TimelockedCommit>
        = SUBTENSOR "TimelockedWeightCommits".twox_64_concat(netuid).twox_64_concat(epoch);
    reveal_period_epochs(netuid: u16) -> u64 = SUBTENSOR "RevealPeriodEpochs".twox_64_concat(netuid).or(1);

    commitment_of(netuid: u16, who: &AccountId) -> Registration
        = COMMITMENTS "CommitmentOf".identity(netuid).twox_64_concat(who);
    last_commitment(netuid: u16, who: &AccountId) -> u32
        = COMMITMENTS "LastCommitment".identity(netuid).twox_64_concat(who);
    used_space_of(netuid: u16, who: &AccountId) -> UsageTracker
        = COMMITMENTS "UsedSpaceOf".identity(netuid).twox_64_concat(who);
    max_space() -> u32 = COMMITMENTS "MaxSpace".or(3100);

    subnet_owner(netuid: u16) -> AccountId = SUBTENSOR "SubnetOwner".identity(netuid);
    subnet_owner_hotkey(netuid: u16) -> AccountId = SUBTENSOR "SubnetOwnerHotkey".identity(netuid);
    subnet_name(netuid: u16) -> Vec<u8> = SUBTENSOR "SubnetName".identity(netuid);
    token_symbol(netuid: u16) -> Vec<u8> = SUBTENSOR "TokenSymbol".identity(netuid);
    registration_allowed(netuid: u16) -> bool = SUBTENSOR "NetworkRegistrationAllowed".identity(netuid);
    registrations_this_block(netuid: u16) -> u16 = SUBTENSOR "RegistrationsThisBlock".identity(netuid);
    registrations_this_interval(netuid: u16) -> u16 = SUBTENSOR "RegistrationsThisInterval".identity(netuid);
    max_registrations_per_block(netuid: u16) -> u16 = SUBTENSOR "MaxRegistrationsPerBlock".identity(netuid).or(1);
    target_registrations_per_interval(netuid: u16) -> u16
        = SUBTENSOR "TargetRegistrationsPerInterval".identity(netuid).or(1);
    adjustment_interval(netuid: u16) -> u16 = SUBTENSOR "AdjustmentInterval".identity(netuid).or(360);
    last_adjustment_block(netuid: u16) -> u64 = SUBTENSOR "LastAdjustmentBlock".identity(netuid);
    last_step_block(netuid: u16) -> u64 = SUBTENSOR "LastMechansimStepBlock".identity(netuid);
    serving_rate_limit(netuid: u16) -> u64 = SUBTENSOR "ServingRateLimit".identity(netuid).or(50);
    activity_cutoff(netuid: u16) -> u16 = SUBTENSOR "ActivityCutoff".identity(netuid).or(5000);
    max_allowed_validators(netuid: u16) -> u16 = SUBTENSOR "MaxAllowedValidators".identity(netuid).or(64);
}

/// An event record that is already SCALE; a list of them is the list of the records.
#[derive(Clone, Debug, Default)]
pub(crate) struct EncodedRecord(pub Vec<u8>);

impl Encode for EncodedRecord {
    fn encode_to<T: parity_scale_codec::Output + ?Sized>(&self, output: &mut T) {
        output.write(&self.0);
    }
}

//! How a chain begins: the subnet, its rules, and who is there already.

use std::collections::BTreeSet;

use grail_protocol::{AccountId, Hash};
use parity_scale_codec::Encode;

use super::error::ChainError;
use super::runtime;
use super::slots::{self, AccountInfo};
use super::state::{Changes, Overlay, State};
use super::version::{Runtime, last_runtime_upgrade};

/// Settings of the first block. Two data folders with equal settings begin with different hashes, because the
/// time of the beginning is part of the first block.
#[derive(Clone, Debug, Encode, Eq, PartialEq)]
pub struct GenesisConfig {
    /// The subnet's number, not 0.
    pub netuid: u16,
    /// The subnet's name.
    pub name: String,
    /// Letters after the subnet's amounts.
    pub symbol: String,
    /// The subnet owner's hotkey.
    pub owner_hotkey: AccountId,
    /// The subnet owner's coldkey.
    pub owner_coldkey: AccountId,
    /// Blocks of an epoch, less one.
    pub tempo: u16,
    /// Blocks between two settings of weights by one neuron.
    pub weights_rate_limit: u64,
    /// Fewest weights, unless there are fewer neurons.
    pub min_allowed_weights: u16,
    /// Largest share of one weight, in parts of 65535.
    pub max_weights_limit: u16,
    /// Oldest version key taken; 0: any.
    pub weights_version_key: u64,
    /// Whether weights must be committed first, to a round of the beacon.
    pub commit_reveal: bool,
    /// Stake needed to set weights, in rao.
    pub stake_threshold: u64,
    /// Uids there are.
    pub max_uids: u16,
    /// Blocks for which a new neuron could not be pruned; nobody is.
    pub immunity_period: u16,
    /// Price of a registration, in rao.
    pub burn: u64,
    /// Whether registrations are taken.
    pub registration_allowed: bool,
    /// Registrations in one block.
    pub max_registrations_per_block: u16,
    /// A third of the registrations in one interval.
    pub target_registrations_per_interval: u16,
    /// Blocks of such an interval.
    pub adjustment_interval: u16,
    /// Blocks between two publications of one neuron's address; 0: none.
    pub serving_rate_limit: u64,
    /// Bytes of commitments of one account in an epoch.
    pub max_space: u32,
    /// Balances, in rao.
    pub balances: Vec<(AccountId, u64)>,
    /// Neurons from the first block on, in the order of their uids.
    pub neurons: Vec<GenesisNeuron>,
    /// Hotkeys that have an owner and no uid: hotkey, coldkey.
    pub owned_hotkeys: Vec<(AccountId, AccountId)>,
}

/// A neuron that is registered from the first block on.
#[derive(Clone, Debug, Encode, Eq, PartialEq)]
pub struct GenesisNeuron {
    /// The account with the uid.
    pub hotkey: AccountId,
    /// Its owner.
    pub coldkey: AccountId,
    /// Stake on the hotkey, in rao.
    pub stake: u64,
    /// Whether it may set weights over others.
    pub validator_permit: bool,
}

impl Default for GenesisConfig {
    /// Subnet 81 with Subtensor's rules, except those that would make a small network wait: no rate limit of
    /// weights, one weight is enough, no commit-reveal, registrations cheap and many.
    fn default() -> Self {
        Self {
            netuid: 81,
            name: "grail".to_owned(),
            symbol: "\u{3b1}".to_owned(),
            owner_hotkey: [0; 32],
            owner_coldkey: [0; 32],
            tempo: 360,
            weights_rate_limit: 0,
            min_allowed_weights: 1,
            max_weights_limit: u16::MAX,
            weights_version_key: 0,
            commit_reveal: false,
            stake_threshold: 0,
            max_uids: 256,
            immunity_period: 4096,
            burn: 500_000,
            registration_allowed: true,
            max_registrations_per_block: 64,
            target_registrations_per_interval: 256,
            adjustment_interval: 360,
            serving_rate_limit: 0,
            max_space: 3100,
            balances: vec![],
            neurons: vec![],
            owned_hotkeys: vec![],
        }
    }
}

impl GenesisConfig {
    /// What tells these settings from others.
    pub(crate) fn digest(&self) -> Hash {
        sp_crypto_hashing::blake2_256(&self.encode())
    }

    /// Refuses settings that no chain can have.
    pub(crate) fn check(&self) -> Result<(), ChainError> {
        let refuse = |field, problem: &str| Err(ChainError::Genesis { field, problem: problem.to_owned() });
        if self.netuid == 0 {
            return refuse("netuid", "0 is the root network");
        }
        if self.adjustment_interval == 0 {
            return refuse("adjustment_interval", "must be at least one block");
        }
        if self.neurons.len() > usize::from(self.max_uids) {
            return refuse("neurons", "more than max_uids");
        }
        if self.neurons.iter().map(|neuron| neuron.hotkey).collect::<BTreeSet<_>>().len() < self.neurons.len() {
            return refuse("neurons", "a hotkey stands there twice");
        }
        if self.balances.iter().map(|(account, _)| account).collect::<BTreeSet<_>>().len() < self.balances.len() {
            return refuse("balances", "an account stands there twice");
        }
        Ok(())
    }

    /// The state of the first block.
    pub(crate) fn changes(&self, timestamp_ms: u64) -> Changes {
        let empty = State::new();
        let mut state = Overlay::new(&empty);
        state.put(&slots::number(), &0);
        state.put(&slots::now(), &timestamp_ms);
        state.put(&slots::last_runtime_upgrade(), &last_runtime_upgrade(Runtime::FIRST));
        self.put_subnet(&mut state);
        for (who, free) in &self.balances {
            let account = AccountInfo { providers: 1, free: *free, ..AccountInfo::default() };
            state.put(&slots::account(who), &account);
        }
        for (hotkey, coldkey) in &self.owned_hotkeys {
            state.put(&slots::owner(hotkey), coldkey);
        }
        for neuron in &self.neurons {
            let uid = runtime::append_neuron(&mut state, self.netuid, neuron.hotkey, neuron.coldkey, 0);
            state.put(&slots::total_hotkey_alpha(&neuron.hotkey, self.netuid), &neuron.stake);
            state.update(&slots::validator_permit(self.netuid), |permits| {
                if let Some(permit) = permits.get_mut(usize::from(uid)) {
                    *permit = neuron.validator_permit;
                }
            });
        }
        state.into_changes()
    }

    fn put_subnet(&self, state: &mut Overlay) {
        let netuid = self.netuid;
        state.put(&slots::networks_added(netuid), &true);
        state.put(&slots::subnetwork_n(netuid), &0);
        state.put(&slots::subnet_owner(netuid), &self.owner_coldkey);
        state.put(&slots::subnet_owner_hotkey(netuid), &self.owner_hotkey);
        state.put(&slots::subnet_name(netuid), &self.name.clone().into_bytes());
        state.put(&slots::token_symbol(netuid), &self.symbol.clone().into_bytes());
        state.put(&slots::tempo(netuid), &self.tempo);
        state.put(&slots::weights_set_rate_limit(netuid), &self.weights_rate_limit);
        state.put(&slots::min_allowed_weights(netuid), &self.min_allowed_weights);
        state.put(&slots::max_weights_limit(netuid), &self.max_weights_limit);
        state.put(&slots::weights_version_key(netuid), &self.weights_version_key);
        state.put(&slots::commit_reveal_weights_enabled(netuid), &self.commit_reveal);
        state.put(&slots::stake_threshold(), &self.stake_threshold);
        state.put(&slots::max_allowed_uids(netuid), &self.max_uids);
        state.put(&slots::immunity_period(netuid), &self.immunity_period);
        state.put(&slots::burn(netuid), &self.burn);
        state.put(&slots::registration_allowed(netuid), &self.registration_allowed);
        state.put(&slots::max_registrations_per_block(netuid), &self.max_registrations_per_block);
        state.put(&slots::target_registrations_per_interval(netuid), &self.target_registrations_per_interval);
        state.put(&slots::adjustment_interval(netuid), &self.adjustment_interval);
        state.put(&slots::serving_rate_limit(netuid), &self.serving_rate_limit);
        state.put(&slots::max_space(), &self.max_space);
    }
}

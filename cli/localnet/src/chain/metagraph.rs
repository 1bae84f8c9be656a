//! `SubnetInfoRuntimeApi.get_metagraph`: the subnet and its neurons in one answer.
//!
//! What this chain does not have (emission, pools, consensus) is zero.

use grail_protocol::AccountId;
use parity_scale_codec::{Compact, Encode};

use super::slots::{self, AxonInfo};
use super::state::Read;

type Bytes = Vec<u8>;

/// Fields in the order of the real `Metagraph`; the tests compare names, order and types with it.
#[derive(Debug, Encode)]
struct Metagraph {
    netuid: Compact<u16>,
    name: Vec<Compact<u8>>,
    symbol: Vec<Compact<u8>>,
    identity: Option<Bytes>,
    network_registered_at: Compact<u64>,
    owner_hotkey: AccountId,
    owner_coldkey: AccountId,
    block: Compact<u64>,
    tempo: Compact<u16>,
    last_step: Compact<u64>,
    blocks_since_last_step: Compact<u64>,
    subnet_emission: Compact<u64>,
    alpha_in: Compact<u64>,
    alpha_out: Compact<u64>,
    tao_in: Compact<u64>,
    alpha_out_emission: Compact<u64>,
    alpha_in_emission: Compact<u64>,
    tao_in_emission: Compact<u64>,
    pending_alpha_emission: Compact<u64>,
    pending_root_emission: Compact<u64>,
    subnet_volume: Compact<u128>,
    moving_price: i128,
    rho: Compact<u16>,
    kappa: Compact<u16>,
    min_allowed_weights: Compact<u16>,
    max_weights_limit: Compact<u16>,
    weights_version: Compact<u64>,
    weights_rate_limit: Compact<u64>,
    activity_cutoff: Compact<u16>,
    max_validators: Compact<u16>,
    num_uids: Compact<u16>,
    max_uids: Compact<u16>,
    burn: Compact<u64>,
    difficulty: Compact<u64>,
    registration_allowed: bool,
    pow_registration_allowed: bool,
    immunity_period: Compact<u16>,
    min_difficulty: Compact<u64>,
    max_difficulty: Compact<u64>,
    min_burn: Compact<u64>,
    max_burn: Compact<u64>,
    adjustment_alpha: Compact<u64>,
    adjustment_interval: Compact<u16>,
    target_regs_per_interval: Compact<u16>,
    max_regs_per_block: Compact<u16>,
    serving_rate_limit: Compact<u64>,
    commit_reveal_weights_enabled: bool,
    commit_reveal_period: Compact<u64>,
    liquid_alpha_enabled: bool,
    alpha_high: Compact<u16>,
    alpha_low: Compact<u16>,
    bonds_moving_avg: Compact<u64>,
    neurons: Neurons,
}

/// The lists with one element per uid.
#[derive(Debug, Encode)]
struct Neurons {
    hotkeys: Vec<AccountId>,
    coldkeys: Vec<AccountId>,
    identities: Vec<Option<Bytes>>,
    axons: Vec<AxonInfo>,
    active: Vec<bool>,
    validator_permit: Vec<bool>,
    pruning_score: Vec<Compact<u16>>,
    last_update: Vec<Compact<u64>>,
    emission: Vec<Compact<u64>>,
    dividends: Vec<Compact<u16>>,
    incentives: Vec<Compact<u16>>,
    consensus: Vec<Compact<u16>>,
    trust: Vec<Compact<u16>>,
    rank: Vec<Compact<u16>>,
    block_at_registration: Vec<Compact<u64>>,
    alpha_stake: Vec<Compact<u64>>,
    tao_stake: Vec<Compact<u64>>,
    total_stake: Vec<Compact<u64>>,
    tao_dividends_per_hotkey: Vec<(AccountId, Compact<u64>)>,
    alpha_dividends_per_hotkey: Vec<(AccountId, Compact<u64>)>,
}

/// `Option<Metagraph>` in SCALE: none for a subnet that does not exist.
pub(crate) fn encoded(state: &impl Read, netuid: u16) -> Vec<u8> {
    let exists = state.value(&slots::networks_added(netuid));
    exists.then(|| metagraph(state, netuid)).encode()
}

fn metagraph(state: &impl Read, netuid: u16) -> Metagraph {
    let text = |slot| state.value::<Bytes>(&slot).into_iter().map(Compact).collect();
    let zero = Compact(0u64);
    let burn = Compact(state.value(&slots::burn(netuid)));
    Metagraph {
        netuid: Compact(netuid),
        name: text(slots::subnet_name(netuid)),
        symbol: text(slots::token_symbol(netuid)),
        identity: None,
        network_registered_at: zero,
        owner_hotkey: state.value(&slots::subnet_owner_hotkey(netuid)),
        owner_coldkey: state.value(&slots::subnet_owner(netuid)),
        block: Compact(u64::from(state.value(&slots::number()))),
        tempo: Compact(state.value(&slots::tempo(netuid))),
        last_step: Compact(state.value(&slots::last_step_block(netuid))),
        blocks_since_last_step: Compact(state.value(&slots::blocks_since_last_step(netuid))),
        subnet_emission: zero,
        alpha_in: zero,
        alpha_out: zero,
        tao_in: zero,
        alpha_out_emission: zero,
        alpha_in_emission: zero,
        tao_in_emission: zero,
        pending_alpha_emission: zero,
        pending_root_emission: zero,
        subnet_volume: Compact(0),
        moving_price: 0,
        rho: Compact(0),
        kappa: Compact(0),
        min_allowed_weights: Compact(state.value(&slots::min_allowed_weights(netuid))),
        max_weights_limit: Compact(state.value(&slots::max_weights_limit(netuid))),
        weights_version: Compact(state.value(&slots::weights_version_key(netuid))),
        weights_rate_limit: Compact(state.value(&slots::weights_set_rate_limit(netuid))),
        activity_cutoff: Compact(state.value(&slots::activity_cutoff(netuid))),
        max_validators: Compact(state.value(&slots::max_allowed_validators(netuid))),
        num_uids: Compact(state.value(&slots::subnetwork_n(netuid))),
        max_uids: Compact(state.value(&slots::max_allowed_uids(netuid))),
        burn,
        difficulty: zero,
        registration_allowed: state.value(&slots::registration_allowed(netuid)),
        pow_registration_allowed: false,
        immunity_period: Compact(state.value(&slots::immunity_period(netuid))),
        min_difficulty: zero,
        max_difficulty: zero,
        min_burn: burn,
        max_burn: burn,
        adjustment_alpha: zero,
        adjustment_interval: Compact(state.value(&slots::adjustment_interval(netuid))),
        target_regs_per_interval: Compact(state.value(&slots::target_registrations_per_interval(netuid))),
        max_regs_per_block: Compact(state.value(&slots::max_registrations_per_block(netuid))),
        serving_rate_limit: Compact(state.value(&slots::serving_rate_limit(netuid))),
        commit_reveal_weights_enabled: state.value(&slots::commit_reveal_weights_enabled(netuid)),
        commit_reveal_period: Compact(state.value(&slots::reveal_period_epochs(netuid))),
        liquid_alpha_enabled: false,
        alpha_high: Compact(0),
        alpha_low: Compact(0),
        bonds_moving_avg: zero,
        neurons: neurons(state, netuid),
    }
}

fn neurons(state: &impl Read, netuid: u16) -> Neurons {
    let count = state.value(&slots::subnetwork_n(netuid));
    let hotkeys = (0..count).map(|uid| state.value(&slots::keys(netuid, uid))).collect::<Vec<AccountId>>();
    let stakes = hotkeys
        .iter()
        .map(|hotkey| Compact(state.value(&slots::total_hotkey_alpha(hotkey, netuid))))
        .collect::<Vec<_>>();
    let parts = vec![Compact(0u16); hotkeys.len()];
    let amounts = vec![Compact(0u64); hotkeys.len()];
    Neurons {
        coldkeys: hotkeys.iter().map(|hotkey| state.value(&slots::owner(hotkey))).collect(),
        identities: vec![None; hotkeys.len()],
        axons: hotkeys.iter().map(|hotkey| state.value(&slots::axons(netuid, hotkey))).collect(),
        active: state.value(&slots::active(netuid)),
        validator_permit: state.value(&slots::validator_permit(netuid)),
        pruning_score: parts.clone(),
        last_update: state.value(&slots::last_update(netuid)).into_iter().map(Compact).collect(),
        emission: amounts.clone(),
        dividends: parts.clone(),
        incentives: parts.clone(),
        consensus: parts.clone(),
        trust: parts.clone(),
        rank: parts,
        block_at_registration: (0..count)
            .map(|uid| Compact(state.value(&slots::block_at_registration(netuid, uid))))
            .collect(),
        alpha_stake: stakes.clone(),
        tao_stake: amounts,
        total_stake: stakes,
        tao_dividends_per_hotkey: vec![],
        alpha_dividends_per_hotkey: vec![],
        hotkeys,
    }
}

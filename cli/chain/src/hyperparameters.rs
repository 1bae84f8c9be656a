//! The numbers that a subnet's owner sets.

use crate::state::StateAt;
use crate::{Block, Chain, NodeError, StateError};

/// Hyperparameters of the subnet at one block, as far as miner and validator need them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hyperparameters {
    /// Blocks of an epoch, less one.
    pub tempo: u16,
    /// Blocks between two settings of weights by one hotkey.
    pub weights_rate_limit: u64,
    /// Lowest version key that weights may have; 0: any.
    pub weights_version_key: u64,
    /// Fewest weights of one setting; never more than there are neurons.
    pub min_allowed_weights: u16,
    /// Highest share of one weight, of 65535; 65535: no limit.
    pub max_weight_limit: u16,
    /// Whether weights must be committed before they are revealed.
    pub commit_reveal_enabled: bool,
    /// Epochs from a commitment to its reveal.
    pub reveal_period_epochs: u64,
    /// Version of the commitments to weights; `None` on runtimes without them.
    pub commit_reveal_version: Option<u16>,
    /// Stake, in rao, that setting weights takes; for all subnets.
    pub stake_threshold: u64,
    /// Number of neurons.
    pub neurons: u16,
}

const PALLET: &str = "SubtensorModule";

impl Chain {
    /// The subnet's hyperparameters at a block.
    ///
    /// # Errors
    /// [`StateError`].
    pub async fn hyperparameters(&self, block: &Block) -> Result<Hyperparameters, StateError> {
        let netuid = self.settings().netuid;
        self.read("the subnet's hyperparameters", block, |state| async move { read(&state, netuid).await }).await
    }
}

pub(crate) async fn read(state: &StateAt, netuid: u16) -> Result<Hyperparameters, NodeError> {
    let key = || (netuid,);
    let (tempo, weights_rate_limit, weights_version_key, min_allowed_weights, max_weight_limit) = tokio::try_join!(
        state.value(PALLET, "Tempo", key()),
        state.value(PALLET, "WeightsSetRateLimit", key()),
        state.value(PALLET, "WeightsVersionKey", key()),
        state.value(PALLET, "MinAllowedWeights", key()),
        state.value(PALLET, "MaxWeightsLimit", key()),
    )?;
    let (commit_reveal_enabled, reveal_period_epochs, stake_threshold, neurons) = tokio::try_join!(
        state.value(PALLET, "CommitRevealWeightsEnabled", key()),
        state.value(PALLET, "RevealPeriodEpochs", key()),
        state.value(PALLET, "StakeThreshold", ()),
        state.value(PALLET, "SubnetworkN", key()),
    )?;
    let commit_reveal_version = match state.has_entry(PALLET, "CommitRevealWeightsVersion") {
        true => Some(state.value(PALLET, "CommitRevealWeightsVersion", ()).await?),
        false => None,
    };
    Ok(Hyperparameters {
        tempo,
        weights_rate_limit,
        weights_version_key,
        min_allowed_weights,
        max_weight_limit,
        commit_reveal_enabled,
        reveal_period_epochs,
        commit_reveal_version,
        stake_threshold,
        neurons,
    })
}

//! Setting weights, after every check that the chain will make.
//!
//! The checks are made at the best block, on which the extrinsic will be executed, so that a validator reads what
//! is wrong, and when to come back, instead of a failed extrinsic. The chain checks again; its word is the last.

use std::time::Duration;

use grail_protocol::AccountId;
use grail_protocol::signature::Signer;
use subxt::ext::scale_value::{Composite, Value};
use subxt::transactions::DynamicPayload;

use super::{ConformedWeights, Epochs, commit_call, conform, reveal_block, reveal_round, seal, unrevealed};
use crate::state::StateAt;
use crate::{Block, Chain, Hyperparameters, Included, Metagraph, Neuron, NodeError, StateError, Wait, WeightsError};

const PALLET: &str = "SubtensorModule";

/// What was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubmittedWeights {
    /// The extrinsic.
    pub included: Included,
    /// The weights as the chain keeps them.
    pub sent: ConformedWeights,
    /// When the chain will show and apply them; `None`: it has, as the subnet takes weights uncommitted.
    pub reveal: Option<Reveal>,
}

/// When committed weights count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reveal {
    /// First block at which the chain may reveal them.
    pub block: u64,
    /// Round of the beacon without which nobody can.
    pub round: u64,
}

/// The call that sets weights.
pub(crate) fn set_weights_call(
    netuid: u16,
    weights: &ConformedWeights,
    version_key: u64,
) -> DynamicPayload<Composite<()>> {
    let list = |numbers: &[u16]| Value::unnamed_composite(numbers.iter().map(|n| Value::u128((*n).into())));
    let arguments = Composite::named([
        ("netuid", Value::u128(netuid.into())),
        ("dests", list(&weights.uids)),
        ("weights", list(&weights.values)),
        ("version_key", Value::u128(version_key.into())),
    ]);
    subxt::dynamic::tx("SubtensorModule", "set_weights", arguments)
}

impl Chain {
    /// Sets the weights of uids, given as real numbers of any scale, or commits to them: which of both the subnet
    /// takes, and in which version, is read from the chain every time.
    ///
    /// A commitment is revealed by the chain itself, [`Reveal`] says when. Its time is counted from the best block's
    /// own, so a wrong clock of this machine neither shows weights early nor loses them.
    ///
    /// # Errors
    /// [`WeightsError`]; with everything but `State`, `Block` and `Submit`, nothing was sent.
    pub async fn submit_weights(
        &self,
        signer: &Signer,
        uids: &[u16],
        weights: &[f64],
        version_key: u64,
        wait: Wait,
    ) -> Result<SubmittedWeights, WeightsError> {
        let best = self.best().await?;
        let rules = self.hyperparameters(&best).await?;
        let metagraph = self.metagraph(&best).await?;
        let netuid = metagraph.netuid;
        let account = signer.account();
        let neuron = metagraph.neuron(&account).ok_or(WeightsError::NotRegistered { account, netuid })?;
        let sent = check(&rules, &metagraph, neuron, uids, weights, version_key)?;
        let (call, reveal) = match rules.commit_reveal_enabled {
            false => (set_weights_call(netuid, &sent, version_key), None),
            true => {
                let version = rules.commit_reveal_version.ok_or(WeightsError::NoTimelockedCommits { netuid })?;
                let epochs = self.epochs(&best, rules.tempo).await?;
                self.check_unrevealed(&best, epochs, &account).await?;
                let reveal = self.reveal_of(&best, epochs, &rules)?;
                let commit = seal(&self.settings().timelock, reveal.round, &account, &sent, version_key)?;
                (commit_call(netuid, &commit, reveal.round, version), Some(reveal))
            }
        };
        let included = self.submit(signer, &call, wait).await?;
        Ok(SubmittedWeights { included, sent, reveal })
    }

    /// When the chain will reveal what is committed in the next block.
    fn reveal_of(&self, best: &Block, epochs: Epochs, rules: &Hyperparameters) -> Result<Reveal, WeightsError> {
        let block = reveal_block(epochs, best.number, rules.reveal_period_epochs)?;
        let beacon = self.settings().timelock.parts();
        let now = Duration::from_millis(best.timestamp_ms);
        let block_time = self.settings().block_time;
        let round = reveal_round(block, best.number, block_time, now, beacon.genesis_time, beacon.period);
        Ok(Reveal { block, round })
    }

    /// Whether the chain takes another commitment of a hotkey in the next block.
    async fn check_unrevealed(&self, best: &Block, epochs: Epochs, account: &AccountId) -> Result<(), WeightsError> {
        let (netuid, what) = (self.settings().netuid, "the commitments that wait for their reveal");
        let waiting = |state: StateAt| async move {
            let epoch = match epochs.of_next(best.number) {
                Some(epoch) => epoch,
                None => state.value(PALLET, "SubnetEpochIndex", (netuid,)).await?,
            };
            unrevealed::waiting(&state, netuid, epoch, account).await
        };
        unrevealed::check(self.read(what, best, waiting).await?, epochs, best.number)
    }

    /// Where the subnet is in its epochs; newer runtimes count them.
    async fn epochs(&self, block: &Block, tempo: u16) -> Result<Epochs, StateError> {
        let netuid = self.settings().netuid;
        self.read("the subnet's epochs", block, |state| async move { epochs(&state, netuid, tempo).await }).await
    }
}

async fn epochs(state: &StateAt, netuid: u16, tempo: u16) -> Result<Epochs, NodeError> {
    if !state.has_entry(PALLET, "SubnetEpochIndex") {
        return Ok(Epochs::Fixed { tempo, netuid });
    }
    let key = || (netuid,);
    let (last_epoch_block, pending_epoch_at, blocks_since_last_step) = tokio::try_join!(
        state.value(PALLET, "LastEpochBlock", key()),
        state.value(PALLET, "PendingEpochAt", key()),
        state.value(PALLET, "BlocksSinceLastStep", key()),
    )?;
    Ok(Epochs::Counted { tempo, last_epoch_block, pending_epoch_at, blocks_since_last_step })
}

impl Hyperparameters {
    /// Blocks to wait from a best block on until a neuron may set weights; 0: in the next block.
    #[must_use]
    pub fn blocks_until_weights(&self, neuron: &Neuron, best: u64) -> u64 {
        // The extrinsic is in the next block at the earliest; a uid that never set weights has block 0.
        match neuron.last_update {
            0 => 0,
            last => last.saturating_add(self.weights_rate_limit).saturating_sub(best + 1),
        }
    }
}

/// The pallet's rules, in its order.
fn check(
    rules: &Hyperparameters,
    metagraph: &Metagraph,
    neuron: &Neuron,
    uids: &[u16],
    weights: &[f64],
    version_key: u64,
) -> Result<ConformedWeights, WeightsError> {
    let (netuid, uid, neurons) = (metagraph.netuid, neuron.uid, metagraph.neurons.len());
    if metagraph.stake_is_weight && neuron.stake < rules.stake_threshold {
        return Err(WeightsError::NotEnoughStake { uid, stake: neuron.stake, required: rules.stake_threshold });
    }
    let required = rules.weights_version_key;
    if required != 0 && version_key < required {
        return Err(WeightsError::VersionKey { netuid, required, given: version_key });
    }
    let left = rules.blocks_until_weights(neuron, metagraph.block);
    if left > 0 {
        let (last_update, rate_limit) = (neuron.last_update, rules.weights_rate_limit);
        return Err(WeightsError::RateLimited { last_update, rate_limit, blocks_left: left });
    }
    let minimum = rules.min_allowed_weights.min(rules.neurons);
    let sent = conform(uids, weights, uid, minimum, rules.max_weight_limit)?;
    if !neuron.validator_permit && sent.uids != [uid] {
        return Err(WeightsError::NoPermit { uid, netuid, tempo: rules.tempo });
    }
    match sent.uids.iter().find(|uid| usize::from(**uid) >= neurons) {
        Some(uid) => Err(WeightsError::UnknownUid { uid: *uid, neurons }),
        None => Ok(sent),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ConformError;

    fn rules() -> Hyperparameters {
        Hyperparameters {
            tempo: 360,
            weights_rate_limit: 100,
            weights_version_key: 7,
            min_allowed_weights: 1024,
            max_weight_limit: u16::MAX,
            commit_reveal_enabled: false,
            reveal_period_epochs: 1,
            commit_reveal_version: Some(4),
            stake_threshold: 1000,
            neurons: 3,
        }
    }

    fn metagraph() -> Metagraph {
        let neuron = |uid: u16| Neuron {
            uid,
            hotkey: [uid as u8; 32],
            coldkey: [9; 32],
            stake: 1000,
            validator_permit: uid == 0,
            last_update: 50,
            active: true,
        };
        Metagraph { netuid: 81, block: 149, stake_is_weight: true, neurons: (0..3).map(neuron).collect() }
    }

    fn checked(metagraph: &Metagraph, uid: usize, uids: &[u16], key: u64) -> Result<ConformedWeights, WeightsError> {
        let weights: Vec<f64> = uids.iter().map(|_| 1.0).collect();
        check(&rules(), metagraph, &metagraph.neurons[uid], uids, &weights, key)
    }

    #[test]
    fn a_validator_with_everything_may_weigh() {
        let sent = checked(&metagraph(), 0, &[0, 1, 2], 7).unwrap();
        assert_eq!((sent.uids, sent.values), (vec![0, 1, 2], vec![u16::MAX; 3]));
        assert!(checked(&metagraph(), 1, &[1], 7).is_ok(), "its own uid needs no permit");
    }

    #[test]
    fn each_missing_thing_is_named() {
        let refused = |change: fn(&mut Metagraph), uid, uids: &[u16], key| {
            let mut changed = metagraph();
            change(&mut changed);
            checked(&changed, uid, uids, key).unwrap_err()
        };
        let same = |_: &mut Metagraph| {};
        assert!(matches!(refused(same, 1, &[0, 1, 2], 7), WeightsError::NoPermit { uid: 1, .. }));
        assert!(matches!(refused(same, 0, &[0, 1, 2], 6), WeightsError::VersionKey { required: 7, given: 6, .. }));
        assert!(matches!(refused(same, 0, &[0, 1, 3], 7), WeightsError::UnknownUid { uid: 3, neurons: 3 }));
        let few = refused(same, 0, &[0, 1], 7);
        assert_eq!(few, ConformError::TooFew { required: 3, found: 2 }.into());
        let early = refused(|m| m.block = 148, 0, &[0, 1, 2], 7);
        assert!(matches!(early, WeightsError::RateLimited { blocks_left: 1, .. }), "{early}");
        assert!(early.is_transient() && !few.is_transient());
        let poor = refused(|m| m.neurons[0].stake = 999, 0, &[0, 1, 2], 7);
        assert!(matches!(poor, WeightsError::NotEnoughStake { stake: 999, required: 1000, .. }), "{poor}");
    }

    #[test]
    fn stake_that_is_not_the_chains_measure_refuses_nobody() {
        let mut partial = metagraph();
        (partial.stake_is_weight, partial.neurons[0].stake) = (false, 0);
        assert!(checked(&partial, 0, &[0, 1, 2], 7).is_ok());
    }

    #[test]
    fn a_neuron_that_never_set_weights_need_not_wait() {
        let mut fresh = metagraph();
        (fresh.block, fresh.neurons[0].last_update) = (1, 0);
        assert!(checked(&fresh, 0, &[0, 1, 2], 7).is_ok());
    }
}

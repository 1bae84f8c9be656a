//! `SubtensorModule.set_weights`.

use std::collections::BTreeSet;

use super::{Dispatch, ensure, max_upscale};
use crate::chain::event::{DispatchError, Event, SubtensorError, SubtensorEvent};
use crate::chain::slots;
use crate::chain::state::Read;

impl Dispatch<'_, '_> {
    /// Weights, where the subnet asks for no commitment first.
    pub(super) fn set_weights(
        &mut self,
        netuid: u16,
        uids: &[u16],
        values: &[u16],
        version_key: u64,
    ) -> Result<(), DispatchError> {
        let committed = self.state.value(&slots::commit_reveal_weights_enabled(netuid));
        ensure(!committed, SubtensorError::CommitRevealEnabled)?;
        self.apply_weights(netuid, uids, values, version_key, false)
    }

    /// The pallet's checks in its order, then the weights, scaled so that the largest is 65535. The rate limit of
    /// `revealed` weights was that of their commitment.
    pub(super) fn apply_weights(
        &mut self,
        netuid: u16,
        uids: &[u16],
        values: &[u16],
        version_key: u64,
        revealed: bool,
    ) -> Result<(), DispatchError> {
        use SubtensorError as E;
        ensure(uids.len() == values.len(), E::WeightVecNotEqualSize)?;
        ensure(self.state.value(&slots::networks_added(netuid)), E::MechanismDoesNotExist)?;
        let neurons = self.state.value(&slots::subnetwork_n(netuid));
        ensure(uids.len() <= usize::from(neurons), E::UidsLengthExceedUidsInSubNet)?;
        let own = self.state.get(&slots::uids(netuid, &self.signer)).ok_or(E::HotKeyNotRegisteredInSubNet)?;
        let stake = self.state.value(&slots::total_hotkey_alpha(&self.signer, netuid));
        ensure(stake >= self.state.value(&slots::stake_threshold()), E::NotEnoughStakeToSetWeights)?;
        let network_key = self.state.value(&slots::weights_version_key(netuid));
        ensure(network_key == 0 || version_key >= network_key, E::IncorrectWeightVersionKey)?;
        ensure(revealed || self.may_set_again(netuid, own), E::SettingWeightsTooFast)?;
        let only_itself = uids == [own];
        let permit = self.permitted(netuid, own);
        ensure(only_itself || permit, E::NeuronNoValidatorPermit)?;
        let distinct = uids.iter().collect::<BTreeSet<_>>().len();
        ensure(distinct == uids.len(), E::DuplicateUids)?;
        let all_exist = uids.iter().all(|uid| self.state.holds(&slots::keys(netuid, *uid)));
        ensure(all_exist, E::UidVecContainInvalidOne)?;
        let fewest = self.state.value(&slots::min_allowed_weights(netuid)).min(neurons);
        ensure(only_itself || uids.len() >= usize::from(fewest), E::WeightVecLengthIsLow)?;
        let scaled = max_upscale(values);
        ensure(only_itself || self.within_limit(netuid, &scaled), E::MaxWeightExceeded)?;

        let pairs = uids.iter().copied().zip(scaled).collect();
        self.state.put(&slots::weights(netuid, own), &pairs);
        if !revealed {
            self.set_last_update(netuid, own);
        }
        self.events.push(Event::Subtensor(SubtensorEvent::WeightsSet(netuid, own)));
        Ok(())
    }

    /// This block is the one of the neuron's last weights.
    pub(super) fn set_last_update(&mut self, netuid: u16, uid: u16) {
        let block = u64::from(self.block);
        self.state.update(&slots::last_update(netuid), |last| {
            if let Some(last) = last.get_mut(usize::from(uid)) {
                *last = block;
            }
        });
    }

    /// Whether the rate limit has passed; a neuron that never set weights nor registered (one of the first
    /// block) need not wait.
    pub(super) fn may_set_again(&self, netuid: u16, uid: u16) -> bool {
        let last = self.state.value(&slots::last_update(netuid)).get(usize::from(uid)).copied().unwrap_or_default();
        let limit = self.state.value(&slots::weights_set_rate_limit(netuid));
        last == 0 || u64::from(self.block).saturating_sub(last) >= limit
    }

    fn permitted(&self, netuid: u16, uid: u16) -> bool {
        self.state.value(&slots::validator_permit(netuid)).get(usize::from(uid)).copied().unwrap_or_default()
    }

    /// Whether no weight's share of the sum exceeds the limit, both as parts of 65535.
    fn within_limit(&self, netuid: u16, scaled: &[u16]) -> bool {
        let limit = self.state.value(&slots::max_weights_limit(netuid));
        let sum = scaled.iter().map(|weight| u128::from(*weight)).sum::<u128>();
        let largest = scaled.iter().copied().max().map_or(0, u128::from);
        limit == u16::MAX || largest * u128::from(u16::MAX) <= sum * u128::from(limit)
    }
}

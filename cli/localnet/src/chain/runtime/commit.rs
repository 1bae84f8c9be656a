//! `SubtensorModule.commit_timelocked_weights`, and the reveal of what was committed.

use grail_beacon::{LocalBeacon, timelock};
use grail_protocol::AccountId;
use parity_scale_codec::DecodeAll;
use sp_crypto_hashing::blake2_256;

use super::{Dispatch, Execution, ensure, epoch_index};
use crate::chain::commitment::Bounded;
use crate::chain::event::{DispatchError, Event, Phase, SubtensorError, SubtensorEvent};
use crate::chain::slots::{self, MAX_COMMIT_BYTES};
use crate::chain::state::Read;

/// Commitments of one hotkey that may wait in one epoch.
const MOST_UNREVEALED: usize = 10;

/// What is inside a commitment: hotkey, uids, values, version key.
type Payload = (Vec<u8>, Vec<u16>, Vec<u16>, u64);

impl Dispatch<'_, '_> {
    /// The pallet's checks in its order, then the commitment, under the epoch that it is revealed after.
    pub(super) fn commit_timelocked_weights(
        &mut self,
        netuid: u16,
        commit: Bounded<MAX_COMMIT_BYTES>,
        reveal_round: u64,
        version: u16,
    ) -> Result<(), DispatchError> {
        use SubtensorError as E;
        ensure(self.state.value(&slots::networks_added(netuid)), E::MechanismDoesNotExist)?;
        let enabled = self.state.value(&slots::commit_reveal_weights_enabled(netuid));
        ensure(enabled, E::CommitRevealDisabled)?;
        let current = self.state.value(&slots::commit_reveal_weights_version());
        ensure(version == current, E::IncorrectCommitRevealVersion)?;
        let own = self.state.get(&slots::uids(netuid, &self.signer)).ok_or(E::HotKeyNotRegisteredInSubNet)?;
        ensure(self.may_set_again(netuid, own), E::CommittingWeightsTooFast)?;
        let tempo = self.state.value(&slots::tempo(netuid));
        // The last block of an epoch counts for the next one, which begins with it.
        let epoch = epoch_index(netuid, tempo, self.block.saturating_add(1));
        let slot = slots::timelocked_weight_commits(netuid, epoch);
        let mut commits = self.state.value(&slot);
        let waiting = commits.iter().filter(|commit| commit.0 == self.signer).count();
        ensure(waiting < MOST_UNREVEALED, E::TooManyUnrevealedCommits)?;

        let hash = blake2_256(commit.as_slice());
        let block = u64::from(self.block);
        commits.push((self.signer, block, commit, reveal_round));
        self.state.put(&slot, &commits);
        self.set_last_update(netuid, own);
        let event = SubtensorEvent::TimelockedWeightsCommitted(self.signer, netuid, hash, reveal_round);
        self.events.push(Event::Subtensor(event));
        Ok(())
    }
}

impl Execution<'_> {
    /// Reveals what was committed so many epochs ago, as far as the beacon's rounds are out at this block's time.
    /// What cannot be opened, or breaks a rule of weights, is gone; what comes too late is, too.
    pub(super) fn reveal_weights(&mut self, beacon: &LocalBeacon, timestamp_ms: u64) {
        let netuid = self.netuid;
        let tempo = self.state.value(&slots::tempo(netuid));
        let period = self.state.value(&slots::reveal_period_epochs(netuid));
        let Some(epoch) = epoch_index(netuid, tempo, self.number).checked_sub(period) else {
            return;
        };
        let latest = beacon.info().schedule().round_at_time(timestamp_ms).unwrap_or(0);
        if let Some(expired) = epoch.checked_sub(1) {
            self.state.remove(&slots::timelocked_weight_commits(netuid, expired));
        }
        let slot = slots::timelocked_weight_commits(netuid, epoch);
        let (due, waiting): (Vec<_>, Vec<_>) =
            self.state.value(&slot).into_iter().partition(|(.., round)| *round <= latest);
        match waiting.is_empty() {
            true => self.state.remove(&slot),
            false => self.state.put(&slot, &waiting),
        }
        for (who, _, commit, round) in due {
            let Some((uids, values, version_key)) = opened(beacon, &who, &(commit, round)) else {
                continue;
            };
            let block = self.number;
            let revealed = self.state.transaction(|state| {
                let mut call = Dispatch { state, signer: who, block, events: vec![] };
                call.apply_weights(netuid, &uids, &values, version_key, true).map(|()| call.events)
            });
            let Ok(events) = revealed else {
                continue;
            };
            let told = Event::Subtensor(SubtensorEvent::TimelockedWeightsRevealed(netuid, who));
            for event in events.into_iter().chain([told]) {
                self.record_in(Phase::Initialization, event);
            }
        }
    }
}

/// The weights in a commitment, if it is one of this hotkey to this round.
fn opened(
    beacon: &LocalBeacon,
    who: &AccountId,
    (commit, round): &(Bounded<MAX_COMMIT_BYTES>, u64),
) -> Option<(Vec<u16>, Vec<u16>, u64)> {
    let signature = beacon.sign(*round).ok()?;
    let payload = timelock::open(commit.as_slice(), &signature).ok()?;
    let (hotkey, uids, values, version_key) = Payload::decode_all(&mut &payload[..]).ok()?;
    (hotkey == who).then_some((uids, values, version_key))
}

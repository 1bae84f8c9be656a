//! `Commitments.set_commitment`.

use super::{Dispatch, ensure, epoch_index};
use crate::chain::commitment::{CommitmentInfo, Data, Registration};
use crate::chain::event::{CommitmentsError, CommitmentsEvent, DispatchError, Event};
use crate::chain::slots;
use crate::chain::state::Read;

/// What even the smallest commitment uses up.
const LEAST_SPACE: u64 = 100;

impl Dispatch<'_, '_> {
    /// Stores what the account publishes, if it is registered and has space left in this epoch. The space is
    /// compared by the bytes published and charged by at least 100, as the pallet does it.
    pub(super) fn set_commitment(&mut self, netuid: u16, info: CommitmentInfo) -> Result<(), DispatchError> {
        let who = self.signer;
        ensure(self.state.holds(&slots::uids(netuid, &who)), CommitmentsError::AccountNotAllowedCommit)?;
        let tempo = self.state.value(&slots::tempo(netuid));
        let epoch = epoch_index(netuid, tempo, self.block);
        let mut usage = self.state.value(&slots::used_space_of(netuid, &who));
        if usage.last_epoch != epoch {
            usage.last_epoch = epoch;
            usage.used_space = 0;
        }
        let space = info.fields().iter().map(Data::space).sum::<u64>();
        let most = u64::from(self.state.value(&slots::max_space()));
        ensure(usage.used_space.saturating_add(space) <= most, CommitmentsError::SpaceLimitExceeded)?;
        usage.used_space = usage.used_space.saturating_add(space.max(LEAST_SPACE));

        let round = info.fields().iter().find_map(|field| match field {
            Data::TimelockEncrypted(_, round) => Some(*round),
            _ => None,
        });
        self.state.put(&slots::used_space_of(netuid, &who), &usage);
        let registration = Registration { deposit: 0, block: self.block, info };
        self.state.put(&slots::commitment_of(netuid, &who), &registration);
        self.state.put(&slots::last_commitment(netuid, &who), &self.block);
        self.events.push(Event::Commitments(match round {
            Some(round) => CommitmentsEvent::TimelockCommitment(netuid, who, round),
            None => CommitmentsEvent::Commitment(netuid, who),
        }));
        Ok(())
    }
}

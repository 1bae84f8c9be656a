//! `SubtensorModule.burned_register`, and the neuron that it makes.

use grail_protocol::AccountId;

use super::{Dispatch, ensure};
use crate::chain::event::{DispatchError, Event, SubtensorError, SubtensorEvent};
use crate::chain::slots;
use crate::chain::state::{Overlay, Read};

const ROOT_NETUID: u16 = 0;

impl Dispatch<'_, '_> {
    /// The pallet's checks in its order; then the burn leaves the coldkey's balance and the hotkey gets the next
    /// uid. A full subnet refuses: nobody is pruned here.
    pub(super) fn burned_register(&mut self, netuid: u16, hotkey: AccountId) -> Result<(), DispatchError> {
        use SubtensorError as E;
        let coldkey = self.signer;
        ensure(netuid != ROOT_NETUID, E::RegistrationNotPermittedOnRootSubnet)?;
        ensure(self.state.value(&slots::networks_added(netuid)), E::SubnetNotExists)?;
        ensure(self.state.value(&slots::registration_allowed(netuid)), E::SubNetRegistrationDisabled)?;
        let this_block = self.state.value(&slots::registrations_this_block(netuid));
        let most = self.state.value(&slots::max_registrations_per_block(netuid));
        ensure(this_block < most, E::TooManyRegistrationsThisBlock)?;
        let this_interval = self.state.value(&slots::registrations_this_interval(netuid));
        let target = self.state.value(&slots::target_registrations_per_interval(netuid));
        ensure(this_interval < target.saturating_mul(3), E::TooManyRegistrationsThisInterval)?;
        ensure(!self.state.holds(&slots::uids(netuid, &hotkey)), E::HotKeyAlreadyRegisteredInSubNet)?;
        let burn = self.state.value(&slots::burn(netuid));
        let balance = self.state.value(&slots::account(&coldkey)).free;
        ensure(balance >= burn, E::NotEnoughBalanceToStake)?;
        let owner = self.state.get(&slots::owner(&hotkey));
        ensure(owner.is_none_or(|owner| owner == coldkey), E::NonAssociatedColdKey)?;
        let (taken, most) = occupancy(self.state, netuid);
        ensure(taken < most, E::NoNeuronIdAvailable)?;

        self.state.update(&slots::account(&coldkey), |account| account.free -= burn);
        self.state.update(&slots::registrations_this_block(netuid), |count| *count += 1);
        self.state.update(&slots::registrations_this_interval(netuid), |count| *count += 1);
        let uid = append_neuron(self.state, netuid, hotkey, coldkey, u64::from(self.block));
        self.events.push(Event::Subtensor(SubtensorEvent::NeuronRegistered(netuid, uid, hotkey)));
        Ok(())
    }
}

/// Uids taken and uids there are.
fn occupancy(state: &Overlay, netuid: u16) -> (u16, u16) {
    (state.value(&slots::subnetwork_n(netuid)), state.value(&slots::max_allowed_uids(netuid)))
}

/// Gives the hotkey the next uid, which must be free.
pub(crate) fn append_neuron(
    state: &mut Overlay,
    netuid: u16,
    hotkey: AccountId,
    coldkey: AccountId,
    block: u64,
) -> u16 {
    let uid = state.value(&slots::subnetwork_n(netuid));
    state.put(&slots::subnetwork_n(netuid), &(uid + 1));
    state.put(&slots::owner(&hotkey), &coldkey);
    state.update(&slots::active(netuid), |active| active.push(true));
    state.update(&slots::last_update(netuid), |last| last.push(block));
    state.update(&slots::validator_permit(netuid), |permits| permits.push(false));
    state.put(&slots::keys(netuid, uid), &hotkey);
    state.put(&slots::uids(netuid, &hotkey), &uid);
    state.put(&slots::block_at_registration(netuid, uid), &block);
    state.put(&slots::is_network_member(&hotkey, netuid), &true);
    uid
}

//! `SubtensorModule.serve_axon`.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{Dispatch, ensure};
use crate::chain::call::ServeAxon;
use crate::chain::event::{DispatchError, Event, SubtensorError, SubtensorEvent};
use crate::chain::slots::{self, AxonInfo};
use crate::chain::state::Read;

impl Dispatch<'_, '_> {
    /// Stores where the signer's server listens.
    pub(super) fn serve_axon(&mut self, axon: &ServeAxon) -> Result<(), DispatchError> {
        use SubtensorError as E;
        let (netuid, who) = (axon.netuid, self.signer);
        ensure(self.state.value(&slots::networks_added(netuid)), E::MechanismDoesNotExist)?;
        ensure(self.state.holds(&slots::uids(netuid, &who)), E::HotKeyNotRegisteredInNetwork)?;
        ensure(axon.ip_type == 4 || axon.ip_type == 6, E::InvalidIpType)?;
        ensure(is_public_address(axon.ip_type, axon.ip), E::InvalidIpAddress)?;
        ensure(self.may_serve_again(netuid), E::ServingRateLimitExceeded)?;
        ensure(axon.port != 0, E::InvalidPort)?;
        let info = AxonInfo {
            block: u64::from(self.block),
            version: axon.version,
            ip: axon.ip,
            port: axon.port,
            ip_type: axon.ip_type,
            protocol: axon.protocol,
            placeholder1: axon.placeholder1,
            placeholder2: axon.placeholder2,
        };
        self.state.put(&slots::axons(netuid, &who), &info);
        self.events.push(Event::Subtensor(SubtensorEvent::AxonServed(netuid, who)));
        Ok(())
    }

    fn may_serve_again(&self, netuid: u16) -> bool {
        let last = self.state.value(&slots::axons(netuid, &self.signer)).block;
        let limit = self.state.value(&slots::serving_rate_limit(netuid));
        limit == 0 || last == 0 || u64::from(self.block).saturating_sub(last) >= limit
    }
}

/// The pallet refuses zero, broadcast and loopback addresses of IPv4, and zero, all ones and loopback of IPv6.
fn is_public_address(ip_type: u8, ip: u128) -> bool {
    if ip_type == 4 {
        let Ok(ip) = u32::try_from(ip).map(Ipv4Addr::from) else { return false };
        !(ip.is_unspecified() || ip.is_broadcast() || ip.is_loopback())
    } else {
        let ip = Ipv6Addr::from(ip);
        !(ip.is_unspecified() || ip.is_loopback() || ip.to_bits() == u128::MAX)
    }
}

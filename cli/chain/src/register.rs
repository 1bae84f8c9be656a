//! Taking a place on the subnet.
//!
//! A registration is paid and signed by a coldkey, so this serves local networks, whose coldkeys are development
//! keys that everybody knows. On a real network it is the business of a wallet.

use grail_protocol::AccountId;
use grail_protocol::signature::Signer;
use subxt::ext::scale_value::{Composite, Value};

use crate::{Chain, Included, SubmitError, Wait};

impl Chain {
    /// Registers a hotkey, paid by a coldkey.
    ///
    /// # Errors
    /// [`SubmitError`]; a hotkey that is registered already is one.
    pub async fn burned_register(
        &self,
        coldkey: &Signer,
        hotkey: &AccountId,
        wait: Wait,
    ) -> Result<Included, SubmitError> {
        let arguments = Composite::named([
            ("netuid", Value::u128(self.settings().netuid.into())),
            ("hotkey", Value::from_bytes(hotkey)),
        ]);
        let call = subxt::dynamic::tx("SubtensorModule", "burned_register", arguments);
        self.submit(coldkey, &call, wait).await
    }
}

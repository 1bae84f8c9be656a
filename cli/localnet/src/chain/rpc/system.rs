//! `system_*`: what the node says of itself, and nonces.

use grail_protocol::ss58;
use jsonrpsee::server::{RegisterMethodError, RpcModule};
use serde_json::json;

use super::params::{Answer, Arguments, invalid};
use crate::chain::node::Chain;
use crate::chain::version::{IMPL_NAME, SS58_PREFIX};

const CHAIN_NAME: &str = "grail localnet";
const TOKEN_DECIMALS: u32 = 9;
const TOKEN_SYMBOL: &str = "TAO";

pub(super) fn register(module: &mut RpcModule<Chain>) -> Result<(), RegisterMethodError> {
    module.register_method("system_chain", |_, _, _| CHAIN_NAME)?;
    module.register_method("system_chainType", |_, _, _| "Development")?;
    module.register_method("system_name", |_, _, _| IMPL_NAME)?;
    module.register_method("system_version", |_, _, _| env!("CARGO_PKG_VERSION"))?;
    module.register_method("system_nodeRoles", |_, _, _| json!(["Authority"]))?;
    module.register_method(
        "system_properties",
        |_, _, _| json!({ "ss58Format": SS58_PREFIX, "tokenDecimals": TOKEN_DECIMALS, "tokenSymbol": TOKEN_SYMBOL }),
    )?;
    module.register_method(
        "system_health",
        |_, _, _| json!({ "peers": 0, "isSyncing": false, "shouldHavePeers": false }),
    )?;
    module.register_method("system_syncState", |_, chain, _| {
        let best = chain.heads().best;
        json!({ "startingBlock": 0, "currentBlock": best, "highestBlock": best })
    })?;
    module.register_method("system_accountNextIndex", |params, chain, _| {
        let address = Arguments::of(&params).text("account")?;
        let account = ss58::decode(&address).map_err(invalid)?;
        Answer::Ok(json!(chain.next_nonce(&account)))
    })?;
    module.register_alias("account_nextIndex", "system_accountNextIndex")
}

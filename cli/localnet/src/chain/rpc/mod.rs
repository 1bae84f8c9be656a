//! Substrate's JSON-RPC over WebSocket and HTTP, on one port.
//!
//! The legacy methods, which every client knows; names, parameters, results and error codes are Substrate's.
//! There is no `chainHead` or `archive` group: clients look at `rpc_methods` and take what is there.

mod author;
mod chain;
mod params;
mod server;
mod state;
mod system;

use jsonrpsee::server::{RegisterMethodError, RpcModule};
use serde_json::json;

use super::node::Chain;

pub(crate) use params::hex_text;
pub use server::ChainServer;

/// All methods of the server.
fn module(chain: Chain) -> Result<RpcModule<Chain>, RegisterMethodError> {
    let mut module = RpcModule::new(chain);
    author::register(&mut module)?;
    chain::register(&mut module)?;
    state::register(&mut module)?;
    system::register(&mut module)?;
    let mut names = module.method_names().chain(["rpc_methods"]).collect::<Vec<_>>();
    names.sort_unstable();
    module.register_method("rpc_methods", move |_, _, _| json!({ "methods": names }))?;
    Ok(module)
}

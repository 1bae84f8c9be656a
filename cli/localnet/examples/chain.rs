//! A chain to try clients on: `cargo run -p grail-localnet --example chain -- 127.0.0.1:9944 1000`.
//!
//! Address and block time in milliseconds. The well-known keys //Alice and //Bob have balances.

use std::net::SocketAddr;
use std::time::Duration;

use grail_localnet::chain::{Chain, ChainConfig, GenesisConfig};

const ALICE: &str = "d43593c715fdd31c61141abd04a99fd6822c8558854ccde39a5684e7a56da27d";
const BOB: &str = "8eaf04151687736326c9fea17e25fc5287613693c912909cb226aa4794f26a48";

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().map_or(Ok(SocketAddr::from(([127, 0, 0, 1], 9944))), |text| text.parse())?;
    let block_ms = arguments.next().map_or(Ok(1000), |text| text.parse())?;
    let mut balances = vec![];
    for key in [ALICE, BOB] {
        let account = hex::decode(key)?.try_into().map_err(|_| "a key has 32 bytes")?;
        balances.push((account, 1_000_000_000_000));
    }
    let genesis = GenesisConfig { balances, ..GenesisConfig::default() };
    let config = ChainConfig { genesis, block_time: Some(Duration::from_millis(block_ms)), ..ChainConfig::default() };
    let server = Chain::open(config, None)?.serve(address).await?;
    println!("{}", server.url());
    tokio::signal::ctrl_c().await?;
    server.shutdown().await;
    Ok(())
}

//! `grail localnet`: chain, beacon and buckets until told to stop.

use std::io::Write;

use anyhow::{Context, Result};
use grail_protocol::ss58;
use serde_json::json;

use super::Outcome;
use super::subnet::{Model, runtime};
use crate::flags::Localnet;
use crate::subnet::Stop;
use crate::subnet::local::{COLDKEY, LocalNet, LocalOptions, MINER, Ports, Sizes, VALIDATOR, development_key};
use crate::terminal::Paint;

pub fn run(flags: &Localnet, out: &mut dyn Write) -> Result<Outcome> {
    let model = Model::open(&flags.model)?;
    let folder = flags.data.folder()?.join("localnet");
    let options = LocalOptions {
        folder: folder.clone(),
        ports: Ports { chain: flags.chain_port, beacon: flags.beacon_port, bucket: flags.bucket_port },
        block_time: flags.block_time.map(|time| time.0),
        sizes: Sizes {
            window_length: flags.window_length,
            max_new_tokens: flags.max_new_tokens,
            rollouts_per_problem: flags.rollouts_per_problem,
            max_groups: flags.max_groups,
        },
        commit_reveal: flags.commit_reveal,
        upgrade_at: flags.upgrade_at,
        model: model.identity,
        validators: flags.validator.iter().map(|address| address.0).collect(),
        miners: Vec::new(),
    };
    let runtime = runtime()?;
    runtime.block_on(async {
        let stop = Stop::on_signal().context("signals")?;
        let net = LocalNet::start(&options).await?;
        let (at, network) = (net.description(), net.network());
        let parameters = network.network().parameters();
        if flags.json {
            let told = json!({
                "chain": at.chain,
                "beacon": at.beacon,
                "bucket": at.bucket,
                "folder": folder,
                "network_id": hex::encode(network.network().id()),
                "netuid": parameters.netuid,
                "block_time_ms": at.block_time_ms,
                "window_length": parameters.window_length,
            });
            writeln!(out, "{told}")?;
        } else {
            let paint = Paint::stdout();
            let mut row = |label: &str, value: String| writeln!(out, "{} {value}", paint.dim(format!("{label:<10}")));
            row("chain", format!("{} (netuid {})", at.chain, parameters.netuid))?;
            row("beacon", at.beacon.clone())?;
            row("buckets", at.bucket.clone())?;
            row("network", hex::encode(network.network().id()))?;
            let seconds = at.block_time_ms as f64 / 1000.0;
            let windows = format!("{} blocks of {seconds} s", parameters.window_length);
            row("windows", windows)?;
            row("folder", folder.display().to_string())?;
            for (label, key) in [("coldkey", COLDKEY), ("validator", VALIDATOR), ("miner", MINER)] {
                row(label, format!("{key} {}", ss58::encode(&development_key(key).account())))?;
            }
        }
        out.flush()?;
        stop.wait().await;
        net.shutdown().await;
        Ok(Outcome::Done)
    })
}

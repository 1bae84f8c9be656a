//! `grail mine`: from flags to a miner that runs.

use anyhow::{Context, Result};
use grail_protocol::assignment::Protocol;
use grail_protocol::ss58;

use super::Outcome;
use super::service::watched;
use super::subnet::{Model, joined, printer, runtime, signer};
use crate::flags::Mine;
use crate::load;
use crate::metrics::{self, Metrics, with_metrics};
use crate::miner::{Miner, MinerOptions, folder};
use crate::monitor::with_file;
use crate::sat::Sat;
use crate::subnet::Stop;
use crate::subnet::local::MINER;

pub fn run(flags: &Mine) -> Result<Outcome> {
    let listener = metrics::listen(flags.monitor.metrics_addr)?;
    let model = Model::open(&flags.model)?;
    let signer = signer(&flags.signer, &flags.subnet, MINER)?;
    let runtime = runtime()?;
    runtime.block_on(async {
        let stop = Stop::on_signal().context("signals")?;
        let Some(joined) = joined(&flags.subnet, &model.identity, &signer, &stop).await? else {
            return Ok(Outcome::Done);
        };
        let network = joined.subnet.network.network().clone();
        let address = ss58::encode(&signer.account());
        let protocol = Protocol::new(&network, &Sat, &model.tokenizer, model.checkpoint.config())?;
        let options = MinerOptions {
            folder: folder(&joined.data, network.id(), &address),
            windows: flags.windows,
            upload_blocks: flags.upload_blocks,
            batch_groups: flags.batch.into(),
        };
        let engine = load::on_device(model.checkpoint, flags.engine.options()).context("the model")?;
        let events = with_file(printer(flags.json), flags.monitor.events.clone()).context("--events")?;
        let events = with_metrics(events, listener, Metrics::of_miner()).context("--metrics-addr")?;
        let watching = watched(&flags.monitor, &joined.subnet.watchdog)?;
        let mut miner = Miner::new(&protocol, engine, joined.subnet, joined.bucket, signer, options, events);
        let result = miner.run(&stop).await;
        // Before the chain that it follows ends.
        drop(miner);
        drop(watching);
        if let Some(local) = joined.local {
            local.shutdown().await;
        }
        result.map(|()| Outcome::Done)
    })
}

//! `grail validate`: from flags to a validator that runs.

use anyhow::{Context, Result, ensure};
use grail_protocol::assignment::Protocol;
use grail_protocol::ss58;

use super::service::watched;
use super::subnet::{Model, joined, printer, runtime, signer};
use super::{Outcome, Usage};
use crate::flags::{NetworkName, Policy, Validate};
use crate::load;
use crate::metrics::{self, Metrics, with_metrics};
use crate::monitor::with_file;
use crate::sat::Sat;
use crate::subnet::Stop;
use crate::subnet::local::VALIDATOR;
use crate::validator::{Validator, ValidatorOptions, Weighing, folder};

/// Blocks between weights on real networks (PROTOCOL 10).
const WEIGHTS_INTERVAL: u64 = 360;

pub fn run(flags: &Validate) -> Result<Outcome> {
    let percentage = flags.burn_percentage;
    ensure!((0.0..=100.0).contains(&percentage), Usage(format!("--burn-percentage: {percentage}; expected 0 to 100")));
    ensure!(
        flags.policy == Policy::Default || percentage > 0.0,
        Usage("--policy seed: needs --burn-percentage above 0".into())
    );
    if let Some(folder) = &flags.export {
        ensure!(folder.is_dir(), Usage(format!("--export: {} is no folder", folder.display())));
    }
    let listener = metrics::listen(flags.monitor.metrics_addr)?;
    let model = Model::open(&flags.model)?;
    let signer = signer(&flags.signer, &flags.subnet, VALIDATOR)?;
    let runtime = runtime()?;
    runtime.block_on(async {
        let stop = Stop::on_signal().context("signals")?;
        let Some(joined) = joined(&flags.subnet, &model.identity, &signer, &stop).await? else {
            return Ok(Outcome::Done);
        };
        let network = joined.subnet.network.network().clone();
        let parameters = network.parameters();
        let address = ss58::encode(&signer.account());
        let protocol = Protocol::new(&network, &Sat, &model.tokenizer, model.checkpoint.config())?;
        let local = flags.subnet.network == NetworkName::Local;
        let usual = if local { parameters.window_length } else { WEIGHTS_INTERVAL };
        let weighing = Weighing {
            policy: flags.policy,
            burn_uid: flags.burn_uid,
            burn_percentage: flags.burn_percentage,
            window_length: parameters.window_length,
            rollouts_per_problem: parameters.rollouts_per_problem.into(),
        };
        let options = ValidatorOptions {
            folder: folder(&joined.data, network.id(), &address),
            windows: flags.windows,
            test_mode: flags.test_mode,
            weights_interval: flags.weights_interval.unwrap_or(usual),
            fetches: flags.fetches as usize,
            weighing,
            export: flags.export.clone(),
        };
        let engine = load::on_device(model.checkpoint, flags.engine.options()).context("the model")?;
        let events = with_file(printer(flags.json), flags.monitor.events.clone()).context("--events")?;
        let metrics = Metrics::of_validator(parameters.rollouts_per_problem.into(), options.weights_interval);
        let events = with_metrics(events, listener, metrics).context("--metrics-addr")?;
        let watching = watched(&flags.monitor, &joined.subnet.watchdog)?;
        let mut validator = Validator::new(&protocol, engine, joined.subnet, joined.bucket, signer, options, events)?;
        let result = validator.run(&stop).await;
        // Before the chain that it follows ends.
        drop(validator);
        drop(watching);
        if let Some(local) = joined.local {
            local.shutdown().await;
        }
        result.map(|()| Outcome::Done)
    })
}

//! `grail demo`: a whole subnet in one process. A local network, two honest miners, one that edits a token of its best
//! answer, a validator that finds it, and weights on a chain: all over the real protocols, by the code that `grail mine`
//! and `grail validate` run.

mod cheater;
mod edit;
mod story;

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use grail_engine::{Engine, EngineOptions};
use grail_protocol::assignment::Protocol;
use grail_protocol::params::Network;
use grail_protocol::verify::ReasonKind;
use tokio::runtime::Handle;

use super::subnet::{Model, runtime};
use super::{Outcome, Usage};
use crate::flags::{Demo, Policy};
use crate::load;
use crate::miner::{Miner, MinerOptions, Publisher};
use crate::report::{self, Fact, Report, Role};
use crate::sat::Sat;
use crate::subnet::local::{Description, LocalNet, LocalOptions, Ports, Sizes, VALIDATOR, development_key};
use crate::subnet::{Events, Stop, Subnet, clients, settle};
use crate::terminal::Paint;
use crate::validator::{Validator, ValidatorOptions, Weighing};
use cheater::{Cheater, Forged};
use story::{Actor, Story};

/// Memory of one of the four engines, of a model that is inside the program.
const SMALL_BYTES: u64 = 1 << 30;
/// What the validator has to say of the edit: nothing else about the file is wrong.
const EXPECTED: ReasonKind = ReasonKind::SketchMismatch;

/// What all actors share.
struct Stage<'a> {
    flags: &'a Demo,
    folder: &'a Path,
    model: &'a Model,
    network: &'a Network,
    subnet: Subnet,
    at: Description,
    story: Arc<Story>,
    stop: Stop,
}

pub fn run(flags: &Demo, out: &mut dyn Write) -> Result<Outcome> {
    let begun = Instant::now();
    let model = Model::open(&flags.model)?;
    let folder = tempfile::Builder::new().prefix("grail-demo-").tempdir().context("a folder for the demo")?;
    let actors = vec![
        Actor { name: "miner A", role: Role::Honest, account: development_key("//MinerA").account() },
        Actor { name: "miner B", role: Role::Honest, account: development_key("//MinerB").account() },
        Actor { name: "cheater", role: Role::Cheater, account: development_key("//Cheater").account() },
        Actor { name: "validator", role: Role::Validator, account: development_key(VALIDATOR).account() },
    ];
    let options = LocalOptions {
        folder: folder.path().join("localnet"),
        ports: Ports::default(),
        block_time: Some(flags.block_time.0),
        sizes: Sizes {
            window_length: Some(flags.window_length),
            max_new_tokens: Some(flags.max_new_tokens),
            rollouts_per_problem: None,
            max_groups: Some(flags.problems),
        },
        commit_reveal: None,
        upgrade_at: None,
        model: model.identity.clone(),
        validators: Vec::new(),
        miners: actors.iter().filter(|actor| actor.role != Role::Validator).map(|actor| actor.account).collect(),
    };
    // Before anything is served: what does not fit is told at once.
    let engines = std::iter::repeat_with(|| engine(flags)).take(actors.len()).collect::<Result<Vec<_>>>()?;
    let runtime = runtime()?;
    let net = runtime.block_on(LocalNet::start(&options))?;
    let at = net.description().clone();
    let subnet = runtime.block_on(clients(net.network().clone(), &at))?;
    let stop = runtime.block_on(async { Stop::on_signal() }).context("signals")?;
    let network = net.network().network().clone();
    let story = Arc::new(Story::new(actors, flags.json));
    if !flags.json {
        opening(out, flags, &network, &at)?;
    }
    let stage = Stage { flags, folder: folder.path(), model: &model, network: &network, subnet, at, story, stop };
    let fits = stage.protocol(&Sat).map_err(|error| Usage(error.to_string()));
    let played = match fits {
        Ok(_) => stage.play(runtime.handle(), engines),
        Err(usage) => Err(usage.into()),
    };
    let played = played.and_then(|forged| Ok((forged, runtime.block_on(stage.weights())?)));
    // The clients first: who follows a chain that ends would complain.
    let Stage { story, subnet, .. } = stage;
    drop(subnet);
    runtime.block_on(net.shutdown());
    let (forged, weights) = played?;
    let report = story.report(facts(flags, &network, begun.elapsed()), &weights, &forged, &model.tokenizer);
    report::write(&flags.report, &report::html(&report))
        .with_context(|| format!("--report {}", flags.report.display()))?;
    let problems = problems(&report, flags.windows);
    closing(out, flags, &report, &problems, &story.missed())?;
    Ok(if problems.is_empty() { Outcome::Done } else { Outcome::Rejected })
}

/// A fair part of the machine.
fn engine(flags: &Demo) -> Result<Engine> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let asked = flags.engine.options();
    let is_small = flags.model.model == "sat-tiny";
    let options = EngineOptions {
        threads: asked.threads.or(Some((cores / 4).max(1))),
        memory_bytes: asked.memory_bytes.or(is_small.then_some(SMALL_BYTES)),
        ..asked
    };
    load::on_device(load::checkpoint(&flags.model.model)?, options).context("the model")
}

impl Stage<'_> {
    /// Everybody at once, each on a thread of its own, until all are done.
    fn play(&self, runtime: &Handle, engines: Vec<Engine>) -> Result<Vec<Forged>> {
        let engines: [Engine; 4] = engines.try_into().map_err(|_| anyhow!("four engines for four actors"))?;
        std::thread::scope(|scope| {
            let [a, b, c, v] = engines;
            let mine = |actor, key, engine| scope.spawn(move || runtime.block_on(self.mine(actor, key, engine)));
            let miners = vec![mine(0, "//MinerA", a), mine(1, "//MinerB", b)];
            let cheater = scope.spawn(|| runtime.block_on(self.cheat(2, c)));
            let validator = scope.spawn(|| runtime.block_on(self.validate(3, v)));
            let done = |name: &str, result: std::thread::Result<Result<()>>| {
                result.map_err(|_| anyhow!("{name} panicked"))?.with_context(|| name.to_owned())
            };
            let mut results: Vec<Result<()>> = miners.into_iter().map(|m| done("a miner", m.join())).collect();
            let forged = cheater.join().map_err(|_| anyhow!("the cheater panicked"))?.context("the cheater");
            results.push(done("the validator", validator.join()));
            results.into_iter().collect::<Result<Vec<()>>>()?;
            forged
        })
    }

    fn events(&self, actor: usize) -> Events {
        let story = Arc::clone(&self.story);
        Events::to(move |event| story.hear(actor, &event))
    }

    fn protocol<'a>(&'a self, sat: &'a Sat) -> Result<Protocol<'a, Sat>> {
        Ok(Protocol::new(self.network, sat, &self.model.tokenizer, self.model.checkpoint.config())?)
    }

    async fn mine(&self, actor: usize, key: &str, engine: Engine) -> Result<()> {
        let signer = development_key(key);
        let bucket = settle(&self.subnet, &self.at, &signer).await?;
        let protocol = self.protocol(&Sat)?;
        let options = MinerOptions {
            folder: self.folder.join(&key[2..]),
            windows: Some(self.flags.windows),
            upload_blocks: 3,
            batch_groups: 8,
        };
        let events = self.events(actor);
        let mut miner = Miner::new(&protocol, engine, self.subnet.clone(), bucket, signer, options, events);
        miner.run(&self.stop).await
    }

    async fn cheat(&self, actor: usize, engine: Engine) -> Result<Vec<Forged>> {
        let signer = development_key("//Cheater");
        let bucket = settle(&self.subnet, &self.at, &signer).await?;
        let protocol = self.protocol(&Sat)?;
        let publisher = Publisher::new(self.subnet.clone(), signer, bucket, self.events(actor));
        let mut cheater = Cheater {
            protocol: &protocol,
            engine,
            publisher,
            folder: self.folder.join("Cheater"),
            windows: self.flags.windows,
            problems: u64::from(self.flags.problems),
        };
        cheater.run(&self.stop).await
    }

    async fn validate(&self, actor: usize, engine: Engine) -> Result<()> {
        let signer = development_key(VALIDATOR);
        let bucket = settle(&self.subnet, &self.at, &signer).await?;
        let protocol = self.protocol(&Sat)?;
        let parameters = self.network.parameters();
        let weighing = Weighing {
            policy: Policy::Default,
            burn_uid: 0,
            burn_percentage: 0.0,
            window_length: parameters.window_length,
            rollouts_per_problem: parameters.rollouts_per_problem.into(),
        };
        let options = ValidatorOptions {
            folder: self.folder.join("Validator"),
            windows: Some(self.flags.windows),
            test_mode: false,
            weights_interval: 1,
            fetches: 8,
            weighing,
            export: None,
        };
        let events = self.events(actor);
        let mut validator = Validator::new(&protocol, engine, self.subnet.clone(), bucket, signer, options, events)?;
        validator.run(&self.stop).await
    }

    /// The validator's weights, read from the chain.
    async fn weights(&self) -> Result<Vec<(u16, u16)>> {
        let chain = &self.subnet.chain;
        let head = chain.head().await?;
        let validator = development_key(VALIDATOR).account();
        let uid = chain.registration(&head, &validator).await?.context("the validator has no uid")?;
        Ok(chain.weights(&head, uid).await?)
    }
}

/// What is not as it has to be: each honest miner accepted and weighed, the cheater found out for the right reason and
/// without weight.
fn problems(report: &Report, windows: u64) -> Vec<String> {
    let mut problems = Vec::new();
    for party in report.miners() {
        let share = report.share(party).unwrap_or(0.0);
        let (valid, fraud) = (party.count(report::Outcome::Valid), party.count(report::Outcome::Fraud));
        let mut unless = |holds: bool, problem: String| {
            if !holds {
                problems.push(format!("{}: {problem}", party.name));
            }
        };
        match party.role {
            Role::Honest => {
                unless(valid > 0, "no window was accepted".into());
                unless(fraud == 0, format!("{fraud} windows were called fraud"));
                unless(share > 0.0, "has no weight on chain".into());
            }
            Role::Cheater => {
                let verdicts = party.entries.iter().filter_map(|entry| entry.verdict.as_ref());
                let found =
                    verdicts.filter_map(|v| v.reason.as_ref()).filter(|r| r.rule == EXPECTED.to_string()).count();
                unless(found > 0, format!("no window was called {EXPECTED}"));
                unless(valid == 0, format!("{valid} of {windows} windows were accepted"));
                unless(share == 0.0, "has weight on chain".into());
            }
            Role::Validator => {}
        }
    }
    problems
}

fn opening(out: &mut dyn Write, flags: &Demo, network: &Network, at: &Description) -> Result<()> {
    let paint = Paint::stdout();
    let p = network.parameters();
    let seconds = flags.windows as f64 * flags.window_length as f64 * flags.block_time.0.as_secs_f64();
    writeln!(
        out,
        "{}",
        paint.bold("grail demo: two honest miners, a cheater and a validator on a chain of their own")
    )?;
    let mut row = |label: &str, value: String| writeln!(out, "  {} {value}", paint.dim(format!("{label:<8}")));
    row("model", format!("{} {}...", p.model_name, &hex::encode(p.weights_digest)[..16]))?;
    row("chain", format!("{}, beacon {}, buckets {}", at.chain, at.beacon, at.bucket))?;
    row("windows", format!("{} of {} blocks: {seconds:.0} s and the last verdicts", flags.windows, p.window_length))?;
    writeln!(out)?;
    Ok(out.flush()?)
}

fn facts(flags: &Demo, network: &Network, took: Duration) -> Vec<Fact> {
    let p = network.parameters();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    vec![
        Fact::new("network", hex::encode(network.id())),
        Fact::new("model", format!("{}, weights digest {}", p.model_name, hex::encode(p.weights_digest))),
        Fact::new("numerics", grail_protocol::NUMERICS),
        Fact::new("windows", format!("{} of {} blocks, {:?} each", flags.windows, p.window_length, flags.block_time.0)),
        Fact::new("rollouts", format!("{} per problem, at most {} tokens", p.rollouts_per_problem, p.max_new_tokens)),
        Fact::new("machine", format!("{cores} cores, {}", std::env::consts::ARCH)),
        Fact::new("wall time", format!("{:.0} s", took.as_secs_f64())),
    ]
}

fn closing(out: &mut dyn Write, flags: &Demo, report: &Report, problems: &[String], missed: &[String]) -> Result<()> {
    if flags.json {
        writeln!(out, "{}", serde_json::to_string(report).context("the report as JSON")?)?;
        return Ok(());
    }
    let paint = Paint::stdout();
    writeln!(out, "\n{}\n{}", report::table(report, paint), report::conclusion(report))?;
    if let Some(edit) = report.rollout.as_ref().and_then(|rollout| rollout.edit.as_ref())
        && let Some(difference) = &edit.difference
    {
        writeln!(
            out,
            "The edit: token {} ({:?} for {:?}). Found at position {}: {} is {}, had to be {}.",
            edit.position,
            edit.claimed.text,
            edit.original.text,
            difference.position,
            difference.field,
            difference.found,
            difference.expected
        )?;
    }
    for text in missed {
        writeln!(out, "{}", paint.yellow(format!("missed: {text}")))?;
    }
    for problem in problems {
        writeln!(out, "{}", paint.red(format!("not as it has to be: {problem}")))?;
    }
    writeln!(out, "report: {}", flags.report.display())?;
    Ok(())
}

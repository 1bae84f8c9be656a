//! `grail soak`: the protocol over and over with whatever could make a difference chosen at random: model, network,
//! window, batch, threads, instruction set, chunks. An honest file that is rejected would be a bug of the engine.

use std::io::Write;
use std::time::Instant;

use anyhow::{Context, Result};
use grail_engine::checkpoint::Checkpoint;
use grail_engine::checkpoint::synthetic::{Shape, random_checkpoint, tokenizer_config_json};
use grail_engine::cpu::isa::Isa;
use grail_engine::tokenizer::Tokenizer;
use grail_engine::{DeviceChoice, Engine, EngineOptions};
use grail_protocol::assignment::Protocol;
use grail_protocol::encoding::sha256;
use grail_protocol::mersenne::Mersenne;
use grail_protocol::params::{Network, Parameters};
use grail_protocol::prove::{self, Moment};
use grail_protocol::verify::{Claimed, Extent, Selection, Verdict, Verifier, scorer};
use grail_protocol::window::{self, Form, Schema};

use serde_json::json;

use super::Outcome;
use crate::flags::Soak;
use crate::identity;
use crate::network::{NetworkFile, offline};
use crate::offline::{made_head, public_signer};
use crate::sat::Sat;
use crate::terminal::{Paint, StatusLine, count};

/// One round in this many is by sat-tiny, whose answers end by themselves.
const SAT_TINY_EVERY: u64 = 3;

/// A byte is a token of the random models, and the longest problem has fewer bytes than this.
const POSITIONS: usize = 4096;

/// Memory of an engine: every model here is small.
const MEMORY_BYTES: u64 = 1 << 30;

pub fn run(flags: &Soak, out: &mut dyn Write) -> Result<Outcome> {
    let begun = Instant::now();
    let mut line = StatusLine::stderr();
    let mut sum = Sum::default();
    while sum.tokens < flags.tokens {
        let round = Round::of(flags, sum.rounds)?;
        let (verdict, tokens) = round.run()?;
        sum.rounds += 1;
        sum.tokens += tokens;
        sum.rollouts += verdict.rollouts.len() as u64;
        if let Some(reason) = verdict.reason {
            line.clear();
            if flags.json {
                let round = sum.rounds - 1;
                let told = json!({"rejected": reason.to_string(), "round": round, "seed": flags.seed});
                writeln!(out, "{told}")?;
                return Ok(Outcome::Rejected);
            }
            writeln!(out, "round {} (seed {}): {}", sum.rounds - 1, flags.seed, round.describe())?;
            writeln!(out, "{}", Paint::stdout().red(format!("rejected an honest file: {reason}")))?;
            return Ok(Outcome::Rejected);
        }
        line.show(|| format!("{} tokens in {} rounds, none rejected", count(sum.tokens), sum.rounds));
    }
    line.clear();
    let seconds = begun.elapsed().as_secs_f64();
    let Sum { rounds, rollouts, tokens } = sum;
    if flags.json {
        let told =
            json!({"tokens": tokens, "rollouts": rollouts, "rounds": rounds, "seconds": seconds, "rejected": null});
        writeln!(out, "{told}")?;
        return Ok(Outcome::Done);
    }
    writeln!(out, "{tokens} tokens of {rollouts} rollouts in {rounds} rounds, {seconds:.0} s: 0 rejections")?;
    Ok(Outcome::Done)
}

#[derive(Default)]
struct Sum {
    rounds: u64,
    rollouts: u64,
    tokens: u64,
}

/// What one round is made of. The maker's and the judge's machine differ.
struct Round {
    name: String,
    checkpoint: fn(u64, &Shape) -> Result<Checkpoint>,
    shape: Shape,
    seed: u64,
    network: NetworkFile,
    window: String,
    problems: u64,
    maker: EngineOptions,
    judge: EngineOptions,
}

impl Round {
    fn of(flags: &Soak, number: u64) -> Result<Self> {
        let text = format!("grail soak {} {number}", flags.seed);
        let mut dice = Dice(Mersenne::from_bytes(&sha256(text.as_bytes())));
        let is_sat_tiny = number.is_multiple_of(SAT_TINY_EVERY);
        let (name, shape, seed) = (if is_sat_tiny { "sat-tiny" } else { "random" }, dice.shape(), dice.below(1 << 30));
        let open: fn(u64, &Shape) -> Result<Checkpoint> = match is_sat_tiny {
            true => |_, _| Ok(Checkpoint::sat_tiny()?),
            false => |seed, shape| Ok(random_checkpoint(seed, shape)?),
        };
        let checkpoint = open(seed, &shape)?;
        let tokenizer = tokenizer(&checkpoint)?;
        let eos = tokenizer.eos_id().context("the model's tokenizer names no eos token")?;
        let plain = offline(name, identity::digest(&checkpoint)?, vec![eos], dice.range(1, 320), dice.range(1, 24))?;
        let parameters = dice.sampling(plain.network().parameters().clone());
        let network = NetworkFile::new(parameters, plain.beacon().clone())?;
        let threads =
            flags.threads.map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), usize::from);
        let problems = u64::from(dice.range(1, 8));
        let (maker, judge) = (dice.options(threads), dice.options(threads));
        Ok(Self { name: name.into(), checkpoint: open, shape, seed, network, window: text, problems, maker, judge })
    }

    fn engine(&self, options: &EngineOptions) -> Result<Engine> {
        Ok(Engine::load((self.checkpoint)(self.seed, &self.shape)?, options.clone())?)
    }

    /// The verdict, and the completion tokens it covers.
    fn run(&self) -> Result<(Verdict, u64)> {
        let network: &Network = self.network.network();
        let mut maker = self.engine(&self.maker)?;
        let tokenizer = tokenizer(maker.checkpoint())?;
        let protocol = Protocol::new(network, &Sat, &tokenizer, maker.config())?;
        let (head, signer) = (made_head(&self.network, &self.window)?, public_signer());
        let account = signer.account();
        let assignment = protocol.assignment(&head, account);
        let moment = Moment { block: head.block_number, timestamp: 0.0 };
        let observer = &mut grail_engine::types::unobserved;
        let proven = prove::answer(&assignment, &mut maker, 0..self.problems, &signer, moment, observer)?;
        // A random model may leave the range of its numbers; what came before is a whole file.
        let file = prove::window_file(network, &head, &account, proven.entries, 0.0);
        let stored = window::store(&file.to_text(&Schema::of::<Sat>(), Form::Whole));
        let file = window::read_stored(&stored[..], &Schema::of::<Sat>(), &protocol.limits())?;
        drop(maker);
        let mut judge = self.engine(&self.judge)?;
        let verifier = Verifier::new(&protocol);
        let claimed = Claimed { file: &file, head: &head, account: &account };
        let verdict = verifier.verify(claimed, Selection::All, Extent::Deciding, &mut scorer(&mut judge))?;
        let tokens = file.inferences.iter().map(|e| e.commit.rollout.completion_length as u64).sum();
        Ok((verdict, tokens))
    }

    fn describe(&self) -> String {
        let Self { name, shape, network, problems, maker, judge, .. } = self;
        let parameters = network.network().parameters().canonical();
        format!(
            "{name}, shape {shape:?}, {problems} problems, made with {maker:?}, judged with {judge:?}, {parameters}"
        )
    }
}

/// A model made in memory has no file that names its eos token.
fn tokenizer(checkpoint: &Checkpoint) -> Result<Tokenizer> {
    let made = tokenizer_config_json();
    let config = checkpoint.tokenizer_config().unwrap_or(&made);
    Ok(Tokenizer::new(checkpoint.tokenizer_json(), Some(config), checkpoint.config().vocab_size)?)
}

struct Dice(Mersenne);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        (self.0.random() * n as f64) as u64
    }

    /// From `low` up to `high`, both included.
    fn range(&mut self, low: u32, high: u32) -> u32 {
        low + self.below(u64::from(high - low) + 1) as u32
    }

    fn pick<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize].clone()
    }

    /// Small, but with every ratio of heads and every remainder of a block.
    fn shape(&mut self) -> Shape {
        let kv_heads = self.pick(&[1, 2]);
        Shape {
            hidden: 16 * self.range(2, 14) as usize,
            layers: self.range(1, 3) as usize,
            heads: kv_heads * self.pick(&[1, 2, 3, 4]),
            kv_heads,
            head_dim: self.pick(&[32, 64, 128]),
            intermediate: 16 * self.range(2, 20) as usize,
            vocab: 259 + self.range(0, 300) as usize,
            tied: self.pick(&[true, false]),
            max_positions: POSITIONS,
            ..Shape::tiny()
        }
    }

    fn sampling(&mut self, parameters: Parameters) -> Parameters {
        Parameters {
            temperature: self.pick(&[0.0, 0.3, 0.7, 1.0, 1.7]),
            top_k: self.pick(&[0, 1, 5, 50]),
            top_p: self.pick(&[0.3, 0.95, 1.0]),
            repetition_penalty: self.pick(&[1.0, 1.1, 1.5, 0.9]),
            ..parameters
        }
    }

    fn options(&mut self, threads: usize) -> EngineOptions {
        let paths: Vec<String> = Isa::available().into_iter().map(|isa| isa.to_string()).collect();
        // The portable path is slow: seldom is enough.
        let cpu = (self.below(8) == 0).then(|| self.pick(&paths));
        EngineOptions {
            device: DeviceChoice::Cpu,
            threads: Some(self.range(1, threads as u32) as usize),
            cpu,
            memory_bytes: Some(MEMORY_BYTES),
            max_batch: self.pick(&[1, 7, 16, 64]),
            step_rows: self.pick(&[37, 64, 256, 512]),
            steps_ahead: self.pick(&[None, Some(3), Some(16)]),
        }
    }
}

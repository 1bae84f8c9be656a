//! Another environment than SAT: the model is to repeat a word. Prover, window file and verifier are used as they are.
//!
//!     cargo run --release --example toy_environment
//!
//! The model inside the binary has only learnt SAT, so do not expect it to win much; the proof does not care.

use anyhow::{Context, Result, ensure};
use grail::environment::{Component, Environment, Reward};
use grail::identity;
use grail::network::{NetworkFile, offline};
use grail::offline::{made_head, public_signer};
use grail_engine::checkpoint::Checkpoint;
use grail_engine::tokenizer::Tokenizer;
use grail_engine::types::unobserved;
use grail_engine::{Engine, EngineOptions};
use grail_protocol::assignment::Protocol;
use grail_protocol::encoding::sha256;
use grail_protocol::json::Value;
use grail_protocol::mersenne::Mersenne;
use grail_protocol::params::Parameters;
use grail_protocol::prove::{self, Moment};
use grail_protocol::verify::{Claimed, Extent, Selection, Verdict, Verifier, scorer};
use grail_protocol::window::{self, Form, Schema, Shape, WindowFile};

/// Repeat a word; the harder, the longer.
#[derive(Debug)]
struct Echo;

impl Environment for Echo {
    type Problem = String;
    type Answer = String;

    const NAME: &'static str = "echo";
    const COMPONENTS: &'static [Component] = &[
        Component { name: "exact", weight: 1.0, low: 0.0, high: 1.0 },
        Component { name: "letters", weight: 0.5, low: 0.0, high: 1.0 },
        Component { name: "waste", weight: 0.001, low: -1000.0, high: 0.0 },
    ];
    const STATEMENT: &'static [(&'static str, Shape)] = &[("word", Shape::Text)];
    const ANSWER: &'static [(&'static str, Shape)] = &[("echoed", Shape::Text), ("length", Shape::Integer)];

    fn problem(&self, seed_text: &str, difficulty: f64) -> grail_protocol::Result<String> {
        let mut random = Mersenne::from_bytes(&sha256(seed_text.as_bytes()));
        let length = 2 + (10.0 * difficulty) as usize;
        let mut letter = || Ok(char::from(b'a' + random.randint(0, 25)? as u8));
        (0..length).map(|_| letter()).collect()
    }

    fn prompt(&self, word: &String, eos: &str) -> String {
        format!("Repeat the word.{eos}{word}\n")
    }

    fn statement(&self, word: &String) -> Vec<Value> {
        vec![Value::from(word.as_str())]
    }

    fn parse(&self, _: &String, completion: &str) -> String {
        completion.trim().to_owned()
    }

    fn answer(&self, _: &String, echoed: &String) -> Vec<Value> {
        vec![Value::from(echoed.as_str()), Value::Integer(echoed.chars().count() as i128)]
    }

    fn reward(&self, word: &String, echoed: &String) -> Reward {
        let is_exact = word == echoed;
        let shared = word.chars().filter(|&c| echoed.contains(c)).count();
        let waste = echoed.chars().count().saturating_sub(word.len()).min(1000);
        let letters = shared as f64 / word.len() as f64;
        Reward::new(Self::COMPONENTS, vec![f64::from(u8::from(is_exact)), letters, -(waste as f64)], is_exact)
    }
}

/// A mined window of the toy network, judged twice: as it is, and with a reward made up.
fn play() -> Result<(WindowFile, Verdict, Verdict)> {
    let checkpoint = Checkpoint::sat_tiny()?;
    let tokenizer = Tokenizer::from_checkpoint(&checkpoint)?;
    let eos = tokenizer.eos_id().context("sat-tiny has an eos token")?;
    let like_sat = offline("sat-tiny", identity::digest(&checkpoint)?, vec![eos], 24, 3)?;
    let parameters = Parameters { environment: Echo::NAME.into(), ..like_sat.network().parameters().clone() };
    let network = NetworkFile::new(parameters, like_sat.beacon().clone())?;
    let mut engine =
        Engine::load(checkpoint, EngineOptions { memory_bytes: Some(1 << 30), ..EngineOptions::default() })?;

    // The miner.
    let protocol = Protocol::new(network.network(), &Echo, &tokenizer, engine.config())?;
    let (head, signer) = (made_head(&network, "toy")?, public_signer());
    let account = signer.account();
    let assignment = protocol.assignment(&head, account);
    let moment = Moment { block: head.block_number, timestamp: 0.0 };
    let proven = prove::answer(&assignment, &mut engine, 0..2, &signer, moment, &mut unobserved)?;
    let file = prove::window_file(network.network(), &head, &account, proven.entries, 0.0);
    let stored = window::store(&file.to_text(&Schema::of::<Echo>(), Form::Whole));

    // The validator.
    let read = window::read_stored(&stored[..], &Schema::of::<Echo>(), &protocol.limits())?;
    ensure!(read == file, "what is read is what was written");
    let verifier = Verifier::new(&protocol);
    let mut judge = |file: &WindowFile| {
        let claimed = Claimed { file, head: &head, account: &account };
        verifier.verify(claimed, Selection::All, Extent::Deciding, &mut scorer(&mut engine))
    };
    let honest = judge(&read)?;
    let mut greedy = read.clone();
    greedy.inferences[4].commit.rollout.total_reward = 1.5;
    let refused = judge(&greedy)?;
    Ok((read, honest, refused))
}

fn main() -> Result<()> {
    let (file, honest, refused) = play()?;
    for entry in &file.inferences {
        let (problem, claim) = (&entry.commit.problem, &entry.commit.rollout);
        println!("{} -> {} reward {:.3}", problem.fields[0], claim.answer[0], claim.total_reward);
    }
    println!("as mined: {}", honest.outcome.name());
    println!("with a reward made up: {}", refused.reason.context("it must be refused")?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use grail_protocol::verify::{Outcome, ReasonKind};

    #[test]
    fn another_environment_needs_no_other_miner_and_no_other_validator() {
        let (file, honest, refused) = play().unwrap();
        assert_eq!(file.inferences.len(), 6);
        assert_eq!((honest.outcome, honest.groups), (Outcome::Valid, 2));
        let reason = refused.reason.unwrap();
        assert_eq!((reason.kind, reason.rollout), (ReasonKind::RewardMismatch, Some(4)));
    }

    #[test]
    fn a_network_of_one_environment_is_not_served_by_another() {
        let checkpoint = Checkpoint::sat_tiny().unwrap();
        let tokenizer = Tokenizer::from_checkpoint(&checkpoint).unwrap();
        let sat = offline("sat-tiny", [0; 32], vec![661], 24, 3).unwrap();
        let error = Protocol::new(sat.network(), &Echo, &tokenizer, checkpoint.config()).unwrap_err();
        assert!(error.to_string().contains("environment"), "{error}");
    }
}

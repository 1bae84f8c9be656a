//! The cases: token ids, what is timed, and how many tokens count.

use std::fmt;
use std::ops::ControlFlow;
use std::str::FromStr;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use grail_engine::Engine;
use grail_engine::types::{Event, GenerateRequest, Group, Sampling, Seed};
use grail_protocol::encoding::sha256;
use grail_protocol::randomness::random_vector;

/// Tokens of the prompt that decoding continues.
pub const DECODE_PROMPT: usize = 256;
/// Tokens of a group's prompt.
pub const GROUP_PROMPT: usize = 1024;
/// New tokens of a sequence.
pub const NEW_TOKENS: usize = 64;
/// Prompt ids are below this, and below the vocabulary.
const IDS_BELOW: u32 = 151_000;
const MOST: usize = 1 << 20;
const GREEDY: Sampling = Sampling { temperature: 0.0, top_k: 0, top_p: 1.0, repetition_penalty: 1.0 };

/// One case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    /// `ppN`: a prompt of N tokens.
    Prefill(usize),
    /// `tgB`: B continuations of one prompt.
    Decode(usize),
    /// `groupB`: a prompt and B rollouts.
    Group(usize),
}

impl FromStr for Case {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.find(|c: char| c.is_ascii_digit()).unwrap_or(text.len());
        let (kind, number) = text.split_at(digits);
        match (kind, number.parse()) {
            ("pp", Ok(n @ 1..=MOST)) => Ok(Self::Prefill(n)),
            ("tg", Ok(n @ 1..=MOST)) => Ok(Self::Decode(n)),
            ("group", Ok(n @ 1..=MOST)) => Ok(Self::Group(n)),
            _ => Err(format!("{text:?} is no case; expected such as pp512, tg16 or group16")),
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prefill(n) => write!(f, "pp{n}"),
            Self::Decode(n) => write!(f, "tg{n}"),
            Self::Group(n) => write!(f, "group{n}"),
        }
    }
}

impl Case {
    /// Sequences at once.
    pub fn batch(&self) -> usize {
        match *self {
            Self::Prefill(_) => 1,
            Self::Decode(n) | Self::Group(n) => n,
        }
    }

    /// Tokens per second.
    pub fn run(&self, engine: &mut Engine) -> Result<f64> {
        match *self {
            Self::Prefill(n) => prefill(engine, n),
            Self::Decode(n) => decode(engine, n),
            Self::Group(n) => group(engine, n),
        }
    }
}

/// First touch of every buffer.
pub fn warm_up(engine: &mut Engine) -> Result<()> {
    prefill(engine, 16).map(drop)
}

/// Xorshift ids, the same in every harness.
pub fn ids(engine: &Engine, count: usize, seed: u32) -> Vec<u32> {
    let below = IDS_BELOW.min(u32::try_from(engine.config().vocab_size).unwrap_or(u32::MAX));
    let mut x = seed.wrapping_mul(2_654_435_761) | 1;
    let step = |_| {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        x % below
    };
    (0..count).map(step).collect()
}

/// A group of so many rollouts.
pub fn groups(prompt: Vec<u32>, rollouts: usize) -> [Group; 1] {
    let seed = |i: usize| Seed(sha256(format!("bench {i}").as_bytes()));
    [Group { prompt, seeds: (0..rollouts).map(seed).collect() }]
}

/// With a projection all that a proof needs; without one plain generation, as other engines do it.
fn request<'a>(groups: &'a [Group], max_new_tokens: usize, projection: &'a [i32]) -> GenerateRequest<'a> {
    let logprobs = !projection.is_empty();
    GenerateRequest { sampling: GREEDY, projection, logprobs, ..GenerateRequest::new(groups, max_new_tokens, &[]) }
}

fn prefill(engine: &mut Engine, count: usize) -> Result<f64> {
    let groups = groups(ids(engine, count, 7), 1);
    let begun = Instant::now();
    let mut chosen = None;
    engine.generate(&request(&groups, 1, &[]), &mut |event| {
        if let Event::Token { .. } = event {
            chosen.get_or_insert_with(|| begun.elapsed());
        }
        // The chosen token need not pass through the model.
        if chosen.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    let chosen = chosen.context("no token was chosen")?;
    Ok(count as f64 / chosen.as_secs_f64())
}

/// Timed from the choice of the last rollout's first token: 64 passes and 64 choices of all.
fn decode(engine: &mut Engine, batch: usize) -> Result<f64> {
    let prompt = ids(engine, DECODE_PROMPT, 9);
    let passes = passes(engine, prompt, batch, NEW_TOKENS)?;
    Ok((batch * NEW_TOKENS) as f64 / (passes.ends[NEW_TOKENS - 1] - passes.begun).as_secs_f64())
}

/// When the passes of a batch's greedy continuations ended.
pub struct Passes {
    /// The request.
    pub asked: Instant,
    /// Each rollout had its first token, which follows from the prompt.
    pub begun: Instant,
    /// Each rollout had one token more.
    pub ends: Vec<Instant>,
}

/// `count` decoding passes of `batch` continuations of a prompt.
pub fn passes(engine: &mut Engine, prompt: Vec<u32>, batch: usize, count: usize) -> Result<Passes> {
    let groups = groups(prompt, batch);
    let (asked, mut tokens, mut ends) = (Instant::now(), 0, Vec::with_capacity(count + 1));
    engine.generate(&request(&groups, count + 1, &[]), &mut |event| {
        if let Event::Token { .. } = event {
            tokens += 1;
            if tokens % batch == 0 {
                ends.push(Instant::now());
            }
        }
        // The last token need not pass through the model.
        if ends.len() > count { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    ensure!(ends.len() > count, "fewer tokens than asked for");
    let begun = ends.remove(0);
    Ok(Passes { asked, begun, ends })
}

/// What a miner does: sampled as the protocol says, with sketches.
fn group(engine: &mut Engine, batch: usize) -> Result<f64> {
    let groups = groups(ids(engine, GROUP_PROMPT, 9), batch);
    let projection = random_vector(&sha256(b"bench"), engine.config().hidden_size)?;
    let request = GenerateRequest { sampling: Sampling::default(), ..request(&groups, NEW_TOKENS, &projection) };
    let begun = Instant::now();
    let results = engine.generate(&request, &mut grail_engine::types::unobserved)?;
    let seconds = begun.elapsed().as_secs_f64();
    for (i, result) in results.into_iter().flatten().enumerate() {
        result.with_context(|| format!("rollout {i}"))?;
    }
    Ok((batch * NEW_TOKENS) as f64 / seconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use grail_engine::EngineOptions;
    use grail_engine::checkpoint::synthetic::{Shape, random_checkpoint};
    use proptest::prelude::*;

    fn tiny() -> Engine {
        let shape = Shape { vocab: 151_936, hidden: 32, layers: 1, max_positions: 2048, ..Shape::tiny() };
        let options = EngineOptions { threads: Some(1), memory_bytes: Some(1 << 30), ..EngineOptions::default() };
        Engine::load(random_checkpoint(1, &shape).unwrap(), options).unwrap()
    }

    #[test]
    fn ids_are_those_of_the_other_harnesses() {
        let engine = tiny();
        assert_eq!(ids(&engine, 4, 7), [129400, 120448, 148168, 131847]);
        assert_eq!(ids(&engine, 4, 9), [129971, 30677, 64498, 68824]);
    }

    #[test]
    fn every_case_gives_a_speed() {
        let mut engine = tiny();
        for case in ["pp33", "tg3", "group2"] {
            let speed = case.parse::<Case>().unwrap().run(&mut engine).unwrap();
            assert!(speed.is_finite() && speed > 0.0, "{case}: {speed}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_case_that_reads_back_or_an_error(text in "(pp|tg|group)?[0-9]{0,12}|\\PC{0,12}") {
            if let Ok(case) = text.parse::<Case>() {
                prop_assert_eq!(case.to_string().parse::<Case>(), Ok(case));
            }
        }
    }
}

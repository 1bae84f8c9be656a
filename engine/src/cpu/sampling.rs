//! Sampling from a row of logits (NUMERICS sections 9 and 11), fast: masses, order and noise are made only
//! for tokens that can matter. `numerics::sample` is the slow form, and the oracle.

use std::cmp::Ordering;

use super::isa::Isa;
use super::ops;
use crate::FaultKind;
use crate::numerics::{floor_product, noise, philox4x32_10};
use crate::types::{Logprobs, Sampling, Seed};

const LN2: f32 = f32::from_bits(0x3f31_7218);

/// -ln(e) is at most 32 ln 2 = 22.18, and the roundings of scores with |y| <= 2^20 add up to less than a half: a token further
/// than this below another's score without noise cannot win.
const GREATEST_NOISE: f32 = 23.0;

/// Logits looked at before the floor of a top-k scan is raised again.
const SCAN: usize = 4096;

/// f32(log2(e) / T).
pub fn temperature_scale(temperature: f64) -> f32 {
    (std::f64::consts::LOG2_E / temperature) as f32
}

/// N and l of a row of logits at a scale.
#[derive(Debug, Clone, Copy)]
pub struct LogSum {
    k: f32,
    n: f32,
    l: f32,
}

impl LogSum {
    /// Of `logits` at T; `scratch` is reused memory.
    ///
    /// # Errors
    /// [`FaultKind::Logits`].
    pub fn new(isa: Isa, logits: &[f32], temperature: f64, scratch: &mut Vec<f32>) -> Result<Self, FaultKind> {
        let (k, chunks) = (temperature_scale(temperature), logits.len().div_ceil(128));
        scratch.resize(2 * chunks, 0.0);
        let (n, l) = scratch.split_at_mut(chunks);
        ops::log_sum_chunks(isa, logits, k, n, l)?;
        let (n, l) = ops::log_sum(isa, n, l);
        Ok(Self { k, n, l })
    }

    /// ln of the probability of an element.
    pub fn logprob(&self, logit: f32) -> f32 {
        ops::log_probability(logit * self.k, self.n, self.l)
    }
}

enum Choice {
    /// T = 0.
    Greedy(u32),
    /// Every token can be drawn: k, and the sum for log-probabilities.
    All(f32, Option<LogSum>),
    /// Some are kept: (y, id) ascending by id, and ln of their mass.
    Kept { k: f32, n: f32, kept: Vec<(f32, u32)>, log_mass: f32 },
}

/// A processed row of logits: what can be drawn, and how probable everything is.
pub struct Distribution<'a> {
    isa: Isa,
    logits: &'a [f32],
    /// Logits before the penalty, of the ids it touched.
    originals: Vec<(u32, f32)>,
    /// If log-probabilities are wanted.
    raw: Option<LogSum>,
    choice: Choice,
}

impl<'a> Distribution<'a> {
    /// Processes `logits` in place; `context` holds each id of the sequence so far once. Whether log-probabilities are
    /// wanted changes no draw.
    ///
    /// # Errors
    /// [`FaultKind::Logits`].
    pub fn new(
        isa: Isa,
        logits: &'a mut [f32],
        context: &[u32],
        sampling: &Sampling,
        logprobs: bool,
        scratch: &mut Vec<f32>,
    ) -> Result<Self, FaultKind> {
        let raw = logprobs.then(|| LogSum::new(isa, logits, 1.0, scratch)).transpose()?;
        let mut originals = Vec::new();
        if sampling.repetition_penalty != 1.0 {
            let p = sampling.repetition_penalty as f32;
            for &id in context {
                let x = &mut logits[id as usize];
                originals.push((id, *x));
                *x = if *x > 0.0 { *x / p } else { *x * p };
            }
        }
        let logits = &*logits;
        let choice = if sampling.temperature == 0.0 {
            Choice::Greedy(ops::arg_max(isa, logits) as u32)
        } else {
            let k = temperature_scale(sampling.temperature);
            match (sampling.top_k == 0 && sampling.top_p == 1.0, logprobs) {
                (true, true) => Choice::All(k, Some(LogSum::new(isa, logits, sampling.temperature, scratch)?)),
                (true, false) => ops::ceiling(isa, logits, k).map(|_| Choice::All(k, None))?,
                (false, _) => keep(isa, logits, k, ops::ceiling(isa, logits, k)?, sampling),
            }
        };
        Ok(Self { isa, logits, originals, raw, choice })
    }

    /// ln of a token's probability under the model and under the sampling distribution, there also outside the kept set,
    /// by the same formula; `None` if they are not wanted.
    pub fn logprobs(&self, id: u32) -> Option<Logprobs> {
        let logit = self.logits[id as usize];
        let original = self.originals.iter().find(|(o, _)| *o == id).map(|(_, x)| *x);
        let raw = self.raw.as_ref()?.logprob(original.unwrap_or(logit));
        let sampling = match &self.choice {
            Choice::Greedy(_) => 0.0,
            Choice::All(_, sum) => sum.as_ref()?.logprob(logit),
            Choice::Kept { k, n, log_mass, .. } => ops::log_mass_probability(logit * k, *n, *log_mass),
        };
        Some(Logprobs { raw, sampling })
    }

    /// The token an honest sampler emits at `position`.
    pub fn draw(&self, seed: &Seed, position: usize) -> u32 {
        match &self.choice {
            Choice::Greedy(token) => *token,
            Choice::Kept { kept, .. } => draw(kept.iter().copied(), seed, position),
            Choice::All(k, _) => {
                let best = self.logits[ops::arg_max(self.isa, self.logits)] * k;
                let floor = (best * LN2 - self.spread(seed, position, best)) / LN2;
                let mut candidates = Vec::new();
                ops::collect_above(self.isa, self.logits, *k, floor, 0, &mut candidates);
                draw(candidates.into_iter(), seed, position)
            }
        }
    }

    /// How far below the greatest y ln 2 a winner can lie: the greatest noise, less what the best token has itself.
    fn spread(&self, seed: &Seed, position: usize, best: f32) -> f32 {
        let id = ops::arg_max(self.isa, self.logits) as u32;
        let own = score(best, &mut Words::new(seed, position), id) - best * LN2;
        GREATEST_NOISE - own.min(GREATEST_NOISE - 1.0)
    }
}

/// (y descending, id ascending).
fn rank(a: &(f32, u32), b: &(f32, u32)) -> Ordering {
    // NaN was a fault; -0 and +0 are equal to partial_cmp.
    b.0.partial_cmp(&a.0).unwrap_or(Ordering::Equal).then(a.1.cmp(&b.1))
}

fn mass(y: f32, n: f32) -> u64 {
    (f64::from(ops::exp2(y - n)) * 1_099_511_627_776.0) as u64
}

fn keep(isa: Isa, logits: &[f32], k: f32, n: f32, sampling: &Sampling) -> Choice {
    let mut kept = match sampling.top_k as usize {
        // Without a mass a token is never kept: all mass lies ahead of it, and top-p is below 1.
        0 => {
            let mut all = Vec::new();
            ops::collect_above(isa, logits, k, n - 41.0, 0, &mut all);
            all
        }
        count => top(isa, logits, k, count),
    };
    kept.sort_unstable_by(rank);
    if sampling.top_p < 1.0 {
        let masses: Vec<u64> = kept.iter().map(|&(y, _)| mass(y, n)).collect();
        let limit = floor_product(sampling.top_p, masses.iter().map(|&m| u128::from(m)).sum());
        let mut ahead = 0u128;
        let within = masses.iter().take_while(|&&m| {
            let keep = ahead < limit;
            ahead += u128::from(m);
            keep
        });
        let count = within.count().max(1);
        kept.truncate(count);
    }
    let total: u64 = kept.iter().map(|&(y, _)| mass(y, n)).sum();
    kept.sort_unstable_by_key(|&(_, id)| id);
    let log_mass = ops::ln(total as f32 * 2f32.powi(-40));
    Choice::Kept { k, n, kept, log_mass }
}

/// The `count` first by rank, in any order.
fn top(isa: Isa, logits: &[f32], k: f32, count: usize) -> Vec<(f32, u32)> {
    let count = count.min(logits.len());
    let mut best: Vec<(f32, u32)> = (0..count).map(|id| (logits[id] * k, id as u32)).collect();
    let mut start = count;
    while start < logits.len() {
        // All kept so far have lower ids, so an equal y does not displace them.
        let floor = best.iter().map(|b| b.0).fold(f32::INFINITY, f32::min);
        let end = (start + SCAN).min(logits.len());
        ops::collect_above(isa, &logits[start..end], k, floor, start as u32, &mut best);
        if best.len() > count {
            best.select_nth_unstable_by(count - 1, rank);
            best.truncate(count);
        }
        start = end;
    }
    best
}

/// Philox words of one (seed, position), four ids at a time.
struct Words {
    counter: [u32; 4],
    key: [u32; 2],
    block: Option<(u32, [u32; 4])>,
}

impl Words {
    fn new(seed: &Seed, position: usize) -> Self {
        let w = seed.words();
        Self { counter: [0, position as u32, w[2], w[3]], key: [w[0], w[1]], block: None }
    }

    fn of(&mut self, id: u32) -> u32 {
        let index = id >> 2;
        if self.block.is_none_or(|(i, _)| i != index) {
            self.counter[0] = index;
            self.block = Some((index, philox4x32_10(self.counter, self.key)));
        }
        self.block.map_or(0, |(_, words)| words[(id & 3) as usize])
    }
}

fn score(y: f32, words: &mut Words, id: u32) -> f32 {
    y * LN2 - ops::ln(noise(words.of(id)))
}

/// The greatest score; candidates ascend by id, so the first of equals is the lowest.
fn draw(candidates: impl Iterator<Item = (f32, u32)>, seed: &Seed, position: usize) -> u32 {
    let mut words = Words::new(seed, position);
    let mut best: Option<(f32, u32)> = None;
    for (y, id) in candidates {
        let score = score(y, &mut words, id);
        if best.is_none_or(|(b, _)| score > b) {
            best = Some((score, id));
        }
    }
    best.expect("the first token is always kept").1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::Context;
    use crate::numerics;
    use proptest::prelude::*;

    fn compare(isa: Isa, logits: &[f32], tokens: &[u32], sampling: &Sampling, seed: &Seed) -> bool {
        let mut context = Context::default();
        tokens.iter().for_each(|&t| context.push(t));
        let slow = numerics::sample(logits, tokens, sampling, seed, tokens.len());
        let (mut row, mut scratch) = (logits.to_vec(), Vec::new());
        let fast = Distribution::new(isa, &mut row, context.before(tokens.len()), sampling, true, &mut scratch);
        match (slow, fast) {
            (Err(a), Err(b)) => a == b,
            (Ok(slow), Ok(fast)) => {
                let bits = |x: f32| x.to_bits();
                let (mut row, mut scratch) = (logits.to_vec(), Vec::new());
                let plain =
                    Distribution::new(isa, &mut row, context.before(tokens.len()), sampling, false, &mut scratch);
                let plain = plain.expect("what is no fault with log-probabilities is none without");
                fast.draw(seed, tokens.len()) == slow.token
                    && plain.draw(seed, tokens.len()) == slow.token
                    && (0..logits.len()).all(|i| {
                        let l = fast.logprobs(i as u32).expect("asked for");
                        plain.logprobs(i as u32).is_none()
                            && bits(l.raw) == bits(slow.raw_logprobs[i])
                            && bits(l.sampling) == bits(slow.sampling_logprobs[i])
                    })
            }
            _ => false,
        }
    }

    fn logits() -> impl Strategy<Value = Vec<f32>> {
        // Few distinct values make ties; -inf and zeros of both signs are legal.
        let few = prop_oneof![Just(0.0f32), Just(-0.0), Just(1.0), Just(-3.5), Just(f32::NEG_INFINITY)];
        let mixed = prop_oneof![8 => -12.0f32..12.0, 1 => few.clone(), 1 => 30.0f32..31.0];
        let row = |one: BoxedStrategy<f32>| prop::collection::vec(one, 1..700);
        prop_oneof![row(mixed.boxed()), row(few.boxed()), row((-0.01f32..0.01).boxed())]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn the_fast_sampler_equals_the_reference(
            logits in logits(),
            picks in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
            temperature in prop_oneof![Just(0.0), Just(0.7), Just(1.0), 0.01f64..3.0],
            top_k in prop_oneof![Just(0u32), Just(1), Just(50), 1u32..800],
            top_p in prop_oneof![Just(1.0), Just(0.0), Just(0.95), 0.0f64..1.0],
            repetition_penalty in prop_oneof![Just(1.0), Just(1.1), 0.5f64..2.0],
            seed: [u8; 32],
        ) {
            let tokens: Vec<u32> = picks.iter().map(|p| p.index(logits.len()) as u32).collect();
            let sampling = Sampling { temperature, top_k, top_p, repetition_penalty };
            for isa in Isa::available() {
                prop_assert!(compare(isa, &logits, &tokens, &sampling, &Seed(seed)), "{isa}");
            }
        }
    }

    /// y = -0 beside a maximum of +0, and l = 1: without the rule the sign would be that of whichever zero was met first.
    #[test]
    fn a_log_probability_is_never_minus_zero() {
        for logits in [[-0.0f32, -500.0], [0.0, -500.0]] {
            for first in [0.0f32, -0.0] {
                let row = [&logits[..], &[-600.0; 140], &[first, -700.0]].concat();
                let sampling = Sampling { top_k: 1, ..Sampling::default() };
                for isa in Isa::available() {
                    assert!(compare(isa, &row, &[], &sampling, &Seed([1; 32])));
                    let (mut row, mut scratch) = (row.clone(), Vec::new());
                    let d = Distribution::new(isa, &mut row, &[], &sampling, true, &mut scratch).unwrap();
                    let sampling = d.logprobs(0).unwrap().sampling;
                    assert_eq!(sampling.to_bits(), 0, "the only kept token is certain");
                }
                let n = numerics::log_sum(&[-0.0, first, -500.0], 1.0).unwrap();
                assert!([0.0f32, -0.0].iter().all(|&x| n.logprob(x).to_bits() != (-0.0f32).to_bits()));
            }
        }
        let alone = numerics::log_sum(&[-0.0, -500.0], 1.0).unwrap();
        assert_eq!((alone.l, alone.logprob(-0.0).to_bits()), (1.0, 0));
    }

    #[test]
    fn another_seed_or_position_is_another_draw() {
        let logits: Vec<f32> = (0..500).map(|i| (i % 7) as f32 * 0.01).collect();
        let sampling = Sampling { top_k: 0, top_p: 1.0, ..Sampling::default() };
        let (mut row, mut scratch) = (logits, Vec::new());
        let d = Distribution::new(Isa::PORTABLE, &mut row, &[], &sampling, true, &mut scratch).unwrap();
        let draws: std::collections::HashSet<u32> =
            (0..50).flat_map(|p| [d.draw(&Seed([1; 32]), p), d.draw(&Seed([2; 32]), p)]).collect();
        assert!(draws.len() > 60, "{} different tokens in 100 draws from a flat row", draws.len());
    }
}

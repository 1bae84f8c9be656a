//! How far a published rollout is from what the model says: counted bit by bit, nothing rounded away.

use std::fmt;

use grail_engine::types::Score;

/// What a rollout claims. Lists per completion token, sketches per position of prompt and completion.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// Where the completion starts.
    pub prompt_length: usize,
    /// Completion tokens.
    pub tokens: &'a [u32],
    /// Sketches.
    pub sketches: &'a [u32],
    /// Raw log-probabilities.
    pub raw_logprobs: &'a [f32],
    /// Sampling log-probabilities.
    pub sampling_logprobs: &'a [f32],
}

/// The values of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Values compared.
    pub values: u64,
    /// Values that differ.
    pub differing_values: u64,
    /// Bits that differ; a value that only one side has counts all of its 32.
    pub differing_bits: u64,
    /// The lowest position that differs.
    pub first: Option<Mismatch>,
}

/// Two values that differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mismatch {
    /// Position in the whole sequence.
    pub position: usize,
    /// What the model says; none where it says nothing.
    pub expected: Option<u32>,
    /// What was claimed; none where nothing was.
    pub found: Option<u32>,
}

/// All kinds. `expected` of tokens is what an honest sampler had to emit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Differences {
    /// Sketches.
    pub sketches: Tally,
    /// Tokens against the replayed sampler.
    pub tokens: Tally,
    /// Raw log-probabilities, as bits.
    pub raw_logprobs: Tally,
    /// Sampling log-probabilities, as bits.
    pub sampling_logprobs: Tally,
}

/// Compares a claim with its score.
#[must_use]
pub fn compare(claim: &Claim<'_>, score: &Score) -> Differences {
    let bits = |values: &[f32]| -> Vec<u32> { values.iter().map(|x| x.to_bits()).collect() };
    let start = claim.prompt_length;
    Differences {
        sketches: tally(0, &score.sketches, claim.sketches),
        tokens: tally(start, &score.honest, claim.tokens),
        raw_logprobs: tally(start, &bits(&score.raw_logprobs), &bits(claim.raw_logprobs)),
        sampling_logprobs: tally(start, &bits(&score.sampling_logprobs), &bits(claim.sampling_logprobs)),
    }
}

fn tally(start: usize, expected: &[u32], found: &[u32]) -> Tally {
    let mut tally = Tally::default();
    for i in 0..expected.len().max(found.len()) {
        let (expected, found) = (expected.get(i).copied(), found.get(i).copied());
        let bits = match (expected, found) {
            (Some(a), Some(b)) => (a ^ b).count_ones(),
            _ => u32::BITS,
        };
        tally.values += 1;
        if bits > 0 {
            tally.differing_values += 1;
            tally.differing_bits += u64::from(bits);
            tally.first.get_or_insert(Mismatch { position: start + i, expected, found });
        }
    }
    tally
}

impl Tally {
    fn add(&mut self, other: &Tally) {
        self.values += other.values;
        self.differing_values += other.differing_values;
        self.differing_bits += other.differing_bits;
        self.first = self.first.or(other.first);
    }
}

impl Differences {
    /// The kinds with their names.
    #[must_use]
    pub fn kinds(&self) -> [(&'static str, &Tally); 4] {
        [
            ("sketch", &self.sketches),
            ("token", &self.tokens),
            ("raw log-probability", &self.raw_logprobs),
            ("sampling log-probability", &self.sampling_logprobs),
        ]
    }

    /// Bits that differ, all kinds together.
    #[must_use]
    pub fn bits(&self) -> u64 {
        self.kinds().iter().map(|(_, tally)| tally.differing_bits).sum()
    }

    /// Values compared, all kinds together.
    #[must_use]
    pub fn values(&self) -> u64 {
        self.kinds().iter().map(|(_, tally)| tally.values).sum()
    }

    /// Adds another rollout's; the first mismatch that was met stays.
    pub fn add(&mut self, other: &Differences) {
        self.sketches.add(&other.sketches);
        self.tokens.add(&other.tokens);
        self.raw_logprobs.add(&other.raw_logprobs);
        self.sampling_logprobs.add(&other.sampling_logprobs);
    }
}

/// The first mismatch of each kind; nothing where all is equal. Log-probabilities as bits.
impl fmt::Display for Differences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (name, tally) in self.kinds() {
            let Some(Mismatch { position, expected, found }) = tally.first else { continue };
            let value = |v: Option<u32>| match v {
                None => "nothing".to_owned(),
                Some(v) if name.ends_with("probability") => format!("{v:08x}"),
                Some(v) => v.to_string(),
            };
            write!(
                f,
                "{separator}{name} at position {position}: expected {}, found {}",
                value(expected),
                value(found)
            )?;
            separator = "; ";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn honest() -> Score {
        Score {
            raw_logprobs: vec![-0.5, -1.0],
            sampling_logprobs: vec![-0.25, -0.0],
            sketches: vec![1, 2, 3, 4, 5],
            honest: vec![7, 8],
        }
    }

    fn against(published: &Score) -> Differences {
        let claim = Claim {
            prompt_length: 3,
            tokens: &published.honest,
            sketches: &published.sketches,
            raw_logprobs: &published.raw_logprobs,
            sampling_logprobs: &published.sampling_logprobs,
        };
        compare(&claim, &honest())
    }

    #[test]
    fn an_honest_rollout_has_no_differing_bit() {
        let differences = against(&honest());
        assert_eq!((differences.bits(), differences.values()), (0, 11));
        assert_eq!(differences.to_string(), "");
    }

    #[test]
    fn one_flipped_bit_of_any_value_is_counted_at_its_position() {
        let flip = |x: &mut f32, bit: u32| *x = f32::from_bits(x.to_bits() ^ 1 << bit);
        for bit in 0..32 {
            for i in 0..2 {
                let mut p = honest();
                flip(&mut p.raw_logprobs[i], bit);
                let d = against(&p);
                assert_eq!((d.bits(), d.raw_logprobs.first.unwrap().position), (1, 3 + i));

                let mut p = honest();
                flip(&mut p.sampling_logprobs[i], bit);
                let d = against(&p);
                assert_eq!((d.bits(), d.sampling_logprobs.first.unwrap().position), (1, 3 + i));

                let mut p = honest();
                p.honest[i] ^= 1 << bit;
                let d = against(&p);
                assert_eq!((d.bits(), d.tokens.first.unwrap().position), (1, 3 + i));
            }
            for i in 0..5 {
                let mut p = honest();
                p.sketches[i] ^= 1 << bit;
                let d = against(&p);
                assert_eq!((d.bits(), d.sketches.first.unwrap().position), (1, i));
            }
        }
    }

    #[test]
    fn equal_numbers_with_other_bits_differ() {
        let mut p = honest();
        p.sampling_logprobs[1] = 0.0;
        assert_eq!(against(&p).bits(), 1, "-0.0 and 0.0 are equal numbers");
    }

    #[test]
    fn a_missing_or_additional_value_differs() {
        let mut p = honest();
        p.sketches.pop();
        assert_eq!(against(&p).bits(), 32);
        let mut p = honest();
        p.honest.push(9);
        assert_eq!(against(&p).tokens.first, Some(Mismatch { position: 5, expected: None, found: Some(9) }));
    }

    #[test]
    fn sums_keep_what_each_rollout_adds() {
        let mut p = honest();
        p.sketches[2] ^= 3;
        let mut sum = against(&honest());
        sum.add(&against(&p));
        sum.add(&against(&p));
        assert_eq!((sum.bits(), sum.values(), sum.sketches.differing_values), (4, 33, 2));
        assert_eq!(sum.to_string(), "sketch at position 2: expected 3, found 0");
    }
}

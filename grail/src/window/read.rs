//! Reading a window file: strict, streaming, with the place of the first fault.
//!
//! A file is a miner's word, so nothing is mended, guessed or skipped: every key is there exactly once, every value
//! has its type, and whatever else there is makes the file malformed (DESIGN 4.9). Not a general JSON reader: the
//! types are the format's, which bounds the recursion, and nothing is allocated that the text did not pay for
//! byte by byte.
//!
//! Whether what a file says is true is the verifier's question.

use std::io::Read;

use super::fault::{Place, ReadError, Result, Step, excerpt, malformed};
use super::lexer::Lexer;
use super::{Beacon, Block, Claim, Commit, Inference, Integer, Limits, Model, Schema, Shape, Statement, WindowFile};
use crate::json::{self, push_f64, push_text, read_f32, read_f64, read_integer};
use crate::sketch::PRIME_Q;

const INTEGER: &str = "an integer";
const REAL: &str = "a finite number";
const TEXT: &str = "a string";

/// Reads the text of a window file.
///
/// # Errors
/// [`ReadError::OverCap`] if the text is larger, deeper or has more entries than `limits` allow; else
/// [`ReadError::Malformed`] with the first place that breaks the format. A text that is too large or too deep is
/// over a cap even if a place before that is malformed. [`ReadError::Io`] if `text` cannot be read.
pub fn read(mut text: impl Read, schema: &Schema, limits: &Limits) -> Result<WindowFile> {
    let lexer = Lexer::new(&mut text, limits.text_bytes);
    let mut reader = Reader { lexer, place: Place::default(), schema, limits };
    let result = reader.whole_file();
    if let Err(ReadError::Malformed { .. }) = result {
        reader.lexer.drain()?;
    }
    result.map_err(|e| e.at(&reader.place))
}

/// A text being read. After an error, `place` is where it happened.
struct Reader<'a> {
    lexer: Lexer<'a>,
    place: Place,
    schema: &'a Schema,
    limits: &'a Limits,
}

/// Reads an object whose members, in any order, become variables. What has none of the keys goes to `own`.
macro_rules! members {
    ($reader:ident, $own:expr, { $($key:literal => $name:ident: $read:expr),+ $(,)? }) => {
        $(let mut $name = None;)+
        $reader.lexer.expect(b'{', "an object")?;
        let mut is_first = true;
        while let Some(key) = $reader.key(&mut is_first)? {
            match key.as_str() {
                $($key => $reader.once($key, &mut $name, $read)?,)+
                _ => $own.member($reader, &key)?,
            }
        }
        $(let $name = $reader.required($key, $name)?;)+
    };
}

/// The members that an environment puts into an object, as canonical JSON.
struct Own {
    fields: &'static [(&'static str, Shape)],
    values: Vec<Option<String>>,
}

impl Own {
    fn new(fields: &'static [(&'static str, Shape)]) -> Self {
        Self { fields, values: vec![None; fields.len()] }
    }

    fn none() -> Self {
        Self::new(&[])
    }

    fn member(&mut self, reader: &mut Reader, key: &str) -> Result<()> {
        let mut fields = self.fields.iter().zip(&mut self.values);
        match fields.find(|((name, _), _)| *name == key) {
            Some((&(name, shape), value)) => reader.once(name, value, |r| r.shaped(shape)),
            None => Err(malformed("no other key", format!("\"{}\"", excerpt(key.as_bytes())))),
        }
    }

    fn values(self, reader: &mut Reader) -> Result<Vec<String>> {
        self.fields.iter().zip(self.values).map(|(&(name, _), value)| reader.required(name, value)).collect()
    }
}

impl Reader<'_> {
    fn whole_file(&mut self) -> Result<WindowFile> {
        let file = self.file()?;
        self.lexer.expect_end()?;
        Ok(file)
    }

    fn file(&mut self) -> Result<WindowFile> {
        members!(self, Own::none(), {
            "beacon" => beacon: Self::beacon,
            "block" => block: Self::block,
            "inference_count" => inference_count: Self::integer,
            "inferences" => inferences: Self::inferences,
            "network_id" => network_id: Self::text,
            "proof_version" => proof_version: Self::text,
            "timestamp" => timestamp: Self::real,
            "wallet" => wallet: Self::text,
            "window_length" => window_length: Self::integer,
            "window_start" => window_start: Self::integer,
        });
        if inference_count != inferences.len() as Integer {
            self.place.enter(Step::Key("inference_count"));
            return Err(malformed(inferences.len().to_string(), inference_count.to_string()));
        }
        Ok(WindowFile {
            proof_version,
            network_id,
            window_start,
            window_length,
            wallet,
            block,
            beacon,
            timestamp,
            inferences,
        })
    }

    fn beacon(&mut self) -> Result<Beacon> {
        members!(self, Own::none(), { "round" => round: Self::integer, "signature" => signature: Self::text });
        Ok(Beacon { round, signature })
    }

    fn block(&mut self) -> Result<Block> {
        members!(self, Own::none(), {
            "hash" => hash: Self::text,
            "number" => number: Self::integer,
            "timestamp_ms" => timestamp_ms: Self::integer,
        });
        Ok(Block { number, hash, timestamp_ms })
    }

    fn inferences(&mut self) -> Result<Vec<Inference>> {
        let limit = self.limits.inferences;
        self.items("rollouts", limit, Self::inference)
    }

    fn inference(&mut self) -> Result<Inference> {
        members!(self, Own::none(), {
            "block" => block: Self::integer,
            "block_hash" => block_hash: Self::text,
            "challenge" => challenge: Self::text,
            "commit" => commit: Self::commit,
            "difficulty" => difficulty: Self::real,
            "hotkey" => hotkey: Self::text,
            "nonce" => nonce: Self::integer,
            "proof" => _proof: Self::proof,
            "randomness" => randomness: Self::text,
            "rollout_group" => rollout_group: Self::integer,
            "rollout_index" => rollout_index: Self::integer,
            "sat_seed" => sat_seed: Self::text,
            "signature" => signature: Self::text,
            "timestamp" => timestamp: Self::real,
            "total_in_group" => total_in_group: Self::integer,
            "use_drand" => use_drand: Self::bool,
            "window_start" => window_start: Self::integer,
        });
        Ok(Inference {
            window_start,
            block,
            nonce,
            sat_seed,
            difficulty,
            block_hash,
            randomness,
            use_drand,
            rollout_group,
            rollout_index,
            total_in_group,
            commit,
            timestamp,
            challenge,
            hotkey,
            signature,
        })
    }

    fn proof(&mut self) -> Result<()> {
        self.lexer.expect(b'{', "{}")?;
        self.lexer.expect(b'}', "{}")
    }

    fn commit(&mut self) -> Result<Commit> {
        members!(self, Own::none(), {
            "beacon" => randomness: Self::commit_beacon,
            "model" => model: Self::model,
            "rollout" => rollout: Self::claim,
            "s_vals" => s_vals: |r| r.per_token(|r| r.below(PRIME_Q, "a sketch")),
            "sat_problem" => problem: Self::statement,
            "signature" => signature: Self::text,
            "tokens" => tokens: |r| r.per_token(|r| r.below(r.limits.vocab_size, "a token")),
        });
        self.one_per_token(&["s_vals"], s_vals.len(), tokens.len())?;
        self.one_per_token(&["rollout", "raw_token_logprobs"], rollout.raw_token_logprobs.len(), tokens.len())?;
        self.one_per_token(&["rollout", "token_logprobs"], rollout.token_logprobs.len(), tokens.len())?;
        Ok(Commit { tokens, s_vals, model, signature, randomness, problem, rollout })
    }

    fn one_per_token(&mut self, path: &[&'static str], length: usize, tokens: usize) -> Result<()> {
        if length == tokens {
            return Ok(());
        }
        path.iter().for_each(|key| self.place.enter(Step::Key(key)));
        Err(malformed(format!("one entry per token, {tokens}"), length.to_string()))
    }

    fn commit_beacon(&mut self) -> Result<String> {
        members!(self, Own::none(), { "randomness" => randomness: Self::text });
        Ok(randomness)
    }

    fn model(&mut self) -> Result<Model> {
        members!(self, Own::none(), {
            "layer_index" => layer_index: Self::integer,
            "name" => name: Self::text,
            "numerics" => numerics: Self::text,
            "weights_digest" => weights_digest: Self::text,
        });
        Ok(Model { name, layer_index, weights_digest, numerics })
    }

    fn statement(&mut self) -> Result<Statement> {
        let mut own = Own::new(self.schema.statement);
        members!(self, own, { "difficulty" => difficulty: Self::real, "seed" => seed: Self::text });
        Ok(Statement { seed, difficulty, fields: own.values(self)? })
    }

    fn claim(&mut self) -> Result<Claim> {
        let mut own = Own::new(self.schema.answer);
        members!(self, own, {
            "advantage" => advantage: Self::real,
            "completion_length" => completion_length: Self::integer,
            "prompt_length" => prompt_length: Self::integer,
            "raw_token_logprobs" => raw_token_logprobs: |r| r.per_token(Self::logprob),
            "success" => success: Self::bool,
            "token_logprobs" => token_logprobs: |r| r.per_token(Self::logprob),
            "total_reward" => total_reward: Self::real,
            "trajectory" => trajectory: Self::trajectory,
        });
        Ok(Claim {
            prompt_length,
            completion_length,
            token_logprobs,
            raw_token_logprobs,
            success,
            total_reward,
            advantage,
            trajectory,
            answer: own.values(self)?,
        })
    }

    /// A list of `[step, action, reward]`. Without fields of an answer there is no action and no step.
    fn trajectory(&mut self) -> Result<String> {
        let action = self.schema.answer.first().map(|&(_, shape)| shape);
        let mut out = String::new();
        self.push_list(&mut out, |reader, out| {
            let action = action.ok_or_else(|| malformed("no step", "one"))?;
            reader.lexer.expect(b'[', "a list")?;
            out.push('[');
            for (i, shape) in [Shape::Integer, action, Shape::Real].into_iter().enumerate() {
                if i > 0 {
                    reader.lexer.expect(b',', "three entries")?;
                    out.push(',');
                }
                reader.place.enter(Step::Item(i));
                reader.push_shaped(shape, out)?;
                reader.place.leave();
            }
            out.push(']');
            reader.lexer.expect(b']', "three entries")
        })?;
        Ok(out)
    }

    /// A value of an environment's type as the writer writes it.
    fn shaped(&mut self, shape: Shape) -> Result<String> {
        let mut out = String::new();
        self.push_shaped(shape, &mut out)?;
        out.shrink_to_fit();
        Ok(out)
    }

    fn push_shaped(&mut self, shape: Shape, out: &mut String) -> Result<()> {
        match shape {
            Shape::Bool => out.push_str(if self.bool()? { "true" } else { "false" }),
            // The grammar gives each integer one text.
            Shape::Integer => self.lexer.word(INTEGER, |word| read_integer(word).map(|_| out.push_str(word)))?,
            Shape::Real => push_f64(out, self.real()?),
            Shape::Text => push_text(out, &self.text()?),
            Shape::List(&item) => self.push_list(out, |reader, out| reader.push_shaped(item, out))?,
        }
        Ok(())
    }

    fn push_list(
        &mut self,
        out: &mut String,
        mut push: impl FnMut(&mut Self, &mut String) -> Result<()>,
    ) -> Result<()> {
        out.push('[');
        self.list(|reader, i| {
            if i > 0 {
                out.push(',');
            }
            push(reader, out)
        })?;
        out.push(']');
        Ok(())
    }
}

/// What every part of the format is made of.
impl Reader<'_> {
    fn text(&mut self) -> Result<String> {
        self.lexer.text(TEXT)
    }

    fn bool(&mut self) -> Result<bool> {
        self.lexer.word("true or false", |word| word.parse().ok())
    }

    fn real(&mut self) -> Result<f64> {
        self.lexer.word(REAL, read_f64)
    }

    fn logprob(&mut self) -> Result<f32> {
        self.lexer.word("a number that is an f32", read_f32)
    }

    fn integer(&mut self) -> Result<Integer> {
        self.lexer.word(INTEGER, integer)
    }

    fn below(&mut self, bound: u32, what: &str) -> Result<u32> {
        let is_below = |value: &u32| *value < bound;
        let read = |word: &str| u32::try_from(integer(word)?).ok().filter(is_below);
        self.lexer.word(what, read).map_err(|e| match e {
            ReadError::Malformed { path, expected, found } => {
                ReadError::Malformed { path, expected: format!("{expected}, an integer in [0, {bound})"), found }
            }
            other => other,
        })
    }

    fn per_token<T>(&mut self, item: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let limit = self.limits.positions;
        self.items("entries of a list per token", limit, item)
    }

    fn items<T>(
        &mut self,
        what: &'static str,
        limit: usize,
        mut item: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Vec<T>> {
        let mut items = Vec::new();
        self.list(|reader, i| {
            if i >= limit {
                return Err(ReadError::OverCap { what, limit: limit as u64 });
            }
            items.push(item(reader)?);
            Ok(())
        })?;
        items.shrink_to_fit();
        Ok(items)
    }

    fn list(&mut self, mut item: impl FnMut(&mut Self, usize) -> Result<()>) -> Result<()> {
        self.lexer.expect(b'[', "a list")?;
        let mut count = 0;
        while !self.lexer.take(b']')? {
            if count > 0 {
                self.lexer.expect(b',', "`,` or `]`")?;
            }
            self.place.enter(Step::Item(count));
            item(self, count)?;
            self.place.leave();
            count += 1;
        }
        Ok(())
    }

    /// The next member's key, up to the colon; `None` at the object's end.
    fn key(&mut self, is_first: &mut bool) -> Result<Option<String>> {
        if self.lexer.take(b'}')? {
            return Ok(None);
        }
        if !std::mem::replace(is_first, false) {
            self.lexer.expect(b',', "`,` or `}`")?;
        }
        let key = self.lexer.text("a key")?;
        self.lexer.expect(b':', "`:`")?;
        Ok(Some(key))
    }

    fn once<T>(
        &mut self,
        key: &'static str,
        slot: &mut Option<T>,
        read: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<()> {
        self.place.enter(Step::Key(key));
        if slot.is_some() {
            return Err(malformed("this key once", "it again"));
        }
        *slot = Some(read(self)?);
        self.place.leave();
        Ok(())
    }

    fn required<T>(&mut self, key: &'static str, slot: Option<T>) -> Result<T> {
        slot.ok_or_else(|| {
            self.place.enter(Step::Key(key));
            malformed("this key", "none")
        })
    }
}

/// The nearest value of an integer's text.
fn integer(word: &str) -> Option<Integer> {
    Some(match read_integer(word)? {
        json::Integer::Value(value) => value,
        json::Integer::Huge if word.starts_with('-') => Integer::MIN,
        json::Integer::Huge => Integer::MAX,
    })
}

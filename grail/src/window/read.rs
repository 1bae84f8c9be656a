//! Reading a window file: strict, streaming, with the place of the first fault.
//!
//! A file is a miner's word, so nothing is mended, guessed or skipped: every key is there exactly once, every value
//! has its type, and whatever else there is makes the file malformed (DESIGN 4.9). Not a general JSON reader: the
//! types are the format's, which bounds the recursion, and nothing is allocated that the text did not pay for
//! byte by byte.
//!
//! Whether what a file says is true is the verifier's question.

use std::io::Read;

use super::fault::{Place, ReadError, Result, Step, malformed};
use super::lexer::Lexer;
use super::parts::{Own, Reader, members};
use super::{Beacon, Block, Claim, Commit, Inference, Integer, Limits, Model, Schema, Shape, Statement, WindowFile};
use crate::sketch::PRIME_Q;

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
            "s_vals" => s_vals: |r| r.per_token(|r| r.below(PRIME_Q, "an integer in [0, 2147483647)")),
            "sat_problem" => problem: Self::statement,
            "signature" => signature: Self::text,
            "tokens" => tokens: |r| r.per_token(|r| r.below(r.limits.vocab_size, "an integer below the vocabulary size")),
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
}

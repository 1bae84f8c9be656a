//! `grail generate`: a prompt in, its continuation out.

use std::io::{Read, Write, stderr, stdin};
use std::ops::ControlFlow;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use grail_engine::Engine;
use grail_engine::tokenizer::{StreamDecoder, TEXT_LIMIT_BYTES, Tokenizer};
use grail_engine::types::{Event, GenerateRequest, Group, Rollout, Stop};
use grail_protocol::randomness::random_vector;
use serde_json::{Value, json};

use super::{Outcome, Usage};
use crate::environment::Environment;
use crate::flags::Generate;
use crate::load;
use crate::sat::Sat;

pub fn run(flags: &Generate, out: &mut dyn Write) -> Result<Outcome> {
    let sampling = flags.sampling.sampling();
    sampling.check().map_err(|e| Usage(e.to_string()))?;
    let checkpoint = load::checkpoint(&flags.model.model)?;
    let tokenizer = load::tokenizer(&checkpoint)?;
    let prompt = tokenizer.encode(&prompt_text(flags, &tokenizer)?)?;
    ensure!(!prompt.is_empty(), Usage("the prompt is empty, and a model needs at least one token".into()));
    let mut eos_ids = checkpoint.eos_ids().to_vec();
    eos_ids.extend(tokenizer.eos_id().filter(|id| !eos_ids.contains(id)));
    let projection = match &flags.randomness {
        Some(randomness) => random_vector(&randomness.0, checkpoint.config().hidden_size)?,
        None => Vec::new(),
    };
    let room = checkpoint.config().max_position_embeddings.saturating_sub(prompt.len());
    if let Some(typed) = flags.max_new_tokens.filter(|&n| n as usize > room) {
        let problem = format!("--max-new-tokens: {typed}, and after the prompt the model has room for {room} tokens");
        return Err(Usage(problem).into());
    }
    let context = || format!("model {}", flags.model.model);
    let mut engine = load::on_device(checkpoint, flags.engine.options()).with_context(context)?;
    let groups = [Group { prompt, seeds: (0..flags.rollouts).map(|i| flags.seed.rollout(i)).collect() }];
    let request = GenerateRequest {
        groups: &groups,
        sampling,
        max_new_tokens: flags.max_new_tokens.map_or(DEFAULT_NEW_TOKENS.min(room.max(1)), |n| n as usize),
        eos_ids: &eos_ids,
        projection: &projection,
        keep_hidden: false,
        logprobs: true,
    };
    Printer::new(flags, &tokenizer, out).watch(&mut engine, &request)
}

const DEFAULT_NEW_TOKENS: usize = 256;

fn prompt_text(flags: &Generate, tokenizer: &Tokenizer) -> Result<String> {
    if let Some(seed) = &flags.sat {
        let problem = Sat.problem(seed, flags.difficulty).map_err(|e| Usage(e.to_string()))?;
        return Ok(Sat.prompt(&problem, tokenizer.eos_token().unwrap_or_default()));
    }
    let text = match flags.prompt.as_deref().unwrap_or_default() {
        "-" => {
            let mut text = String::new();
            stdin().lock().take(TEXT_LIMIT_BYTES as u64 + 1).read_to_string(&mut text).context("standard input")?;
            text
        }
        typed => typed.to_owned(),
    };
    if !flags.chat {
        return Ok(text);
    }
    let has = |token| tokenizer.token_to_id(token).is_some();
    ensure!(
        has("<|im_start|>") && has("<|im_end|>"),
        Usage("--chat: this model's tokenizer has no <|im_start|> and <|im_end|>".into())
    );
    Ok(format!("<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n"))
}

/// Writes what comes: one rollout as it grows, several in order, each when it is finished.
struct Printer<'a> {
    flags: &'a Generate,
    tokenizer: &'a Tokenizer,
    stream: StreamDecoder<'a>,
    out: &'a mut dyn Write,
    /// Finished texts that wait for those before them.
    finished: Vec<Option<String>>,
    written: usize,
}

impl<'a> Printer<'a> {
    fn new(flags: &'a Generate, tokenizer: &'a Tokenizer, out: &'a mut dyn Write) -> Self {
        let finished = vec![None; flags.rollouts as usize];
        Self { flags, tokenizer, stream: tokenizer.stream(true), out, finished, written: 0 }
    }

    fn is_streaming(&self) -> bool {
        self.flags.rollouts == 1 && !self.flags.json
    }

    fn watch(mut self, engine: &mut Engine, request: &GenerateRequest<'_>) -> Result<Outcome> {
        let begun = Instant::now();
        let (mut first, mut tokens, mut written) = (None, 0_usize, Ok(()));
        let results = engine.generate(request, &mut |event| {
            if let Event::Token { .. } = event {
                first.get_or_insert_with(Instant::now);
                tokens += 1;
            }
            if written.is_ok() {
                written = self.event(event);
            }
            if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        written?;
        let rest = std::mem::replace(&mut self.stream, self.tokenizer.stream(true)).finish();
        if self.is_streaming() {
            writeln!(self.out, "{rest}")?;
        }
        self.out.flush()?;
        let prefill = first.map_or(begun.elapsed(), |at| at - begun).as_secs_f64();
        let decode = (begun.elapsed().as_secs_f64() - prefill).max(f64::MIN_POSITIVE);
        // A broken standard error is no reason to fail.
        let _ = writeln!(
            stderr(),
            "prompt: {} tokens in {prefill:.2} s; {tokens} new tokens in {decode:.2} s, {:.1} tokens/s",
            request.groups[0].prompt.len(),
            tokens as f64 / decode
        );
        for (i, result) in results.into_iter().flatten().enumerate() {
            result.with_context(|| format!("rollout {i}"))?;
        }
        Ok(Outcome::Done)
    }

    fn event(&mut self, event: Event<'_>) -> std::io::Result<()> {
        match event {
            Event::Token { token, .. } if self.is_streaming() => {
                let text = self.stream.push(token);
                self.out.write_all(text.as_bytes())?;
                self.out.flush()
            }
            Event::Finished { rollout, result, .. } if !self.is_streaming() => {
                // A fault is told at the end.
                self.finished[rollout] = Some(result.map_or(String::new(), |r| self.text(rollout, r)));
                while let Some(Some(text)) = self.finished.get_mut(self.written).map(Option::take) {
                    self.out.write_all(text.as_bytes())?;
                    self.written += 1;
                }
                self.out.flush()
            }
            _ => Ok(()),
        }
    }

    fn text(&self, index: usize, rollout: &Rollout) -> String {
        let text = self.tokenizer.decode(rollout.completion(), true);
        if self.flags.json {
            format!("{}\n", object(index, rollout, &text))
        } else {
            format!("--- rollout {index}\n{text}\n")
        }
    }
}

/// Log-probabilities as the shortest decimals of the widened f32.
fn object(index: usize, rollout: &Rollout, text: &str) -> Value {
    let mut object = json!({
        "rollout": index,
        "tokens": rollout.tokens,
        "prompt_length": rollout.prompt_length,
        "text": text,
        "stop": match rollout.stop { Stop::Eos => "eos", Stop::Length => "length" },
        "raw_logprobs": rollout.raw_logprobs.iter().map(|&x| f64::from(x)).collect::<Vec<_>>(),
        "sampling_logprobs": rollout.sampling_logprobs.iter().map(|&x| f64::from(x)).collect::<Vec<_>>(),
    });
    if !rollout.sketches.is_empty() {
        object["sketches"] = json!(rollout.sketches);
    }
    object
}

//! `grail inspect`: a window file for a person to read. It shows what the file says, which need not be true.

use std::io::{Write, stderr};
use std::path::Path;

use anyhow::{Result, ensure};
use grail_engine::tokenizer::Tokenizer;
use grail_protocol::encoding::sha256;
use grail_protocol::window::{Form, GroupText, Inference, Limits, MAX_TEXT_BYTES, Schema, WindowFile};
use serde_json::json;

use super::{Outcome, Rejection, Usage};
use crate::environment::Environment;
use crate::flags::Inspect;
use crate::load;
use crate::offline::open;
use crate::sat::Sat;
use crate::terminal::{Paint, printable};

/// Tokens named for their low probability.
const RAREST: usize = 5;

pub fn run(flags: &Inspect, out: &mut dyn Write) -> Result<Outcome> {
    let checkpoint = load::checkpoint(&flags.model.model)?;
    let tokenizer = load::tokenizer(&checkpoint)?;
    let limits = Limits {
        text_bytes: MAX_TEXT_BYTES,
        inferences: usize::MAX,
        positions: checkpoint.config().max_position_embeddings,
        vocab_size: checkpoint.config().vocab_size as u32,
    };
    let opened = open(&flags.file, &Schema::of::<Sat>(), &limits)?;
    let file = opened.file.map_err(|reason| Rejection(format!("{}: {reason}", flags.file.display())))?;
    if flags.canonical {
        let text = file.to_text(&Schema::of::<Sat>(), Form::Deterministic);
        // Nothing but the text, so that its digest is the one of `sha256sum`.
        write!(out, "{text}")?;
        let _ = writeln!(stderr(), "SHA-256 {}", hex::encode(sha256(text.as_bytes())));
        return Ok(Outcome::Done);
    }
    let rollouts = file.inferences.len();
    let shown = flags.rollout;
    ensure!(
        shown < rollouts || (rollouts == 0 && shown == 0),
        Usage(format!("--rollout: {shown}, the file has {rollouts} rollouts, counted from 0"))
    );
    if flags.json {
        let shown = file.inferences.get(shown).map(|entry| entry_json(entry, &tokenizer)).transpose()?;
        writeln!(out, "{}", summary(&file, shown))?;
        return Ok(Outcome::Done);
    }
    let mut page = Page { out, paint: Paint::stdout(), tokenizer: &tokenizer };
    page.file(&flags.file, &file)?;
    if let Some(entry) = file.inferences.get(shown) {
        page.rollout(shown, entry)?;
    }
    Ok(Outcome::Done)
}

/// What the file says of itself, a line's worth of every rollout, and one rollout whole.
fn summary(file: &WindowFile, shown: Option<serde_json::Value>) -> serde_json::Value {
    let rollouts = file.inferences.iter().map(|entry| {
        let claim = &entry.commit.rollout;
        json!({
            "rollout_group": integer(entry.rollout_group),
            "rollout_index": integer(entry.rollout_index),
            "prompt_length": integer(claim.prompt_length),
            "completion_length": integer(claim.completion_length),
            "success": claim.success,
            "total_reward": claim.total_reward,
            "advantage": claim.advantage,
        })
    });
    json!({
        "proof_version": file.proof_version,
        "network_id": file.network_id,
        "wallet": file.wallet,
        "window_start": integer(file.window_start),
        "window_length": integer(file.window_length),
        "block": {"number": integer(file.block.number), "hash": file.block.hash},
        "beacon": {"round": integer(file.beacon.round)},
        "rollouts": rollouts.collect::<Vec<_>>(),
        "shown": shown,
    })
}

/// An entry as it stands in the file, and its completion as text.
fn entry_json(entry: &Inference, tokenizer: &Tokenizer) -> Result<serde_json::Value> {
    let text = GroupText::new(std::slice::from_ref(entry), &Schema::of::<Sat>());
    let mut value: serde_json::Value = serde_json::from_str(text.line())?;
    let tokens = &entry.commit.tokens;
    let start = usize::try_from(entry.commit.rollout.prompt_length).unwrap_or(usize::MAX).min(tokens.len());
    value["completion_text"] = tokenizer.decode(&tokens[start..], true).into();
    Ok(value)
}

/// Integers of a file may be larger than those of JSON readers; such a one is text.
fn integer(value: i128) -> serde_json::Value {
    i64::try_from(value).map_or_else(|_| value.to_string().into(), Into::into)
}

struct Page<'a> {
    out: &'a mut dyn Write,
    paint: Paint,
    tokenizer: &'a Tokenizer,
}

impl Page<'_> {
    fn row(&mut self, label: &str, value: impl std::fmt::Display) -> Result<()> {
        let value = printable(&value.to_string());
        Ok(writeln!(self.out, "  {} {value}", self.paint.dim(format!("{label:<12}")))?)
    }

    fn heading(&mut self, text: &str) -> Result<()> {
        Ok(writeln!(self.out, "\n{}", self.paint.bold(text))?)
    }

    fn file(&mut self, path: &Path, file: &WindowFile) -> Result<()> {
        writeln!(self.out, "{}", self.paint.bold(format!("{}, as it says of itself", path.display())))?;
        self.row("format", &file.proof_version)?;
        self.row("network", &file.network_id)?;
        self.row("hotkey", &file.wallet)?;
        let end = file.window_start.saturating_add(file.window_length).saturating_sub(1);
        self.row("window", format!("blocks {} to {end}", file.window_start))?;
        self.row("block", format!("{} {}", file.block.number, file.block.hash))?;
        self.row("beacon", format!("round {}", file.beacon.round))?;
        let heading = format!(
            "{:>9} {:>8} {:>11}  {:<7} {:>7} {:>9}",
            "rollout", "problem", "tokens", "solved", "reward", "advantage"
        );
        writeln!(self.out, "\n{}", self.paint.dim(heading))?;
        for (i, entry) in file.inferences.iter().enumerate() {
            let claim = &entry.commit.rollout;
            let problem = format!("{}/{}", entry.rollout_group, entry.rollout_index);
            let tokens = format!("{}+{}", claim.prompt_length, claim.completion_length);
            let solved = format!("{:<7}", if claim.success { "yes" } else { "no" });
            let solved = if claim.success { self.paint.green(solved) } else { solved };
            let (reward, advantage) = (claim.total_reward, claim.advantage);
            writeln!(self.out, "{i:>9} {problem:>8} {tokens:>11}  {solved} {reward:>7.3} {advantage:>9.3}")?;
        }
        Ok(())
    }

    fn rollout(&mut self, i: usize, entry: &Inference) -> Result<()> {
        let (commit, claim) = (&entry.commit, &entry.commit.rollout);
        self.heading(&format!("Rollout {i}: problem {}, answer {}", entry.rollout_group, entry.rollout_index))?;
        self.problem(entry)?;
        self.heading("Text, coloured by log-probability")?;
        let start = usize::try_from(claim.prompt_length).unwrap_or(usize::MAX).min(commit.tokens.len());
        let tokens = commit.tokens.iter().zip(&claim.token_logprobs).skip(start);
        let mut text = String::new();
        let mut stream = self.tokenizer.stream(true);
        for (&token, &logprob) in tokens {
            text.push_str(&self.by_probability(&stream.push(token), logprob));
        }
        text.push_str(&stream.finish());
        for line in text.trim_start_matches('\n').lines() {
            writeln!(self.out, "  | {line}")?;
        }
        let legend = [("at least 0.9", -0.1), ("0.5", -0.6), ("0.1", -2.0), ("less", -9.0)];
        let legend = legend.map(|(name, logprob)| self.by_probability(name, logprob)).join(", ");
        writeln!(self.out, "  probability: {legend}")?;
        self.rarest(entry, start)?;
        self.heading("Outcome")?;
        self.row("solved", claim.success)?;
        for (&(name, _), value) in Sat::ANSWER.iter().zip(&claim.answer) {
            self.row(name, value)?;
        }
        self.row("reward", claim.total_reward)?;
        self.row("advantage", claim.advantage)?;
        self.proof(entry)
    }

    fn problem(&mut self, entry: &Inference) -> Result<()> {
        let stated = &entry.commit.problem;
        // The text follows from seed and difficulty; a file that states others is shown, not judged.
        match Sat.problem(&stated.seed, stated.difficulty) {
            Ok(problem) => {
                for line in crate::sat::problem_text(&problem).lines() {
                    writeln!(self.out, "  | {}", printable(line))?;
                }
                let own: Vec<String> = Sat.statement(&problem).iter().map(canonical).collect();
                if own != stated.fields {
                    writeln!(self.out, "  {}", self.paint.red("the file states other clauses than its seed gives"))?;
                }
            }
            Err(error) => self.row("problem", format!("none: {error}"))?,
        }
        self.row("seed", &stated.seed)?;
        self.row("difficulty", stated.difficulty)
    }

    fn rarest(&mut self, entry: &Inference, start: usize) -> Result<()> {
        let (commit, claim) = (&entry.commit, &entry.commit.rollout);
        let mut positions: Vec<usize> = (start..commit.tokens.len()).collect();
        positions.sort_by(|&a, &b| claim.token_logprobs[a].total_cmp(&claim.token_logprobs[b]));
        let heading = format!("{:>10} {:>12} {:>12}  token", "position", "sampling", "raw");
        writeln!(self.out, "\n{}", self.paint.dim(heading))?;
        for position in positions.into_iter().take(RAREST) {
            let text = self.tokenizer.decode(&[commit.tokens[position]], false);
            let (sampling, raw) = (claim.token_logprobs[position], claim.raw_token_logprobs[position]);
            writeln!(self.out, "{position:>10} {sampling:>12.4} {raw:>12.4}  {} {text:?}", commit.tokens[position])?;
        }
        Ok(())
    }

    fn proof(&mut self, entry: &Inference) -> Result<()> {
        let commit = &entry.commit;
        self.heading("Proof")?;
        self.row("model", format!("{}, weights {}", commit.model.name, commit.model.weights_digest))?;
        self.row("randomness", &commit.randomness)?;
        let first: Vec<String> = commit.s_vals.iter().take(4).map(u32::to_string).collect();
        self.row("sketches", format!("{}, ... ({} positions)", first.join(", "), commit.s_vals.len()))?;
        self.row("signed", &commit.signature)?;
        self.row("challenge", &entry.challenge)?;
        self.row("signed", &entry.signature)
    }

    fn by_probability(&self, text: &str, logprob: f32) -> String {
        let text = printable_lines(text);
        match logprob.exp() {
            p if p >= 0.9 => text,
            p if p >= 0.5 => self.paint.green(text),
            p if p >= 0.1 => self.paint.yellow(text),
            _ => self.paint.red(text),
        }
    }
}

fn canonical(value: &grail_protocol::json::Value) -> String {
    value.to_text(grail_protocol::json::Style::Canonical)
}

/// [`printable`], but lines stay lines.
fn printable_lines(text: &str) -> String {
    text.split('\n').map(printable).collect::<Vec<_>>().join("\n")
}

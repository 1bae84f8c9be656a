//! What `grail verify` says.

use std::fmt::Display;
use std::io::Write;

use anyhow::Result;
use grail_protocol::Hash;
use grail_protocol::assignment::WindowHead;
use grail_protocol::problem::block_hash_text;
use grail_protocol::randomness::block_randomness;
use grail_protocol::verify::{Outcome, Reason, RolloutVerdict, Verdict};
use grail_protocol::window::Inference;
use serde_json::{Value, json};

use crate::flags::Verify;
use crate::network::NetworkFile;
use crate::offline::Opened;
use crate::terminal::{Paint, printable, size};

/// What the verdict was reached from.
pub struct Facts<'a> {
    pub flags: &'a Verify,
    pub network: &'a NetworkFile,
    pub opened: &'a Opened,
    /// None where the file's own head did not hold.
    pub head: Option<WindowHead>,
    pub challenge: Option<Hash>,
    /// Completion tokens scored, and the seconds that took.
    pub timing: Option<(usize, f64)>,
}

pub struct Report<'a> {
    pub facts: &'a Facts<'a>,
    pub verdict: &'a Verdict,
}

impl Report<'_> {
    pub fn write(&self, out: &mut dyn Write) -> Result<()> {
        if self.facts.flags.json {
            return Ok(writeln!(out, "{}", self.json())?);
        }
        self.head(out)?;
        self.rollouts(out)?;
        self.verdict(out)?;
        self.unchecked(out)
    }

    fn r_w(&self) -> Option<Hash> {
        let head = self.facts.head.as_ref()?;
        let id = self.facts.network.network().id();
        Some(block_randomness(id, head.block_number, &head.block_hash, &head.beacon_randomness))
    }

    fn head(&self, out: &mut dyn Write) -> Result<()> {
        let facts = self.facts;
        row(out, "file", format!("{}, {}", facts.flags.file.display(), size(facts.opened.stored_bytes)))?;
        row(out, "network", hex::encode(facts.network.network().id()))?;
        if let (Ok(file), Some(head)) = (&facts.opened.file, &facts.head) {
            row(out, "hotkey", printable(&file.wallet))?;
            if let Some(root) = facts.opened.root(head.block_number) {
                row(out, "root", hex::encode(root.to_bytes()))?;
            }
            row(out, "block", format!("{} {}", head.block_number, block_hash_text(&head.block_hash)))?;
            let chain = hex::encode(facts.network.beacon().hash());
            row(out, "beacon", format!("round {}, signature of chain {}... verified", head.round, &chain[..8]))?;
        }
        if let Some(r_w) = self.r_w() {
            row(out, "randomness", format!("{}, derived", hex::encode(r_w)))?;
        }
        Ok(())
    }

    fn rollouts(&self, out: &mut dyn Write) -> Result<()> {
        let Ok(file) = &self.facts.opened.file else {
            return Ok(());
        };
        if self.verdict.rollouts.is_empty() {
            return Ok(());
        }
        let paint = Paint::stdout();
        let heading =
            format!("{:>7} {:>8} {:>11}  {:>7} {:>9}  verdict", "rollout", "problem", "tokens", "reward", "advantage");
        writeln!(out, "\n{}", paint.dim(heading))?;
        for (i, (entry, verdict)) in file.inferences.iter().zip(&self.verdict.rollouts).enumerate() {
            let claim = &entry.commit.rollout;
            let problem = format!("{}/{}", entry.rollout_group, entry.rollout_index);
            let tokens = format!("{}+{}", claim.prompt_length, claim.completion_length);
            let (reward, advantage) = (claim.total_reward, claim.advantage);
            let said = self.said(entry, verdict, paint);
            writeln!(out, "{i:>7} {problem:>8} {tokens:>11}  {reward:>7.3} {advantage:>9.3}  {said}")?;
        }
        Ok(())
    }

    /// The verdict on a rollout, with the numbers that decided.
    fn said(&self, entry: &Inference, verdict: &RolloutVerdict, paint: Paint) -> String {
        let commit = &entry.commit;
        match &verdict.reason {
            Some(reason) => paint.red(numbers(reason)),
            None if !verdict.is_checked && self.verdict.checked.is_empty() => "not checked in full".into(),
            None if !verdict.is_checked => "cheap rules hold; its group was not drawn".into(),
            None if self.facts.flags.spot => paint.green("opened sketches within the tolerance"),
            None => {
                let (sketches, tokens) = (commit.s_vals.len(), commit.rollout.completion_length);
                let equal =
                    format!("valid: {sketches} sketches, {tokens} tokens, {} log-probabilities equal", 2 * tokens);
                paint.green(equal)
            }
        }
    }

    fn verdict(&self, out: &mut dyn Write) -> Result<()> {
        let (paint, verdict) = (Paint::stdout(), self.verdict);
        writeln!(out)?;
        if let Some((tokens, seconds)) = self.facts.timing.filter(|&(tokens, _)| tokens > 0) {
            let speed = tokens as f64 / seconds;
            row(out, "model", format!("{tokens} tokens scored in {seconds:.2} s, {speed:.0} tokens/s"))?;
        }
        let word = verdict.outcome.name();
        let (groups, checked) = (verdict.groups, verdict.checked.len());
        let text = match &verdict.reason {
            Some(reason) => paint.red(format!("{word}: {reason}")),
            None => paint.green(format!(
                "{word}: {groups} groups, {checked} checked in full, {} rollouts solved, {} distinct",
                verdict.successful, verdict.distinct
            )),
        };
        row(out, "verdict", text)
    }

    fn unchecked(&self, out: &mut dyn Write) -> Result<()> {
        let Some(head) = &self.facts.head else {
            return Ok(());
        };
        writeln!(out, "\nNot checked, for lack of a chain:")?;
        let genesis = hex::encode(self.facts.network.network().parameters().genesis_hash);
        writeln!(
            out,
            "  that block {} of chain {}... is this one and had this time",
            head.block_number,
            &genesis[..8]
        )?;
        writeln!(out, "  that the hotkey was registered at that block")?;
        writeln!(out, "  that the root was on chain before the window ended, and the file came before C_w was known")?;
        if self.facts.challenge.is_none() {
            writeln!(out, "  C_w: every group was checked, not those it draws")?;
        }
        Ok(())
    }

    fn json(&self) -> Value {
        let (facts, verdict) = (self.facts, self.verdict);
        let rollouts: Vec<Value> = verdict.rollouts.iter().map(rollout).collect();
        let root = facts.head.as_ref().and_then(|head| facts.opened.root(head.block_number));
        json!({
            "outcome": verdict.outcome.name(),
            "reason": verdict.reason.as_ref().map(reason),
            "network_id": hex::encode(facts.network.network().id()),
            "hotkey": facts.opened.file.as_ref().ok().map(|f| &f.wallet),
            "window_start": facts.head.as_ref().map(|h| h.block_number),
            "randomness": self.r_w().map(hex::encode),
            "challenge": facts.challenge.map(hex::encode),
            "root": root.map(|r| hex::encode(r.to_bytes())),
            "groups": verdict.groups,
            "checked": verdict.checked,
            "successful": verdict.successful,
            "distinct": verdict.distinct,
            "scored_tokens": facts.timing.map(|(tokens, _)| tokens),
            "seconds": facts.timing.map(|(_, seconds)| seconds),
            "rollouts": rollouts,
        })
    }
}

fn row(out: &mut dyn Write, label: &str, value: impl Display) -> Result<()> {
    Ok(writeln!(out, "{} {value}", Paint::stdout().dim(format!("{label:<12}")))?)
}

/// A rollout's own line needs not say which rollout it is.
fn numbers(reason: &Reason) -> String {
    Reason { rollout: None, ..reason.clone() }.to_string()
}

fn rollout(verdict: &RolloutVerdict) -> Value {
    let outcome = match &verdict.reason {
        Some(reason) => reason.kind.outcome(),
        None if verdict.is_checked => Outcome::Valid,
        None => Outcome::NoVerdict,
    };
    json!({
        "verdict": outcome.name(),
        "is_checked": verdict.is_checked,
        "reason": verdict.reason.as_ref().map(reason),
        "success": verdict.reward.map(|(success, _)| success),
        "reward": verdict.reward.map(|(_, reward)| reward),
    })
}

fn reason(reason: &Reason) -> Value {
    json!({
        "rule": reason.kind.to_string(),
        "rollout": reason.rollout,
        "position": reason.position,
        "field": reason.field,
        "expected": reason.expected,
        "found": reason.found,
    })
}

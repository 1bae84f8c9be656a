//! What the demo says.

use std::fmt::Display;
use std::io::Write;

use anyhow::Result;
use grail_protocol::ss58;

use super::{Answered, Edit, Outcome, ROLLOUTS, Stage, Times};
use crate::compare::{Differences, Mismatch, Tally};
use crate::flags::Demo;
use crate::terminal::{Paint, count};

const LABEL: usize = 15;

pub struct Report<'a> {
    out: &'a mut dyn Write,
    paint: Paint,
}

impl<'a> Report<'a> {
    pub fn new(out: &'a mut dyn Write, paint: Paint) -> Self {
        Self { out, paint }
    }

    fn row(&mut self, label: &str, value: impl Display) -> Result<()> {
        let label = self.paint.dim(format!("{label:<LABEL$}"));
        writeln!(self.out, "  {label} {value}")?;
        Ok(self.out.flush()?)
    }

    fn heading(&mut self, text: impl Display) -> Result<()> {
        Ok(writeln!(self.out, "\n{}", self.paint.bold(text))?)
    }

    pub fn opening(&mut self, stage: &Stage, flags: &Demo) -> Result<()> {
        let (engine, window) = (&stage.engine, &stage.window);
        let parameters = engine.checkpoint().tensors().map(|t| t.shape().iter().product::<usize>() as u64).sum();
        writeln!(self.out, "{}", self.paint.bold("grail demo: answers whose every bit can be derived again"))?;
        self.row("model", format!("{}, {} parameters", flags.model.model, count(parameters)))?;
        self.row("weights", hex::encode(window.weights_digest))?;
        self.row("machine", format!("{}, {} threads", engine.isa(), engine.threads()))?;
        self.row("hotkey", format!("{} (public demo key)", ss58::encode(&window.account)))?;
        self.row("network", hex::encode(window.network_id))?;
        match window.block {
            Some((number, hash)) => self.row("block", format!("{number}, made: 0x{}", hex::encode(hash)))?,
            None => self.row("block", "none, the randomness was given")?,
        }
        self.row("randomness", hex::encode(window.randomness))
    }

    /// One rollout, a solved one if there is one.
    pub fn sample(&mut self, stage: &Stage, answered: &[Answered]) -> Result<()> {
        let all = || answered.iter().flat_map(|a| a.rollouts.iter().zip(&a.rewards).enumerate().map(move |r| (a, r)));
        let Some((a, (i, (rollout, reward)))) = all().find(|(_, (_, (_, r)))| r.success).or_else(|| all().next())
        else {
            return Ok(());
        };
        let success = if reward.success { self.paint.green("solved") } else { self.paint.red("not solved") };
        self.heading(format!("Problem {}, rollout {i}", a.problem.index))?;
        for line in stage.tokenizer.decode(rollout.completion(), true).trim_start_matches('\n').lines() {
            // The model's text goes to a terminal: nothing but what prints.
            let line: String = line.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
            writeln!(self.out, "  | {line}")?;
        }
        writeln!(self.out, "  {success}, reward {:.3}", reward.total)?;
        Ok(self.out.flush()?)
    }

    pub fn table(&mut self, answered: &[Answered], differences: &[Vec<Differences>], times: Times) -> Result<()> {
        let rollouts: usize = answered.iter().map(|a| a.rollouts.len()).sum();
        let solved: usize = answered.iter().map(|a| a.rewards.iter().filter(|r| r.success).count()).sum();
        let at_least_once = answered.iter().filter(|a| a.rewards.iter().any(|r| r.success)).count();
        let new_tokens: usize = answered.iter().flat_map(|a| &a.rollouts).map(|r| r.completion().len()).sum();
        let mut sum = Differences::default();
        differences.iter().flatten().for_each(|d| sum.add(d));
        let (made, verified) = (times.generation.as_secs_f64(), times.verification.as_secs_f64());
        let speed = |seconds: f64| format!("{:.2} s, {:.0} tokens/s", seconds, new_tokens as f64 / seconds);

        self.heading("Generated, then derived again from the tokens alone")?;
        self.row("problems", format!("{}, {ROLLOUTS} rollouts of each, {new_tokens} new tokens", answered.len()))?;
        self.row("solved", format!("{solved} of {rollouts} rollouts, {at_least_once} of {} problems", answered.len()))?;
        self.row("generation", speed(made))?;
        self.row("verification", format!("{} ({:.1} x generation)", speed(verified), made / verified))?;
        self.row("compared", compared(&sum))?;
        let bits = sum.bits();
        let bits = if bits == 0 { self.paint.green(bits) } else { self.paint.red(bits) };
        self.row("differing bits", bits)?;
        for (a, group) in answered.iter().zip(differences) {
            for (i, d) in group.iter().enumerate().filter(|(_, d)| d.bits() > 0) {
                self.row("", format!("problem {}, rollout {i}: {d}", a.problem.index))?;
            }
        }
        Ok(())
    }

    pub fn edit(&mut self, stage: &Stage, edit: &Edit, caught: &Differences) -> Result<()> {
        let token = |id: u32| format!("{id} {:?}", stage.tokenizer.decode(&[id], false));
        let either = |id: Option<u32>| id.map_or("nothing".to_owned(), token);
        self.heading("One token edited, everything else as published")?;
        self.row("edited", format!("problem {}, rollout {}, position {}", edit.problem, edit.rollout, edit.position))?;
        self.row("", format!("{} made {}", token(edit.original), token(edit.claimed)))?;
        match caught.tokens.first {
            Some(Mismatch { position, expected, found }) => {
                let what = format!("expected {}, found {}", either(expected), either(found));
                self.row("caught", format!("position {position}: {what}"))?;
            }
            None => self.row("caught", self.paint.red("nowhere"))?,
        }
        let positions = |tally: &Tally| format!("differ at {} of {} positions", tally.differing_values, tally.values);
        let first = caught.sketches.first.map_or(String::new(), |m| {
            let text = |v: Option<u32>| v.map_or("nothing".to_owned(), |v| v.to_string());
            format!(", first at {}: expected {}, found {}", m.position, text(m.expected), text(m.found))
        });
        self.row("sketches", format!("{}{first}", positions(&caught.sketches)))?;
        self.row("probabilities", positions(&caught.sampling_logprobs))
    }

    pub fn verdict(&mut self, accepted: bool, caught: bool) -> Result<Outcome> {
        let (outcome, text) = match (accepted, caught) {
            (true, true) => {
                (Outcome::Done, self.paint.green("Every honest rollout verified; the edited one is rejected."))
            }
            (true, false) => {
                (Outcome::Rejected, self.paint.red("The edited rollout was not caught where it was edited."))
            }
            (false, _) => {
                (Outcome::Rejected, self.paint.red("An honest rollout could not be derived again; see above."))
            }
        };
        writeln!(self.out, "\n{text}")?;
        Ok(outcome)
    }
}

fn compared(sum: &Differences) -> String {
    let [sketches, tokens, raw, sampling] = sum.kinds().map(|(_, tally)| tally.values);
    format!("{tokens} tokens, {sketches} sketches, {} log-probabilities", raw + sampling)
}

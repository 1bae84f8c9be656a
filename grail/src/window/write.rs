//! Writing a window file: canonical JSON, a rollout at a time.

use super::{Claim, Commit, Inference, Schema, WindowFile};
use crate::json::{push_f32, push_f64, push_integer, push_text};

/// How much of a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// All of it.
    Whole,
    /// Without signatures and free fields: the same text for every run over one miner's window.
    Deterministic,
}

/// The members of one object, written in the order they come; the caller keeps it ascending.
struct Members<'a> {
    out: &'a mut String,
    is_first: bool,
}

impl<'a> Members<'a> {
    fn open(out: &'a mut String) -> Self {
        out.push('{');
        Self { out, is_first: true }
    }

    fn key(&mut self, key: &str) -> &mut String {
        if !std::mem::replace(&mut self.is_first, false) {
            self.out.push(',');
        }
        push_text(self.out, key);
        self.out.push(':');
        self.out
    }

    fn text(&mut self, key: &str, value: &str) {
        push_text(self.key(key), value);
    }

    fn integer(&mut self, key: &str, value: i128) {
        push_integer(self.key(key), value);
    }

    fn real(&mut self, key: &str, value: f64) {
        push_f64(self.key(key), value);
    }

    fn bool(&mut self, key: &str, value: bool) {
        self.key(key).push_str(if value { "true" } else { "false" });
    }

    fn close(self) {
        self.out.push('}');
    }
}

fn push_list<T>(out: &mut String, items: &[T], mut push: impl FnMut(&mut String, &T)) {
    out.push('[');
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        push(out, item);
    }
    out.push(']');
}

/// Members whose names an environment may have put between the format's own.
fn push_sorted(out: &mut String, mut members: Vec<(&str, String)>) {
    members.sort_unstable_by_key(|&(key, _)| key);
    let mut object = Members::open(out);
    for (key, text) in members {
        object.key(key).push_str(&text);
    }
    object.close();
}

fn text_of(push: impl FnOnce(&mut String)) -> String {
    let mut out = String::new();
    push(&mut out);
    out
}

impl WindowFile {
    /// The file as canonical JSON.
    #[must_use]
    pub fn to_text(&self, schema: &Schema, form: Form) -> String {
        let mut out = String::new();
        self.push_until_inferences(&mut out);
        push_list(&mut out, &self.inferences, |out, inference| inference.push(out, schema, form));
        self.push_after_inferences(&mut out, form);
        out
    }

    /// Every member but the rollouts, of a file with this many of them, and the brace that ends the file.
    pub(super) fn push_head(&self, out: &mut String, rollouts: usize) {
        let mut file = Members { out, is_first: true };
        self.push_before_inferences(&mut file, rollouts);
        self.push_after_inferences(out, Form::Whole);
    }

    fn push_until_inferences(&self, out: &mut String) {
        let mut file = Members::open(out);
        self.push_before_inferences(&mut file, self.inferences.len());
        file.key("inferences");
    }

    fn push_before_inferences(&self, file: &mut Members<'_>, rollouts: usize) {
        let mut beacon = Members::open(file.key("beacon"));
        beacon.integer("round", self.beacon.round);
        beacon.text("signature", &self.beacon.signature);
        beacon.close();
        let mut block = Members::open(file.key("block"));
        block.text("hash", &self.block.hash);
        block.integer("number", self.block.number);
        block.integer("timestamp_ms", self.block.timestamp_ms);
        block.close();
        file.integer("inference_count", rollouts as i128);
    }

    fn push_after_inferences(&self, out: &mut String, form: Form) {
        let mut file = Members { out, is_first: false };
        file.text("network_id", &self.network_id);
        file.text("proof_version", &self.proof_version);
        if form == Form::Whole {
            file.real("timestamp", self.timestamp);
        }
        file.text("wallet", &self.wallet);
        file.integer("window_length", self.window_length);
        file.integer("window_start", self.window_start);
        file.close();
    }
}

impl Inference {
    /// Appends the rollout as canonical JSON.
    pub fn push(&self, out: &mut String, schema: &Schema, form: Form) {
        let mut entry = Members::open(out);
        if form == Form::Whole {
            entry.integer("block", self.block);
        }
        entry.text("block_hash", &self.block_hash);
        entry.text("challenge", &self.challenge);
        self.commit.push(entry.key("commit"), schema, form);
        entry.real("difficulty", self.difficulty);
        entry.text("hotkey", &self.hotkey);
        entry.integer("nonce", self.nonce);
        Members::open(entry.key("proof")).close();
        entry.text("randomness", &self.randomness);
        entry.integer("rollout_group", self.rollout_group);
        entry.integer("rollout_index", self.rollout_index);
        entry.text("sat_seed", &self.sat_seed);
        if form == Form::Whole {
            entry.text("signature", &self.signature);
            entry.real("timestamp", self.timestamp);
        }
        entry.integer("total_in_group", self.total_in_group);
        entry.bool("use_drand", self.use_drand);
        entry.integer("window_start", self.window_start);
        entry.close();
    }
}

impl Commit {
    fn push(&self, out: &mut String, schema: &Schema, form: Form) {
        let mut commit = Members::open(out);
        let mut beacon = Members::open(commit.key("beacon"));
        beacon.text("randomness", &self.randomness);
        beacon.close();
        let mut model = Members::open(commit.key("model"));
        model.integer("layer_index", self.model.layer_index);
        model.text("name", &self.model.name);
        model.text("numerics", &self.model.numerics);
        model.text("weights_digest", &self.model.weights_digest);
        model.close();
        self.rollout.push(commit.key("rollout"), schema);
        push_list(commit.key("s_vals"), &self.s_vals, |out, &s| push_integer(out, s));
        self.push_problem(commit.key("sat_problem"), schema);
        if form == Form::Whole {
            commit.text("signature", &self.signature);
        }
        push_list(commit.key("tokens"), &self.tokens, |out, &token| push_integer(out, token));
        commit.close();
    }

    fn push_problem(&self, out: &mut String, schema: &Schema) {
        let problem = &self.problem;
        let own = schema.statement.iter().zip(&problem.fields).map(|(&(key, _), text)| (key, text.clone()));
        let seed = ("seed", text_of(|out| push_text(out, &problem.seed)));
        let difficulty = ("difficulty", text_of(|out| push_f64(out, problem.difficulty)));
        push_sorted(out, own.chain([seed, difficulty]).collect());
    }
}

impl Claim {
    fn push(&self, out: &mut String, schema: &Schema) {
        let logprobs = |list: &[f32]| text_of(|out| push_list(out, list, |out, &x| push_f32(out, x)));
        let own = schema.answer.iter().zip(&self.answer).map(|(&(key, _), text)| (key, text.clone()));
        let members = [
            ("advantage", text_of(|out| push_f64(out, self.advantage))),
            ("completion_length", self.completion_length.to_string()),
            ("prompt_length", self.prompt_length.to_string()),
            ("raw_token_logprobs", logprobs(&self.raw_token_logprobs)),
            ("success", self.success.to_string()),
            ("token_logprobs", logprobs(&self.token_logprobs)),
            ("total_reward", text_of(|out| push_f64(out, self.total_reward))),
            ("trajectory", self.trajectory.clone()),
        ];
        push_sorted(out, own.chain(members).collect());
    }
}

//! The text of a problem and of the whole prompt (PROTOCOL 4.2), byte for byte.
//!
//! The chat template is the protocol's, not the tokenizer's: it marks no roles, ends the system prompt with
//! the end-of-sequence text and opens the working-out tag for the model.

use std::fmt::Write;

use super::Instance;

/// The instructions before every problem. The two sentences at the end run together: it is the wire form.
pub const SYSTEM_PROMPT: &str = "You are given a problem.\n\
    Think about the problem and provide your working out.\n\
    Place it between <start_working_out> and <end_working_out>.\n\
    Then, provide your solution between <SOLUTION></SOLUTION>\
    Keep the reasoning succinct (\u{2264}25 steps, \u{2264}500 tokens).";

/// What the model continues from.
const GENERATION_PROMPT: &str = "<start_working_out>";

const INSTRUCTION: &str = "Provide your final assignment between <SOLUTION></SOLUTION> as space-separated \
    0/1 values for x1..xN (e.g., <SOLUTION>0 1 0 1</SOLUTION>).\n";

/// Who says a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Instructions; only as the first message.
    System,
    /// The question.
    User,
    /// An answer.
    Assistant,
}

/// The problem alone.
#[must_use]
pub fn problem_text(instance: &Instance) -> String {
    let seed: String = instance.seed_text().chars().take(8).collect();
    let mut text = format!("SAT Problem (seed: {seed}...):\nVariables: {}\nClauses:\n", instance.num_vars());
    for clause in instance.clauses() {
        let literals: Vec<String> = clause.iter().copied().map(literal).collect();
        writeln!(text, "  ({})", literals.join(" OR ")).expect("writing to a String");
    }
    text
}

fn literal(literal: i32) -> String {
    let negation = if literal < 0 { "NOT " } else { "" };
    format!("{negation}x{}", literal.unsigned_abs())
}

/// The user's message: the problem and what an answer looks like.
#[must_use]
pub fn user_prompt(instance: &Instance) -> String {
    format!("SAT Problem:\n{}\n{INSTRUCTION}", problem_text(instance))
}

/// The protocol's chat template. Without a system message at the front the protocol's own is put there; one
/// anywhere else is not printed.
#[must_use]
pub fn render_messages(messages: &[(Role, &str)], eos: &str, add_generation_prompt: bool) -> String {
    let (system, rest) = match messages {
        [(Role::System, content), rest @ ..] => (*content, rest),
        all => (SYSTEM_PROMPT, all),
    };
    let mut text = format!("{system}{eos}");
    for (role, content) in rest {
        match role {
            Role::System => {}
            Role::User => text.push_str(content),
            Role::Assistant => {
                text.push_str(content);
                text.push_str(eos);
            }
        }
    }
    if add_generation_prompt {
        text.push_str(GENERATION_PROMPT);
    }
    text
}

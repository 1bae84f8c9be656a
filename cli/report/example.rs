//! Reports to test with: a demo's, and a long run's.

use super::model::{
    CheckCommand, Difference, Edit, Entry, Fact, Outcome, Party, Reason, Report, Role, RolloutDetail, Token, TokenName,
    Verdict, Weight,
};

/// Numbers that look measured, and are the same every time.
struct Noise(u64);

impl Noise {
    /// In 0..1.
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f64 / (1_u64 << 24) as f64
    }
}

impl Report {
    /// Three windows of two honest miners and a cheater.
    pub fn example() -> Self {
        let mut noise = Noise(1);
        let windows: Vec<u64> = vec![120, 150, 180];
        let party = |name: &str, uid, role, entries| Party {
            name: name.into(),
            hotkey: format!("5{}", name.chars().cycle().filter(|c| c.is_alphanumeric()).take(47).collect::<String>()),
            uid: Some(uid),
            role,
            entries,
        };
        let mut entries = |skill, is_caught| windows.iter().map(|&w| entry(&mut noise, w, skill, is_caught)).collect();
        let parties = vec![
            party("miner A", 1, Role::Honest, entries(0.6, false)),
            party("miner B", 2, Role::Honest, entries(0.5, false)),
            party("cheater", 3, Role::Cheater, entries(0.55, true)),
            party("validator", 0, Role::Validator, Vec::new()),
        ];
        let rows = [(1, "miner A".to_owned(), 65_535), (2, "miner B".to_owned(), 52_211), (3, "cheater".to_owned(), 0)];
        Self {
            title: "A subnet in one process".into(),
            facts: facts(),
            parties,
            weights: Weight::shared(rows),
            rollout: Some(detail(&mut noise)),
            commands: commands(),
        }
    }

    /// Thirty windows of twelve miners, of whom two cheat now and then, and one comes late.
    pub fn long_example() -> Self {
        let mut noise = Noise(2);
        let mut report = Self::example();
        report.title = "Thirty windows on a local chain".into();
        report.parties.truncate(0);
        for uid in 1..=12_u16 {
            let is_cheater = uid % 6 == 0;
            let windows = (0..30).filter(|i| uid != 4 || i % 7 != 2);
            let entries = windows.map(|i| {
                let mut entry = entry(&mut noise, 5_123_400 + i * 30, f64::from(uid) / 14.0, is_cheater && i % 5 == 3);
                if uid == 4 && i % 7 == 5 {
                    entry.verdict = verdict(Outcome::Void, Some(("Late", None, "block", "5123431", "5123440")));
                }
                entry
            });
            let role = if is_cheater { Role::Cheater } else { Role::Honest };
            let name = if is_cheater { format!("cheater {uid}") } else { format!("miner {uid}") };
            report.parties.push(Party {
                hotkey: format!("5{}", "G".repeat(47)),
                entries: entries.collect(),
                uid: Some(uid),
                name,
                role,
            });
        }
        let weight = |party: &Party| {
            (party.uid.unwrap_or(0), party.name.clone(), (party.totals().solved * 18).min(65_535) as u16)
        };
        report.weights = Weight::shared(report.parties.iter().map(weight));
        report
    }
}

fn facts() -> Vec<Fact> {
    let facts = [
        ("network", "grail-demo-1"),
        ("model", "sat-tiny, 3.4 M parameters, f32"),
        ("chain", "local, subtensor metadata"),
        ("block time", "0.25 s"),
        ("window", "30 blocks"),
        ("beacon", "drand quicknet, verified"),
        ("machine", "2 cores, AVX2"),
        ("wall time", "41.7 s"),
    ];
    facts.into_iter().map(|(label, value)| Fact::new(label, value)).collect()
}

fn commands() -> Vec<CheckCommand> {
    let commands = [
        (
            "grail verify window-120-cheater.json.gz",
            "Derives the cheater's file again; it ends with exit code 3 at the edited token.",
        ),
        (
            "grail verify window-120-miner-a.json.gz",
            "The same for an honest file: every token, sketch and log-probability holds.",
        ),
        ("grail inspect window-120-cheater.json.gz --rollout 5", "Shows the rollout above, as it was published."),
    ];
    commands.into_iter().map(|(command, shows)| CheckCommand { command: command.into(), shows: shows.into() }).collect()
}

fn verdict(outcome: Outcome, reason: Option<(&str, Option<usize>, &str, &str, &str)>) -> Option<Verdict> {
    let reason = reason.map(|(rule, place, field, expected, found)| Reason {
        rule: rule.into(),
        rollout: place.map(|_| 5),
        position: place,
        field: field.into(),
        expected: expected.into(),
        found: found.into(),
    });
    Some(Verdict { outcome, reason })
}

fn entry(noise: &mut Noise, window: u64, skill: f64, is_caught: bool) -> Entry {
    let groups = 6 + (noise.next() * 5.0) as u64;
    let rollouts = groups * 16;
    let reward = |noise: &mut Noise| {
        if noise.next() < skill { 0.9 + (noise.next() * 4.0).floor() * 0.05 } else { noise.next() * 0.45 - 0.05 }
    };
    let rewards: Vec<f64> = (0..rollouts).map(|_| reward(noise)).collect();
    let completion_tokens = rollouts * 40 + (noise.next() * 300.0) as u64;
    let is_fraud = ("ReplayMismatch", Some(97), "token", "31", "30");
    Entry {
        window,
        groups,
        rollouts,
        solved: rewards.iter().filter(|reward| **reward > 0.5).count() as u64,
        completion_tokens,
        generation_seconds: completion_tokens as f64 / (700.0 + 150.0 * noise.next()),
        rewards,
        verdict: if is_caught { verdict(Outcome::Fraud, Some(is_fraud)) } else { verdict(Outcome::Valid, None) },
        checked_groups: groups,
        verified_tokens: completion_tokens + rollouts * 70,
        verification_seconds: completion_tokens as f64 / (2700.0 + 500.0 * noise.next()),
    }
}

const COMPLETION: &str = "<start_working_out>|\n|Clause| 1|:| x|2| or| not| x|5| or| x|7|.| Try| x|2| =| 1|,| x|5| =| 0|.|\n\
    |All| clauses| hold|.|\n|</end_working_out>|\n|<SOLUTION>|1| |0| |0| |1| |1|</SOLUTION>|";

fn detail(noise: &mut Noise) -> RolloutDetail {
    let pieces: Vec<&str> = COMPLETION.split('|').collect();
    let token = |(i, text): (usize, &&str)| {
        let logprob = (0.02 + 0.98 * noise.next().powf(0.3)).ln() as f32;
        let sketch = (noise.next() * 2_147_483_646.0) as u32;
        let derived = if i < 37 { sketch } else { (noise.next() * 2_147_483_646.0) as u32 };
        Token {
            text: (*text).into(),
            id: 30 + (text.len() * 7) as u32,
            logprob,
            raw_logprob: logprob * 1.1,
            sketch,
            derived_sketch: Some(derived),
        }
    };
    let completion = pieces.iter().enumerate().map(token).collect();
    let difference = Difference { position: 97, field: "token".into(), expected: "31".into(), found: "30".into() };
    RolloutDetail {
        party: "cheater".into(),
        window: 120,
        problem: 0,
        difficulty: "0.35".into(),
        prompt: "SAT Problem:\n(x2 OR NOT x5 OR x7) AND\n(NOT x1 OR x3 OR x5) AND\n(x4 OR x5 OR NOT x2)\n\
                 Provide your working out, then the assignment."
            .into(),
        prompt_tokens: 60,
        completion,
        reward: 1.05,
        success: true,
        edit: Some(Edit {
            position: 97,
            original: TokenName { text: "1".into(), id: 31 },
            claimed: TokenName { text: "0".into(), id: 30 },
            difference: Some(difference),
        }),
    }
}

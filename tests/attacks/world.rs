//! Two small networks with an honest miner: one for forgeries, one with more groups than a validator checks.

use std::sync::OnceLock;

use grail::identity;
use grail::sat::Sat;
use grail_engine::checkpoint::Checkpoint;
use grail_engine::tokenizer::Tokenizer;
use grail_engine::types::{Group, Sampling, ScoreRequest, Seed};
use grail_engine::{Scored, config::Config};
use grail_protocol::assignment::{Assignment, Problem, Protocol, WindowHead};
use grail_protocol::encoding::sha256;
use grail_protocol::params::{Network, Parameters};
use grail_protocol::prove::{Moment, prove_group, window_file};
use grail_protocol::signature::Signer;
use grail_protocol::verify::{Claimed, Extent, Rules, Selection, Trouble, Verdict, Verifier};
use grail_protocol::window::{Inference, WindowFile};

use crate::model::{honest_scorer, model};

pub type SatProblem = Problem<grail::sat::Instance>;

/// An honest miner's window.
pub struct World {
    pub protocol: &'static Protocol<'static, Sat>,
    pub head: WindowHead,
    pub signer: Signer,
    /// What an honest miner publishes.
    pub honest: WindowFile,
}

pub const EOS: u32 = 661;
/// A window with groups of every kind: solved by all, solved by some, cut off at the last allowed token.
const FIRST_BLOCK: u64 = 6288;
const MOMENT: Moment = Moment { block: 6291, timestamp: 1_692_806_400.5 };

/// Three groups of four. Group 0 solves its problem, group 1 in part, and group 2 runs into its 80th token without eos.
pub fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| World::new(Parameters { rollouts_per_problem: 4, max_new_tokens: 80, ..parameters() }, 3))
}

/// 34 groups of one short rollout, of which eight are checked.
pub fn wide_world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| World::new(Parameters { rollouts_per_problem: 1, max_new_tokens: 3, ..parameters() }, 34))
}

fn checkpoint() -> &'static Checkpoint {
    static CHECKPOINT: OnceLock<Checkpoint> = OnceLock::new();
    CHECKPOINT.get_or_init(|| Checkpoint::sat_tiny().expect("the checkpoint of the repository"))
}

fn parameters() -> Parameters {
    let Sampling { temperature, top_k, top_p, repetition_penalty } = Sampling::default();
    Parameters {
        genesis_hash: sha256(b"genesis"),
        netuid: 2,
        window_length: 12,
        beacon_chain_hash: sha256(b"beacon"),
        beacon_delay_ms: 1000,
        model_name: "sat-tiny".into(),
        weights_digest: identity::digest(checkpoint()).expect("a digest"),
        environment: "sat".into(),
        rollouts_per_problem: 4,
        max_new_tokens: 80,
        eos_ids: vec![EOS],
        temperature,
        top_k,
        top_p,
        repetition_penalty,
        max_groups: 64,
    }
}

/// The head of a window that starts at a block.
pub fn head_at(block_number: u64) -> WindowHead {
    let beacon_signature = [sha256(&block_number.to_be_bytes()), [0x5a; 32]].concat();
    WindowHead {
        block_number,
        block_hash: sha256(&[b"block", &block_number.to_be_bytes()[..]].concat()),
        timestamp_ms: 1_692_800_000_000 + 1000 * block_number,
        round: block_number / 3,
        beacon_randomness: sha256(&beacon_signature),
        beacon_signature,
    }
}

/// The miner, and another one.
pub fn signer() -> Signer {
    Signer::from_seed(&[11; 32])
}

pub fn other_signer() -> Signer {
    Signer::from_seed(&[12; 32])
}

impl World {
    fn new(parameters: Parameters, groups: u64) -> Self {
        let network = &*Box::leak(Box::new(Network::new(parameters).expect("parameters in range")));
        let tokenizer = &*Box::leak(Box::new(Tokenizer::from_checkpoint(checkpoint()).expect("a tokenizer")));
        let config: &Config = checkpoint().config();
        let protocol = Protocol::new(network, &Sat, tokenizer, config).expect("parameters that fit the model");
        let (protocol, head, signer) = (&*Box::leak(Box::new(protocol)), head_at(FIRST_BLOCK), signer());
        let assignment = protocol.assignment(&head, signer.account());
        let indices: Vec<u64> = (0..groups).collect();
        let inferences = mine(&assignment, &indices, &signer);
        let honest = window_file(network, &head, &signer.account(), inferences, MOMENT.timestamp);
        Self { protocol, head, signer, honest }
    }

    /// What the window assigns to the honest miner.
    pub fn assignment(&self) -> Assignment<'static, Sat> {
        self.protocol.assignment(&self.head, self.signer.account())
    }

    /// The head of the window after this one.
    pub fn next_head(&self) -> WindowHead {
        head_at(self.head.block_number + self.protocol.network().parameters().window_length)
    }

    pub fn claimed<'a>(&'a self, file: &'a WindowFile, account: &'a [u8; 32]) -> Claimed<'a> {
        Claimed { file, head: &self.head, account }
    }

    /// The verdict of the honest model on a file of this world's miner.
    pub fn verdict(&self, rules: Rules<Sat>, file: &WindowFile, extent: Extent) -> Verdict {
        let verdict = self.verify(rules, file, Selection::All, extent, &mut honest_scorer);
        verdict.expect("the validator itself has no trouble")
    }

    pub fn verify(
        &self,
        rules: Rules<Sat>,
        file: &WindowFile,
        selection: Selection<'_>,
        extent: Extent,
        scorer: &mut dyn FnMut(&ScoreRequest<'_>) -> grail_engine::Result<Scored>,
    ) -> Result<Verdict, Trouble> {
        let account = self.signer.account();
        let verifier = Verifier::with_rules(self.protocol, rules);
        verifier.verify(self.claimed(file, &account), selection, extent, scorer)
    }
}

/// What an honest miner's entries of some problems are.
pub fn mine(assignment: &Assignment<'_, Sat>, indices: &[u64], signer: &Signer) -> Vec<Inference> {
    let parameters = assignment.protocol().network().parameters();
    let problems: Vec<SatProblem> = indices.iter().map(|&i| assignment.problem(i).expect("a problem")).collect();
    let seeds =
        |index: u64| -> Vec<Seed> { (0..parameters.rollouts_per_problem).map(|i| assignment.seed(index, i)).collect() };
    let group = |p: &SatProblem| Group { prompt: p.prompt.clone(), seeds: seeds(p.index) };
    let groups: Vec<Group> = problems.iter().map(group).collect();
    let (most, sampling) = (parameters.max_new_tokens as usize, assignment.protocol().sampling());
    let projection = assignment.projection().expect("a model of an allowed width");
    let rollouts = model().generate(&groups, sampling, most, &parameters.eos_ids, &projection);
    let entries = |(problem, rollouts)| prove_group(assignment, problem, rollouts, signer, MOMENT);
    problems.iter().zip(rollouts.iter().map(Vec::as_slice)).flat_map(entries).collect()
}

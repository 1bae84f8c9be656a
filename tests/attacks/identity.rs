//! Lies about whose window this is: network, head, hotkey, model, signatures. All of them void.

use grail_protocol::binding::Binding;
use grail_protocol::verify::RuleId::{EntryRandomness, Head, Hotkey, Model, Network, Signatures, Wallet};
use grail_protocol::{Hash, ss58};

use crate::attack::Attack;
use crate::forge::Forger;
use crate::world::{other_signer, world};

pub fn attacks() -> Vec<Attack> {
    [of_the_file(), of_entries(), of_signatures(), signed_for_something_else()].into_iter().flatten().collect()
}

fn other_address() -> String {
    ss58::encode(&other_signer().account())
}

fn of_the_file() -> Vec<Attack> {
    let next = world().next_head();
    vec![
        Attack::new(Network, "other proof_version", |f| f.file.proof_version = "grail-exact-0".into()),
        Attack::new(Network, "other network_id", |f| f.file.network_id = hex::encode([7; 32])),
        Attack::new(Network, "network_id in capitals", |f| f.file.network_id.make_ascii_uppercase()),
        Attack::new(Network, "other window_length", |f| f.file.window_length += 1),
        Attack::new(Head, "window_start of the next window", |f| f.file.window_start = next.block_number.into())
            .known(17),
        Attack::new(Head, "other block number", |f| f.file.block.number += 1),
        Attack::new(Head, "other block hash", |f| f.file.block.hash = format!("0x{}", hex::encode(next.block_hash))),
        Attack::new(Head, "block hash without 0x", |f| f.file.block.hash = f.file.block.hash[2..].into()),
        Attack::new(Head, "other block time", |f| f.file.block.timestamp_ms += 1),
        Attack::new(Head, "next round of the beacon", |f| f.file.beacon.round += 1).known(4),
        Attack::new(Head, "other beacon signature", |f| f.file.beacon.signature = hex::encode(&next.beacon_signature)),
        Attack::new(Wallet, "other wallet", |f| f.file.wallet = other_address()).known(17),
    ]
}

fn of_entries() -> Vec<Attack> {
    let next = world().next_head();
    let other_r_w = hex::encode(world().protocol.assignment(&next, world().signer.account()).r_w());
    let next_hash = format!("0x{}", hex::encode(next.block_hash));
    let randomness = |name, i, lie: &dyn Fn(&mut Forger)| Attack::new(EntryRandomness, name, lie).at(i);
    let model = |name, i, lie: &dyn Fn(&mut grail_protocol::window::Model)| {
        Attack::new(Model, name, |f| lie(&mut f.entry(i).commit.model)).at(i)
    };
    let path = |m: &mut grail_protocol::window::Model| m.name = "models/sat-tiny".into();
    vec![
        randomness("entry: other window_start", 5, &|f| f.entry(5).window_start = next.block_number.into()),
        randomness("entry: other block_hash", 0, &|f| f.entry(0).block_hash = next_hash.clone()),
        randomness("entry: block_hash without 0x", 5, &|f| f.entry(5).block_hash.replace_range(..2, "")),
        randomness("entry: other R_w", 5, &|f| f.entry(5).randomness.clone_from(&other_r_w)),
        randomness("commit: other R_w", 11, &|f| f.entry(11).commit.randomness.clone_from(&other_r_w)).known(4),
        randomness("use_drand false", 5, &|f| f.entry(5).use_drand = false),
        Attack::new(Hotkey, "entry: other hotkey", |f| f.entry(5).hotkey = other_address()).at(5).known(7),
        Attack::new(Hotkey, "all entries: other hotkey", |f| {
            f.file.inferences.iter_mut().for_each(|e| e.hotkey = other_address());
        })
        .at(0)
        .known(7),
        model("model name is a path", 5, &path),
        model("other weights_digest", 5, &|m| m.weights_digest = hex::encode([9; 32])),
        model("other numerics", 11, &|m| m.numerics = "bf16".into()),
        model("layer_index 0", 0, &|m| m.layer_index = 0),
        model("layer_index -2", 0, &|m| m.layer_index = -2),
    ]
}

fn of_signatures() -> Vec<Attack> {
    let other = other_signer();
    let row = |name, i, lie: &dyn Fn(&mut Forger)| Attack::new(Signatures, name, lie).at(i);
    let ours = &world().signer;
    let wrapped = |message: &[u8]| hex::encode(ours.sign(&[b"<Bytes>", message, b"</Bytes>"].concat()));
    vec![
        row("commit signed by another key", 5, &|f| {
            f.entry(5).commit.signature = hex::encode(other.sign(&binding(f, 5)))
        }),
        row("challenge signed by another key", 5, &|f| {
            f.entry(5).signature = hex::encode(other.sign(&challenge(f, 5)))
        }),
        row("everything signed by another key", 0, &|f| {
            for i in 0..f.file.inferences.len() {
                f.entry(i).commit.signature = hex::encode(other.sign(&binding(f, i)));
                f.entry(i).signature = hex::encode(other.sign(&challenge(f, i)));
            }
        })
        .known(7),
        row("commit signed in <Bytes> form", 5, &|f| f.entry(5).commit.signature = wrapped(&binding(f, 5))),
        row("challenge signed in <Bytes> form", 5, &|f| f.entry(5).signature = wrapped(&challenge(f, 5))),
        row("commit signature of the next member", 5, &|f| f.entry(5).commit.signature = commit_signature(f, 6)),
        row("challenge signature of the next member", 5, &|f| f.entry(5).signature = f.entry(6).signature.clone()),
        row("challenge signed with another block hash", 4, &|f| {
            let text = format!("{}0x{}4", f.problem(4).seed_text, hex::encode([1; 32]));
            f.entry(4).signature = hex::encode(ours.sign(text.as_bytes()));
        })
        .known(7),
        row("commit signature in capitals", 5, &|f| f.entry(5).commit.signature.make_ascii_uppercase()),
        row("challenge signature in capitals", 5, &|f| f.entry(5).signature.make_ascii_uppercase()),
        row("commit signature with 0x", 5, &|f| f.entry(5).commit.signature.insert_str(0, "0x")),
        row("commit signature that is no hex", 11, &|f| f.entry(11).commit.signature = "signed".into()).known(16),
        row("no signature at all", 11, &|f| f.entry(11).signature.clear()).known(16),
        row("binding signed as hex text", 5, &|f| {
            let text = hex::encode(binding(f, 5));
            f.entry(5).commit.signature = hex::encode(ours.sign(text.as_bytes()));
        }),
    ]
}

fn binding(f: &Forger, i: usize) -> Hash {
    f.assignment.binding(&f.problem(i), f.place(i).1, &f.file.inferences[i].commit)
}

fn challenge(f: &Forger, i: usize) -> Vec<u8> {
    f.assignment.challenge(&f.problem(i), f.place(i).1).into_bytes()
}

fn commit_signature(f: &Forger, i: usize) -> String {
    f.file.inferences[i].commit.signature.clone()
}

/// Parts of a binding that a forger may have signed in place of the right ones.
struct Signed {
    tokens: Vec<u32>,
    s_vals: Vec<u32>,
    r_w: Hash,
    model_name: String,
    weights_digest: Hash,
    network_id: Hash,
    account: Hash,
    window_start: u64,
    index: u64,
    rollout: u32,
    raw_logprobs: Vec<f32>,
    sampling_logprobs: Vec<f32>,
}

impl Signed {
    fn of(f: &Forger, i: usize) -> Self {
        let (commit, (index, rollout)) = (&f.file.inferences[i].commit, f.place(i));
        let (start, network) = (f.problem(i).prompt.len(), f.assignment.protocol().network());
        Self {
            tokens: commit.tokens.clone(),
            s_vals: commit.s_vals.clone(),
            r_w: *f.assignment.r_w(),
            model_name: network.parameters().model_name.clone(),
            weights_digest: network.parameters().weights_digest,
            network_id: *network.id(),
            account: *f.assignment.account(),
            window_start: f.assignment.window_start(),
            index,
            rollout,
            raw_logprobs: commit.rollout.raw_token_logprobs[start..].to_vec(),
            sampling_logprobs: commit.rollout.token_logprobs[start..].to_vec(),
        }
    }

    fn digest(&self) -> Hash {
        let binding = Binding {
            tokens: &self.tokens,
            s_vals: &self.s_vals,
            r_w: &self.r_w,
            model_name: &self.model_name,
            weights_digest: &self.weights_digest,
            network_id: &self.network_id,
            account: &self.account,
            window_start: self.window_start,
            index: self.index,
            rollout: self.rollout,
            raw_logprobs: &self.raw_logprobs,
            sampling_logprobs: &self.sampling_logprobs,
        };
        binding.digest()
    }
}

/// The right key over something else.
fn signed_for_something_else() -> Vec<Attack> {
    let row = |what: &str, alter: &dyn Fn(&mut Signed)| {
        let lie = |f: &mut Forger| {
            let mut signed = Signed::of(f, 5);
            assert_eq!(signed.digest(), binding(f, 5), "the unaltered form is the right one");
            alter(&mut signed);
            f.entry(5).commit.signature = hex::encode(world().signer.sign(&signed.digest()));
        };
        Attack::new(Signatures, &format!("commit signed for another {what}"), lie).at(5)
    };
    let next = world().next_head();
    let other_r_w = *world().protocol.assignment(&next, world().signer.account()).r_w();
    vec![
        row("token", &|s| s.tokens[200] ^= 1),
        row("sketch", &|s| s.s_vals[0] ^= 1),
        row("R_w", &|s| s.r_w = other_r_w).known(4),
        row("model name", &|s| s.model_name.push('2')),
        row("model", &|s| s.weights_digest = [1; 32]),
        row("network", &|s| s.network_id = [1; 32]),
        row("account", &|s| s.account = other_signer().account()),
        row("window", &|s| s.window_start = next.block_number),
        row("problem", &|s| s.index = 2),
        row("member", &|s| s.rollout = 2),
        row("raw log-probability", &|s| s.raw_logprobs[0] -= 1.0),
        row("sampling log-probability", &|s| s.sampling_logprobs[0] -= 1.0),
    ]
}

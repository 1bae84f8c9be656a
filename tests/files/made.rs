//! A window file that holds, changes of it, and the program as it is called.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use grail::sat::Sat;
use grail_protocol::window::{self, Form, Limits, Schema, WindowFile};
use serde_json::Value;

pub fn grail(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_grail"));
    command.args(args).env_remove("GRAIL_CPU").env("HF_HUB_OFFLINE", "1").env("GRAIL_WALLET_PATH", "/nonexistent");
    command
}

pub fn ends(args: &[&str], code: i32) -> (String, String) {
    let Output { status, stdout, stderr } = grail(args).output().unwrap();
    let (out, err) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
    assert_eq!(status.code(), Some(code), "{args:?}: {out}{err}");
    (out, err)
}

/// The refusal of a call, which is one line.
pub fn refusal(args: &[&str], code: i32) -> String {
    let (_, err) = ends(args, code);
    assert_eq!(err.lines().count(), 1, "{args:?}: {err}");
    err
}

pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A folder with one honest file and its network.
pub struct Made {
    pub folder: tempfile::TempDir,
    pub file: PathBuf,
    pub network: PathBuf,
}

pub fn made() -> &'static Made {
    static MADE: OnceLock<Made> = OnceLock::new();
    MADE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let (file, network) = (folder.path().join("w.json.gz"), folder.path().join("net.json"));
        let args = ["rollouts", "--problems", "2", "--max-new-tokens", "96", "--rollouts-per-problem", "3"];
        let files = ["--out", text(&file), "--write-network", text(&network)];
        let (out, _) = ends(&[&args[..], &files].concat(), 0);
        assert!(out.contains("6 of 2 problems") && out.contains("public key"), "{out}");
        Made { folder, file, network }
    })
}

pub const LIMITS: Limits = Limits { text_bytes: 1 << 30, inferences: 100, positions: 4096, vocab_size: 768 };

pub fn schema() -> Schema {
    Schema::of::<Sat>()
}

pub fn read(path: &Path) -> WindowFile {
    window::read_stored(&std::fs::read(path).unwrap()[..], &schema(), &LIMITS).unwrap()
}

/// The honest file after a change, under a name of its own.
pub fn altered(name: &str, change: impl FnOnce(&mut WindowFile)) -> PathBuf {
    let mut file = read(&made().file);
    change(&mut file);
    let path = made().folder.path().join(name);
    std::fs::write(&path, window::store(&file.to_text(&schema(), Form::Whole))).unwrap();
    path
}

pub fn verify(file: &Path, more: &[&str], code: i32) -> Value {
    let args = ["verify", text(file), "--network", text(&made().network), "--json"];
    let (out, _) = ends(&[&args[..], more].concat(), code);
    serde_json::from_str(&out).unwrap()
}

/// Signs a rollout with the public offline key.
pub fn resign(file: &mut WindowFile, place: usize) {
    use grail::network::NetworkFile;
    use grail::offline::{head_of, public_signer};
    use grail_engine::checkpoint::Checkpoint;
    use grail_engine::tokenizer::Tokenizer;
    use grail_protocol::{assignment::Protocol, prove};
    let checkpoint = Checkpoint::sat_tiny().unwrap();
    let tokenizer = Tokenizer::from_checkpoint(&checkpoint).unwrap();
    let network = NetworkFile::read(&made().network).unwrap();
    let protocol = Protocol::new(network.network(), &Sat, &tokenizer, checkpoint.config()).unwrap();
    let head = head_of(&file.block, &file.beacon, &network).unwrap();
    let assignment = protocol.assignment(&head, public_signer().account());
    let entry = &mut file.inferences[place];
    let (index, rollout) = (entry.rollout_group as u64, entry.rollout_index as u32);
    prove::sign(&assignment, &assignment.problem(index).unwrap(), rollout, entry, &public_signer());
}

//! Miner and validator with `--device cuda`, on the stand-in driver that runs the kernels on this machine's CPU.

use std::path::PathBuf;

use grail::subnet::local::MINER;
use grail_protocol::ss58;
use serde_json::Value;

use crate::net::{Net, PATIENCE, account, of_window, text};
use crate::process::Process;

/// Long enough that a GPU of 50 tokens/s answers a problem.
const SIZES: [&str; 6] = ["--block-time", "500ms", "--window-length", "30", "--max-groups", "1"];

/// Where the stand-in lies; `None`, and said aloud, where there is no C++ compiler to make kernels run.
fn standin() -> Option<PathBuf> {
    match grail_standin::library_dir() {
        Ok(folder) => Some(folder),
        Err(grail_standin::Unavailable::NoCompiler) => {
            eprintln!("skipped: {}", grail_standin::Unavailable::NoCompiler);
            None
        }
        Err(broken) => panic!("{broken}"),
    }
}

/// A party whose model is on the stand-in's device.
fn on_gpu(net: &Net, command: &str, folder: &std::path::Path, more: &[(&str, &str)]) -> Process {
    let data = text(&net.data());
    let args = [command, "--data", &data, "--json", "--device", "cuda", "--memory", "400MiB"];
    let mut variables = vec![("LD_LIBRARY_PATH", text(folder))];
    variables.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
    Process::start_with(net.home(), &args, &variables)
}

fn valid(event: &Value) -> bool {
    event["event"] == "judged" && event["outcome"] == "valid" && event["groups"] != 0
}

#[test]
fn a_gpu_mines_what_a_cpu_finds_valid_and_the_reverse() {
    let Some(folder) = standin() else { return };
    let net = Net::start_alone(&SIZES);
    let mut validator = net.party("validate", &["--device", "cpu"]);
    let mut miner = on_gpu(&net, "mine", &folder, &[]);
    let window = validator.event("a GPU's window", PATIENCE, valid)["window"].as_u64().expect("a block");
    miner.event("its file", PATIENCE, |e| of_window(e, "window_published", window));
    validator.interrupt();
    miner.interrupt();
    assert_eq!(validator.wait(PATIENCE).code(), Some(0), "{}", validator.story());
    assert_eq!(miner.wait(PATIENCE).code(), Some(0), "{}", miner.story());

    let mut validator = on_gpu(&net, "validate", &folder, &[]);
    let mut miner = net.party("mine", &["--device", "cpu"]);
    let later = |event: &Value| valid(event) && event["window"].as_u64() > Some(window);
    let window = validator.event("a CPU's window", PATIENCE, later)["window"].as_u64().expect("a block");
    miner.event("its file", PATIENCE, |e| of_window(e, "window_published", window));
    assert!(validator.all("judged").iter().all(|e| e["outcome"] != "fraud"), "{}", validator.story());
}

#[test]
fn a_failing_gpu_ends_a_miner_with_the_drivers_words_and_publishes_nothing() {
    let Some(folder) = standin() else { return };
    let net = Net::start_alone(&SIZES);
    // CUDA_ERROR_ILLEGAL_ADDRESS, in the middle of the first window's work.
    let mut miner = on_gpu(&net, "mine", &folder, &[("STANDIN_FAULT", "launch:900:700")]);
    let code = miner.wait(PATIENCE).code();
    let told = miner.told();
    assert_eq!(code, Some(1), "{}", miner.story());
    assert!(told.contains("cuda:0") && told.contains("CUDA_ERROR_ILLEGAL_ADDRESS"), "{told}");
    assert!(miner.all("window_published").is_empty(), "{}", miner.story());
    let own = account(MINER);
    assert!(net.keys(&own, "").is_empty(), "nothing lies in the bucket of {}", ss58::encode(&own));
    // A GPU that is well goes on where it stopped.
    let mut miner = on_gpu(&net, "mine", &folder, &[]);
    miner.event("a file", PATIENCE, |event| event["event"] == "window_published");
}

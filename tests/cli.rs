//! The program as it is called: exit codes, what it prints, and that nothing about the machine changes a result.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn grail(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_grail"));
    command.args(args).env_remove("GRAIL_CPU").env("HF_HUB_OFFLINE", "1").current_dir(env!("CARGO_MANIFEST_DIR"));
    command.env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR"));
    command
}

fn run(args: &[&str]) -> Output {
    grail(args).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The output of a call that has to succeed.
fn success(args: &[&str]) -> String {
    let output = run(args);
    assert_eq!(output.status.code(), Some(0), "{args:?}: {}{}", stdout(&output), stderr(&output));
    stdout(&output)
}

/// The one line of a call that has to end with a code.
fn refusal(command: &mut Command, code: i32) -> String {
    let output = command.output().unwrap();
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(code), "{command:?}: {text}");
    assert_eq!(text.lines().count(), 1, "{command:?}: {text}");
    text
}

#[test]
fn the_demo_accepts_and_weighs_the_honest_and_finds_the_cheater() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("demo.html");
    let flags = ["demo", "--windows", "2", "--problems", "4", "--json", "--report", page.to_str().unwrap()];
    let report: Value = serde_json::from_str(&success(&flags)).unwrap();
    let parties = report["parties"].as_array().unwrap();
    let share = |uid: &Value| {
        let weights = report["weights"].as_array().unwrap();
        weights.iter().find(|weight| weight["uid"] == *uid).unwrap()["share"].as_f64().unwrap()
    };
    let outcomes = |party: &Value| -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let verdicts = party["entries"].as_array().unwrap().iter().map(|entry| &entry["verdict"]);
        verdicts.map(|verdict| (text(&verdict["outcome"]), text(&verdict["reason"]["rule"]))).collect()
    };
    let of_role = |role: &'static str| parties.iter().filter(move |party| party["role"] == role);
    assert_eq!((of_role("honest").count(), of_role("cheater").count()), (2, 1));
    for miner in of_role("honest") {
        assert!(share(&miner["uid"]) > 0.0, "{miner}");
        assert!(outcomes(miner).iter().any(|(outcome, _)| outcome == "valid"), "{miner}");
    }
    let cheater = of_role("cheater").next().unwrap();
    assert_eq!(share(&cheater["uid"]), 0.0);
    let fraud = ("fraud".to_owned(), "SketchMismatch".to_owned());
    assert!(outcomes(cheater).contains(&fraud), "{cheater}");
    // Where the lie is, there it is found.
    let edit = &report["rollout"]["edit"];
    assert!(edit["position"].is_u64() && edit["position"] == edit["difference"]["position"], "{edit}");
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>") && page.contains("SketchMismatch"));
}

#[test]
fn usage_errors_exit_with_2() {
    for args in [
        &[][..],
        &["dem"],
        &["demo", "--problems", "0"],
        &["demo", "--block-time", "fast"],
        &["validate", "--burn-percentage", "101"],
        &["mine", "--network", "http://somewhere"],
        &["mine", "--network", "finney", "--uri", "//Bob"],
        &["demo", "--memory", "lots"],
        &["generate"],
        &["trace", "--layers"],
        &["bench", "sat-tiny"],
        &["bench", "growth"],
        &["bench", "rollouts", "sat-tiny", "--rollouts", "0"],
    ] {
        let output = run(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{args:?}");
    }
    for (args, says) in [
        (&["demo", "--max-new-tokens", "4096"][..], "max_new_tokens: 4096"),
        (&["mine", "--network", "finney"], "--hotkey"),
        (&["generate", "--prompt", "a", "--max-new-tokens", "4096"], "--max-new-tokens: 4096"),
        (&["generate", "--prompt", "a", "--top-p", "1.5"], "top_p: is 1.5"),
        (&["generate", "--prompt", ""], "the prompt is empty"),
        (&["generate", "--sat", "a", "--difficulty", "1000"], "difficulty: 1000"),
        (&["bench", "sat-tiny", "bf16", "pp"], "\"pp\" is no case"),
        (&["bench", "--make-model", "9b", "dir"], "\"9b\" is no shape"),
        (&["bench", "kernels", "--device", "cpu"], "kernels of GPUs"),
    ] {
        let line = refusal(&mut grail(args), 2);
        assert!(line.contains(says), "{line}");
    }
}

#[test]
fn failures_are_one_line_and_exit_with_1() {
    let home = tempfile::tempdir().unwrap();
    for (args, says) in [
        (&["generate", "--model", "nowhere", "--prompt", "a"][..], "model nowhere: there is no such folder"),
        (&["model", "info", "tests"], "config.json: is missing in tests"),
        (&["model", "info", "nobody/nothing"], "model nobody/nothing@main: it is not in the cache"),
        (&["trace", "--cases", "nowhere.json"], "nowhere.json: No such file"),
        (&["trace", "--cases", "models/sat-tiny/config.json"], "config.json: sequences: missing"),
        (&["trace", "--layers", "--tokens", "768"], "tokens[0]: is 768"),
        (&["demo", "--memory", "1MiB"], "memory budget"),
    ] {
        let line = refusal(grail(args).env("HF_HOME", home.path()), 1);
        assert!(line.starts_with("grail: ") && line.contains(says), "{line}");
    }
    let line = refusal(grail(&["demo"]).env("GRAIL_CPU", "nonsense"), 1);
    assert!(line.contains("GRAIL_CPU") && line.contains("nonsense") && line.contains("portable"), "{line}");
}

fn vectors(model: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/vectors/exact/model-{model}.json"))
}

fn check(model: &str, file: &Path, more: &[&str]) -> Output {
    let file = file.to_str().unwrap();
    run(&[&["trace", "--model", model, "--cases", file, "--check"], more].concat())
}

const TIED: &str = "tests/vectors/tiny-qwen3/tied-2l";
const UNTIED: &str = "tests/vectors/tiny-qwen3/untied-4l";

#[test]
fn every_vector_of_the_models_is_computed_to_the_bit() {
    for (model, name, least) in
        [("sat-tiny", "sat-tiny", 13_000), (TIED, "tied-2l", 8_000), (UNTIED, "untied-4l", 9_000)]
    {
        let output = check(model, &vectors(name), &["--batch", "4"]);
        let text = stdout(&output);
        assert_eq!(output.status.code(), Some(0), "{name}: {text}{}", stderr(&output));
        let compared: u64 = text.split(' ').next().unwrap().parse().unwrap();
        assert!(compared > least && text.contains("all equal"), "{name}: {text}");
    }
}

#[test]
fn vectors_do_not_depend_on_batch_chunks_threads_or_instruction_set() {
    for more in ["--batch 1 --step-rows 1 --threads 1", "--batch 7 --step-rows 100 --cpu portable", "--batch 64"] {
        let more: Vec<&str> = more.split(' ').collect();
        let output = check(TIED, &vectors("tied-2l"), &more);
        assert_eq!(output.status.code(), Some(0), "{more:?}: {}", stdout(&output));
    }
}

#[test]
fn an_altered_vector_is_rejected_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let file: Value = serde_json::from_slice(&std::fs::read(vectors("tied-2l")).unwrap()).unwrap();
    for (pointer, place) in [
        ("/sequences/2/logits_first2/3", "sequences[2] \"random 17\" logits_first2[3]"),
        ("/sequences/2/trace/4/sha256", "sequences[2] \"random 17\" trace position 0"),
        ("/generations/3/sampling_logprob/5", "generations[3] \"generation 3\" sampling_logprob[5]"),
        ("/generations/9/sketches/0", "generations[9] \"generation 9\" sketches[0]"),
    ] {
        let mut altered = file.clone();
        let value = altered.pointer_mut(pointer).unwrap();
        *value = match value {
            Value::String(text) => {
                let last = if text.pop() == Some('0') { '1' } else { '0' };
                format!("{text}{last}").into()
            }
            ref other => (other.as_u64().unwrap() ^ 1).into(),
        };
        let path = dir.path().join("altered.json");
        std::fs::write(&path, altered.to_string()).unwrap();
        let output = check(TIED, &path, &["--batch", "1"]);
        assert_eq!(output.status.code(), Some(3), "{pointer}: {}", stdout(&output));
        assert!(stdout(&output).contains(place), "{}", stdout(&output));
    }
    let output = check(UNTIED, &vectors("tied-2l"), &["--batch", "1"]);
    assert_eq!(output.status.code(), Some(3), "another model is another model");
}

#[test]
fn printed_cases_are_the_files_objects() {
    let path = vectors("tied-2l");
    let text = success(&["trace", "--model", TIED, "--cases", path.to_str().unwrap(), "--batch", "1"]);
    let printed: Value = serde_json::from_str(&text).unwrap();
    let file: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(printed["sequences"], file["sequences"]);
    assert_eq!(printed["generations"], file["generations"]);
}

#[test]
fn layers_are_the_same_however_they_are_computed() {
    let tokens = (1..=40).map(|t| t.to_string()).collect::<Vec<_>>().join(",");
    let randomness = "5c".repeat(32);
    let layers = |more: &str| {
        let more = more.split(' ').filter(|word| !word.is_empty());
        let args: Vec<&str> = ["trace", "--layers", "--tokens", &tokens].into_iter().chain(more).collect();
        success(&args)
    };
    let here = layers("");
    // Per position: 11 stages of each of 4 layers, embedding, final norm, hidden, logits.
    assert_eq!(here.lines().count(), 40 * (4 * 11 + 4));
    assert_eq!(here, layers("--step-rows 7 --threads 3 --cpu portable"));
    let with_sketches = layers(&format!("--randomness {randomness}"));
    let (sketches, others): (Vec<&str>, Vec<&str>) = with_sketches.lines().partition(|line| line.contains(" sketch "));
    assert_eq!(sketches.len(), 40);
    assert_eq!(others, here.lines().collect::<Vec<_>>());
}

#[test]
fn a_rollout_does_not_depend_on_those_beside_it() {
    let randomness = "ab".repeat(32);
    let objects = |rollouts: &str| -> Vec<Value> {
        let args =
            ["generate", "--sat", "x", "--json", "--randomness", &randomness, "-n", rollouts, "--temperature", "1.5"];
        success(&args).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let (alone, three) = (objects("1"), objects("3"));
    assert_eq!((alone.len(), three.len()), (1, 3));
    assert_eq!(alone[0], three[0]);
    assert_ne!(three[0]["tokens"], three[1]["tokens"]);
    let length = |name: &str| three[1][name].as_array().unwrap().len();
    assert_eq!(length("sketches"), length("tokens"));
    let prompt_length = three[1]["prompt_length"].as_u64().unwrap() as usize;
    assert_eq!(length("raw_logprobs"), length("tokens") - prompt_length);
    let text = success(&["generate", "--sat", "x", "--temperature", "1.5"]);
    assert_eq!(text.trim_end_matches('\n'), alone[0]["text"].as_str().unwrap().trim_end_matches('\n'));
}

#[test]
fn a_made_model_can_be_described_and_measured() {
    let dir = tempfile::tempdir().unwrap();
    let model = dir.path().join("tiny");
    let model = model.to_str().unwrap();
    success(&["bench", "--make-model", "tiny", model]);
    let line = refusal(&mut grail(&["bench", "--make-model", "tiny", model]), 1);
    assert!(line.contains("not empty"), "{line}");
    let facts: Value = serde_json::from_str(&success(&["model", "info", "--json", model])).unwrap();
    assert_eq!((facts["layers"].as_u64(), facts["vocab_size"].as_u64()), (Some(2), Some(320)));
    assert_eq!(facts["weights_digest"].as_str().map(str::len), Some(64));

    let text = success(&["bench", "--json", model, "bf16", "pp40,tg2"]);
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let tests: Vec<&str> = lines.iter().map(|line| line["test"].as_str().unwrap()).collect();
    assert_eq!(tests, ["load_s", "pp40", "tg2"]);
    assert!(lines.iter().all(|line| line["value"].as_f64().unwrap() > 0.0));
    let table = success(&["bench", model, "f32", "tg1,pp40", "--runs", "2"]);
    for part in ["tg1", "pp40", "%", "reads ", "multiply-adds/s", "weights digest"] {
        assert!(table.contains(part), "{part}: {table}");
    }
}

#[test]
fn growth_and_the_work_of_miner_and_validator_are_measured() {
    let dir = tempfile::tempdir().unwrap();
    let (model, plot) = (dir.path().join("tiny"), dir.path().join("growth.svg"));
    let (model, plot) = (model.to_str().unwrap(), plot.to_str().unwrap());
    success(&["bench", "--make-model", "tiny", model]);
    let bench = |words: &str| {
        let mut args = vec!["bench", words.split(' ').next().unwrap(), model];
        args.extend(words.split(' ').skip(1));
        success(&args)
    };
    let table = bench(&format!("growth --batches 1,3 --contexts 40,16384k --runs 1 --plot {plot}"));
    assert!(table.contains("left out") && table.contains("x ") && table.contains(plot), "{table}");
    let drawn = std::fs::read_to_string(plot).unwrap();
    // Two batches and the one context that fits, and the legend.
    assert_eq!(drawn.matches("<rect class=\"measured\"").count(), 4, "{drawn}");

    let work = "rollouts --prompt 40 --new-tokens 8 --rollouts 3 --runs 2";
    let table = bench(work);
    assert!(table.contains("validator") && table.contains("24 tokens"), "{table}");
    let lines = bench(&format!("{work} --json"));
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let tests: Vec<&str> = lines.iter().map(|line| line["test"].as_str().unwrap()).collect();
    let expected =
        ["miner_s_per_1000", "miner_without_proof_s_per_1000", "proof_overhead_percent", "validator_s_per_1000"];
    assert_eq!(tests, expected);
    assert!(lines.iter().all(|line| line["value"].is_f64()), "{lines:?}");
}

/// On the stand-in driver, whose devices are told by the variables.
fn on_standin(args: &[&str], devices: &str) -> Option<Command> {
    let folder = match grail_standin::library_dir() {
        Err(grail_standin::Unavailable::NoCompiler) => {
            eprintln!("skipped: {}", grail_standin::Unavailable::NoCompiler);
            return None;
        }
        folder => folder.unwrap(),
    };
    let mut command = grail(args);
    command.env("LD_LIBRARY_PATH", folder).env("STANDIN_DEVICES", devices);
    Some(command)
}

#[test]
fn kernels_are_measured_on_a_gpu_and_nowhere_else() {
    let args = ["bench", "kernels", "--shape", "tiny", "--batches", "1,9", "--prompt", "40", "--context", "40"];
    let quick = [&args[..], &["--quick", "--runs", "1", "--json"]].concat();
    let Some(mut command) = on_standin(&quick, "1") else { return };
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (head, rows) = lines.split_first().unwrap();
    assert!(head["copy_bytes_per_s"].as_f64().unwrap() > 0.0 && head["mma_operations_per_s"].as_f64().unwrap() > 0.0);
    assert!(rows.len() > 30, "{}", rows.len());
    for row in rows {
        assert!(row["seconds"].as_f64().unwrap() > 0.0 && row["of_copy"].as_f64().unwrap() > 0.0, "{row}");
    }
    let kernels: std::collections::BTreeSet<_> = rows.iter().map(|row| row["kernel"].as_str().unwrap()).collect();
    assert!(["gemv", "head_8", "attend_prefill", "sample_row"].iter().all(|k| kernels.contains(k)), "{kernels:?}");

    let table = on_standin(&quick[..quick.len() - 1], "1").unwrap().output().unwrap();
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(table.contains("stand-in 0") && table.contains("Tops/s") && table.contains("gate_up"), "{table}");

    let line = refusal(&mut on_standin(&args, "0").unwrap(), 1);
    assert!(line.contains("the driver sees no NVIDIA GPU"), "{line}");
    let line = refusal(&mut on_standin(&[&args[..], &["--device", "cuda:0,1"]].concat(), "2").unwrap(), 2);
    assert!(line.contains("on one GPU"), "{line}");
    let line = refusal(&mut on_standin(&["bench", "kernels", "--shape", "9b"], "1").unwrap(), 2);
    assert!(line.contains("\"9b\" is no shape"), "{line}");
}

#[cfg(feature = "hub")]
mod online;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::checkpoint::synthetic::{Shape, write};

const SHA: &str = "0123456789abcdef0123456789abcdef01234567";

fn settings_of(vars: &[(&str, &str)]) -> Settings {
    let vars: BTreeMap<&str, &str> = vars.iter().copied().collect();
    Settings::from_vars(|name| vars.get(name).map(OsString::from))
}

fn settings(root: &Path, endpoint: &str, offline: bool) -> Settings {
    Settings { cache: root.join("hub"), endpoint: endpoint.to_owned(), token: None, offline }
}

fn hub_id(text: &str) -> HubId {
    HubId::parse(text).unwrap()
}

/// A cache as other tools leave it, with the tiny synthetic model as `org/tiny`.
fn cached_model(root: &Path) -> PathBuf {
    let repo = root.join("hub/models--org--tiny");
    let snapshot = repo.join("snapshots").join(SHA);
    write(&Shape::tiny(), 1, &snapshot).unwrap();
    fs::create_dir_all(repo.join("refs")).unwrap();
    fs::write(repo.join("refs/main"), SHA).unwrap();
    snapshot
}

#[test]
fn an_argument_is_a_folder_or_sat_tiny_or_a_hub_id() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().to_str().unwrap();
    assert_eq!(ModelArg::parse(path).unwrap(), ModelArg::Folder(path.into()));
    assert_eq!(ModelArg::parse("sat-tiny").unwrap(), ModelArg::SatTiny);
    let ModelArg::Hub(id) = ModelArg::parse("Qwen/Qwen3-4B-Instruct-2507").unwrap() else {
        panic!("no hub id");
    };
    assert_eq!((id.repo(), id.revision()), ("Qwen/Qwen3-4B-Instruct-2507", "main"));
    assert_eq!(hub_id("a/b@refs/pr/1").revision(), "refs/pr/1");
    for wrong in [
        "",
        "sat-tin",
        "/no/such/folder",
        "./x",
        "../x/y",
        "a/b/c",
        "a/..",
        "a/b@",
        "a/b@../x",
        "a/b@x//y",
        "a/b@/x",
        "a/b@x/.hidden",
        "-a/b",
        "a--b/c",
        "a b/c",
        "a/b?x",
        "http://x/y",
    ] {
        let error = ModelArg::parse(wrong).unwrap_err().to_string();
        assert!(error.contains("no such folder"), "{wrong}: {error}");
    }
}

#[test]
fn the_built_in_model_and_folders_need_no_hub() {
    let nowhere = settings(Path::new("/nonexistent"), "http://127.0.0.1:1", true);
    let mut events = Vec::new();
    let mut resolve = |arg: &ModelArg| resolve(arg, &nowhere, &mut |event| events.push(event));
    let location = resolve(&ModelArg::SatTiny).unwrap();
    assert_eq!(location.open().unwrap().config().vocab_size, 768);
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("m");
    write(&Shape::tiny(), 1, &dir).unwrap();
    let location = resolve(&ModelArg::parse(dir.to_str().unwrap()).unwrap()).unwrap();
    assert_eq!(location.open().unwrap().config().vocab_size, 320);
    assert!(events.is_empty());
}

#[test]
fn the_environment_means_what_it_means_elsewhere() {
    let cache = |vars: &[(&str, &str)]| settings_of(vars).cache;
    let home = ("HOME", "/h");
    assert_eq!(cache(&[home]), Path::new("/h/.cache/huggingface/hub"));
    assert_eq!(cache(&[home, ("XDG_CACHE_HOME", "/x")]), Path::new("/x/huggingface/hub"));
    let hf_home = ("HF_HOME", "~/hf");
    assert_eq!(cache(&[home, hf_home, ("XDG_CACHE_HOME", "/x")]), Path::new("/h/hf/hub"));
    assert_eq!(cache(&[home, hf_home, ("HF_HUB_CACHE", "/c")]), Path::new("/c"));
    assert_eq!(cache(&[home, hf_home, ("HF_HUB_CACHE", "")]), Path::new("/h/hf/hub"));
    assert_eq!(settings_of(&[]).endpoint, "https://huggingface.co");
    assert_eq!(settings_of(&[("HF_ENDPOINT", "http://m/")]).endpoint, "http://m");
    for (value, on) in [("1", true), ("True", true), ("YES", true), ("0", false), ("", false)] {
        assert_eq!(settings_of(&[("HF_HUB_OFFLINE", value)]).offline, on, "{value}");
    }
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().to_str().unwrap();
    assert_eq!(settings_of(&[("HF_HOME", dir)]).token, None);
    fs::write(root.path().join("token"), "from-home\n").unwrap();
    fs::write(root.path().join("other"), "from-path").unwrap();
    let other = root.path().join("other");
    let path = ("HF_TOKEN_PATH", other.to_str().unwrap());
    let token = |vars: &[(&str, &str)]| settings_of(vars).token.unwrap();
    assert_eq!(token(&[("HF_HOME", dir)]), "from-home");
    assert_eq!(token(&[("HF_HOME", dir), path]), "from-path");
    assert_eq!(token(&[("HF_HOME", dir), path, ("HF_TOKEN", " t ")]), "t");
    let shown = format!("{:?}", settings_of(&[("HF_TOKEN", "secret")]));
    assert!(!shown.contains("secret"), "{shown}");
}

#[test]
fn a_cached_snapshot_is_found_offline() {
    let root = tempfile::tempdir().unwrap();
    let snapshot = cached_model(root.path());
    let offline = settings(root.path(), "http://127.0.0.1:1", true);
    let found = |id: &str| {
        let arg = ModelArg::parse(id).unwrap();
        resolve(&arg, &offline, &mut |_| panic!("no event is due"))
    };
    assert_eq!(found("org/tiny").unwrap(), Location::Folder(snapshot.clone()));
    let by_commit = format!("org/tiny@{SHA}");
    assert_eq!(found(&by_commit).unwrap(), Location::Folder(snapshot.clone()));
    // Negative controls: another revision, another model, and each missing file.
    for (id, missing) in [("org/tiny@dev", "not in the cache"), ("org/other", "not in the cache")] {
        let error = found(id).unwrap_err().to_string();
        assert!(error.contains(missing) && error.contains("HF_HUB_OFFLINE"), "{error}");
        assert!(error.contains(offline.cache.to_str().unwrap()), "{error}");
    }
    for file in ["config.json", "tokenizer.json", "model.safetensors"] {
        let kept = fs::read(snapshot.join(file)).unwrap();
        fs::remove_file(snapshot.join(file)).unwrap();
        let error = found("org/tiny").unwrap_err().to_string();
        assert!(error.contains(file), "{error}");
        fs::write(snapshot.join(file), kept).unwrap();
    }
    fs::remove_file(snapshot.join("model.safetensors")).unwrap();
    let index = r#"{"weight_map":{"a":"model-00001-of-00001.safetensors"}}"#;
    fs::write(snapshot.join("model.safetensors.index.json"), index).unwrap();
    let error = found("org/tiny").unwrap_err().to_string();
    assert!(error.contains("model-00001-of-00001.safetensors"), "{error}");
}

#[test]
fn a_commit_in_the_cache_needs_no_network() {
    let root = tempfile::tempdir().unwrap();
    let snapshot = cached_model(root.path());
    // Nothing listens there; asking would be an error or an event.
    let online = settings(root.path(), "http://127.0.0.1:1", false);
    let arg = ModelArg::Hub(hub_id(&format!("org/tiny@{SHA}")));
    let found = resolve(&arg, &online, &mut |_| panic!("no event is due")).unwrap();
    assert_eq!(found, Location::Folder(snapshot));
}

#[cfg(not(feature = "hub"))]
#[test]
fn without_the_feature_a_missing_model_is_refused_in_words() {
    let root = tempfile::tempdir().unwrap();
    let arg = ModelArg::Hub(hub_id("org/tiny"));
    let online = settings(root.path(), "http://127.0.0.1:1", false);
    let error = resolve(&arg, &online, &mut |_| {}).unwrap_err().to_string();
    assert!(error.contains("feature `hub`"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..Default::default() })]

    #[test]
    fn no_argument_leads_out_of_the_cache(text in "[a-zA-Z0-9./@_ ~\\\\-]{0,40}") {
        if let Some(id) = HubId::parse(&text) {
            let folder = cache::repo_folder(&settings(Path::new("/r"), "", true), &id);
            let path = folder.join("refs").join(id.revision());
            let plain = |c: std::path::Component| !matches!(c, std::path::Component::ParentDir);
            prop_assert!(path.starts_with("/r/hub") && path.components().all(plain), "{:?}", path);
        }
    }
}

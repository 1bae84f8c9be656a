//! Against the stand-in: what a download leaves behind, and what goes wrong.

use super::*;
use crate::hub::standin::{Hub, Trouble};

struct Setup {
    root: tempfile::TempDir,
    source: PathBuf,
    hub: Hub,
}

fn setup(trouble: Trouble) -> Setup {
    let root = tempfile::tempdir().unwrap();
    let source = root.path().join("source");
    write(&Shape::tiny(), 1, &source).unwrap();
    fs::write(source.join("pytorch_model.bin"), "not to be fetched").unwrap();
    let hub = Hub::start(&source, SHA, trouble);
    Setup { root, source, hub }
}

impl Setup {
    fn settings(&self) -> Settings {
        settings(self.root.path(), self.hub.endpoint(), false)
    }

    fn resolve(&self) -> (Result<Location>, Vec<Event>) {
        self.resolve_with(&self.settings())
    }

    fn resolve_with(&self, settings: &Settings) -> (Result<Location>, Vec<Event>) {
        let mut events = Vec::new();
        let arg = ModelArg::Hub(hub_id("org/tiny"));
        let outcome = resolve(&arg, settings, &mut |event| events.push(event));
        (outcome, events)
    }

    fn problem(&self) -> String {
        self.resolve().0.unwrap_err().to_string()
    }

    fn repo(&self) -> PathBuf {
        self.root.path().join("hub/models--org--tiny")
    }

    fn assert_complete(&self, location: &Location) {
        let snapshot = self.repo().join("snapshots").join(SHA);
        assert_eq!(location, &Location::Folder(snapshot.clone()));
        for file in ["config.json", "tokenizer.json", "model.safetensors"] {
            let same = fs::read(snapshot.join(file)).unwrap() == fs::read(self.source.join(file)).unwrap();
            assert!(same, "{file}");
        }
        location.open().unwrap();
    }
}

#[test]
fn a_model_is_fetched_into_the_cache_once_and_then_found_offline() {
    let setup = setup(Trouble::default());
    let (location, events) = setup.resolve();
    setup.assert_complete(&location.unwrap());
    let size = fs::metadata(setup.source.join("model.safetensors")).unwrap().len();
    let last =
        events.iter().rfind(|event| matches!(event, Event::Download { file, .. } if file == "model.safetensors"));
    let finished = Event::Download { file: "model.safetensors".to_owned(), done_bytes: size, total_bytes: size };
    assert_eq!(last, Some(&finished));
    // The layout other tools expect: ref, snapshot of links, blobs.
    let refs: Vec<_> = fs::read_dir(setup.repo().join("refs")).unwrap().collect();
    assert_eq!(refs.len(), 1);
    assert_eq!(fs::read_to_string(setup.repo().join("refs/main")).unwrap(), SHA);
    let link = setup.repo().join("snapshots").join(SHA).join("config.json");
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert!(!link.with_file_name("pytorch_model.bin").exists());
    // Again: only the question which commit it is.
    let before = setup.hub.requests().len();
    let (location, events) = setup.resolve();
    setup.assert_complete(&location.unwrap());
    assert!(events.is_empty());
    assert_eq!(setup.hub.requests().len(), before + 1);
    let offline = Settings { offline: true, ..setup.settings() };
    let (location, _) = setup.resolve_with(&offline);
    setup.assert_complete(&location.unwrap());
    assert_eq!(setup.hub.requests().len(), before + 1, "offline means no request");
}

#[test]
fn sharded_models_are_fetched_whole() {
    let mut setup = setup(Trouble::default());
    setup.source = setup.root.path().join("sharded");
    crate::checkpoint::synthetic::write_sharded(&Shape::tiny(), 1, &setup.source, 90_000).unwrap();
    setup.hub = Hub::start(&setup.source, SHA, Trouble::default());
    let location = setup.resolve().0.unwrap();
    assert!(location.open().unwrap().tensors().len() == 24);
    let Location::Folder(dir) = location else { panic!("no folder") };
    assert!(!dir.join("model.safetensors").exists());
}

#[test]
fn a_broken_download_goes_on_where_it_stopped() {
    let setup = setup(Trouble { cut_once_at: Some(50_000), ..Trouble::default() });
    let (location, _) = setup.resolve();
    setup.assert_complete(&location.unwrap());
    let ranges = setup.hub.requests();
    let resumed = ranges.iter().any(|r| {
        r.contains("/cdn/model.safetensors") && {
            let start = r.split(' ').nth(1).and_then(|r| r.split('-').next());
            start.is_some_and(|start| start.parse::<u64>().unwrap() > 0)
        }
    });
    assert!(resumed, "{ranges:?}");
}

#[test]
fn partial_files_that_cannot_be_resumed_are_thrown_away() {
    let setup = setup(Trouble { ignore_ranges: true, ..Trouble::default() });
    let blobs = setup.repo().join("blobs");
    fs::create_dir_all(&blobs).unwrap();
    // One that is too long, and one that a server without ranges cannot continue.
    fs::write(blobs.join(Hub::etag("config.json")).with_extension("part"), vec![0; 100_000]).unwrap();
    fs::write(blobs.join(Hub::etag("model.safetensors")).with_extension("part"), b"abc").unwrap();
    let (location, _) = setup.resolve();
    setup.assert_complete(&location.unwrap());
}

#[test]
fn refusals_of_the_hub_are_put_in_words() {
    let status = |status| Trouble { status: Some(status), ..Trouble::default() };
    assert!(setup(status(401)).problem().contains("set HF_TOKEN"));
    assert!(setup(status(403)).problem().contains("gated"));
    assert!(setup(status(404)).problem().contains("no revision main"));
    assert!(setup(status(418)).problem().contains("status 418"));
    let error = setup(status(503)).problem();
    assert!(error.contains("cannot be reached") && error.contains("503"), "{error}");
    // A gated model shows its files to everyone and hands out none.
    let gated = setup(Trouble { gated: true, ..Trouble::default() });
    assert!(gated.problem().contains("gated"));
    let token = Settings { token: Some("secret".to_owned()), ..gated.settings() };
    let (location, _) = gated.resolve_with(&token);
    gated.assert_complete(&location.unwrap());
}

#[test]
fn an_unreachable_hub_is_an_error_or_a_reported_use_of_the_cache() {
    let root = tempfile::tempdir().unwrap();
    let nobody = settings(root.path(), "http://127.0.0.1:1", false);
    let arg = ModelArg::Hub(hub_id("org/tiny"));
    let error = resolve(&arg, &nobody, &mut |_| {}).unwrap_err().to_string();
    assert!(error.contains("not in the cache") && error.contains("cannot be reached"), "{error}");
    let snapshot = cached_model(root.path());
    let mut events = Vec::new();
    let found = resolve(&arg, &nobody, &mut |event| events.push(event)).unwrap();
    assert_eq!(found, Location::Folder(snapshot));
    assert!(matches!(&events[..], [Event::HubUnreachable { .. }]), "{events:?}");
}

#[test]
fn an_unsupported_model_is_refused_before_its_weights_are_fetched() {
    let setup = setup(Trouble::default());
    let config = fs::read_to_string(setup.source.join("config.json")).unwrap();
    let config = config.replace("\"qwen3\"", "\"qwen3_moe\"");
    fs::write(setup.source.join("config.json"), config).unwrap();
    let error = setup.problem();
    assert!(error.starts_with("config.json: model_type"), "{error}");
    assert!(setup.hub.requests().iter().all(|r| !r.contains("safetensors")));
}

#[test]
fn hostile_answers_are_errors() {
    let trouble = |etag: &str| Trouble { etag: Some(etag.to_owned()), ..Trouble::default() };
    for etag in ["../../../escape", "/etc/x", "", "a/b"] {
        let setup = setup(trouble(etag));
        let error = setup.problem();
        assert!(error.contains("etag"), "{error}");
        assert!(!setup.root.path().join("escape").exists());
    }
    let error = setup(Trouble { commit: Some("f".repeat(40)), ..Trouble::default() }).problem();
    assert!(error.contains("was asked for"), "{error}");
    let error = setup(Trouble { info: Some("{}".to_owned()), ..Trouble::default() }).problem();
    assert!(error.starts_with("model org/tiny@main: "), "{error}");
    let info = r#"{"sha":"../../x","siblings":[]}"#.to_owned();
    let error = setup(Trouble { info: Some(info), ..Trouble::default() }).problem();
    assert!(error.contains("is no commit"), "{error}");
    let info = format!(r#"{{"sha":"{SHA}","siblings":[{{"rfilename":"model.bin"}}]}}"#);
    let error = setup(Trouble { info: Some(info), ..Trouble::default() }).problem();
    assert!(error.contains("config.json is not in the repository"), "{error}");
    let error = setup(Trouble { claim_bytes: Some(1 << 40), ..Trouble::default() }).problem();
    assert!(error.contains("at most"), "{error}");
}

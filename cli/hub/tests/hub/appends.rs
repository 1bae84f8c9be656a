//! What is added, and what is left as it is.

use grail_hub::{Dataset, HubError, Settings};
use grail_hub_standin::{Fault, Kind, READER, Step};

use crate::support::{ID, PATH, add, dataset, hub, settings, stage};

#[test]
fn files_are_added_by_one_commit_on_top_of_what_is_there() {
    let hub = hub();
    hub.commit(ID, "main", "README.md", b"a card");
    let before = hub.log(ID, "main");
    let dataset = dataset(&hub);
    let contents: Vec<(String, Vec<u8>)> = (0..3).map(|i| (format!("data/train-{i}.parquet"), vec![i; 700])).collect();
    let staged: Vec<_> = contents.iter().map(|(path, content)| stage(&dataset, path, content).unwrap()).collect();
    assert_eq!(hub.log(ID, "main"), before, "a file that is only staged is in no commit");
    let appended = dataset.append(&staged, "Add three").unwrap();
    let log = hub.log(ID, "main");
    assert_eq!(log.len(), before.len() + 1);
    assert_eq!(log[..before.len()], before);
    let last = log.last().unwrap();
    assert_eq!((appended.commit.as_str(), appended.added), (last.id.as_str(), 3));
    assert_eq!((last.summary.as_str(), last.parent.as_ref()), ("Add three", Some(&before.last().unwrap().id)));
    let files = hub.files(ID, "main");
    assert_eq!(files["README.md"], b"a card");
    assert!(contents.iter().all(|(path, content)| files[path] == *content));
    assert_eq!(files.len(), 3 + 2);
}

#[test]
fn what_is_there_with_the_same_bytes_is_not_added_again() {
    let hub = hub();
    let dataset = dataset(&hub);
    for (path, content) in [(PATH, &b"rows"[..]), ("notes.txt", b"words")] {
        let first = add(&dataset, path, content).unwrap();
        let (log, requests) = (hub.log(ID, "main"), hub.seen().len());
        let again = add(&dataset, path, content).unwrap();
        assert_eq!((again.commit, again.added), (first.commit, 0), "{path}");
        assert_eq!(hub.log(ID, "main"), log, "{path}");
        assert!(!hub.seen()[requests..].iter().any(|seen| seen.method == "PUT"), "{path}: the bytes went up again");
    }
    // Of several files those that are missing.
    let staged = [(PATH, &b"rows"[..]), ("data/train-2.parquet", b"more")];
    let staged = staged.map(|(path, content)| stage(&dataset, path, content).unwrap());
    assert_eq!(dataset.append(&staged, "Add").unwrap().added, 1);
}

#[test]
fn a_path_with_other_bytes_is_never_replaced() {
    let hub = hub();
    let dataset = dataset(&hub);
    for (path, there) in [(PATH, &b"rows"[..]), ("notes.txt", b"words")] {
        hub.commit(ID, "main", path, there);
        let (log, files) = (hub.log(ID, "main"), hub.files(ID, "main"));
        // Of another length, and of the same.
        for other in [&b"other rows"[..], &there.to_ascii_uppercase()] {
            let told = add(&dataset, path, other).unwrap_err();
            assert!(matches!(&told, HubError::Exists { path: named, .. } if named == path), "{told}");
            assert!(told.to_string().contains("is there already with other content, and is not replaced"), "{told}");
            // Nor does it take another file along.
            let staged = [("data/new.parquet", &b"new"[..]), (path, other)]
                .map(|(p, content)| stage(&dataset, p, content).unwrap());
            assert!(matches!(dataset.append(&staged, "Add"), Err(HubError::Exists { .. })));
        }
        assert_eq!((hub.log(ID, "main"), hub.files(ID, "main")), (log, files));
    }
}

#[test]
fn only_the_branch_that_was_named_gets_the_commit() {
    let hub = hub();
    hub.branch(ID, "dev/2");
    let main = hub.log(ID, "main");
    let on = |branch: &str| Dataset::new(Settings { branch: branch.parse().unwrap(), ..settings(&hub) }).unwrap();
    add(&on("dev/2"), PATH, b"rows").unwrap();
    assert_eq!(hub.log(ID, "main"), main);
    assert_eq!(hub.files(ID, "dev/2")[PATH], b"rows");
    let told = on("none").head().unwrap_err().to_string();
    assert_eq!(told, "org/rollouts has no branch none");
}

#[test]
fn a_data_set_is_made_only_when_asked_and_never_made_anew() {
    let hub = hub();
    let of = |id: &str| Dataset::new(Settings { id: id.parse().unwrap(), ..settings(&hub) }).unwrap();
    for (id, private) in [("org/open", false), ("org/closed", true)] {
        let dataset = of(id);
        let told = dataset.head().unwrap_err();
        assert!(matches!(told, HubError::NoDataset { .. }) && told.to_string().contains(id), "{told}");
        assert_eq!(hub.is_private(id), None);
        dataset.create(private).unwrap();
        assert_eq!(hub.is_private(id), Some(private));
        add(&dataset, PATH, b"rows").unwrap();
        let log = hub.log(id, "main");
        dataset.create(!private).unwrap();
        assert_eq!((hub.is_private(id), hub.log(id, "main")), (Some(private), log));
    }
    let told = of("somebody/else").create(false).unwrap_err();
    assert!(matches!(told, HubError::Forbidden { .. }) && told.to_string().contains("somebody"), "{told}");
}

#[test]
fn what_is_read_is_what_the_listing_says() {
    let hub = hub();
    hub.create("org/closed", true);
    for id in [ID, "org/closed"] {
        let dataset = Dataset::new(Settings { id: id.parse().unwrap(), ..settings(&hub) }).unwrap();
        for (path, content) in [(PATH, &b"rows"[..]), ("notes.txt", b"words")] {
            let commit = add(&dataset, path, content).unwrap().commit;
            let stored = dataset.find(&commit, path).unwrap().unwrap();
            assert_eq!(stored.bytes, content.len() as u64);
            assert_eq!(stored.sha256.is_some(), path == PATH);
            assert_eq!(dataset.read(&commit, path, &stored).unwrap(), content);
        }
        let commit = dataset.head().unwrap();
        assert_eq!(dataset.find(&commit, "data").unwrap(), None);
        let stored = dataset.find(&commit, PATH).unwrap().unwrap();
        hub.misbehave(Fault::new(Step::Fetch, Kind::Damaged, 1));
        let told = dataset.read(&commit, PATH, &stored).unwrap_err();
        assert!(matches!(told, HubError::Damaged { .. }) && told.to_string().contains(PATH), "{told}");
    }
}

#[test]
fn the_token_goes_to_the_hub_and_nowhere_else() {
    let hub = hub();
    let dataset = dataset(&hub);
    let commit = add(&dataset, PATH, b"rows").unwrap().commit;
    let stored = dataset.find(&commit, PATH).unwrap().unwrap();
    dataset.read(&commit, PATH, &stored).unwrap();
    let seen = hub.seen();
    let (storage, own): (Vec<_>, Vec<_>) = seen.iter().partition(|seen| seen.is_storage);
    assert_eq!(storage.iter().map(|seen| seen.method.as_str()).collect::<Vec<_>>(), ["PUT", "GET"]);
    assert!(storage.iter().all(|seen| !seen.has_token), "{storage:?}");
    assert!(own.len() >= 7 && own.iter().all(|seen| seen.has_token), "{own:?}");
}

#[test]
fn a_token_that_may_only_read_is_found_before_anything_is_sent() {
    let hub = hub();
    let reader = Dataset::new(Settings { token: Some(READER.into()), ..settings(&hub) }).unwrap();
    reader.head().unwrap();
    let told = reader.plan(PATH, b"rows".to_vec()).unwrap_err();
    assert!(matches!(told, HubError::Forbidden { .. }), "{told}");
    assert!(told.to_string().contains("needs write access") && told.to_string().contains("write token"), "{told}");
    assert!(!hub.seen().iter().any(|seen| seen.is_storage));
}

#[test]
fn a_data_set_that_was_renamed_says_its_new_name() {
    let hub = hub();
    hub.rename(ID, "org/elsewhere");
    let told = dataset(&hub).head().unwrap_err().to_string();
    assert_eq!(told, "org/rollouts has another name now: org/elsewhere");
}

#[test]
fn a_file_that_the_data_set_ignores_is_refused() {
    let hub = hub();
    hub.commit(ID, "main", ".gitignore", PATH.as_bytes());
    let told = dataset(&hub).plan(PATH, b"rows".to_vec()).unwrap_err().to_string();
    assert_eq!(told, format!("org/rollouts: its .gitignore excludes {PATH}"));
    assert!(dataset(&hub).plan("data/train-2.parquet", b"rows".to_vec()).is_ok());
}

use super::*;
use grail_protocol::record::Subject;
use grail_protocol::signature::Signer;
use grail_protocol::verify::{Outcome, Verdict};
use grail_protocol::window_root::WindowRoot;

const NETWORK: Hash = [7; 32];

fn book(folder: &tempfile::TempDir) -> Book {
    Book::open(&folder.path().join("book.redb"), &NETWORK).unwrap()
}

fn window(block_number: u64) -> WindowEntry {
    WindowEntry { block_number, block_hash: [1; 32], timestamp_ms: 5 }
}

fn committed(window_start: u64, byte: u8) -> Committed {
    Committed { root: WindowRoot { window_start, file_hash: [byte; 32] }, credentials: vec![byte; 128] }
}

fn record(window_start: u64, miner: u8, outcome: Outcome) -> (AccountId, String) {
    let (validator, hotkey) = (Signer::from_seed(&[9; 32]), Signer::from_seed(&[miner; 32]).account());
    let subject = Subject { network_id: NETWORK, window_start, hotkey, validator: validator.account(), root: None };
    let verdict = Verdict { outcome, groups: 3, checked: vec![0, 1], distinct: 5, ..Verdict::no_verdict() };
    (hotkey, Record::new(subject, &verdict, "0").sign(&validator).unwrap())
}

#[test]
fn what_is_kept_survives_and_reads_back() {
    let folder = tempfile::tempdir().unwrap();
    let miners = [Miner { uid: 3, hotkey: [4; 32] }, Miner { uid: 5, hotkey: [6; 32] }];
    let (root, beacon) = (committed(50, 8), BeaconEntry { round: 6, signature: vec![2; 48] });
    let waiting = Some(Waiting { round_ms: 7, shown: vec![(3, 9), (5, 65_535)] });
    let (uids, weights) = (vec![3, 5], vec![0.25, 0.1 + 0.2]);
    let submission = Submission { block: 99, window_start: 50, uids, weights, waiting };
    {
        let book = book(&folder);
        book.begin_window(&window(50), &miners).unwrap();
        book.keep_roots(50, 99, &BTreeMap::from([([4; 32], root.clone())])).unwrap();
        book.keep_beacon(50, &beacon).unwrap();
        book.submitted(&submission).unwrap();
    }
    let book = book(&folder);
    assert_eq!(book.window(50).unwrap(), Some((window(50), miners.to_vec())));
    assert_eq!(book.roots(50).unwrap(), Some(BTreeMap::from([([4; 32], root)])));
    assert_eq!((book.beacon(50).unwrap(), book.beacon(100).unwrap()), (Some(beacon), None));
    assert_eq!((book.watched().unwrap(), book.windows_after(None).unwrap()), (Some(99), vec![50]));
    assert_eq!(book.last_submission().unwrap(), Some(submission));
}

#[test]
fn what_passed_unseen_is_told_from_what_was_empty() {
    let folder = tempfile::tempdir().unwrap();
    let book = book(&folder);
    assert_eq!((book.window(50).unwrap(), book.roots(50).unwrap(), book.records(50).unwrap()), (None, None, None));
    assert_eq!((book.last_judged().unwrap(), book.last_submission().unwrap()), (None, None));
    book.keep_roots(50, 99, &BTreeMap::new()).unwrap();
    book.judge(50, &BTreeMap::new()).unwrap();
    assert_eq!(book.roots(50).unwrap(), Some(BTreeMap::new()));
    assert_eq!(book.records(50).unwrap(), Some(Vec::new()));
    assert_eq!(book.last_judged().unwrap(), Some(50));
}

#[test]
fn windows_do_not_mix() {
    let folder = tempfile::tempdir().unwrap();
    let book = book(&folder);
    for start in [50, 100, 150] {
        let root = committed(start, start as u8);
        book.keep_roots(start, start + 49, &BTreeMap::from([([0; 32], root.clone()), ([255; 32], root)])).unwrap();
        book.begin_window(&window(start), &[]).unwrap();
    }
    let roots = book.roots(100).unwrap().unwrap();
    assert!(roots.len() == 2 && roots.values().all(|committed| committed.root.window_start == 100));
    assert_eq!((book.windows_after(Some(50)).unwrap(), book.watched().unwrap()), (vec![100, 150], Some(199)));
}

#[test]
fn history_is_the_last_twelve_windows_of_each_miner() {
    let folder = tempfile::tempdir().unwrap();
    let book = book(&folder);
    for i in 0..14_u64 {
        let outcome = if i == 1 { Outcome::Fraud } else { Outcome::Valid };
        let first = record(50 * i, 1, if i == 13 { Outcome::Void } else { outcome });
        let records = if i == 5 { vec![first, record(50 * i, 2, Outcome::NoVerdict)] } else { vec![first] };
        book.judge(50 * i, &records.into_iter().collect()).unwrap();
    }
    let history = book.history(50 * 13, 50).unwrap();
    let of = |seed: u8| {
        let records = &history[&Signer::from_seed(&[seed; 32]).account()];
        records.iter().map(|(window, record)| (window / 50, record.outcome)).collect::<Vec<_>>()
    };
    // Window 1, the fraud, is the thirteenth from the end.
    let valid = (2..13).map(|window| (window, Outcome::Valid));
    assert_eq!(of(1), valid.chain([(13, Outcome::Void)]).collect::<Vec<_>>());
    assert_eq!(of(2), [(5, Outcome::NoVerdict)]);
    let earlier = book.history(50 * 12, 50).unwrap();
    assert_eq!(earlier[&Signer::from_seed(&[1; 32]).account()][&50].outcome, Outcome::Fraud);
}

#[test]
fn a_window_is_published_once_and_only_after_it_was_judged() {
    let folder = tempfile::tempdir().unwrap();
    let book = book(&folder);
    assert_eq!(book.unpublished(1000).unwrap(), [0; 0]);
    for window in [50, 100, 150] {
        book.judge(window, &BTreeMap::new()).unwrap();
    }
    book.published(100, 0).unwrap();
    assert_eq!((book.unpublished(150).unwrap(), book.unpublished(149).unwrap()), (vec![50, 150], vec![50]));
}

#[test]
fn what_is_forgotten_is_gone_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let book = book(&folder);
    for start in [50, 100, 150] {
        book.begin_window(&window(start), &[Miner { uid: 1, hotkey: [3; 32] }]).unwrap();
        book.keep_roots(start, start + 49, &BTreeMap::from([([255; 32], committed(start, 1))])).unwrap();
        book.keep_beacon(start, &BeaconEntry { round: start, signature: vec![1] }).unwrap();
        book.judge(start, &BTreeMap::from([record(start, 1, Outcome::Valid)])).unwrap();
        let (uids, weights, waiting) = (vec![1], vec![1.0], None);
        book.submitted(&Submission { block: start - 1, window_start: start - 50, uids, weights, waiting }).unwrap();
    }
    book.published(50, 1).unwrap();
    book.forget_before(100).unwrap();
    let submitted: Vec<u64> = book.late_submissions().unwrap().iter().map(|submission| submission.block).collect();
    assert_eq!(submitted, [149]);
    assert_eq!((book.window(50).unwrap(), book.roots(50).unwrap(), book.beacon(50).unwrap()), (None, None, None));
    assert_eq!((book.records(50).unwrap(), book.windows_after(None).unwrap()), (None, vec![100, 150]));
    assert_eq!((book.unpublished(150).unwrap(), book.last_judged().unwrap()), (vec![100, 150], Some(150)));
    assert!(book.roots(100).unwrap().is_some_and(|roots| roots.len() == 1));
    assert_eq!(book.history(150, 50).unwrap()[&Signer::from_seed(&[1; 32]).account()].len(), 2);
}

#[test]
fn another_network_or_version_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("book.redb");
    drop(Book::open(&path, &NETWORK).unwrap());
    assert!(matches!(Book::open(&path, &[8; 32]), Err(BookError::OtherNetwork { .. })));
    let book = Book::open(&path, &NETWORK).unwrap();
    book.write(|t| t.open_table(META)?.insert("schema", "2").map(drop).map_err(Into::into)).unwrap();
    drop(book);
    assert!(matches!(Book::open(&path, &NETWORK), Err(BookError::Schema { found, .. }) if found == "2"));
    std::fs::write(folder.path().join("text"), "no database").unwrap();
    assert!(matches!(Book::open(&folder.path().join("text"), &NETWORK), Err(BookError::Database { .. })));
}

/// Published windows begin to be kept under twice their number.
fn double(tables: &redb::WriteTransaction) -> std::result::Result<(), redb::Error> {
    let mut published = tables.open_table(PUBLISHED)?;
    let mut old = Vec::new();
    for entry in published.range::<u64>(..)? {
        let (window, records) = entry?;
        old.push((window.value(), records.value()));
    }
    for (window, records) in old {
        published.remove(window)?;
        published.insert(2 * window, records)?;
    }
    Ok(())
}

fn failing(tables: &redb::WriteTransaction) -> std::result::Result<(), redb::Error> {
    double(tables)?;
    Err(redb::Error::Corrupted("on purpose".to_owned()))
}

#[test]
fn an_older_state_is_brought_to_this_version_step_by_step_and_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("book.redb");
    {
        let old = Book::open_with(&path, &NETWORK, &[]).unwrap();
        [50, 100].iter().for_each(|&window| old.judge(window, &BTreeMap::new()).unwrap());
        old.published(50, 7).unwrap();
    }
    let unpublished = |book: &Book| book.unpublished(1000).unwrap();
    assert!(matches!(Book::open_with(&path, &[8; 32], &[double]), Err(BookError::OtherNetwork { .. })));
    assert!(matches!(Book::open_with(&path, &NETWORK, &[double, failing]), Err(BookError::Database { .. })));
    // Neither left a trace: the program of the old version reads it still.
    assert_eq!(unpublished(&Book::open_with(&path, &NETWORK, &[]).unwrap()), [100]);
    assert_eq!(unpublished(&Book::open_with(&path, &NETWORK, &[double]).unwrap()), [50]);
    assert_eq!(unpublished(&Book::open_with(&path, &NETWORK, &[double]).unwrap()), [50], "done twice");
    // 50 is now kept under 200 after one more step.
    assert_eq!(unpublished(&Book::open_with(&path, &NETWORK, &[double, double]).unwrap()), [50, 100]);
    let older = Book::open_with(&path, &NETWORK, &[double]);
    assert!(matches!(older, Err(BookError::Schema { found, .. }) if found == "3"));
}

#[test]
fn an_entry_that_somebody_changed_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let book = book(&folder);
    let (account, text) = record(50, 1, Outcome::Fraud);
    book.judge(50, &BTreeMap::from([(account, text.replace("fraud", "valid"))])).unwrap();
    assert!(matches!(book.history(50, 50), Err(BookError::Entry { table: "records", .. })));
}

#[test]
fn whoever_meets_a_disk_that_failed_before_hears_how() {
    let folder = tempfile::tempdir().unwrap();
    let book = Book::open(&folder.path().join("book.redb"), &[1; 32]).unwrap();
    let before = book.failed(redb::Error::PreviousIo);
    assert!(matches!(before, BookError::Database { .. }), "{before}");
    book.failed(redb::Error::Io(std::io::ErrorKind::StorageFull.into()));
    book.failed(redb::Error::Io(std::io::ErrorKind::NotFound.into()));
    let told = book.failed(redb::Error::PreviousIo).to_string();
    assert!(told.contains("book.redb") && told.contains("no storage space"), "{told}");
}

//! A chain that is killed in the middle of its work is whole when it is opened again; one whose disk was full goes on.

mod support;

use std::error::Error;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use grail_localnet::chain::Chain;

use support::{commit, config, genesis, signer, submit};

const FOLDER: &str = "GRAIL_TEST_CRASH_FOLDER";
const SEALED: &str = "sealed ";
const FAILED: &str = "failed ";

/// In the child: blocks without end, each said only once it is sealed.
fn seal_for_ever(folder: &Path) -> ! {
    let chain = Chain::open(config(genesis()), Some(folder)).expect("opens");
    loop {
        submit(&chain, &signer(11), &commit(&[&[1; 16]]));
        println!("{SEALED}{}", chain.seal().expect("seals").number);
    }
}

/// In the child: a block every few milliseconds, or why there is none.
fn try_for_ever(folder: &Path) -> ! {
    let chain = Chain::open(config(genesis()), Some(folder)).expect("opens");
    loop {
        match chain.seal() {
            Ok(sealed) => println!("{SEALED}{}", sealed.number),
            Err(error) => println!("{FAILED}{error}: {:?}", error.source()),
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn a_chain_whose_disk_was_full_goes_on_when_there_is_room_again() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        try_for_ever(Path::new(&folder));
    }
    let folder = tempfile::tempdir().expect("a folder");
    // A file that may not grow is an error of the write only where the signal that comes with it is ignored.
    let mut child = Command::new("sh")
        .args(["-c", "trap '' XFSZ; exec \"$@\"", "sh"])
        .arg(std::env::current_exe().expect("this program"))
        .args(["--nocapture", "--exact", "a_chain_whose_disk_was_full_goes_on_when_there_is_room_again"])
        .env(FOLDER, folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    let id = child.id().to_string();
    let may_grow_to = |bytes: &str| {
        let limit = format!("--fsize={bytes}:");
        let limited = Command::new("prlimit").args(["--pid", &id, &limit]).status();
        assert!(limited.expect("prlimit").success());
    };
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines().map(|line| line.expect("text"));
    // Of a hundred tries, which take seconds, one has to end so.
    let mut next = |word: &str| {
        let found = lines.by_ref().take(100).find_map(|line| line.strip_prefix(word).map(str::to_owned));
        found.unwrap_or_else(|| panic!("no line that begins with {word}"))
    };
    let number = |text: String| text.parse::<u32>().expect("a number");
    let before = number(next(SEALED));
    may_grow_to("0");
    let why = next(FAILED);
    assert!(why.contains("File too large") || why.contains("FileTooLarge"), "{why}");
    (0..3).for_each(|_| drop(next(FAILED)));
    may_grow_to("unlimited");
    let after = number(next(SEALED));
    assert!(number(next(SEALED)) == after + 1 && after > before, "{before} {after}");
    child.kill().expect("kills it");
    child.wait().expect("ends");
    let chain = Chain::open(config(genesis()), Some(folder.path())).expect("opens");
    for number in 1..=chain.heads().best {
        let block = chain.block(number).expect("reads").expect("no block is missing");
        assert_eq!(Some(block.header.parent_hash), chain.block_hash(number - 1).expect("reads"));
    }
}

#[test]
fn a_killed_chain_has_every_block_that_it_said_it_sealed() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        seal_for_ever(Path::new(&folder));
    }
    let folder = tempfile::tempdir().expect("a folder");
    let mut first_hash = None;
    for round in 1..=4u32 {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--nocapture", "--exact", "a_killed_chain_has_every_block_that_it_said_it_sealed"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("starts");
        let lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let said =
            lines.map(|line| line.expect("text")).filter_map(|line| line.strip_prefix(SEALED)?.parse::<u32>().ok());
        let said = said.take(3 + 5 * round as usize).last().expect("it sealed blocks");
        child.kill().expect("kills it");
        child.wait().expect("ends");

        // Opening compares the state with the head's root.
        let chain = Chain::open(config(genesis()), Some(folder.path())).expect("opens after the crash");
        let best = chain.heads().best;
        assert!(best >= said, "said {said}, has {best}");
        for number in 1..=best {
            let block = chain.block(number).expect("reads").expect("no block is missing");
            assert_eq!(Some(block.header.parent_hash), chain.block_hash(number - 1).expect("reads"));
            assert_eq!(block.extrinsics.len(), 2, "the inherent and the commitment");
        }
        assert_eq!(chain.block(best + 1).expect("reads"), None);
        assert_eq!(*first_hash.get_or_insert(chain.genesis_hash()), chain.genesis_hash());
    }
}

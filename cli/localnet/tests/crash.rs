//! A chain that is killed in the middle of its work is whole when it is opened again.

mod support;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use grail_localnet::chain::Chain;

use support::{commit, config, genesis, signer, submit};

const FOLDER: &str = "GRAIL_TEST_CRASH_FOLDER";
const SEALED: &str = "sealed ";

/// In the child: blocks without end, each said only once it is sealed.
fn seal_for_ever(folder: &Path) -> ! {
    let chain = Chain::open(config(genesis()), Some(folder)).expect("opens");
    loop {
        submit(&chain, &signer(11), &commit(&[&[1; 16]]));
        println!("{SEALED}{}", chain.seal().expect("seals").number);
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

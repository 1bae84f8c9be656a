//! A file whose root is on chain gets into the bucket, however late, and whatever becomes of its miner meanwhile.

use grail::miner::{Stage, folder, stage};
use grail::subnet::local::development_key;
use grail_localnet::bucket::Access;
use grail_protocol::ss58;
use grail_protocol::window_root::WindowRoot;

use crate::link::{Link, Way};
use crate::net::{Net, PATIENCE, account, bucket_variables, of_window, text};
use crate::process::{Process, eventually};

const KEY: &str = "//Late";

/// A network, a miner's place in it, and the link by which that reaches its bucket.
struct Scene {
    net: Net,
    link: Link,
    length: u64,
}

impl Scene {
    fn new(length: u64) -> Self {
        let window = length.to_string();
        let sizes = ["--block-time", "400ms", "--window-length", &window, "--max-groups", "1"];
        let net = Net::start(&[&sizes[..], &["--rollouts-per-problem", "2"]].concat());
        let link = Link::before(net.ports[2]);
        drop(net.settle(&net.subnet(), &development_key(KEY)));
        Self { net, link, length }
    }

    fn begin(&self, flags: &[&str]) -> Process {
        let at = self.net.description();
        let variables = bucket_variables(
            Access::derive(&at.secret, &account(KEY)),
            format!("http://127.0.0.1:{}", self.link.port()),
        );
        let parameters = text(&self.net.localnet_folder().join("network.json"));
        let data = text(&self.net.home().join("late"));
        let place = ["mine", "--network", &at.chain, "--parameters", &parameters, "--beacon-relay", &at.beacon];
        let more = ["--block-time", "400ms", "--data", &data, "--json", "--threads", "1", "--uri", KEY];
        Process::start_with(self.net.home(), &[&place[..], &more, flags].concat(), &variables)
    }

    /// Waits until a window's root is noted, which its file could not follow.
    fn rooted(&self, miner: &Process, window: u64) {
        let work =
            folder(&self.net.home().join("late"), self.net.network().network().id(), &ss58::encode(&account(KEY)));
        let work = work.join(window.to_string());
        let noted = || matches!(stage(&work), Ok(Stage::Rooted)).then_some(());
        eventually("a root", PATIENCE, noted, || miner.story());
    }

    fn has_file(&self, window: u64) -> bool {
        let Some(file) = self.net.file(&account(KEY), window) else { return false };
        let committed = self.net.commitment(&self.net.subnet(), window + self.length - 1, &account(KEY));
        assert_eq!(committed.expect("a commitment").raw(1), Some(&WindowRoot::of_file(window, &file).to_bytes()[..]));
        true
    }
}

/// The window of the next event of a kind.
fn next(miner: &mut Process, name: &str, after: u64) -> u64 {
    let event = miner.event(name, PATIENCE, |e| e["event"] == name && e["window"].as_u64() > Some(after));
    event["window"].as_u64().expect("a block")
}

#[test]
fn a_file_whose_root_is_on_chain_gets_out_after_windows_without_a_bucket_and_a_kill() {
    let scene = Scene::new(12);
    let subnet = scene.net.subnet();
    let mut miner = scene.begin(&[]);
    let before = next(&mut miner, "window_published", 0);
    scene.link.set(Way::Reset);
    // The second is surely closed without a bucket.
    next(&mut miner, "window_closed", before);
    let first = next(&mut miner, "window_closed", before + 12);
    scene.rooted(&miner, first);
    scene.net.reach(&subnet, first + 3 * 12);
    assert!(!scene.has_file(first), "the bucket was not away");
    // The same process, when nobody waits for the file any more.
    scene.link.set(Way::Open);
    miner.event("a late file", PATIENCE, |e| of_window(e, "window_published", first));
    assert!(scene.has_file(first));
    scene.link.set(Way::Reset);
    let now = scene.net.window(&subnet);
    let second = next(&mut miner, "window_closed", now);
    scene.rooted(&miner, second);
    miner.kill();
    scene.net.reach(&subnet, second + 4 * 12);
    assert!(!scene.has_file(second), "the bucket was not away");
    scene.link.set(Way::Open);
    let mut miner = scene.begin(&[]);
    miner.event("a file of an earlier life", PATIENCE, |e| of_window(e, "window_published", second));
    assert!(scene.has_file(second));
}

#[test]
fn a_miner_that_is_killed_between_root_and_file_and_is_back_in_the_window_publishes_the_file() {
    let scene = Scene::new(48);
    let mut miner = scene.begin(&["--upload-blocks", "40"]);
    let window = next(&mut miner, "window_begun", 0);
    scene.link.set(Way::Reset);
    miner.event("a file", PATIENCE, |e| of_window(e, "window_closed", window));
    scene.rooted(&miner, window);
    miner.kill();
    scene.link.set(Way::Open);
    let mut miner = scene.begin(&["--upload-blocks", "40"]);
    miner.event("the file", PATIENCE, |e| of_window(e, "window_published", window));
    let best = scene.net.best(&scene.net.subnet());
    assert!(best < window + 48, "block {best}: too slow to tell anything");
    scene.net.reach(&scene.net.subnet(), window + 48);
    assert!(scene.has_file(window));
}

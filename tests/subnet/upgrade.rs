//! An upgrade of the chain's runtime under a miner and a validator that go on.

use grail::subnet::local::{MINER, VALIDATOR};
use grail_protocol::AccountId;

use crate::net::{Net, PATIENCE, account, of_window};

const WINDOW: u64 = 16;
/// In the middle of the third window.
const UPGRADE: u64 = 2 * WINDOW + 6;
const SIZES: [&str; 14] = [
    "--block-time",
    "500ms",
    "--window-length",
    "16",
    "--max-groups",
    "2",
    "--rollouts-per-problem",
    "2",
    "--max-new-tokens",
    "80",
    "--upgrade-at",
    "38",
    "--commit-reveal",
    "8",
];

#[test]
fn a_miner_and_a_validator_go_on_over_an_upgrade_without_a_restart() {
    assert_eq!(SIZES[11], UPGRADE.to_string());
    let net = Net::start(&SIZES);
    let (subnet, who): (_, [AccountId; 2]) = (net.subnet(), [account(MINER), account(VALIDATOR)]);
    let mut miner = net.party("mine", &["--batch", "1"]);
    let mut validator = net.party("validate", &[]);
    let published =
        |e: &serde_json::Value, from: u64| e["event"] == "window_published" && e["window"].as_u64() >= Some(from);
    miner.event("a window before", PATIENCE, |e| published(e, 0) && e["window"].as_u64() < Some(UPGRADE - WINDOW));
    let over = miner.event("the window of the upgrade", PATIENCE, |e| published(e, 2 * WINDOW));
    let after = miner.event("one after it", PATIENCE, |e| published(e, UPGRADE));
    for window in [&over, &after] {
        let window = window["window"].as_u64().expect("a block");
        let judged = |e: &serde_json::Value| of_window(e, "judged", window) && e["uid"] != 0;
        let judged = validator.event("its verdict", PATIENCE, judged);
        assert_eq!(judged["outcome"], "valid", "{}", validator.story());
    }
    // Committed and revealed by the new runtime, and read back by the same client.
    let set = |e: &serde_json::Value| e["event"] == "weights_set" && e["window"].as_u64() >= Some(UPGRADE);
    validator.event("weights after it", PATIENCE, set);
    assert!(!net.weights(&subnet, &who[1]).is_empty());
    // Control: it was upgraded, and both saw that.
    for party in [&miner, &validator] {
        assert!(party.told().contains("the chain's runtime was upgraded"), "{}", party.story());
    }
}

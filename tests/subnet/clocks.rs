//! The machine's clock is set by an hour and more, forth and back, while everything runs on it: network, miner and
//! validator go on. All of it is in this process, on a clock that the test sets.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use grail::identity;
use grail::miner::{Miner, MinerOptions};
use grail::sat::Sat;
use grail::subnet::local::{LocalNet, LocalOptions, MINER, Ports, Sizes, VALIDATOR, development_key};
use grail::subnet::{Event, Events, ModelIdentity, Stopper, Subnet, clients, settle};
use grail::validator::{Validator, ValidatorOptions, Weighing};
use grail_beacon::Clock;
use grail_beacon::client::{Client, Settings};
use grail_engine::checkpoint::Checkpoint;

use crate::net::{PATIENCE, Place, runtime};
use crate::process::eventually;
use crate::workshop::Workshop;

const WINDOW: u64 = 16;
const BLOCK_MS: u64 = 300;
const HOUR_MS: i64 = 3_600_000;

type Told = Arc<Mutex<Vec<Event>>>;

fn listener(told: &Told) -> Events {
    let told = Arc::clone(told);
    Events::to(move |event| told.lock().expect("a list").push(event))
}

/// Windows that a miner has published, or that a validator has found valid.
fn windows(told: &Told) -> Vec<u64> {
    let told = told.lock().expect("a list");
    let of = |event: &Event| match event {
        Event::WindowPublished { window, .. } => Some(*window),
        Event::Judged(judged) if judged.outcome == "valid" => Some(judged.window),
        _ => None,
    };
    told.iter().filter_map(of).collect()
}

async fn place(net: &LocalNet, clock: &Clock) -> Subnet {
    let mut subnet = clients(net.network().clone(), net.description()).await.expect("clients");
    let settings = Settings { clock: clock.clone(), ..Settings::default() };
    let relays = [&net.description().beacon];
    subnet.beacon = Client::new(net.network().beacon().clone(), &relays, settings).expect("a client");
    subnet
}

fn options(folder: &std::path::Path) -> LocalOptions {
    let checkpoint = Checkpoint::sat_tiny().expect("the checkpoint of the repository");
    let digest = identity::digest(&checkpoint).expect("a digest");
    LocalOptions {
        folder: folder.to_owned(),
        ports: Ports::default(),
        block_time: Some(std::time::Duration::from_millis(BLOCK_MS)),
        sizes: Sizes {
            window_length: Some(WINDOW),
            max_new_tokens: Some(80),
            rollouts_per_problem: Some(2),
            max_groups: Some(2),
        },
        commit_reveal: None,
        upgrade_at: None,
        model: ModelIdentity { name: "sat-tiny".to_owned(), digest, eos_ids: vec![661] },
        validators: Vec::new(),
        miners: Vec::new(),
    }
}

#[test]
fn a_clock_that_is_set_forth_or_back_costs_no_window() {
    let _place = Place::beside();
    let folder = tempfile::tempdir().expect("a folder");
    let offset = Arc::new(AtomicI64::new(0));
    let (machine, set) = (Clock::system(), Arc::clone(&offset));
    let machine = Clock::from_fn(move || machine.now_ms().saturating_add_signed(set.load(Ordering::SeqCst)));
    let (mined, judged) = (Told::default(), Told::default());
    let (stopper, stop) = Stopper::new();
    let net = runtime().block_on(LocalNet::start_by(&options(folder.path()), machine.clone())).expect("a network");
    let clock = Clock::steady_over(machine);
    let subnet = runtime().block_on(place(&net, &clock));
    thread::scope(|scope| {
        // Dropped when this closure panics, too: the parties end, and so does the scope.
        let stopper = stopper;
        scope.spawn(|| {
            let workshop = Workshop::open(net.network());
            let signer = development_key(MINER);
            let bucket = runtime().block_on(settle(&subnet, net.description(), &signer)).expect("a place");
            let options =
                MinerOptions { folder: folder.path().join("mine"), windows: None, upload_blocks: 3, batch_groups: 2 };
            let (protocol, engine) = (workshop.protocol, workshop.into_engine());
            let mut miner =
                Miner::<Sat>::new(protocol, engine, subnet.clone(), bucket, signer, options, listener(&mined));
            runtime().block_on(miner.run(&stop)).expect("a miner that goes on");
        });
        scope.spawn(|| {
            let workshop = Workshop::open(net.network());
            let signer = development_key(VALIDATOR);
            let bucket = runtime().block_on(settle(&subnet, net.description(), &signer)).expect("a place");
            let options = ValidatorOptions {
                folder: folder.path().join("validate"),
                windows: None,
                test_mode: false,
                weights_interval: WINDOW,
                fetches: 2,
                weighing: Weighing {
                    policy: grail::flags::Policy::Default,
                    burn_uid: 0,
                    burn_percentage: 0.0,
                    window_length: WINDOW,
                    rollouts_per_problem: 2,
                },
                export: None,
            };
            let (protocol, engine) = (workshop.protocol, workshop.into_engine());
            let validator =
                Validator::<Sat>::new(protocol, engine, subnet.clone(), bucket, signer, options, listener(&judged));
            runtime().block_on(validator.expect("a folder").run(&stop)).expect("a validator that goes on");
        });
        let after = |from: u64, what: &str| {
            let look = || {
                let (mined, judged) = (windows(&mined), windows(&judged));
                mined.iter().copied().find(|window| *window > from && judged.contains(window))
            };
            eventually(what, PATIENCE, look, || format!("{mined:?}\n{judged:?}"))
        };
        let best = || runtime().block_on(subnet.chain.best()).expect("the chain");
        let first = after(0, "a window");
        for hours in [1, -30] {
            let before = best();
            offset.fetch_add(hours * HOUR_MS, Ordering::SeqCst);
            eventually("a block", PATIENCE, || (best().number > before.number + 1).then_some(()), String::new);
            let moved = best().timestamp_ms - before.timestamp_ms;
            assert_eq!(moved >= HOUR_MS as u64, hours > 0, "{moved} ms");
            // The window in which the clock was set may be lost; those that begin after it are not.
            let next = (before.number / WINDOW + 1) * WINDOW;
            assert_eq!(after(next - 1, &format!("a window after {hours} hours")), next);
        }
        assert!(best().number > first);
        stopper.stop();
    });
    runtime().block_on(net.shutdown());
}

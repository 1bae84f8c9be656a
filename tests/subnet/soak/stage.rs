//! The network and its parties: how they are started, killed, found dead, and what they leave behind.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use grail::subnet::Subnet;
use grail::subnet::local::{Description, MINER, VALIDATOR, development_key};
use grail::validator::{Book, folder};
use grail_protocol::ss58;
use serde_json::Value;

use super::facts::{BEACON, BUCKET, CHAIN, NETWORK, Name, Outage, WINDOW};
use super::skew::{SetClock, Skew};
use super::watch::Watch;
use crate::link::{Link, Way};
use crate::net::{Net, account, runtime, text};
use crate::process::Process;
use crate::random::now_ms;

pub const BLOCK_MS: u64 = 500;
const SIZES: [&str; 10] = [
    "--block-time",
    "500ms",
    "--window-length",
    "16",
    "--max-groups",
    "12",
    "--rollouts-per-problem",
    "2",
    "--max-new-tokens",
    "80",
];

/// A miner or a validator.
pub struct Part {
    pub key: Name,
    pub command: &'static str,
    /// Never killed: it carries the claim about memory.
    pub steady: bool,
}

pub const PARTS: [Part; 5] = [
    Part { key: VALIDATOR, command: "validate", steady: false },
    Part { key: "//SteadyValidator", command: "validate", steady: true },
    Part { key: MINER, command: "mine", steady: false },
    Part { key: "//Bob", command: "mine", steady: false },
    Part { key: "//SteadyMiner", command: "mine", steady: true },
];

/// Keys of the parties with a command.
pub fn keys(command: &str) -> Vec<Name> {
    PARTS.iter().filter(|part| part.command == command).map(|part| part.key).collect()
}

/// Those that may be killed.
pub fn mortals(command: &str) -> Vec<Name> {
    PARTS.iter().filter(|part| part.command == command && !part.steady).map(|part| part.key).collect()
}

/// Texts of records by window, of all copies of a validator's database.
pub type Records = BTreeMap<u64, BTreeSet<String>>;

pub struct Stage {
    // Fields are dropped in this order: first what uses the network.
    parties: BTreeMap<Name, Process>,
    pub watch: Watch,
    links: BTreeMap<Name, Link>,
    clocks: BTreeMap<Name, SetClock>,
    skew: Skew,
    /// Clients of the soak's own, which no fault is between.
    pub subnet: Subnet,
    pub net: Net,
    /// Events of all lives of a party that have ended.
    pub events: BTreeMap<Name, Vec<Value>>,
    pub records: BTreeMap<Name, Records>,
    pub outages: Vec<Outage>,
    pub faults: BTreeMap<Name, u64>,
}

impl Stage {
    /// Everything up, and each party a folder of its own, from which it finds the services by links.
    pub fn new() -> Self {
        let steady = ss58::encode(&account("//SteadyValidator"));
        let mut net = Net::planned(&[&SIZES[..], &["--validator", &steady]].concat());
        let skew = Skew::compile(net.home());
        // Its clock is never set: that of a chain is everybody's.
        net.variables = skew.variables(&skew.clock(NETWORK)).into();
        net.serve();
        let subnet = net.subnet();
        let links = [CHAIN, BEACON, BUCKET].into_iter().zip(net.ports.map(Link::before)).collect();
        let clocks = PARTS.iter().map(|part| (part.key, skew.clock(&part.key[2..]))).collect();
        let mut stage = Self {
            parties: BTreeMap::new(),
            watch: Watch::start(),
            links,
            clocks,
            skew,
            subnet,
            net,
            events: BTreeMap::new(),
            records: BTreeMap::new(),
            outages: Vec::new(),
            faults: BTreeMap::new(),
        };
        stage.watch_network();
        PARTS.iter().for_each(|part| stage.furnish(part.key));
        PARTS.iter().for_each(|part| stage.begin(part.key));
        stage
    }

    /// A party's own data folder.
    pub fn data(&self, key: Name) -> PathBuf {
        self.net.home().join("parties").join(&key[2..])
    }

    /// Where a validator keeps its database.
    fn book(&self, key: Name) -> PathBuf {
        folder(&self.data(key), self.net.network().network().id(), &ss58::encode(&account(key))).join("book.redb")
    }

    /// What tells a party where the network is: its parameters, and the ports of the links.
    fn furnish(&self, key: Name) {
        let (at, folder) = (self.net.description(), self.data(key).join("localnet"));
        let port = |service: Name| self.links[service].port();
        let at = Description {
            chain: format!("ws://127.0.0.1:{}", port(CHAIN)),
            beacon: format!("http://127.0.0.1:{}", port(BEACON)),
            bucket: format!("http://127.0.0.1:{}", port(BUCKET)),
            ..at
        };
        fs::create_dir_all(&folder).expect("a folder");
        let at = serde_json::to_string(&at).expect("JSON");
        fs::write(folder.join("localnet.json"), at).expect("a file");
        fs::copy(self.net.localnet_folder().join("network.json"), folder.join("network.json")).expect("a copy");
        drop(self.net.settle(&self.subnet, &development_key(key)));
    }

    pub fn begin(&mut self, key: Name) {
        let part = PARTS.iter().find(|part| part.key == key).expect("a party");
        let data = text(&self.data(key));
        let args = [part.command, "--data", &data, "--json", "--threads", "1", "--memory", "1GiB", "--uri", key];
        // Small batches: there is more to be interrupted.
        let more: &[&str] = if part.command == "mine" { &["--batch", "1"] } else { &[] };
        let variables = self.skew.variables(&self.clocks[key]);
        let party = Process::start_with(self.net.home(), &[&args[..], more].concat(), &variables);
        self.watch.follow(key, party.id());
        self.parties.insert(key, party);
    }

    pub fn party(&mut self, key: Name) -> &mut Process {
        self.parties.get_mut(key).unwrap_or_else(|| panic!("{key} is not running"))
    }

    /// The process of a party, or of the network.
    pub fn process(&mut self, key: Name) -> &mut Process {
        match key {
            NETWORK => self.net.localnet.as_mut().expect("a network that runs"),
            key => self.party(key),
        }
    }

    pub fn cut(&self, service: Name, way: Way) {
        self.links[service].set(way);
    }

    /// Sets a party's clock ahead of the machine's, or behind it.
    pub fn set_clock(&self, key: Name, ahead_ms: i64) {
        self.clocks[key].set_ms(ahead_ms);
    }

    /// Nobody ends by itself.
    pub fn check_alive(&mut self) {
        for party in self.parties.values_mut() {
            assert!(party.is_running(), "ended by itself: {}", party.story());
        }
    }

    /// Parties that have told nothing yet. Without the chain they would begin a network of their own, and without one
    /// end: who is starting when the chain goes away goes with it.
    pub fn starting(&self) -> BTreeSet<Name> {
        self.parties.iter().filter(|(_, party)| party.events().is_empty()).map(|(&key, _)| key).collect()
    }

    /// SIGKILL, or the end of one that has ended; and what it leaves behind.
    pub fn end(&mut self, key: Name) {
        self.watch.lose(key);
        if key == NETWORK {
            return self.net.kill();
        }
        let mut party = self.parties.remove(key).unwrap_or_else(|| panic!("{key} is not running"));
        party.kill();
        self.events.entry(key).or_default().extend(party.events());
        let book = self.book(key);
        if book.exists() {
            self.read_book(key, &book);
        }
    }

    /// A copy is read: the database itself waits for its owner as the kill has left it.
    fn read_book(&mut self, key: Name, book: &std::path::Path) {
        let copy = self.net.home().join("copy.redb");
        fs::copy(book, &copy).expect("a copy");
        let book = Book::open(&copy, self.net.network().network().id()).expect("a database that survives kills");
        let of_validator = self.records.entry(key).or_default();
        for window in book.windows_after(None).expect("a database") {
            let records = book.records(window).expect("a database");
            of_validator.entry(window).or_default().extend(records.into_iter().flatten());
        }
    }

    /// Starts those again that have been ended, the network first.
    pub fn restart(&mut self, keys: &BTreeSet<Name>) {
        if keys.contains(NETWORK) {
            self.net.serve();
            self.watch_network();
        }
        keys.iter().filter(|&&key| key != NETWORK).for_each(|key| self.begin(key));
    }

    /// What it does is no work of others.
    fn watch_network(&mut self) {
        let id = self.process(NETWORK).id();
        self.watch.follow(NETWORK, id);
    }

    pub fn end_all(&mut self) {
        let keys: Vec<Name> = self.parties.keys().copied().collect();
        keys.into_iter().for_each(|key| self.end(key));
    }

    /// Notes that some were not there from a time until now.
    pub fn was_away(&mut self, keys: impl IntoIterator<Item = Name>, from_ms: u64) {
        let to_ms = now_ms();
        self.outages.extend(keys.into_iter().map(|who| Outage { who, from_ms, to_ms }));
    }

    /// First block of the window that is under way.
    pub fn window(&self) -> u64 {
        self.net.window(&self.subnet)
    }

    /// Waits until parties have told something of a kind; not longer than the chain needs for so many windows.
    pub fn told(&mut self, what: &str, keys: &[Name], windows: u64, is_it: impl Fn(&Value) -> bool) {
        let last = self.net.best(&self.subnet) + windows * WINDOW;
        let mut waiting: Vec<Name> = keys.to_vec();
        while !waiting.is_empty() {
            self.check_alive();
            let told = |stage: &Self, key: &Name| stage.parties[key].events().iter().any(&is_it);
            waiting.retain(|key| !told(self, key));
            let best = self.net.best(&self.subnet);
            assert!(best <= last || waiting.is_empty(), "{what}: not by block {last}: {}", self.stories(&waiting));
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
    }

    fn stories(&self, keys: &[Name]) -> String {
        keys.iter().map(|key| self.parties[key].story()).collect::<Vec<_>>().join("\n\n")
    }

    /// Everything that any life of a party told.
    pub fn all_events(&self, key: Name) -> impl Iterator<Item = &Value> {
        self.events.get(key).into_iter().flatten()
    }
}

/// Runs a read of the soak's own clients.
pub fn read<T, E: std::fmt::Display>(what: impl std::future::Future<Output = Result<T, E>>) -> T {
    runtime().block_on(what).unwrap_or_else(|error| panic!("the network, which nobody cuts now: {error}"))
}

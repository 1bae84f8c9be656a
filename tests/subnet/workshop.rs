//! The model in the test's own process: files that a miner could have made, honest ones and others.

use grail::network::NetworkFile;
use grail::sat::Sat;
use grail::subnet::local::development_key;
use grail::subnet::{OwnBucket, Subnet, file_key};
use grail_chain::Wait;
use grail_engine::checkpoint::Checkpoint;
use grail_engine::tokenizer::Tokenizer;
use grail_engine::types::unobserved;
use grail_engine::{Engine, EngineOptions};
use grail_protocol::assignment::{Protocol, WindowHead};
use grail_protocol::prove::{self, Moment};
use grail_protocol::signature::Signer;
use grail_protocol::ss58;
use grail_protocol::window::{Form, Inference, Schema, WindowFile, read_stored, store};
use grail_protocol::window_root::WindowRoot;

use crate::net::{Net, runtime};

/// The model under one network's parameters.
pub struct Workshop {
    pub protocol: &'static Protocol<'static, Sat>,
    engine: Engine,
}

impl Workshop {
    pub fn open(network: &NetworkFile) -> Self {
        let checkpoint = Checkpoint::sat_tiny().expect("the checkpoint of the repository");
        let network = Box::leak(Box::new(network.network().clone()));
        let tokenizer = Box::leak(Box::new(Tokenizer::from_checkpoint(&checkpoint).expect("a tokenizer")));
        let protocol = Protocol::new(network, &Sat, tokenizer, checkpoint.config()).expect("parameters of this model");
        let options = EngineOptions { memory_bytes: Some(1 << 29), threads: Some(1), ..EngineOptions::default() };
        let engine = Engine::load(checkpoint, options).expect("an engine");
        Self { protocol: Box::leak(Box::new(protocol)), engine }
    }

    /// The engine, for a party that has it to itself.
    pub fn into_engine(self) -> Engine {
        self.engine
    }

    /// What an honest miner's file of a window has to hold.
    pub fn file(&mut self, head: &WindowHead, signer: &Signer, groups: u64) -> WindowFile {
        let assignment = self.protocol.assignment(head, signer.account());
        let moment = Moment { block: head.block_number, timestamp: 1.5 };
        let proven = prove::answer(&assignment, &mut self.engine, 0..groups, signer, moment, &mut unobserved);
        let proven = proven.expect("parameters of this model");
        assert_eq!(proven.ended, None);
        self.file_of(head, signer, proven.entries)
    }

    pub fn file_of(&self, head: &WindowHead, signer: &Signer, entries: Vec<Inference>) -> WindowFile {
        prove::window_file(self.protocol.network(), head, &signer.account(), entries, 2.5)
    }

    /// Holds a file to groups 0, 1, 2, ... once each, as one run without any trouble makes them. How many there are.
    pub fn undisturbed(&mut self, head: &WindowHead, signer: &Signer, stored: &[u8]) -> usize {
        let file = self.read(stored);
        let size = self.protocol.network().parameters().rollouts_per_problem as usize;
        let groups = file.inferences.len() / size;
        let indices: Vec<i128> = file.inferences.iter().map(|entry| entry.rollout_group).collect();
        let expected: Vec<i128> = (0..groups as i128).flat_map(|index| std::iter::repeat_n(index, size)).collect();
        assert_eq!(indices, expected);
        let expected = self.file(head, signer, groups as u64);
        let address = ss58::encode(&signer.account());
        assert!(
            deterministic(&file) == deterministic(&expected),
            "window {}, {address}: other rollouts",
            file.window_start
        );
        groups
    }

    /// A file as it was published.
    pub fn read(&self, stored: &[u8]) -> WindowFile {
        read_stored(stored, &Schema::of::<Sat>(), &self.protocol.limits()).expect("a window file")
    }
}

/// A file as it is published.
pub fn stored(file: &WindowFile) -> Vec<u8> {
    store(&file.to_text(&Schema::of::<Sat>(), Form::Whole))
}

/// All that is the same in every run over a miner's window.
pub fn deterministic(file: &WindowFile) -> String {
    file.to_text(&Schema::of::<Sat>(), Form::Deterministic)
}

/// A miner that the test acts itself, step by step.
pub struct Actor {
    pub signer: Signer,
    pub bucket: OwnBucket,
    subnet: Subnet,
}

impl Actor {
    pub fn settled(net: &Net, subnet: &Subnet, name: &str) -> Self {
        let signer = development_key(name);
        let bucket = net.settle(subnet, &signer);
        Self { signer, bucket, subnet: subnet.clone() }
    }

    /// The credentials that others read the bucket with.
    pub fn credentials(&self) -> Vec<u8> {
        self.bucket.read.to_commitment().to_vec()
    }

    /// Puts fields on chain, and tells the block that has them.
    pub fn commit(&self, fields: &[Vec<u8>]) -> u64 {
        let commit = async {
            self.subnet.chain.set_commitment(&self.signer, fields, Wait::Finality).await?;
            let best = self.subnet.chain.best().await?;
            let there = self.subnet.chain.commitment(&best, &self.signer.account()).await?;
            Ok::<_, anyhow::Error>(there.expect("what was just committed").block)
        };
        runtime().block_on(commit).expect("a commitment")
    }

    /// Puts the root of a file on chain.
    pub fn root(&self, window: u64, stored: &[u8]) -> u64 {
        self.commit(&[self.credentials(), WindowRoot::of_file(window, stored).to_bytes().to_vec()])
    }

    pub fn upload(&self, window: u64, stored: Vec<u8>) {
        let key = file_key(&ss58::encode(&self.signer.account()), window);
        runtime().block_on(self.bucket.store.put(&key, stored)).expect("the own bucket");
    }
}

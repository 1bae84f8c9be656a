//! The validator: what it remembers from window to window, how it gets and judges files, and what it makes of it.
//!
//! One task watches the chain and keeps what passes (metagraphs, roots); it never waits for the judging. The other
//! takes windows in order: beacons, files, verdicts, weights, and what is published once the weights are on chain.

mod book;
mod fetch;
mod judge;
mod load;
mod publish;
mod run;
mod watch;
mod weigh;
mod weights;

pub use book::{
    BeaconEntry, Book, BookError, Committed, History, Miner, SCHEMA_VERSION, Submission, Waiting, WindowEntry,
};
pub use run::{Validator, ValidatorOptions, folder};
pub use weights::Weighing;

//! Adds files to a data set of the Hugging Face hub.
//!
//! Append only: a file gets a name that nobody has, in a commit whose parent is the head that was looked at, so that
//! whatever was committed meanwhile is seen before anything is added. Every attempt at a commit looks again, which makes
//! a lost answer and somebody else's commit the same case: what is there already is not added twice.
//!
//! A client of its own, over the HTTP library that downloads models: the hub's Rust client uploads from version 1 on,
//! with a second storage protocol and a second HTTP stack that a few files of some megabytes do not need. Deliberately
//! not a hub client: one branch of one data set, no deletion, no replacement, no card. Objects go up in one request each,
//! which the hub takes up to 5 GB.

mod append;
mod dataset;
mod error;
mod http;
mod lfs;
mod name;

pub use append::Appended;
pub use dataset::{Dataset, Planned, Settings, Staged, Stored};
pub use error::HubError;
pub use http::Patience;
pub use name::{Branch, DatasetId, NameError};

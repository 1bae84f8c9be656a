//! Objects in S3: window files and records, in R2 or any store of the protocol (PROTOCOL 8, DESIGN 4.10, 4.11).
//!
//! One client, the real one: the local network is a server of the same protocol (DESIGN 5). Whoever reads somebody
//! else's bucket says how much he takes; every request ends in bounded time; what users branch on are kinds of one
//! error. It knows keys and bytes only: names of keys, gzip and JSON belong to its users.

mod bucket;
mod checksum;
mod client;
mod credentials;
mod download;
mod error;
mod settings;
mod upload;

pub use bucket::{Bucket, ConfigError, Secret, r2_endpoint};
pub use client::{ObjectInfo, Store};
pub use credentials::{COMMITMENT_BYTES, Endpoint, ReadCredentials};
pub use download::Download;
pub use error::{Error, Request};
pub use settings::Settings;
pub use upload::Body;

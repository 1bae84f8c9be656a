//! Adding files to data sets of a hub on loopback.

mod appends;
mod support;
mod trouble;

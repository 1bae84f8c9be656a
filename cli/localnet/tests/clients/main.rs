//! The real clients of store and beacon against the local network's servers, with faults put between them.

mod beacon;
mod bucket;
mod fault;
#[path = "../../../store/examples/conformance/laws.rs"]
mod laws;
mod store_faults;
mod suite;

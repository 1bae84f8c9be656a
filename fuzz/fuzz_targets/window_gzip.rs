//! Any stored bytes are a window file or an error.
#![no_main]

mod schema;

use grail_protocol::window::read_stored;
use libfuzzer_sys::fuzz_target;
use schema::{LIMITS, SCHEMA};

fuzz_target!(|stored: &[u8]| {
    let _ = read_stored(stored, &SCHEMA, &LIMITS);
});

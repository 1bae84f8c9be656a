//! Any text is a window file or an error, and a file that is read writes a text that reads the same.
#![no_main]

mod schema;

use grail_protocol::window::{Form, read};
use libfuzzer_sys::fuzz_target;
use schema::{LIMITS, SCHEMA};

fuzz_target!(|text: &[u8]| {
    let Ok(file) = read(text, &SCHEMA, &LIMITS) else { return };
    let text = file.to_text(&SCHEMA, Form::Whole);
    let again = read(text.as_bytes(), &SCHEMA, &LIMITS).expect("what is written reads back");
    assert_eq!(again.to_text(&SCHEMA, Form::Whole), text);
});

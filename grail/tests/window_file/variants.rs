//! The vectors' window and its variants: malformed exactly where they say so.

use grail_protocol::window::Form;
use sha2::{Digest, Sha256};

use super::protocol::window_variants::Windows;
use super::{SCHEMA, malformed_at, read_text, vectors};

#[test]
fn the_honest_window_reads_and_writes_back_its_bytes() {
    let windows = Windows::load(&vectors()).unwrap();
    let text = windows.text().unwrap();
    let file = read_text(&text).unwrap();
    assert_eq!(file.inferences.len(), 12);
    assert_eq!(file.to_text(&SCHEMA, Form::Whole), text);
    let deterministic: [u8; 32] = Sha256::digest(file.to_text(&SCHEMA, Form::Deterministic)).into();
    assert_eq!(deterministic, windows.deterministic_sha256.0);
}

#[test]
fn a_variant_is_malformed_if_and_only_if_the_vectors_say_so() {
    let windows = Windows::load(&vectors()).unwrap();
    let mut malformed = 0;
    for variant in &windows.variants {
        let text = windows.text_of(variant).unwrap_or_else(|e| panic!("{}: {e}", variant.name));
        let result = read_text(&text);
        if variant.reason.as_deref() == Some("Malformed") {
            println!("{}: {}", variant.name, result.as_ref().unwrap_err());
            malformed_at(result);
            malformed += 1;
        } else {
            result.unwrap_or_else(|e| panic!("{}: {e}", variant.name));
        }
    }
    assert!(malformed > 20 && malformed < windows.variants.len(), "{malformed} of {}", windows.variants.len());
}

//! Texts of numbers (DESIGN 4.9).

use grail_protocol::json::{self, push_f32, read_f32, read_integer};
use grail_protocol::sketch::s_val;
use serde::Deserialize;

use super::super::support::{Bits, same};

#[derive(Deserialize)]
pub struct Write {
    bits: Bits,
    text: String,
}

impl Write {
    pub fn run(&self) -> Result<(), String> {
        let mut written = String::new();
        push_f32(&mut written, f32::from_bits(self.bits.0));
        same("text", &written, &self.text)?;
        same("read back", read_f32(&self.text).map(f32::to_bits), Some(self.bits.0))
    }
}

#[derive(Deserialize)]
pub struct Read {
    text: String,
    bits: Option<Bits>,
}

impl Read {
    pub fn run(&self) -> Result<(), String> {
        let read = read_f32(&self.text).map(f32::to_bits);
        same(&self.text, read, self.bits.map(|b| b.0))
    }
}

#[derive(Deserialize)]
pub struct Integer {
    text: String,
    integer: bool,
    value: Option<String>,
    token_of_768: Option<bool>,
    s_val: Option<bool>,
}

impl Integer {
    pub fn run(&self) -> Result<(), String> {
        let read = read_integer(&self.text);
        same("integer", read.is_some(), self.integer)?;
        let value = match read {
            None => return same("value", self.value.is_none(), true),
            Some(json::Integer::Value(value)) => Some(value),
            Some(json::Integer::Huge) => None,
        };
        let expected = self.value.as_ref().and_then(|v| v.parse::<i128>().ok());
        same("value", value, expected)?;
        let token = value.is_some_and(|v| (0..768).contains(&v));
        same("token", Some(token), self.token_of_768)?;
        let in_range = value.is_some_and(|v| s_val(v).is_ok());
        same("s_val", Some(in_range), self.s_val)
    }
}

//! Turning text into token ids and back; to be written.
pub(crate) mod byte_level;

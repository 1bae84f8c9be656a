//! One safetensors file: its bytes and its header.
//!
//! The `safetensors` crate judges the header; this file bounds it first, refuses repeated names
//! (which the crate would merge), and finds the words for what the crate refused.

use std::collections::BTreeMap;
use std::ops::Range;

use memmap2::Mmap;
use safetensors::SafeTensorError;
use safetensors::tensor::{SafeTensors, TensorInfo};
use serde::de::IgnoredAny;

use super::HEADER_LIMIT_BYTES;
use crate::json::{self, clip};
use crate::{Error, Result};

const LENGTH_BYTES: usize = 8;

/// Where a file's bytes live.
#[derive(Debug)]
pub(super) enum Storage {
    Static(&'static [u8]),
    Owned(Vec<u8>),
    Mapped(Mmap),
}

impl Storage {
    fn bytes(&self) -> &[u8] {
        match self {
            Storage::Static(bytes) => bytes,
            Storage::Owned(bytes) => bytes,
            Storage::Mapped(map) => map,
        }
    }
}

/// A safetensors file with a valid header.
#[derive(Debug)]
pub(super) struct Shard {
    name: String,
    storage: Storage,
    tensors: BTreeMap<String, TensorInfo>,
    data_start: usize,
}

impl Shard {
    /// Checks the header; `name` is for messages and for the index.
    pub(super) fn new(name: String, storage: Storage) -> Result<Self> {
        match read_header(storage.bytes()) {
            Ok((data_start, tensors)) => Ok(Shard { name, storage, tensors, data_start }),
            Err(problem) => Err(Error::Checkpoint { file: name, problem }),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.storage.bytes()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// A tensor's description and the place of its data in [`Shard::bytes`].
    pub(super) fn tensor(&self, name: &str) -> Option<(&TensorInfo, Range<usize>)> {
        let info = self.tensors.get(name)?;
        let (start, end) = info.data_offsets;
        Some((info, self.data_start + start..self.data_start + end))
    }

    /// Lets the system drop the pages of a range of the mapped file.
    pub(super) fn release(&self, range: Range<usize>) {
        #[cfg(unix)]
        if let Storage::Mapped(map) = &self.storage {
            let advice = memmap2::UncheckedAdvice::DontNeed;
            // SAFETY: the mapping is shared, read-only and backed by a file, so dropped pages come
            // back from the file with the same bytes; no memory becomes invalid or changes.
            let taken = unsafe { map.unchecked_advise_range(advice, range.start, range.len()) };
            // Advice that is not taken costs memory and changes no result.
            drop(taken);
        }
        #[cfg(not(unix))]
        let _ = range;
    }
}

/// Where the data starts, and the tensors; every range lies within the file.
fn read_header(bytes: &[u8]) -> Result<(usize, BTreeMap<String, TensorInfo>), String> {
    let header = header_bytes(bytes)?;
    // Names first: the crate would let the last of two equal names win.
    json::object::<IgnoredAny>(header, HEADER_LIMIT_BYTES).map_err(|problem| format!("header: {problem}"))?;
    let (length, metadata) = SafeTensors::read_metadata(bytes)
        .map_err(|error| in_words(&error, header, bytes.len() - LENGTH_BYTES - header.len()))?;
    let tensors = metadata.tensors().into_iter().map(|(name, info)| (name, info.clone())).collect();
    Ok((LENGTH_BYTES + length, tensors))
}

fn header_bytes(bytes: &[u8]) -> Result<&[u8], String> {
    let Some((length, rest)) = bytes.split_first_chunk::<LENGTH_BYTES>() else {
        return Err(format!("{} bytes are too few for a header", bytes.len()));
    };
    let length = u64::from_le_bytes(*length);
    if length > HEADER_LIMIT_BYTES as u64 {
        return Err(format!("a header of {length} bytes, and at most {HEADER_LIMIT_BYTES} are accepted"));
    }
    rest.get(..length as usize)
        .ok_or_else(|| format!("a header of {length} bytes, but only {} follow: the file is truncated", rest.len()))
}

/// Says which tensor it was, where the crate's error does not.
fn in_words(error: &SafeTensorError, header: &[u8], data_bytes: usize) -> String {
    let tensors: BTreeMap<String, serde_json::Value> = json::object(header, HEADER_LIMIT_BYTES).unwrap_or_default();
    let described = tensors.iter().filter_map(|(name, value)| {
        let info: TensorInfo = serde_json::from_value(value.clone()).ok()?;
        Some((name, info))
    });
    match error {
        SafeTensorError::MetadataIncompleteBuffer => {
            let end = described.map(|(_, info)| info.data_offsets.1).max();
            let end = end.unwrap_or(0);
            let cause = if end > data_bytes { "truncated" } else { "longer than its header says" };
            format!("the tensors end at data byte {end}, the file at {data_bytes}: it is {cause}")
        }
        SafeTensorError::TensorInvalidInfo | SafeTensorError::ValidationOverflow | SafeTensorError::MisalignedSlice => {
            let mut wrong = described.filter(|(_, info)| {
                let (start, end) = info.data_offsets;
                spanned(info).is_none_or(|bytes| end.checked_sub(start) != Some(bytes))
            });
            match wrong.next() {
                Some((name, info)) => format!(
                    "tensor {}: data_offsets {:?} do not fit shape {} of {:?}",
                    clip(name),
                    info.data_offsets,
                    clip(&format!("{:?}", info.shape)),
                    info.dtype
                ),
                None => format!("header: {error}"),
            }
        }
        SafeTensorError::InvalidOffset(name) => {
            format!("tensor {}: data_offsets leave a gap, overlap or run backwards", clip(name))
        }
        other => format!("header: {}", clip(&other.to_string())),
    }
}

/// The bytes that shape and type imply, unless that overflows or is no whole number.
fn spanned(info: &TensorInfo) -> Option<usize> {
    let mut bits = info.dtype.bitsize();
    for &n in &info.shape {
        bits = bits.checked_mul(n)?;
    }
    bits.is_multiple_of(8).then_some(bits / 8)
}

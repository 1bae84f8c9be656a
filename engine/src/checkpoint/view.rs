//! A tensor where it lies, and exact widening of its rows to f32.

use std::ops::Range;

use half::f16;

use crate::{Error, Result};

/// Weights of this magnitude or more (2^60) are refused with NaN and Inf: NUMERICS section 1 makes
/// them a fault when a quantizer meets them, and every matrix goes through one at load.
pub const WEIGHT_MAGNITUDE_LIMIT: f32 = (1u64 << 60) as f32;

/// Exponent field of 2^60 in f32 and bf16: everything from here up is refused.
const EXPONENT_LIMIT: u32 = 127 + 60;

/// Element types that are read; all widen to f32 without rounding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dtype {
    /// The upper half of an f32.
    Bf16,
    /// IEEE binary16.
    F16,
    /// IEEE binary32.
    F32,
}

impl Dtype {
    /// Bytes of one element.
    pub fn size_bytes(self) -> usize {
        match self {
            Dtype::Bf16 | Dtype::F16 => 2,
            Dtype::F32 => 4,
        }
    }

    /// The name in a safetensors header: `BF16`, `F16` or `F32`.
    pub fn name(self) -> &'static str {
        match self {
            Dtype::Bf16 => "BF16",
            Dtype::F16 => "F16",
            Dtype::F32 => "F32",
        }
    }
}

/// A tensor of an opened checkpoint: row-major, little-endian, not necessarily aligned. A norm
/// counts as one row.
#[derive(Debug, Clone, Copy)]
pub struct TensorView<'a> {
    name: &'a str,
    dtype: Dtype,
    shape: &'a [usize],
    bytes: &'a [u8],
}

impl<'a> TensorView<'a> {
    /// `bytes` has the length that shape (of one or two dimensions, none zero) and type imply.
    pub(super) fn new(name: &'a str, dtype: Dtype, shape: &'a [usize], bytes: &'a [u8]) -> Self {
        debug_assert_eq!(bytes.len(), shape.iter().product::<usize>() * dtype.size_bytes());
        TensorView { name, dtype, shape, bytes }
    }

    /// The name in the file.
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// The element type in the file.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// `[n]` or `[rows, columns]`.
    pub fn shape(&self) -> &'a [usize] {
        self.shape
    }

    /// The bytes in the file.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Rows; 1 for a norm.
    pub fn rows(&self) -> usize {
        match self.shape {
            [rows, _] => *rows,
            _ => 1,
        }
    }

    /// Elements of a row.
    pub fn columns(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }

    /// Widens row `row` to f32, exactly.
    ///
    /// # Panics
    /// If `row` is not below [`TensorView::rows`] or `out` is not [`TensorView::columns`] long.
    pub fn row_to_f32(&self, row: usize, out: &mut [f32]) {
        assert_eq!(out.len(), self.columns(), "length of a row of {}", self.name);
        widen(self.dtype, self.row_bytes(row), out);
    }

    /// The whole tensor widened to f32, exactly: 4 bytes an element. Meant for norms and tests.
    pub fn to_f32_vec(&self) -> Vec<f32> {
        let mut values = vec![0.0; self.bytes.len() / self.dtype.size_bytes()];
        widen(self.dtype, self.bytes, &mut values);
        values
    }

    /// Checks that the values of some rows are finite and below 2^60 in magnitude. Rows are
    /// independent, so ranges can be checked by different threads.
    ///
    /// # Errors
    /// [`Error::Tensor`] naming row, column and value of the first that is not.
    ///
    /// # Panics
    /// If the range leaves the tensor.
    pub fn check_finite(&self, rows: Range<usize>) -> Result<()> {
        for row in rows {
            let bytes = self.row_bytes(row);
            if !any_refused(self.dtype, bytes) {
                continue;
            }
            let mut values = vec![0.0; self.columns()];
            widen(self.dtype, bytes, &mut values);
            let bad = |x: &f32| x.abs() >= WEIGHT_MAGNITUDE_LIMIT || x.is_nan();
            if let Some(column) = values.iter().position(bad) {
                return Err(Error::Tensor {
                    tensor: self.name.to_owned(),
                    problem: format!(
                        "holds {} at row {row}, column {column}; weights have to be finite and below 2^60",
                        values[column]
                    ),
                });
            }
        }
        Ok(())
    }

    fn row_bytes(&self, row: usize) -> &'a [u8] {
        let row_bytes = self.columns() * self.dtype.size_bytes();
        &self.bytes[row * row_bytes..][..row_bytes]
    }
}

fn widen(dtype: Dtype, bytes: &[u8], out: &mut [f32]) {
    match dtype {
        Dtype::Bf16 => {
            for (x, b) in out.iter_mut().zip(bytes.as_chunks::<2>().0) {
                *x = f32::from_bits(u32::from(u16::from_le_bytes(*b)) << 16);
            }
        }
        Dtype::F16 => {
            for (x, b) in out.iter_mut().zip(bytes.as_chunks::<2>().0) {
                *x = f16::from_le_bytes(*b).to_f32();
            }
        }
        Dtype::F32 => {
            for (x, b) in out.iter_mut().zip(bytes.as_chunks::<4>().0) {
                *x = f32::from_le_bytes(*b);
            }
        }
    }
}

/// Whether a value is NaN, Inf or of magnitude 2^60 or more; without a branch per element.
fn any_refused(dtype: Dtype, bytes: &[u8]) -> bool {
    let limit = EXPONENT_LIMIT << 23;
    match dtype {
        Dtype::Bf16 => bytes
            .as_chunks::<2>()
            .0
            .iter()
            .fold(false, |any, b| any | (u16::from_le_bytes(*b) & 0x7fff >= (limit >> 16) as u16)),
        // No finite f16 comes near 2^60.
        Dtype::F16 => {
            bytes.as_chunks::<2>().0.iter().fold(false, |any, b| any | (u16::from_le_bytes(*b) & 0x7fff >= 0x7c00))
        }
        Dtype::F32 => {
            bytes.as_chunks::<4>().0.iter().fold(false, |any, b| any | (u32::from_le_bytes(*b) & 0x7fff_ffff >= limit))
        }
    }
}

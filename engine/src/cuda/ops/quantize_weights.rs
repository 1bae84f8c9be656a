//! quantize_weights.cu: rows of a checkpoint to packed weights.

use super::super::{Device, DeviceBuffer, Kernel, LaunchShape, abi};
use super::operands::{Arrangement, PackedWeights, require};
use crate::Result;

/// Element type of a checkpoint's tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WeightType {
    /// IEEE binary32.
    F32,
    /// IEEE binary16.
    F16,
    /// The upper half of binary32.
    Bf16,
}

impl WeightType {
    /// Bytes of an element.
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }

    /// `ELEMENT_*` of the abi.
    pub fn code(self) -> u32 {
        match self {
            Self::F32 => abi::ELEMENT_F32,
            Self::F16 => abi::ELEMENT_F16,
            Self::Bf16 => abi::ELEMENT_BF16,
        }
    }
}

/// Neighbouring rows of a checkpoint's tensor, whole rows from the buffer's start on.
#[derive(Debug, Clone, Copy)]
pub struct SourceRows<'a> {
    /// Little-endian elements, row-major.
    pub bytes: &'a DeviceBuffer<u8>,
    /// With [`Arrangement::GateUp`], the same rows of the up projection; `bytes` are then the gate's.
    pub up: Option<&'a DeviceBuffer<u8>>,
    /// How many rows.
    pub rows: u32,
    /// Type of all elements.
    pub element: WeightType,
}

/// The kernel.
#[derive(Debug, Clone)]
pub struct QuantizeWeights {
    kernel: Kernel<abi::quantize_weights_params>,
}

impl QuantizeWeights {
    /// Loads it.
    ///
    /// # Errors
    /// As [`Device::kernel`].
    pub fn new(device: &Device) -> Result<Self> {
        Ok(Self { kernel: device.kernel("quantize_weights", 0)? })
    }

    /// Makes rows `first..first + source.rows` of `into` (of each of its two matrices, if it has two). A row with NaN, Inf or 2^60
    /// becomes zeros and lowers `fault` to its index in `source`, or to that plus `source.rows` if it is of `up`.
    ///
    /// # Errors
    /// [`crate::Error::Request`] for shapes that do not agree, [`crate::Error::Device`] with the driver's words.
    pub fn run(
        &self,
        source: &SourceRows<'_>,
        into: &mut PackedWeights,
        first: u32,
        fault: &mut DeviceBuffer<u32>,
    ) -> Result<()> {
        let (rows, k, blocks) = (source.rows, into.k(), into.blocks());
        let bytes = rows as usize * k as usize * source.element.bytes();
        let given = source.up.map_or(source.bytes.len(), |up| up.len().min(source.bytes.len()));
        require(given >= bytes, "weights", || format!("{given} bytes for {rows} rows of {k}"))?;
        let inside = first.checked_add(rows).is_some_and(|end| end <= into.rows());
        require(rows > 0 && inside, "weights", || format!("{rows} rows from {first} on of {}", into.rows()))?;
        let paired = into.arrangement() == Arrangement::GateUp;
        require(paired == source.up.is_some(), "weights", || "gate and up belong together".into())?;
        require(!paired || first.is_multiple_of(8), "weights", || format!("gate and up from row {first} on"))?;
        require(!fault.is_empty(), "fault", || "no word".into())?;
        let (packed, count) = if paired { (2 * first, 16 * rows.div_ceil(8)) } else { (first, rows) };
        let tiles = (packed % abi::TILE_FEATURES + count).div_ceil(abi::TILE_FEATURES);
        let params = abi::quantize_weights_params {
            w: source.bytes.as_ptr().cast(),
            up: source.up.map_or(std::ptr::null(), |up| up.as_ptr().cast()),
            q: into.q.as_mut_ptr(),
            g: into.g.as_mut_ptr(),
            fault: fault.as_mut_ptr(),
            rows,
            k,
            first: packed,
            element: source.element.code(),
        };
        // SAFETY: sources have rows * k elements, the packed rows are inside `into`, and both are on the device that made them.
        unsafe { self.kernel.launch(LaunchShape::linear(tiles * blocks, 128), &params) }
    }
}

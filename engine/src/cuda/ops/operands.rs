//! What products and quantizers work on: packed weights, quantized rows, rows of activations, and whose faults they are.
//!
//! Layouts are those of `kernels/abi.h`. Every buffer is zeroed when it is made, so that padding is initialised memory.

use std::ptr::{null, null_mut};

use super::super::{Device, DeviceBuffer, abi};
use crate::{Error, Result};

/// How the rows of packed weights are arranged, and so what a product makes of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrangement {
    /// One matrix, or several on top of each other.
    Stacked,
    /// Gate and up projection alternating by eight rows; a product gives silu(gate) * up.
    GateUp,
}

/// A matrix as integers in fragment order with one exponent per block: two bytes an element.
#[derive(Debug)]
pub struct PackedWeights {
    pub(in crate::cuda) q: DeviceBuffer<u8>,
    pub(in crate::cuda) g: DeviceBuffer<i8>,
    rows: u32,
    k: u32,
    arrangement: Arrangement,
}

impl PackedWeights {
    /// Room for `[rows, k]`, zero; with [`Arrangement::GateUp`], for two such matrices.
    ///
    /// # Errors
    /// [`Error::Request`] for an empty matrix or one beyond what the kernels can count, [`Error::Device`] with the driver's words.
    pub fn zeroed(device: &Device, rows: u32, k: u32, arrangement: Arrangement) -> Result<Self> {
        let tiles = tiles(rows, arrangement);
        require(rows > 0 && k > 0, "weights", || format!("{rows} rows of {k} elements"))?;
        let places = tiles as usize * k.div_ceil(abi::BLOCK) as usize;
        // A kernel gives each block of a tile a thread block of its own.
        require(places < 1 << 27, "weights", || format!("{rows} rows of {k} elements are too many"))?;
        Ok(Self {
            q: DeviceBuffer::zeroed(device, places * abi::WEIGHT_TILE_BYTES as usize)?,
            g: DeviceBuffer::zeroed(device, places * abi::TILE_FEATURES as usize)?,
            rows,
            k,
            arrangement,
        })
    }

    /// Bytes that [`PackedWeights::zeroed`] allocates.
    pub fn bytes_for(rows: u32, k: u32, arrangement: Arrangement) -> u64 {
        let places = u64::from(tiles(rows, arrangement)) * u64::from(k.div_ceil(abi::BLOCK));
        places * u64::from(abi::WEIGHT_TILE_BYTES + abi::TILE_FEATURES)
    }

    /// Rows of the matrix, or of each of the two: columns of a product.
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// Elements of a row.
    pub fn k(&self) -> u32 {
        self.k
    }

    /// Blocks of a row.
    pub fn blocks(&self) -> u32 {
        self.k.div_ceil(abi::BLOCK)
    }

    /// Tiles of 16 packed rows.
    pub fn tiles(&self) -> u32 {
        tiles(self.rows, self.arrangement)
    }

    /// How the rows lie.
    pub fn arrangement(&self) -> Arrangement {
        self.arrangement
    }

    /// The integers, for kernels.
    pub fn q(&self) -> &DeviceBuffer<u8> {
        &self.q
    }

    /// The exponents, for kernels.
    pub fn g(&self) -> &DeviceBuffer<i8> {
        &self.g
    }
}

fn tiles(rows: u32, arrangement: Arrangement) -> u32 {
    match arrangement {
        Arrangement::Stacked => rows.div_ceil(abi::TILE_FEATURES),
        Arrangement::GateUp => rows.div_ceil(abi::TILE_FEATURES / 2),
    }
}

/// Rows of activations as integers in fragment order with one exponent per block: the right operand of a product.
#[derive(Debug)]
pub struct QuantizedRows {
    pub(in crate::cuda) q: DeviceBuffer<u8>,
    pub(in crate::cuda) g: DeviceBuffer<i8>,
    rows: u32,
    k: u32,
}

impl QuantizedRows {
    /// Room for `rows` rows of `k` elements, zero.
    ///
    /// # Errors
    /// As [`PackedWeights::zeroed`].
    pub fn zeroed(device: &Device, rows: u32, k: u32) -> Result<Self> {
        let places = rows.div_ceil(abi::TILE_TOKENS) as usize * k.div_ceil(abi::BLOCK) as usize;
        require(rows > 0 && k > 0, "quantized rows", || format!("{rows} rows of {k} elements"))?;
        require(places < 1 << 28, "quantized rows", || format!("{rows} rows of {k} elements are too many"))?;
        Ok(Self {
            q: DeviceBuffer::zeroed(device, places * abi::ROWS_TILE_BYTES as usize)?,
            g: DeviceBuffer::zeroed(device, places * abi::TILE_TOKENS as usize)?,
            rows,
            k,
        })
    }

    /// Rows there is room for.
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// Elements of a row.
    pub fn k(&self) -> u32 {
        self.k
    }

    /// The integers, for kernels.
    pub fn q(&self) -> &DeviceBuffer<u8> {
        &self.q
    }

    /// The exponents, for kernels.
    pub fn g(&self) -> &DeviceBuffer<i8> {
        &self.g
    }

    /// The integers, for kernels that write rows.
    pub fn q_mut(&mut self) -> &mut DeviceBuffer<u8> {
        &mut self.q
    }

    /// The exponents, for kernels that write rows.
    pub fn g_mut(&mut self) -> &mut DeviceBuffer<i8> {
        &mut self.g
    }
}

/// How many rows a launch works on.
#[derive(Debug, Clone, Copy)]
pub struct RowCount<'a> {
    /// At most so many: what the launch is made for.
    pub most: u32,
    /// Where the device finds how many there are, if that may be fewer: graphs serve several counts.
    pub now: Option<&'a DeviceBuffer<u32>>,
}

impl RowCount<'_> {
    /// Exactly `rows`.
    pub fn exactly(rows: u32) -> Self {
        Self { most: rows, now: None }
    }

    pub(super) fn pointer(&self) -> *const u32 {
        self.now.map_or(null(), DeviceBuffer::as_ptr)
    }

    pub(super) fn check(&self) -> Result<()> {
        require(self.most > 0, "rows", || "none".into())?;
        require(self.now.is_none_or(|now| !now.is_empty()), "row count", || "an empty buffer".into())
    }
}

/// Rows of f32 activations.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    /// `[rows][stride]`.
    pub x: &'a DeviceBuffer<f32>,
    /// Elements from one row to the next, a multiple of 4.
    pub stride: u32,
    /// How many.
    pub count: RowCount<'a>,
}

impl Rows<'_> {
    /// Each row has `width` elements.
    pub(super) fn check(&self, width: u32) -> Result<()> {
        self.count.check()?;
        let (stride, rows) = (self.stride as usize, self.count.most as usize);
        let fits = stride >= width as usize && stride.is_multiple_of(4) && self.x.len() / stride.max(1) >= rows;
        require(fits, "rows", || format!("{rows} rows of {width} elements, {stride} apart, in {}", self.x.len()))
    }
}

/// Where in the pass a kernel runs: what it writes into fault words.
#[derive(Debug)]
pub struct Faults<'a> {
    /// One word a row, `NO_FAULT` where nothing has happened.
    pub words: &'a mut DeviceBuffer<u32>,
    /// Layer, counted from 0.
    pub layer: u32,
    /// `STAGE_*` of the abi.
    pub stage: u32,
}

impl Faults<'_> {
    pub(super) fn check(&self, rows: u32) -> Result<()> {
        let fits = self.layer < 1 << 15 && self.stage < 1 << 8;
        require(fits, "faults", || format!("layer {}, stage {}", self.layer, self.stage))?;
        require(self.words.len() >= rows as usize, "faults", || format!("{} words for {rows} rows", self.words.len()))
    }
}

/// What becomes of a product of [`Arrangement::Stacked`] weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Epilogue {
    /// Takes the place of what was there.
    Store,
    /// Is added to what was there: the residual.
    Add,
}

/// A matrix product: `y[row][feature]`. [`Arrangement::GateUp`] weights give silu(gate) * up, which can only be stored.
#[derive(Debug)]
pub struct Product<'a> {
    /// Left operand.
    pub weights: &'a PackedWeights,
    /// Right operand.
    pub x: &'a QuantizedRows,
    /// `[rows][stride]`.
    pub y: &'a mut DeviceBuffer<f32>,
    /// Elements from one row of `y` to the next.
    pub stride: u32,
    /// How many rows.
    pub count: RowCount<'a>,
    /// What becomes of it.
    pub epilogue: Epilogue,
}

impl Product<'_> {
    /// The parameters of gemm.cu and gemv.cu, if operands and result have the shapes they need.
    pub(super) fn params(&mut self) -> Result<abi::product_params> {
        let (w, x, rows) = (self.weights, self.x, self.count.most);
        self.count.check()?;
        require(w.k() == x.k(), "product", || format!("weights of {} columns with rows of {}", w.k(), x.k()))?;
        require(rows <= x.rows(), "product", || format!("{rows} rows, quantized are {}", x.rows()))?;
        let fits = self.stride >= w.rows() && self.y.len() / self.stride.max(1) as usize >= rows as usize;
        require(fits, "product", || {
            format!("{rows} rows of {}, {} apart, in {}", w.rows(), self.stride, self.y.len())
        })?;
        let epilogue = match (w.arrangement(), self.epilogue) {
            (Arrangement::Stacked, Epilogue::Store) => abi::PRODUCT_STORE,
            (Arrangement::Stacked, Epilogue::Add) => abi::PRODUCT_ADD,
            (Arrangement::GateUp, Epilogue::Store) => abi::PRODUCT_SILU_MUL,
            (Arrangement::GateUp, Epilogue::Add) => {
                return Err(request("product", "gate and up have no residual".into()));
            }
        };
        Ok(abi::product_params {
            w: w.q.as_ptr(),
            w_g: w.g.as_ptr(),
            x: x.q.as_ptr(),
            x_g: x.g.as_ptr(),
            y: self.y.as_mut_ptr(),
            row_count: self.count.pointer(),
            features: w.rows(),
            blocks: w.blocks(),
            rows,
            ld: self.stride,
            epilogue,
            reserved: 0,
        })
    }
}

/// An optional output.
pub(super) fn optional<T: super::super::Element>(buffer: Option<&mut DeviceBuffer<T>>) -> *mut T {
    buffer.map_or(null_mut(), DeviceBuffer::as_mut_ptr)
}

pub(super) fn require(holds: bool, field: &str, problem: impl FnOnce() -> String) -> Result<()> {
    if holds { Ok(()) } else { Err(request(field, problem())) }
}

fn request(field: &str, problem: String) -> Error {
    Error::Request { field: field.into(), problem }
}

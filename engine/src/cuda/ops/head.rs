//! head.cu: the head's product, read a chunk of the vocabulary at a time.

use super::super::{Device, DeviceBuffer, Kernel, LaunchShape, abi};
use super::reading::{Reading, refuse_unless};
use crate::Result;

/// (kernel, tiles of rows in a block, stages of its pipeline), as head.cu defines them.
const FORMS: [(&str, u32, u32); 4] = [("head_8", 1, 4), ("head_16", 2, 4), ("head_32", 4, 3), ("head_64", 8, 2)];

/// Dynamic shared memory: stages of weights with exponents and rows, then the chunk's logits, then the rows' exponents.
fn shared_bytes(tiles: u32, stages: u32, blocks: u32) -> u32 {
    let weights = abi::HEAD_WARPS * (abi::WEIGHT_TILE_BYTES + abi::TILE_FEATURES);
    let logits = 4 * tiles * abi::TILE_TOKENS * (abi::CHUNK + 4);
    stages * (weights + tiles * abi::ROWS_TILE_BYTES) + logits + tiles * blocks * abi::TILE_TOKENS
}

/// The packed head and the quantized rows it is applied to.
#[derive(Debug)]
pub struct HeadInput<'a> {
    /// Packed integers of [vocabulary][hidden].
    pub weight: &'a DeviceBuffer<u8>,
    /// Their exponents.
    pub weight_g: &'a DeviceBuffer<i8>,
    /// Quantized rows, all of whose tiles up to the last row in use are initialised.
    pub x: &'a DeviceBuffer<u8>,
    /// Their exponents.
    pub x_g: &'a DeviceBuffer<i8>,
}

/// The kernel in its forms, for up to a number of rows.
#[derive(Debug, Clone)]
pub struct Head {
    forms: Vec<Form>,
    blocks: u32,
}

#[derive(Debug, Clone)]
struct Form {
    kernel: Kernel<abi::head_params>,
    /// Rows that one block holds.
    rows: u32,
    shared_bytes: u32,
}

impl Head {
    /// For `hidden` channels and up to `rows` rows a launch.
    ///
    /// # Errors
    /// As [`Device::kernel`].
    pub fn new(device: &Device, hidden: u32, rows: u32) -> Result<Self> {
        let blocks = hidden.div_ceil(abi::BLOCK);
        let mut forms: Vec<Form> = Vec::new();
        for (name, tiles, stages) in FORMS {
            if forms.last().is_none_or(|smaller| smaller.rows < rows) {
                let shared_bytes = shared_bytes(tiles, stages, blocks);
                let kernel = device.kernel(name, shared_bytes)?;
                forms.push(Form { kernel, rows: tiles * abi::TILE_TOKENS, shared_bytes });
            }
        }
        Ok(Self { forms, blocks })
    }

    /// How many slices keep `multiprocessors` busy with `rows` rows: one block each.
    pub fn slices(&self, multiprocessors: u32, rows: u32, vocabulary: u32) -> u32 {
        let most = vocabulary.div_ceil(abi::CHUNK).min(abi::SLICES_MAX);
        (multiprocessors / rows.div_ceil(self.form(rows).rows).max(1)).clamp(1, most.max(1))
    }

    /// Reads the rows of the questions asked last.
    ///
    /// # Errors
    /// As [`Head::run_at_most`].
    pub fn run(&self, input: &HeadInput<'_>, reading: &mut Reading) -> Result<()> {
        self.run_at_most(input, reading, reading.used_rows() as u32)
    }

    /// The same by a launch for `rows` rows, of which the device knows how many are in use: that number may change between
    /// replays of a graph.
    ///
    /// # Errors
    /// [`crate::Error::Request`] for buffers that are too small and for rows that the reading has not, [`crate::Error::Device`]
    /// with the driver's words.
    pub fn run_at_most(&self, input: &HeadInput<'_>, reading: &mut Reading, rows: u32) -> Result<()> {
        let shape = *reading.shape();
        refuse_unless(rows > 0 && rows <= shape.rows && reading.used_rows() <= rows as usize, "rows", || {
            format!("{rows} rows, {} are in use of {}", reading.used_rows(), shape.rows)
        })?;
        let tiles = shape.vocabulary.div_ceil(abi::TILE_FEATURES) as usize * self.blocks as usize;
        let row_tiles = rows.div_ceil(abi::TILE_TOKENS) as usize * self.blocks as usize;
        let fits = |len: usize, needed: usize, field: &str| {
            refuse_unless(len >= needed, field, || format!("{len} bytes, {needed} are needed"))
        };
        fits(input.weight.len(), tiles * abi::WEIGHT_TILE_BYTES as usize, "head weights")?;
        fits(input.weight_g.len(), tiles * abi::TILE_FEATURES as usize, "head weight exponents")?;
        fits(input.x.len(), row_tiles * abi::ROWS_TILE_BYTES as usize, "quantized rows")?;
        fits(input.x_g.len(), row_tiles * abi::TILE_TOKENS as usize, "exponents of quantized rows")?;
        let form = self.form(rows);
        let groups = rows.div_ceil(form.rows);
        let params = abi::head_params {
            reading: reading.params(),
            weight: input.weight.as_ptr(),
            weight_g: input.weight_g.as_ptr(),
            x: input.x.as_ptr(),
            x_g: input.x_g.as_ptr(),
            blocks: self.blocks,
            groups,
        };
        let launch = LaunchShape {
            grid: [groups * shape.slices, 1, 1],
            block: 32 * abi::HEAD_WARPS,
            shared_bytes: form.shared_bytes,
        };
        // SAFETY: the buffers are as large as head.cu reads (above) and, being live, initialised; `reading` is borrowed
        // exclusively and sized for its shape, slices <= chunks included, and has at most `rows` rows in use.
        unsafe { form.kernel.launch(launch, &params) }
    }

    /// The smallest form that holds `rows` rows in a block, or else the largest there is.
    fn form(&self, rows: u32) -> &Form {
        let fits = self.forms.iter().find(|form| form.rows >= rows);
        fits.unwrap_or(&self.forms[self.forms.len() - 1])
    }
}

//! head.cu: the head's product, read a chunk of the vocabulary at a time.

use cudarc::driver::sys;

use super::super::{Device, DeviceBuffer, Kernel, LaunchShape, abi};
use super::reading::{Reading, refuse_unless};
use crate::{Error, Result};

/// (kernel, tiles of rows in a block, stages of its pipeline), as head.cu defines them; of equal tiles the first that a
/// device has room for is the better one.
const FORMS: [(&str, u32, u32); 7] = [
    ("head_8", 1, 4),
    ("head_8_small", 1, 2),
    ("head_16", 2, 4),
    ("head_16_small", 2, 2),
    ("head_32", 4, 3),
    ("head_32_small", 4, 2),
    ("head_64", 8, 2),
];

/// Those of [`FORMS`] that blocks with `room` bytes of shared memory can run on `blocks` blocks of channels, one for each
/// number of tiles.
fn fitting(blocks: u32, room: u32) -> Vec<(&'static str, u32, u32)> {
    let mut forms = FORMS.to_vec();
    forms.retain(|&(_, tiles, stages)| shared_bytes(tiles, stages, blocks) <= room);
    forms.dedup_by_key(|form| form.1);
    forms
}

/// Bytes of dynamic shared memory that a block may be allowed.
pub(in crate::cuda) fn room(device: &Device) -> Result<u32> {
    let attribute = sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN;
    let bytes = device.stream().context().attribute(attribute);
    Ok(bytes.map_err(|e| device.error("asking for shared memory", e))? as u32)
}

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
    /// [`Error::Unsupported`] where no form fits the device's shared memory; as [`Device::kernel`].
    pub fn new(device: &Device, hidden: u32, rows: u32) -> Result<Self> {
        Self::with_room(device, hidden, rows, room(device)?)
    }

    /// The same where blocks have `room` bytes of shared memory.
    pub(in crate::cuda) fn with_room(device: &Device, hidden: u32, rows: u32, room: u32) -> Result<Self> {
        let blocks = hidden.div_ceil(abi::BLOCK);
        let mut forms: Vec<Form> = Vec::new();
        for (name, tiles, stages) in fitting(blocks, room) {
            if forms.last().is_none_or(|smaller| smaller.rows < rows) {
                let shared_bytes = shared_bytes(tiles, stages, blocks);
                let kernel = device.kernel(name, shared_bytes)?;
                forms.push(Form { kernel, rows: tiles * abi::TILE_TOKENS, shared_bytes });
            }
        }
        if forms.is_empty() {
            let problem = format!("a block of it has no shared memory for rows of {hidden} channels");
            return Err(Error::Unsupported { what: device.info().name.clone(), problem });
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

    /// The kernel of a launch for `rows` rows.
    pub(in crate::cuda) fn kernel_name(&self, rows: u32) -> &'static str {
        self.form(rows).kernel.name()
    }

    /// Products of m16n8k32 of a launch for `rows` rows: four slices of each block, for whole chunks and blocks of rows.
    pub(in crate::cuda) fn mma(&self, vocabulary: u32, rows: u32) -> u64 {
        let tiles = u64::from(vocabulary.div_ceil(abi::CHUNK) * abi::HEAD_WARPS);
        let form = self.form(rows).rows;
        let row_tiles = u64::from(rows.next_multiple_of(form) / abi::TILE_TOKENS);
        tiles * row_tiles * u64::from(self.blocks) * u64::from(4 * abi::KSTEPS)
    }

    /// The smallest form that holds `rows` rows in a block, or else the largest there is.
    fn form(&self, rows: u32) -> &Form {
        let fits = self.forms.iter().find(|form| form.rows >= rows);
        fits.unwrap_or(&self.forms[self.forms.len() - 1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Blocks of sm_80, of sm_86 and sm_89, and of sm_90 have these bytes.
    #[test]
    fn every_supported_device_has_forms_for_any_model() {
        let names = |hidden: u32, room| fitting(hidden.div_ceil(128), room).iter().map(|f| f.0).collect::<Vec<_>>();
        for hidden in [32, 1024, 2560, 4096, 5120, 8192] {
            assert_eq!(names(hidden, 166_912), ["head_8", "head_16", "head_32", "head_64"], "{hidden}");
            assert_eq!(names(hidden, 232_448), ["head_8", "head_16", "head_32", "head_64"], "{hidden}");
        }
        for hidden in [32, 1024, 2560, 4096, 5120] {
            assert_eq!(names(hidden, 101_376), ["head_8_small", "head_16_small", "head_32_small"], "{hidden}");
        }
        assert_eq!(names(1024, 49_152), [""; 0]);
    }
}

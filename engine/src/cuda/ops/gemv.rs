//! gemv.cu: products of at most 64 rows.

use super::super::{Device, Kernel, LaunchShape, abi};
use super::operands::{Product, require};
use crate::Result;

/// The most rows of a product.
pub const MAX_ROWS: u32 = 64;

/// The two forms, which give the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GemvForm {
    /// One tile of 16 features at a time.
    Single,
    /// Two: rows are read half as often, and half as many blocks share the work.
    Double,
}

impl GemvForm {
    fn tiles(self) -> u32 {
        match self {
            Self::Single => 1,
            Self::Double => 2,
        }
    }

    fn shared_bytes(self) -> u32 {
        match self {
            Self::Single => abi::GEMV_SHARED_BYTES,
            Self::Double => abi::GEMV_WIDE_SHARED_BYTES,
        }
    }

    /// Blocks that a multiprocessor holds at once.
    fn resident(self) -> u32 {
        match self {
            Self::Single => 2,
            Self::Double => 1,
        }
    }
}

/// The kernel in both forms.
#[derive(Debug, Clone)]
pub struct Gemv {
    single: Kernel<abi::product_params>,
    double: Kernel<abi::product_params>,
    multiprocessors: u32,
}

impl Gemv {
    /// Loads it.
    ///
    /// # Errors
    /// As [`Device::kernel`].
    pub fn new(device: &Device) -> Result<Self> {
        Ok(Self {
            single: device.kernel("gemv", GemvForm::Single.shared_bytes())?,
            double: device.kernel("gemv_wide", GemvForm::Double.shared_bytes())?,
            multiprocessors: device.multiprocessors()?,
        })
    }

    /// Beyond 16 rows reading them weighs as much as the weights do; then two tiles share them if every multiprocessor still has work.
    pub fn form(&self, product: &Product<'_>) -> GemvForm {
        let enough = product.weights.tiles() / 2 >= self.multiprocessors;
        if product.count.most > 16 && enough { GemvForm::Double } else { GemvForm::Single }
    }

    /// Multiplies.
    ///
    /// # Errors
    /// [`crate::Error::Request`] for shapes that do not agree, [`crate::Error::Device`] with the driver's words.
    pub fn run(&self, product: &mut Product<'_>) -> Result<()> {
        self.run_as(self.form(product), self.multiprocessors, product)
    }

    /// [`Gemv::run`] with a form and the number of multiprocessors to fill; neither changes a bit.
    ///
    /// # Errors
    /// As [`Gemv::run`].
    pub fn run_as(&self, form: GemvForm, multiprocessors: u32, product: &mut Product<'_>) -> Result<()> {
        let params = product.params()?;
        require(params.rows <= MAX_ROWS, "product", || format!("{} rows, at most {MAX_ROWS}", params.rows))?;
        let groups = product.weights.tiles().div_ceil(form.tiles());
        let blocks = groups.min(multiprocessors.max(1) * form.resident());
        let shape = LaunchShape { grid: [blocks, 1, 1], block: 256, shared_bytes: form.shared_bytes() };
        let kernel = self.kernel(form);
        // SAFETY: `params` has checked every shape, and the rows are at most 64.
        unsafe { kernel.launch(shape, &params) }
    }

    /// The kernel of a form.
    pub(in crate::cuda) fn kernel(&self, form: GemvForm) -> &Kernel<abi::product_params> {
        match form {
            GemvForm::Single => &self.single,
            GemvForm::Double => &self.double,
        }
    }
}

//! Matrix products of any number of rows: gemv.cu for few, gemm.cu for many.

use super::super::Device;
use super::gemm::Gemm;
use super::gemv::{Gemv, MAX_ROWS};
use super::operands::Product;
use crate::Result;

/// Both kernels.
#[derive(Debug, Clone)]
pub struct Products {
    gemm: Gemm,
    gemv: Gemv,
}

impl Products {
    /// Loads them.
    ///
    /// # Errors
    /// As [`Device::kernel`].
    pub fn new(device: &Device) -> Result<Self> {
        Ok(Self { gemm: Gemm::new(device)?, gemv: Gemv::new(device)? })
    }

    /// Multiplies. Which kernel does it changes no bit.
    ///
    /// # Errors
    /// [`crate::Error::Request`] for shapes that do not agree, [`crate::Error::Device`] with the driver's words.
    pub fn run(&self, product: &mut Product<'_>) -> Result<()> {
        if product.count.most <= MAX_ROWS { self.gemv.run(product) } else { self.gemm.run(product) }
    }

    /// The kernel that multiplies.
    pub(in crate::cuda) fn kernel_name(&self, product: &Product<'_>) -> &'static str {
        let kernel = match product.count.most <= MAX_ROWS {
            true => self.gemv.kernel(self.gemv.form(product)),
            false => self.gemm.kernel(self.gemm.tile(product)),
        };
        kernel.name()
    }
}

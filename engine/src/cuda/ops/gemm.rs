//! gemm.cu: products of many rows.

use super::super::{Device, Kernel, LaunchShape, abi};
use super::operands::Product;
use crate::Result;

/// The two tiles, which give the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GemmTile {
    /// 128 features x 128 rows.
    Wide,
    /// 64 features x 64 rows.
    Narrow,
}

impl GemmTile {
    fn edge(self) -> u32 {
        match self {
            Self::Wide => 128,
            Self::Narrow => 64,
        }
    }

    fn shared_bytes(self) -> u32 {
        match self {
            Self::Wide => abi::GEMM_SHARED_BYTES,
            Self::Narrow => abi::GEMM_NARROW_SHARED_BYTES,
        }
    }

    /// Blocks that a multiprocessor holds at once.
    fn resident(self) -> u32 {
        match self {
            Self::Wide => 1,
            Self::Narrow => 2,
        }
    }
}

/// The kernel in both forms.
#[derive(Debug, Clone)]
pub struct Gemm {
    wide: Kernel<abi::product_params>,
    narrow: Kernel<abi::product_params>,
    multiprocessors: u32,
}

impl Gemm {
    /// Loads it.
    ///
    /// # Errors
    /// As [`Device::kernel`].
    pub fn new(device: &Device) -> Result<Self> {
        Ok(Self {
            wide: device.kernel("gemm", GemmTile::Wide.shared_bytes())?,
            narrow: device.kernel("gemm_narrow", GemmTile::Narrow.shared_bytes())?,
            multiprocessors: device.multiprocessors()?,
        })
    }

    /// The tile that leaves the fewest multiprocessors idle: the wide one as soon as it gives each of them one.
    pub fn tile(&self, product: &Product<'_>) -> GemmTile {
        let edge = GemmTile::Wide.edge();
        let across = product.count.most.div_ceil(edge);
        let wide = (product.weights.tiles() * abi::TILE_FEATURES).div_ceil(edge) * across;
        if wide >= self.multiprocessors { GemmTile::Wide } else { GemmTile::Narrow }
    }

    /// Multiplies.
    ///
    /// # Errors
    /// [`crate::Error::Request`] for shapes that do not agree, [`crate::Error::Device`] with the driver's words.
    pub fn run(&self, product: &mut Product<'_>) -> Result<()> {
        self.run_as(self.tile(product), self.multiprocessors, product)
    }

    /// [`Gemm::run`] with a tile and the number of multiprocessors to fill; neither changes a bit.
    ///
    /// # Errors
    /// As [`Gemm::run`].
    pub fn run_as(&self, tile: GemmTile, multiprocessors: u32, product: &mut Product<'_>) -> Result<()> {
        let params = product.params()?;
        let features = product.weights.tiles() * abi::TILE_FEATURES;
        let tiles = features.div_ceil(tile.edge()) * params.rows.div_ceil(tile.edge());
        let blocks = tiles.min(multiprocessors.max(1) * tile.resident());
        let shape = LaunchShape { grid: [blocks, 1, 1], block: 2 * tile.edge(), shared_bytes: tile.shared_bytes() };
        let kernel = self.kernel(tile);
        // SAFETY: `params` has checked every shape; gemm.cu asserts the shared memory.
        unsafe { kernel.launch(shape, &params) }
    }

    /// The kernel with a tile.
    pub(in crate::cuda) fn kernel(&self, tile: GemmTile) -> &Kernel<abi::product_params> {
        match tile {
            GemmTile::Wide => &self.wide,
            GemmTile::Narrow => &self.narrow,
        }
    }
}

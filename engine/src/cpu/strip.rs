//! What the integer kernels of every instruction set do: a strip of activation rows by one or two panels of weights.

use super::ahead::Ahead;
use super::compact::Patch;
use super::isa::{Isa, Path};
use super::pack::PANEL_BLOCK;
use super::portable;
#[cfg(target_arch = "x86_64")]
use super::{avx2, avx512};

/// Rows of a strip at most: their accumulators by two panels are 6 KiB.
pub(super) const STRIP: usize = 48;

/// Panels of a strip at most.
pub(super) const PAIR: usize = 2;

/// Some rows of activations by one or two panels of weights, all blocks.
pub(super) struct Strip {
    /// 1 to [`STRIP`].
    pub rows: usize,
    /// Blocks of the contraction axis.
    pub blocks: usize,
    /// The first row in `[blocks][a_stride][STRIDE]`.
    pub a: *const i16,
    /// g 2^23 of it in `[blocks][a_stride]`.
    pub a_shift: *const i32,
    /// Rows from one block to the next.
    pub a_stride: usize,
    /// 1 or 2.
    pub panels: usize,
    /// Each panel's blocks, `[64][16][2]`; block b is `b & w_mask` times `w_stride` elements on.
    pub w: [*mut i16; PAIR],
    pub w_stride: usize,
    /// All ones, or 1 where only two blocks at a time are in memory.
    pub w_mask: usize,
    /// What makes them, if they are not there yet.
    pub codes: Option<[Codes; PAIR]>,
    /// At most so many rows may leave none of it in memory: [`Kernels::direct`], or 0 where other strips will read it.
    pub direct: usize,
    /// `[blocks][16]` each.
    pub w_g: [*const i8; PAIR],
    /// The panels to ask for at the end; never dereferenced.
    pub ahead: [*const u8; PAIR],
    /// `[rows][2][16]`.
    pub acc: *mut f32,
    /// Where the first row's sums will go, all panels of each row: asked for meanwhile, since stores that miss every
    /// cache would hold up the stores of the next strip. Never dereferenced.
    pub out: *const f32,
    /// Elements from one row of `out` to the next.
    pub out_stride: usize,
}

/// A panel in eleven bits a weight.
#[derive(Clone, Copy)]
pub(super) struct Codes {
    /// `[blocks][COMPACT_BLOCK]`.
    pub first: *const u8,
    /// The weights kept apart, ascending, and how many.
    pub patches: (*const Patch, usize),
}

impl Codes {
    /// The weights kept apart of block `block`; `next` is the first that has not been handed out. Blocks ascend.
    ///
    /// # Safety
    /// The pointers are what they say.
    #[inline(always)]
    pub unsafe fn patches_of(&self, block: usize, next: &mut usize) -> &[Patch] {
        let (patches, count) = self.patches;
        let first = *next;
        // SAFETY: below the count.
        while *next < count && unsafe { (*patches.add(*next)).at } as usize / PANEL_BLOCK == block {
            *next += 1;
        }
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts(patches.add(first), *next - first) }
    }

    /// Puts the weights kept apart of a block into it, where it lies decoded.
    ///
    /// # Safety
    /// As [`Codes::patches_of`], and `to` is writable for a block.
    #[inline(always)]
    pub unsafe fn patch(&self, block: usize, to: *mut i16, next: &mut usize) {
        // SAFETY: by the function's contract; a patch of this block lies inside it.
        unsafe {
            for patch in self.patches_of(block, next) {
                *to.add(patch.at as usize % PANEL_BLOCK) = patch.q;
            }
        }
    }
}

/// Some rows by some panels: the products of attention.
pub(super) struct Dots<'a> {
    /// Rows; the first in `[rows][a_stride]`.
    pub rows: usize,
    pub a: *const i16,
    pub a_stride: usize,
    /// Pairs of elements of a row that count.
    pub pairs: usize,
    /// Panels; the first, `[pairs][16][2]`, in `[panels][w_stride]`.
    pub panels: usize,
    pub w: *const i16,
    pub w_stride: usize,
    /// `[rows][out_stride]`, of each the first 16 a panel.
    pub out: *mut i32,
    pub out_stride: usize,
    /// What to ask for meanwhile.
    pub ahead: &'a mut Ahead,
}

/// The integer kernels of one instruction set.
pub(super) struct Kernels {
    /// Rows of a tile at most.
    pub rows: usize,
    /// Rows of a strip up to which weights are fastest from their codes straight into the sums; 0 where no code does that.
    pub direct: usize,
    /// Sums a strip's dot products, scaled, into its accumulators, from +0 on, blocks ascending.
    /// Safety: the pointers of the strip cover what their comments say; the instructions exist.
    pub strip: unsafe fn(&Strip),
    /// The products of attention. Safety: as above.
    pub dots: unsafe fn(Dots<'_>),
}

/// The table of a path. The `Isa` is the proof that its functions' instructions exist.
pub(super) fn kernels(isa: Isa) -> Kernels {
    match isa.path() {
        #[cfg(target_arch = "x86_64")]
        Path::Avx2 => {
            Kernels { rows: avx2::rows(false), direct: 0, strip: avx2::strip::<false>, dots: avx2::dots::<false> }
        }
        #[cfg(target_arch = "x86_64")]
        Path::AvxVnni => {
            Kernels { rows: avx2::rows(true), direct: 0, strip: avx2::strip::<true>, dots: avx2::dots::<true> }
        }
        #[cfg(target_arch = "x86_64")]
        Path::Avx512 => {
            Kernels { rows: avx512::ROWS, direct: avx512::direct(), strip: avx512::strip, dots: avx512::dots }
        }
        #[cfg(test)]
        Path::Model512 { halves } => {
            use super::model512;
            let direct = if halves { model512::DIRECT } else { model512::DIRECT_WHOLE };
            Kernels { rows: model512::ROWS, direct, strip: model512::strip, dots: model512::dots }
        }
        _ => Kernels { rows: portable::ROWS, direct: 0, strip: portable::strip, dots: portable::dots },
    }
}

/// `rows` in shares of at most `most`, as even as can be: 50 by 48 are 25 and 25, not 48 and 2.
#[inline(always)]
pub(super) fn shares(rows: usize, most: usize) -> impl Iterator<Item = usize> {
    let count = rows.div_ceil(most);
    let (share, longer) = (rows / count.max(1), rows % count.max(1));
    (0..count).map(move |i| share + usize::from(i < longer))
}

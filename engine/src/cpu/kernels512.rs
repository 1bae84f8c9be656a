//! Integer tiles for AVX-512 VNNI: `vpdpwssd` adds 32 products of i16 to a register of a panel's 16 rows.
//!
//! A tile of 12 activation rows by two panels keeps 24 sums in registers, two for weights and one for the
//! broadcast pair: fourteen loads feed 24 multiply-adds. Its sums leave the registers once a block, straight into the
//! f32 accumulators; the loops over rows are by index so that the compiler unrolls them and no sum goes through memory.
//! Meanwhile the tiles of a block decode the next one, if it is compact: on other units than those that multiply.
//!
//! This file is compiled twice: over `core::arch` (`avx512.rs`) and, in tests, over a software model of
//! the intrinsics named here (`model512.rs`), so that its logic runs to the bit on every machine. Hence the
//! `#[inline(always)]` bodies without target features: the file that includes this one decides about them.

// Loops by index are unrolled, and what they index stays in registers.
#![allow(clippy::needless_range_loop)]

use super::super::compact::COMPACT_BLOCK;
use super::super::pack::PANEL;
use super::super::quantize::{BLOCK, STRIDE};
use super::super::strip::{Codes, PAIR, Strip, shares};
use super::x86_512::*;
use decode::{TURNS, ask_turn, store_turn};

#[path = "decode512.rs"]
mod decode;
#[path = "direct512.rs"]
mod direct;
pub(in crate::cpu) use direct::{DIRECT, DIRECT_WHOLE};

/// Rows of a tile at most.
pub(in crate::cpu) const ROWS: usize = 12;

/// Pairs of elements of a block.
const PAIRS: usize = BLOCK / 2;

/// Pairs of one turn of a tile's loop: few turns, so that the processor foresees the last one.
const UNROLL: usize = 4;

/// What is done between the turns of a tile's loop.
mod between {
    /// Nothing.
    pub(super) const NOTHING: usize = 0;
    /// The next tile's rows and the next block of some panels are asked for.
    pub(super) const ASK: usize = 1;
    /// The next block of some panels is decoded, and the one after it asked for.
    pub(super) const DECODE: usize = 2;
}
use between::{ASK, DECODE, NOTHING};

macro_rules! by_rows {
    ($rows:expr, $f:ident::<$($const:tt),*>($($arg:expr),*)) => {
        match $rows {
            1 => $f::<1, $($const),*>($($arg),*),
            2 => $f::<2, $($const),*>($($arg),*),
            3 => $f::<3, $($const),*>($($arg),*),
            4 => $f::<4, $($const),*>($($arg),*),
            5 => $f::<5, $($const),*>($($arg),*),
            6 => $f::<6, $($const),*>($($arg),*),
            7 => $f::<7, $($const),*>($($arg),*),
            8 => $f::<8, $($const),*>($($arg),*),
            9 => $f::<9, $($const),*>($($arg),*),
            10 => $f::<10, $($const),*>($($arg),*),
            11 => $f::<11, $($const),*>($($arg),*),
            _ => $f::<12, $($const),*>($($arg),*),
        }
    };
}

#[path = "dots512.rs"]
mod dots;
pub(in crate::cpu) use dots::dots;

/// One block of some rows and panels.
struct Tile {
    a: *const i16,
    a_shift: *const i32,
    w: [*const i16; PAIR],
    w_g: [*const i8; PAIR],
    acc: *mut f32,
    next: Next,
}

/// What a tile does for those after it.
struct Next {
    /// The rows to ask for; never dereferenced.
    rows: *const i16,
    /// The blocks to ask for; never dereferenced.
    ask: [*const u8; PAIR],
    /// The blocks to decode.
    codes: [*const u8; PAIR],
    /// Where to.
    to: [*mut i16; PAIR],
}

/// # Safety
/// As [`super::super::strip::Kernels::strip`].
#[inline(always)]
pub(in crate::cpu) unsafe fn strip(s: &Strip) {
    // SAFETY: passed on.
    unsafe {
        match s.panels {
            1 => blocks::<1>(s),
            _ => blocks::<2>(s),
        }
    }
}

/// # Safety
/// As [`strip`], with `P` panels.
#[inline(always)]
unsafe fn blocks<const P: usize>(s: &Strip) {
    for panel in 0..PAIR * s.rows {
        // SAFETY: the accumulators have two panels for each row.
        unsafe { _mm512_storeu_ps(s.acc.wrapping_add(panel * PANEL), _mm512_setzero_ps()) }
    }
    if let (Some(codes), true) = (&s.codes, s.rows <= s.direct) {
        // SAFETY: the codes are those of the strip's panels.
        unsafe {
            direct::strip::<P>(s, codes);
        }
        return;
    }
    let place = |panel: usize, block: usize| s.w[panel].wrapping_add((block & s.w_mask) * s.w_stride);
    let mut patched = [0; PAIR];
    if let Some(codes) = &s.codes {
        for panel in 0..P {
            // SAFETY: the panel has a first block, and memory where it is to be.
            unsafe { first_block(&codes[panel], s.w[panel], &mut patched[panel]) }
        }
    }
    for block in 0..s.blocks {
        let last = block + 1 == s.blocks;
        // The block after the next one, which is decoded meanwhile; or the next, of panels that lie decoded. At the end those
        // of the panels that follow.
        let ask = |panel: usize| match &s.codes {
            Some(codes) if block + 2 < s.blocks => codes[panel].first.wrapping_add((block + 2) * COMPACT_BLOCK),
            Some(_) => s.ahead[panel].wrapping_add((block + 2 - s.blocks) * COMPACT_BLOCK),
            None if last => s.ahead[panel],
            None => place(panel, block + 1).cast_const().cast(),
        };
        let codes = |panel: usize| match &s.codes {
            Some(codes) => codes[panel].first.wrapping_add((block + 1) * COMPACT_BLOCK),
            None => std::ptr::null(),
        };
        let a = s.a.wrapping_add(block * s.a_stride * STRIDE);
        let a_shift = s.a_shift.wrapping_add(block * s.a_stride);
        for row in block * s.rows / s.blocks..(block + 1) * s.rows / s.blocks {
            for panel in 0..P {
                // SAFETY: a hint, for any address.
                unsafe { _mm_prefetch::<_MM_HINT_ET0>(s.out.wrapping_add(row * s.out_stride + panel * PANEL).cast()) }
            }
        }
        let (tiles, mut row, mut begun) = (s.rows.div_ceil(ROWS), 0, 0);
        for (i, height) in shares(s.rows, ROWS).enumerate() {
            let rows = match row + height < s.rows {
                true => a.wrapping_add((row + height) * STRIDE),
                false => s.a.wrapping_add((block + 1) * s.a_stride * STRIDE),
            };
            // Each tile its share of the panels: evenly, so that none waits for the memory.
            let share = (P * (i + 1)).div_ceil(tiles) - begun;
            let panel = |i: usize| (begun + i) % P;
            let tile = Tile {
                a: a.wrapping_add(row * STRIDE),
                a_shift: a_shift.wrapping_add(row),
                w: std::array::from_fn(|panel| place(panel, block).cast_const()),
                w_g: s.w_g.map(|g| g.wrapping_add(block * PANEL)),
                acc: s.acc.wrapping_add(row * PAIR * PANEL),
                next: Next {
                    rows,
                    ask: std::array::from_fn(|i| ask(panel(i))),
                    codes: std::array::from_fn(|i| codes(panel(i))),
                    to: std::array::from_fn(|i| place(panel(i), block + 1)),
                },
            };
            // SAFETY: block < blocks and row + height <= rows of what the strip's pointers cover; a block that is to be
            // decoded exists, and its place is not that of this block.
            unsafe {
                match s.codes.is_some() && !last {
                    true => by_height::<P, DECODE>(height, share, &tile),
                    false => by_height::<P, ASK>(height, share, &tile),
                }
            }
            begun += share;
            row += height;
        }
        if let (Some(codes), false) = (&s.codes, last) {
            for panel in 0..P {
                // SAFETY: the tiles have decoded the block.
                unsafe { codes[panel].patch(block + 1, place(panel, block + 1), &mut patched[panel]) }
            }
        }
    }
}

/// Decodes the first block of a panel.
///
/// # Safety
/// `codes` has a block, `to` is writable for one.
#[inline(always)]
unsafe fn first_block(codes: &Codes, to: *mut i16, patched: &mut usize) {
    for turn in 0..TURNS {
        // SAFETY: by the function's contract.
        unsafe { store_turn(codes.first, to, turn) }
    }
    // SAFETY: as above.
    unsafe { codes.patch(0, to, patched) }
}

/// # Safety
/// As [`fold`].
#[inline(always)]
unsafe fn by_height<const P: usize, const BETWEEN: usize>(height: usize, share: usize, tile: &Tile) {
    // SAFETY: passed on.
    unsafe {
        match share {
            0 => by_rows!(height, fold::<P, ASK, 0>(tile)),
            1 => by_rows!(height, fold::<P, BETWEEN, 1>(tile)),
            _ => by_rows!(height, fold::<P, BETWEEN, 2>(tile)),
        }
    }
}

/// Adds a tile's dot products, scaled, to its accumulators, and does what is to be done `BETWEEN` for `SHARE` panels.
///
/// # Safety
/// The tile's pointers cover `R` rows and `P` panels of one block, and the next block of `SHARE` panels.
#[inline(always)]
unsafe fn fold<const R: usize, const P: usize, const BETWEEN: usize, const SHARE: usize>(t: &Tile) {
    // SAFETY: by the function's contract.
    unsafe {
        let sums = dot_rows::<R, P, BETWEEN, SHARE>(t.a, STRIDE, PAIRS, t.w, &t.next);
        add_scaled::<R, P>(&sums, t.w_g, t.a_shift, t.acc);
    }
}

/// Adds dot products, scaled, to accumulators.
///
/// # Safety
/// The pointers cover `R` rows and `P` panels of one block.
#[inline(always)]
unsafe fn add_scaled<const R: usize, const P: usize>(
    sums: &[[__m512i; P]; R],
    w_g: [*const i8; PAIR],
    a_shift: *const i32,
    acc: *mut f32,
) {
    // SAFETY: by the function's contract.
    unsafe {
        let mut left = [_mm512_setzero_si512(); P];
        for panel in 0..P {
            left[panel] = powers(w_g[panel]);
        }
        for row in 0..R {
            let right = _mm512_set1_epi32(*a_shift.add(row));
            for panel in 0..P {
                let acc = acc.add((row * PAIR + panel) * PANEL);
                // Powers of two between 2^-55 and 2^50: their product, a normal one, is a sum of exponents, which other
                // units add than those that multiply.
                let scale = _mm512_castsi512_ps(_mm512_add_epi32(left[panel], right));
                _mm512_storeu_ps(
                    acc,
                    _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[row][panel]), scale, _mm512_loadu_ps(acc)),
                );
            }
        }
    }
}

/// Dot products of `R` rows with `P` panels, doing what is to be done `BETWEEN` for `SHARE` panels.
///
/// # Safety
/// `a` is readable for `2 * pairs` elements at each of `R` strides, each of `P` pointers in `w` for `32 * pairs`; what is to
/// be decoded is there.
#[inline(always)]
unsafe fn dot_rows<const R: usize, const P: usize, const BETWEEN: usize, const SHARE: usize>(
    a: *const i16,
    a_stride: usize,
    pairs: usize,
    w: [*const i16; PAIR],
    next: &Next,
) -> [[__m512i; P]; R] {
    // SAFETY: by the function's contract.
    unsafe {
        let mut sums = [[_mm512_setzero_si512(); P]; R];
        // One row has too few sums to hide the latency of the multiply-add; integers allow any split.
        let mut odd = [[_mm512_setzero_si512(); P]; R];
        let whole = pairs / UNROLL;
        for turn in 0..whole {
            // One by one: a loop would not be unrolled.
            let pair = turn * UNROLL;
            add_pair::<R, P>(&mut sums, pair, a, a_stride, w);
            add_pair::<R, P>(if R == 1 { &mut odd } else { &mut sums }, pair + 1, a, a_stride, w);
            add_pair::<R, P>(&mut sums, pair + 2, a, a_stride, w);
            add_pair::<R, P>(if R == 1 { &mut odd } else { &mut sums }, pair + 3, a, a_stride, w);
            match BETWEEN {
                DECODE => {
                    for panel in 0..SHARE {
                        store_turn(next.codes[panel], next.to[panel], turn);
                        ask_turn(next.ask[panel], turn);
                    }
                }
                ASK => {
                    for panel in 0..SHARE {
                        for line in 0..UNROLL {
                            let line = next.ask[panel].wrapping_add((turn * UNROLL + line) * 64);
                            _mm_prefetch::<_MM_HINT_T0>(line.cast());
                        }
                    }
                }
                _ => {}
            }
            if BETWEEN != NOTHING {
                ask_rows::<R>(next.rows, turn);
            }
        }
        for pair in whole * UNROLL..pairs {
            add_pair::<R, P>(&mut sums, pair, a, a_stride, w);
        }
        if R == 1 {
            for panel in 0..P {
                sums[0][panel] = _mm512_add_epi32(sums[0][panel], odd[0][panel]);
            }
        }
        sums
    }
}

/// Asks for the part of `R` rows of a block that is due in a turn: they are four lines each, and a block has sixteen turns.
///
/// # Safety
/// None beyond the instructions': hints, for any address.
#[inline(always)]
unsafe fn ask_rows<const R: usize>(rows: *const i16, turn: usize) {
    for line in 0..R.div_ceil(4) {
        // SAFETY: a hint.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(rows.wrapping_add((line * 16 + turn) * 32).cast()) }
    }
}

/// One pair of elements of every row times every panel.
///
/// # Safety
/// As [`dot_rows`], for this pair.
#[inline(always)]
unsafe fn add_pair<const R: usize, const P: usize>(
    sums: &mut [[__m512i; P]; R],
    pair: usize,
    a: *const i16,
    a_stride: usize,
    w: [*const i16; PAIR],
) {
    // SAFETY: by the function's contract; the loads have no alignment to keep.
    unsafe {
        let mut weights = [_mm512_setzero_si512(); P];
        for panel in 0..P {
            weights[panel] = _mm512_loadu_si512(w[panel].add(32 * pair).cast());
        }
        for row in 0..R {
            let both = broadcast(a.add(row * a_stride + 2 * pair));
            for panel in 0..P {
                sums[row][panel] = _mm512_dpwssd_epi32(sums[row][panel], weights[panel], both);
            }
        }
    }
}

/// A pair of elements in all 16 lanes.
///
/// # Safety
/// `pair` is readable for two elements.
#[inline(always)]
unsafe fn broadcast(pair: *const i16) -> __m512i {
    // SAFETY: by the function's contract.
    unsafe { _mm512_set1_epi32(pair.cast::<i32>().read_unaligned()) }
}

/// The bits of 2^g of a panel's 16 rows.
///
/// # Safety
/// `w_g` is readable for 16 elements.
#[inline(always)]
unsafe fn powers(w_g: *const i8) -> __m512i {
    // SAFETY: by the function's contract.
    unsafe {
        let g = _mm512_cvtepi8_epi32(_mm_loadu_si128(w_g.cast()));
        _mm512_slli_epi32::<23>(_mm512_add_epi32(g, _mm512_set1_epi32(127)))
    }
}

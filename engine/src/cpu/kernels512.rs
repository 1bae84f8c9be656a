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

use super::super::compact::{COMPACT_BLOCK, LANES, Patch};
use super::super::gemm::{Codes, PAIR, Strip, shares};
use super::super::pack::{PANEL, PANEL_BLOCK};
use super::super::quantize::{BLOCK, STRIDE};
use super::x86_512::*;

/// Rows of a tile at most.
pub(in crate::cpu) const ROWS: usize = 12;

/// Pairs of elements of a block.
const PAIRS: usize = BLOCK / 2;

/// Pairs of one turn of a tile's loop: few turns, so that the processor foresees the last one.
const UNROLL: usize = 4;

/// Rows up to which weights are decoded into registers instead of memory.
const DIRECT_ROWS: usize = 10;

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
/// As [`super::super::gemm::Kernels::strip`].
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
    if let (Some(codes), ..=DIRECT_ROWS) = (&s.codes, s.rows) {
        // SAFETY: the codes are those of the strip's panels.
        unsafe {
            match s.rows {
                1 => direct::<1, P>(s, codes, 0),
                2 => direct::<2, P>(s, codes, 0),
                3 => direct::<3, P>(s, codes, 0),
                4 => direct::<4, P>(s, codes, 0),
                5 => direct::<5, P>(s, codes, 0),
                rows => {
                    for panel in 0..P {
                        match rows {
                            6 => direct::<6, 1>(s, codes, panel),
                            7 => direct::<7, 1>(s, codes, panel),
                            8 => direct::<8, 1>(s, codes, panel),
                            9 => direct::<9, 1>(s, codes, panel),
                            _ => direct::<10, 1>(s, codes, panel),
                        }
                    }
                }
            }
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

/// Panels `first` and on of the strip of a few rows: each block's weights go from their codes through registers into the
/// sums.
///
/// # Safety
/// As [`strip`], with `R` rows and `P` panels from `first` on; `codes` are those of the strip's panels.
#[inline(always)]
unsafe fn direct<const R: usize, const P: usize>(s: &Strip, codes: &[Codes; PAIR], first: usize) {
    let mut patched = [0; P];
    for block in 0..s.blocks {
        let a = s.a.wrapping_add(block * s.a_stride * STRIDE);
        let from: [*const u8; P] =
            std::array::from_fn(|panel| codes[first + panel].first.wrapping_add(block * COMPACT_BLOCK));
        // Panels one after the other are one stream of codes; of two at a time each is a stream until its end.
        let ask: [*const u8; P] = std::array::from_fn(|panel| match (P, block + 1 == s.blocks) {
            (1, _) => from[panel].wrapping_add(2 * COMPACT_BLOCK),
            (_, true) => s.ahead[panel],
            (_, false) => from[panel].wrapping_add(COMPACT_BLOCK),
        });
        // SAFETY: the strip's pointers cover this block; the rest are hints.
        unsafe {
            let mut sums = [[_mm512_setzero_si512(); P]; R];
            for turn in 0..TURNS {
                for panel in 0..P {
                    let weights = decode_turn(from[panel], turn);
                    for i in 0..UNROLL {
                        for row in 0..R {
                            let pair = broadcast(a.add(row * STRIDE + 2 * (turn * UNROLL + i)));
                            sums[row][panel] = _mm512_dpwssd_epi32(sums[row][panel], weights[i], pair);
                        }
                    }
                    ask_turn(ask[panel], turn);
                }
            }
            for panel in 0..P {
                let patches = codes[first + panel].patches_of(block, &mut patched[panel]);
                if !patches.is_empty() {
                    // A copy: the sums themselves never have an address.
                    let mut all = sums;
                    for patch in patches {
                        add_patch(&mut all, panel, a, patch);
                    }
                    sums = all;
                }
            }
            let w_g = std::array::from_fn(|i| s.w_g[first + i % P].wrapping_add(block * PANEL));
            let a_shift = s.a_shift.wrapping_add(block * s.a_stride);
            add_scaled::<R, P>(&sums, w_g, a_shift, s.acc.wrapping_add(first * PANEL));
        }
    }
}

/// Adds the products of a weight kept apart to the sums of its block: its code is that of 0.
///
/// # Safety
/// `a` is readable for `R` rows of the block.
#[inline(never)]
unsafe fn add_patch<const R: usize, const P: usize>(
    sums: &mut [[__m512i; P]; R],
    panel: usize,
    a: *const i16,
    patch: &Patch,
) {
    let (pair, lane) = (patch.at as usize % PANEL_BLOCK / LANES, patch.at as usize % LANES);
    for row in 0..R {
        // SAFETY: by the function's contract; a register has the size of its lanes.
        unsafe {
            let product = i32::from(patch.q) * i32::from(*a.add(row * STRIDE + 2 * pair + lane % 2));
            let sum = (&raw mut sums[row][panel]).cast::<i32>().add(lane / 2);
            *sum = (*sum).wrapping_add(product);
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

/// # Safety
/// As [`super::super::gemm::Kernels::dots`].
#[inline(always)]
#[allow(clippy::too_many_arguments)]
pub(in crate::cpu) unsafe fn dots(
    rows: usize,
    a: *const i16,
    a_stride: usize,
    pairs: usize,
    panels: usize,
    w: *const i16,
    w_stride: usize,
    out: *mut i32,
    out_stride: usize,
) {
    for panel in (0..panels).step_by(PAIR) {
        let first = w.wrapping_add(panel * w_stride);
        let two = std::array::from_fn(|i| first.wrapping_add(i % PAIR * w_stride));
        // What follows in memory, at the end too: there the values follow the keys.
        let next = Next {
            rows: a,
            ask: two.map(|w| w.wrapping_add(PAIR * w_stride).cast()),
            codes: [std::ptr::null(); PAIR],
            to: [std::ptr::null_mut(); PAIR],
        };
        let mut row = 0;
        for height in shares(rows, ROWS) {
            let a = a.wrapping_add(row * a_stride);
            let out = out.wrapping_add(row * out_stride + panel * PANEL);
            // SAFETY: the caller's pointers cover `rows` rows and `panels` panels.
            unsafe {
                match (panel + 1 < panels, row == 0) {
                    (true, true) => {
                        by_rows!(height, store_dots::<2, ASK>(a, a_stride, pairs, two, &next, out, out_stride))
                    }
                    (true, false) => {
                        by_rows!(height, store_dots::<2, NOTHING>(a, a_stride, pairs, two, &next, out, out_stride))
                    }
                    (false, _) => {
                        by_rows!(height, store_dots::<1, NOTHING>(a, a_stride, pairs, two, &next, out, out_stride))
                    }
                }
            }
            row += height;
        }
    }
}

/// # Safety
/// `a` and `out` cover `R` rows, `w` `P` panels.
#[inline(always)]
unsafe fn store_dots<const R: usize, const P: usize, const BETWEEN: usize>(
    a: *const i16,
    a_stride: usize,
    pairs: usize,
    w: [*const i16; PAIR],
    next: &Next,
    out: *mut i32,
    out_stride: usize,
) {
    // SAFETY: by the function's contract.
    unsafe {
        let sums = dot_rows::<R, P, BETWEEN, PAIR>(a, a_stride, pairs, w, next);
        for row in 0..R {
            for panel in 0..P {
                _mm512_storeu_si512(out.add(row * out_stride + panel * PANEL).cast(), sums[row][panel]);
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
            // Four lines a row, in a block's sixteen turns.
            for line in 0..if BETWEEN == NOTHING { 0 } else { R.div_ceil(4) } {
                _mm_prefetch::<_MM_HINT_T0>(next.rows.wrapping_add((line * 16 + turn) * 32).cast());
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

/// Turns of a block.
const TURNS: usize = PAIRS / UNROLL;

/// Bit 7 of a normalized weight, by the low five bits of an index: three of e and two of a neighbour.
const HIDDEN: [i16; LANES] = by_e([0, 128, 128, 128, 128, 128, 128, 128]);

/// Places that its bits move up by.
const UP: [i16; LANES] = by_e([0, 0, 1, 2, 3, 4, 5, 6]);

const fn by_e(values: [i16; 8]) -> [i16; LANES] {
    let mut table = [0; LANES];
    let mut i = 0;
    while i < LANES {
        table[i] = values[i % 8];
        i += 1;
    }
    table
}

/// Decodes the four pairs of one turn of a block into memory.
///
/// # Safety
/// `from` is readable for a block of codes, `to` writable for a block.
#[inline(always)]
unsafe fn store_turn(from: *const u8, to: *mut i16, turn: usize) {
    // SAFETY: by the function's contract; the stores have no alignment to keep.
    unsafe {
        for (i, q) in decode_turn(from, turn).into_iter().enumerate() {
            _mm512_storeu_si512(to.add(LANES * (turn * UNROLL + i)).cast(), q);
        }
    }
}

/// The four pairs of one turn of a block: see [`super::super::compact`].
///
/// # Safety
/// `from` is readable for a block of codes.
#[inline(always)]
unsafe fn decode_turn(from: *const u8, turn: usize) -> [__m512i; UNROLL] {
    // SAFETY: by the function's contract; the loads have no alignment to keep.
    unsafe {
        let words = from.add(PANEL_BLOCK);
        let word = |i: usize| _mm512_loadu_si512(words.add(i * 2 * LANES).cast());
        let group = turn / UNROLL * 3;
        // Each pair's e in the low three bits.
        let e = if turn % UNROLL < 3 {
            let e = word(group + turn % UNROLL);
            [e, _mm512_srli_epi16::<3>(e), _mm512_srli_epi16::<6>(e), _mm512_srli_epi16::<9>(e)]
        } else {
            let (a, b, c) = (word(group), word(group + 1), word(group + 2));
            // a | b & 2 | c & 4 of the top bits at their places; & before |.
            let (two, four) = (_mm512_set1_epi32(0x0002_0002), _mm512_set1_epi32(0x0004_0004));
            let top = _mm512_ternarylogic_epi32::<0xf8>(_mm512_srli_epi16::<15>(a), _mm512_srli_epi16::<14>(b), two);
            let top = _mm512_ternarylogic_epi32::<0xf8>(top, _mm512_srli_epi16::<13>(c), four);
            [_mm512_srli_epi16::<12>(a), _mm512_srli_epi16::<12>(b), _mm512_srli_epi16::<12>(c), top]
        };
        let table = |table: &[i16; LANES]| _mm512_loadu_si512(table.as_ptr().cast());
        let (hidden, up) = (table(&HIDDEN), table(&UP));
        let mut weights = [_mm512_setzero_si512(); UNROLL];
        for i in 0..UNROLL {
            let bytes = from.add(LANES * (turn * UNROLL + i));
            let x = _mm512_cvtepi8_epi16(_mm256_loadu_si256(bytes.cast()));
            let x = _mm512_xor_si512(x, _mm512_permutexvar_epi16(e[i], hidden));
            weights[i] = _mm512_sllv_epi16(x, _mm512_permutexvar_epi16(e[i], up));
        }
        weights
    }
}

/// Asks for the lines of a block of codes that [`decode_turn`] reads in this turn.
///
/// # Safety
/// None beyond the instructions': hints, for any address.
#[inline(always)]
unsafe fn ask_turn(codes: *const u8, turn: usize) {
    // SAFETY: hints.
    unsafe {
        _mm_prefetch::<_MM_HINT_T0>(codes.wrapping_add(128 * turn).cast());
        _mm_prefetch::<_MM_HINT_T0>(codes.wrapping_add(128 * turn + 64).cast());
        if turn % UNROLL < 3 {
            let word = turn / UNROLL * 3 + turn % UNROLL;
            _mm_prefetch::<_MM_HINT_T0>(codes.wrapping_add(PANEL_BLOCK + word * 2 * LANES).cast());
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

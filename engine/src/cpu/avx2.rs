//! Integer tiles with AVX2: `vpmaddwd` multiplies 16 pairs of i16, two registers hold a panel's 16 rows. With AVX-VNNI
//! (`VNNI`) the products are added by the same instruction, at twice the rate.
//!
//! A tile of 4 activation rows by one panel keeps 8 sums in registers. Six rows would fit too, and ran at 68 % of
//! the multiply rate where four run at 88 % (Zen 1); with AVX-VNNI six are faster. The f32 accumulators live in the
//! caller's cache-resident scratch.

// Loops by index are unrolled, and what they index stays in registers.
#![allow(clippy::needless_range_loop)]

use std::arch::x86_64::*;

use super::compact::{COMPACT_BLOCK, GROUP, GROUP_BYTES, LANES};
use super::pack::{PANEL, PANEL_BLOCK};
use super::quantize::{BLOCK, STRIDE};
use super::strip::{Dots, PAIR, Strip, shares};

/// Rows of a tile at most.
pub(super) const fn rows(vnni: bool) -> usize {
    if vnni { 6 } else { 4 }
}

macro_rules! by_rows {
    ($rows:expr, $f:ident($($arg:expr),*)) => {
        match $rows {
            1 => $f::<1, VNNI>($($arg),*),
            2 => $f::<2, VNNI>($($arg),*),
            3 => $f::<3, VNNI>($($arg),*),
            4 => $f::<4, VNNI>($($arg),*),
            5 => $f::<5, VNNI>($($arg),*),
            _ => $f::<6, VNNI>($($arg),*),
        }
    };
}

/// One block of some rows and one panel.
struct Tile {
    a: *const i16,
    a_shift: *const i32,
    w: *const i16,
    w_g: *const i8,
    /// The block to ask for meanwhile, or null; never dereferenced.
    w_ahead: *const i16,
    acc: *mut f32,
}

/// See [`super::strip::Kernels::strip`].
///
/// # Safety
/// As there; AVX2, FMA, and AVX-VNNI with `VNNI`.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn strip<const VNNI: bool>(s: &Strip) {
    // SAFETY: the accumulators have a column pair for each row.
    unsafe { s.acc.write_bytes(0, s.rows * 2 * PANEL) };
    let mut patched = [0; PAIR];
    for block in 0..s.blocks {
        let place = (block & s.w_mask) * s.w_stride;
        for panel in 0..s.panels {
            let w = s.w[panel].wrapping_add(place);
            let last = block + 1 == s.blocks;
            if let Some(codes) = &s.codes {
                let from = codes[panel].first.wrapping_add(block * COMPACT_BLOCK);
                let next = if last { s.ahead[panel] } else { from.wrapping_add(COMPACT_BLOCK) };
                // SAFETY: the panel has this block, and memory where it is to be.
                unsafe {
                    decode(from, w, next);
                    codes[panel].patch(block, w, &mut patched[panel]);
                }
            }
            let next = match (&s.codes, last) {
                (Some(_), _) => std::ptr::null(),
                (None, true) => s.ahead[panel].cast(),
                (None, false) => w.wrapping_add(s.w_stride).cast_const(),
            };
            let mut row = 0;
            for height in shares(s.rows, const { self::rows(VNNI) }) {
                let at = block * s.a_stride + row;
                let tile = Tile {
                    a: s.a.wrapping_add(at * STRIDE),
                    a_shift: s.a_shift.wrapping_add(at),
                    w,
                    w_g: s.w_g[panel].wrapping_add(block * PANEL),
                    w_ahead: if row == 0 { next } else { std::ptr::null() },
                    acc: s.acc.wrapping_add(row * 2 * PANEL + panel * PANEL),
                };
                // SAFETY: block < blocks and row + height <= rows of what the strip's pointers cover.
                unsafe { by_rows!(height, fold(&tile)) }
                row += height;
            }
        }
    }
}

/// See [`super::strip::Kernels::dots`].
///
/// # Safety
/// As there; AVX2, FMA, and AVX-VNNI with `VNNI`.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn dots<const VNNI: bool>(d: Dots<'_>) {
    for panel in 0..d.panels {
        d.ahead.ask(d.panels - panel);
        let w = d.w.wrapping_add(panel * d.w_stride);
        let mut row = 0;
        for height in shares(d.rows, const { self::rows(VNNI) }) {
            let a = d.a.wrapping_add(row * d.a_stride);
            let out = d.out.wrapping_add(row * d.out_stride + panel * PANEL);
            // SAFETY: the caller's pointers cover these rows and this panel.
            unsafe { by_rows!(height, store_dots(a, d.a_stride, d.pairs, w, out, d.out_stride)) }
            row += height;
        }
    }
}

/// # Safety
/// `a` and `out` cover `R` rows, `w` one panel.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn store_dots<const R: usize, const VNNI: bool>(
    a: *const i16,
    a_stride: usize,
    pairs: usize,
    w: *const i16,
    out: *mut i32,
    out_stride: usize,
) {
    // SAFETY: by the function's contract.
    unsafe {
        let sums = dot_rows::<R, VNNI, false>(a, a_stride, pairs, w, w);
        for row in 0..R {
            for half in 0..2 {
                _mm256_storeu_si256(out.add(row * out_stride + half * 8).cast(), sums[row][half]);
            }
        }
    }
}

/// Decodes one block of a panel, patches aside, and asks for the one at `ahead`.
///
/// # Safety
/// `from` is readable for a block of codes, `to` writable for a block; `ahead` is never dereferenced.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn decode(from: *const u8, to: *mut i16, ahead: *const u8) {
    // Byte tables by the low byte of a lane; the high byte of an index has its top bit set, which gives 0.
    let hidden =
        _mm256_broadcastsi128_si256(_mm_setr_epi8(0, -128, -128, -128, -128, -128, -128, -128, 0, 0, 0, 0, 0, 0, 0, 0));
    let factor = _mm256_broadcastsi128_si256(_mm_setr_epi8(1, 1, 2, 4, 8, 16, 32, 64, 0, 0, 0, 0, 0, 0, 0, 0));
    let (three, no_high) = (_mm256_set1_epi16(7), _mm256_set1_epi16(i16::MIN));
    for group in 0..BLOCK / 2 / GROUP {
        for half in 0..2 {
            // SAFETY: inside the block; the loads and stores have no alignment to keep.
            unsafe {
                let word = |i: usize| {
                    let at = PANEL_BLOCK + group * GROUP_BYTES + i * 2 * LANES + half * LANES;
                    _mm256_loadu_si256(from.add(at).cast())
                };
                let words = [word(0), word(1), word(2)];
                for pair in 0..GROUP {
                    let e = match pair {
                        15 => {
                            let top = |i: usize| _mm256_srli_epi16::<15>(words[i]);
                            let high = _mm256_or_si256(_mm256_slli_epi16::<1>(top(1)), _mm256_slli_epi16::<2>(top(2)));
                            _mm256_or_si256(top(0), high)
                        }
                        12.. => _mm256_srli_epi16::<12>(words[pair - 12]),
                        _ => match pair % 4 {
                            0 => words[pair / 4],
                            1 => _mm256_srli_epi16::<3>(words[pair / 4]),
                            2 => _mm256_srli_epi16::<6>(words[pair / 4]),
                            _ => _mm256_srli_epi16::<9>(words[pair / 4]),
                        },
                    };
                    let index = _mm256_or_si256(_mm256_and_si256(e, three), no_high);
                    let at = (group * GROUP + pair) * LANES + half * LANES / 2;
                    let x = _mm256_cvtepi8_epi16(_mm_loadu_si128(from.add(at).cast()));
                    let x = _mm256_xor_si256(x, _mm256_shuffle_epi8(hidden, index));
                    let q = _mm256_mullo_epi16(x, _mm256_shuffle_epi8(factor, index));
                    _mm256_storeu_si256(to.add(at).cast(), q);
                }
            }
        }
        for line in 0..COMPACT_BLOCK / 64 / 4 {
            let at = (group * (COMPACT_BLOCK / 64 / 4) + line) * 64;
            _mm_prefetch::<_MM_HINT_T1>(ahead.wrapping_add(at).cast());
        }
    }
}

/// Adds a tile's dot products, scaled, to its accumulators.
///
/// # Safety
/// The tile's pointers cover `R` rows and one panel of one block.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn fold<const R: usize, const VNNI: bool>(t: &Tile) {
    // SAFETY: by the function's contract.
    unsafe {
        let sums = match t.w_ahead.is_null() {
            true => dot_rows::<R, VNNI, false>(t.a, STRIDE, BLOCK / 2, t.w, t.w),
            false => dot_rows::<R, VNNI, true>(t.a, STRIDE, BLOCK / 2, t.w, t.w_ahead),
        };
        let left = powers(t.w_g);
        for row in 0..R {
            let right = _mm256_set1_epi32(*t.a_shift.add(row));
            for half in 0..2 {
                let acc = t.acc.add(row * 2 * PANEL + half * 8);
                // Powers of two between 2^-55 and 2^50: their product, a normal one, is a sum of exponents.
                let scale = _mm256_castsi256_ps(_mm256_add_epi32(left[half], right));
                let sum = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums[row][half]), scale, _mm256_loadu_ps(acc));
                _mm256_storeu_ps(acc, sum);
            }
        }
    }
}

/// Dot products of `R` rows with a panel; with `AHEAD` the panel at `ahead` is asked for meanwhile.
///
/// # Safety
/// `a` is readable for `2 * pairs` elements at each of `R` strides, `w` for `32 * pairs`.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn dot_rows<const R: usize, const VNNI: bool, const AHEAD: bool>(
    a: *const i16,
    a_stride: usize,
    pairs: usize,
    w: *const i16,
    ahead: *const i16,
) -> [[__m256i; 2]; R] {
    let mut sums = [[_mm256_setzero_si256(); 2]; R];
    let mut pair = 0;
    // SAFETY: by the function's contract.
    unsafe {
        while pair + 2 <= pairs {
            add_pair::<R, VNNI, AHEAD>(&mut sums, pair, a, a_stride, w, ahead);
            add_pair::<R, VNNI, AHEAD>(&mut sums, pair + 1, a, a_stride, w, ahead);
            pair += 2;
        }
        if pair < pairs {
            add_pair::<R, VNNI, AHEAD>(&mut sums, pair, a, a_stride, w, ahead);
        }
    }
    sums
}

/// One pair of elements of every row.
///
/// # Safety
/// As [`dot_rows`], for this pair.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn add_pair<const R: usize, const VNNI: bool, const AHEAD: bool>(
    sums: &mut [[__m256i; 2]; R],
    pair: usize,
    a: *const i16,
    a_stride: usize,
    w: *const i16,
    ahead: *const i16,
) {
    if AHEAD {
        _mm_prefetch::<_MM_HINT_T0>(ahead.wrapping_add(32 * pair).cast());
    }
    // SAFETY: by the function's contract; the loads have no alignment to keep.
    unsafe {
        let low = _mm256_loadu_si256(w.add(32 * pair).cast());
        let high = _mm256_loadu_si256(w.add(32 * pair + 16).cast());
        for row in 0..R {
            let both = a.add(row * a_stride + 2 * pair).cast::<i32>().read_unaligned();
            let both = _mm256_set1_epi32(both);
            sums[row][0] = multiply_add::<VNNI>(sums[row][0], low, both);
            sums[row][1] = multiply_add::<VNNI>(sums[row][1], high, both);
        }
    }
}

/// The products of both halves of each lane, added to its sum.
///
/// # Safety
/// With `VNNI`, AVX-VNNI.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn multiply_add<const VNNI: bool>(mut sum: __m256i, a: __m256i, b: __m256i) -> __m256i {
    if !VNNI {
        return _mm256_add_epi32(sum, _mm256_madd_epi16(a, b));
    }
    // SAFETY: arithmetic on the three registers named. As written, since the compiler is free to make two of it.
    unsafe {
        std::arch::asm!("{{vex}} vpdpwssd {0}, {1}, {2}", inout(ymm_reg) sum, in(ymm_reg) a, in(ymm_reg) b,
            options(pure, nomem, nostack, preserves_flags));
    }
    sum
}

/// The bits of 2^g of a panel's 16 rows.
///
/// # Safety
/// `w_g` is readable for 16 elements.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn powers(w_g: *const i8) -> [__m256i; 2] {
    // SAFETY: by the function's contract.
    let g = unsafe { _mm_loadu_si128(w_g.cast()) };
    let bias = _mm256_set1_epi32(127);
    let power = |g| _mm256_slli_epi32::<23>(_mm256_add_epi32(_mm256_cvtepi8_epi32(g), bias));
    [power(g), power(_mm_srli_si128::<8>(g))]
}

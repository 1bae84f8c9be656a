//! Decodes weights of eleven bits ([`super::super::super::compact`]) with AVX-512, four pairs at a time: two table lookups
//! by the exponent, an exclusive or and a shift for 32 weights.

// Loops by index are unrolled, and what they index stays in registers.
#![allow(clippy::needless_range_loop)]

use super::super::super::compact::LANES;
use super::super::super::pack::PANEL_BLOCK;
use super::super::x86_512::*;
use super::{PAIRS, UNROLL};

/// Turns of a block.
pub(super) const TURNS: usize = PAIRS / UNROLL;

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
pub(super) unsafe fn store_turn(from: *const u8, to: *mut i16, turn: usize) {
    // SAFETY: by the function's contract; the stores have no alignment to keep.
    unsafe {
        for (i, q) in decode_turn(from, turn).into_iter().enumerate() {
            _mm512_storeu_si512(to.add(LANES * (turn * UNROLL + i)).cast(), q);
        }
    }
}

/// The four pairs of one turn of a block: see [`super::super::super::compact`].
///
/// # Safety
/// `from` is readable for a block of codes.
#[inline(always)]
pub(super) unsafe fn decode_turn(from: *const u8, turn: usize) -> [__m512i; UNROLL] {
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

/// Asks for the lines of a block of codes that [`decode_turn`] reads in this turn: into the second cache, since the first can
/// wait for too few lines at a time to keep the memory busy.
///
/// # Safety
/// None beyond the instructions': hints, for any address.
#[inline(always)]
pub(super) unsafe fn ask_turn(codes: *const u8, turn: usize) {
    // SAFETY: hints.
    unsafe {
        _mm_prefetch::<_MM_HINT_T1>(codes.wrapping_add(128 * turn).cast());
        _mm_prefetch::<_MM_HINT_T1>(codes.wrapping_add(128 * turn + 64).cast());
        if turn % UNROLL < 3 {
            let word = turn / UNROLL * 3 + turn % UNROLL;
            _mm_prefetch::<_MM_HINT_T1>(codes.wrapping_add(PANEL_BLOCK + word * 2 * LANES).cast());
        }
    }
}

//! Eleven bits a weight: what a quantized weight takes that came from bf16.
//!
//! Such a weight has eight significant bits, and the quantizer L makes integers below 2^14 of all but a few. Those are
//! the values of a small float: a signed byte `x` and three bits `e` make
//!
//! * `x` for e = 0,
//! * `(x ^ 0x80) << (e - 1)` for e = 1 to 7, the byte widened to 16 bits first: in two's complement, bit 7 of a
//!   normalized number is the opposite of its sign.
//!
//! Every integer of at most 14 bits and a sign with eight significant bits is one of them, so nothing is lost. A weight that is
//! none (of a block with an outlier, or of a checkpoint that is not bf16) is kept apart, as a [`Patch`].
//! Decoding at the rate of the memory gives products the weights at 11/16 of the traffic.
//!
//! A block of a panel is 2048 signed bytes in the order of [`super::pack`], then four groups of three registers of
//! 32 16-bit words: a group has the e of 16 pairs (of contraction elements), lane by lane. Turn t of a group, t < 3, is pairs 4t to
//! 4t + 3, whose e are bits 0-2, 3-5, 6-8 and 9-11 of word t; pairs 12, 13 and 14 have bits 12-14 of words 0, 1 and 2, pair 15 the
//! three bits 15, the lowest from word 0.

use super::pack::{PANEL, PANEL_BLOCK};

/// Pairs of a group.
pub(super) const GROUP: usize = 16;

/// Lanes of a pair: two elements of the contraction axis for each row of a panel.
pub(super) const LANES: usize = 2 * PANEL;

/// Bytes of the words of one group.
pub(super) const GROUP_BYTES: usize = 3 * LANES * size_of::<u16>();

/// Bytes of one block of one panel: 44 cache lines.
pub(super) const COMPACT_BLOCK: usize = PANEL_BLOCK + PANEL_BLOCK / LANES / GROUP * GROUP_BYTES;

/// A weight that has no code; its code is that of 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Patch {
    /// Its index among all elements of its panel.
    pub at: u32,
    /// The weight.
    pub q: i16,
}

/// Byte and exponent of a weight, if it has them.
#[inline(always)]
fn code(q: i16) -> (u8, u16, bool) {
    let q = i32::from(q);
    let magnitude = q ^ (q >> 31);
    // The place of the leading one; the conversion is exact.
    let lead = (((magnitude | 1) as f32).to_bits() >> 23) as i32 - 127;
    let e = (lead - 6).max(0);
    let shift = (e - 1).max(0);
    let x = q >> shift;
    let known = e < 8 && x << shift == q;
    let x = x ^ if e > 0 { 0x80 } else { 0 };
    if known { (x as u8, e as u16, true) } else { (0, 0, false) }
}

/// The weight of a code.
#[inline(always)]
fn weight(x: u8, e: u16) -> i16 {
    let hidden = if e > 0 { 0x80 } else { 0 };
    (i16::from(x as i8) ^ hidden) << e.saturating_sub(1)
}

/// Encodes one block of a panel; `apart` hears of weights without a code, in ascending order.
#[inline(always)]
pub(super) fn encode(q: &[i16; PANEL_BLOCK], to: &mut [u8; COMPACT_BLOCK], mut apart: impl FnMut(usize, i16)) {
    let (bytes, words) = to.split_at_mut(PANEL_BLOCK);
    let groups = q.as_chunks::<{ GROUP * LANES }>().0;
    let parts = bytes.as_chunks_mut::<{ GROUP * LANES }>().0.iter_mut().zip(words.as_chunks_mut::<GROUP_BYTES>().0);
    for (group, (q, (bytes, words))) in groups.iter().zip(parts).enumerate() {
        let mut exponents = [0u16; GROUP * LANES];
        let mut known = true;
        for ((&q, x), e) in q.iter().zip(bytes.iter_mut()).zip(&mut exponents) {
            let has;
            (*x, *e, has) = code(q);
            known &= has;
        }
        if !known {
            for (i, &q) in q.iter().enumerate().filter(|(_, q)| !code(**q).2) {
                apart(group * GROUP * LANES + i, q);
            }
        }
        let e = |pair: usize, lane: usize| exponents[pair * LANES + lane];
        for (word, to) in words.as_chunks_mut::<{ 2 * LANES }>().0.iter_mut().enumerate() {
            for (lane, to) in to.as_chunks_mut::<2>().0.iter_mut().enumerate() {
                let turn = (0..4).fold(0, |bits, i| bits | e(4 * word + i, lane) << (3 * i));
                *to = (turn | e(12 + word, lane) << 12 | (e(15, lane) >> word & 1) << 15).to_le_bytes();
            }
        }
    }
}

/// Decodes one block of a panel, patches aside.
#[inline(always)]
pub(super) fn decode(from: &[u8; COMPACT_BLOCK], to: &mut [i16; PANEL_BLOCK]) {
    let (bytes, words) = from.split_at(PANEL_BLOCK);
    let parts = bytes.as_chunks::<{ GROUP * LANES }>().0.iter().zip(words.as_chunks::<GROUP_BYTES>().0);
    for (to, (bytes, words)) in to.as_chunks_mut::<{ GROUP * LANES }>().0.iter_mut().zip(parts) {
        let words = words.as_chunks::<{ 2 * LANES }>().0;
        let pairs = to.as_chunks_mut::<LANES>().0.iter_mut().zip(bytes.as_chunks::<LANES>().0);
        for (pair, (to, x)) in pairs.enumerate() {
            for lane in 0..LANES {
                let word = |i: usize| u16::from_le_bytes([words[i][2 * lane], words[i][2 * lane + 1]]);
                let e = match pair {
                    15 => word(0) >> 15 | word(1) >> 15 << 1 | word(2) >> 15 << 2,
                    12.. => word(pair - 12) >> 12 & 7,
                    _ => word(pair / 4) >> (3 * (pair % 4)) & 7,
                };
                to[lane] = weight(x[lane], e);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The value of a small float with an eight-bit significand: 2^(e-1) times 128 to 255 or their two's complement mirror.
    fn has_code(q: i16) -> bool {
        let q = i32::from(q);
        (-128..128).contains(&q)
            || (0..7).any(|s| q % (1 << s) == 0 && (-256..=255).contains(&(q >> s)) && !(-128..128).contains(&(q >> s)))
    }

    #[test]
    fn every_weight_comes_back_or_is_kept_apart() {
        let all: Vec<i16> = (i16::MIN..=i16::MAX).collect();
        for q in all.as_chunks::<PANEL_BLOCK>().0 {
            let (mut packed, mut back) = ([0xa5; COMPACT_BLOCK], [-1; PANEL_BLOCK]);
            let mut apart = Vec::new();
            encode(q, &mut packed, |at, q| apart.push((at, q)));
            decode(&packed, &mut back);
            assert!(apart.is_sorted_by_key(|(at, _)| *at));
            for (at, q) in &apart {
                assert_eq!(std::mem::replace(&mut back[*at], *q), 0, "{q} is kept apart and its code is that of 0");
            }
            assert_eq!(&back, q);
            let without: Vec<(usize, i16)> = q.iter().copied().enumerate().filter(|(_, q)| !has_code(*q)).collect();
            assert_eq!(apart, without);
        }
    }

    /// Each place of each exponent in the words, with neighbours of all ones.
    #[test]
    fn every_exponent_has_bits_of_its_own() {
        for at in 0..PANEL_BLOCK {
            let mut q = [16_320i16; PANEL_BLOCK];
            q[at] = 5;
            let (mut packed, mut back) = ([0; COMPACT_BLOCK], [0; PANEL_BLOCK]);
            encode(&q, &mut packed, |at, q| panic!("{q} at {at} has a code"));
            decode(&packed, &mut back);
            assert_eq!(back, q, "{at}");
        }
    }

    /// Eight significant bits below 2^14 is what bf16 weights are after L at 14 bits or fewer.
    #[test]
    fn what_comes_from_bf16_has_a_code() {
        for significand in 128..256i16 {
            for shift in 0..7 {
                assert!(code(significand << shift).2 && code(-(significand << shift)).2, "{significand} << {shift}");
            }
        }
        assert!((-255..256).all(|q| code(q).2));
        assert!(!code(257).2 && !code(16_384).2 && !code(-16_385).2);
    }
}

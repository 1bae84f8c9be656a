//! CPython's `random.Random`, draw for draw (PROTOCOL 2.2).
//!
//! Several derivations of the protocol are defined by what CPython's Mersenne Twister gives, so its
//! seeding, its rejection loop and the two branches of its `sample` are part of the format. This is
//! not a source of secret randomness.

use sha2::{Digest, Sha512};

use crate::{Error, Result};

const N: usize = 624;
const M: usize = 397;

/// A generator in the state CPython's would have after the same calls.
#[derive(Clone)]
pub struct Mersenne {
    state: [u32; N],
    next: usize,
}

impl Mersenne {
    /// Seeded as `random.Random(seed)` with a `bytes` object: from the big-endian integer of
    /// `seed ‖ SHA-512(seed)`.
    #[must_use]
    pub fn from_bytes(seed: &[u8]) -> Self {
        let mut number = seed.to_vec();
        number.extend_from_slice(&Sha512::digest(seed));
        let words: Vec<u32> =
            number.rchunks(4).map(|chunk| chunk.iter().fold(0, |word, &b| word << 8 | u32::from(b))).collect();
        Self::from_words(&words)
    }

    /// Seeded as `random.Random(seed)` with an `int` object: from its absolute value.
    #[must_use]
    pub fn from_integer(seed: i128) -> Self {
        let magnitude = seed.unsigned_abs();
        let words: Vec<u32> = (0..4).map(|i| (magnitude >> (32 * i)) as u32).collect();
        Self::from_words(&words)
    }

    /// `init_by_array` over words that come least significant first; leading zero words do not count.
    fn from_words(words: &[u32]) -> Self {
        let length = words.iter().rposition(|&w| w != 0).map_or(1, |i| i + 1);
        let key = &words[..length];
        let mut state = initial_state(19_650_218);
        let (mut i, mut j) = (1, 0);
        for _ in 0..N.max(length) {
            let mixed = (state[i - 1] ^ (state[i - 1] >> 30)).wrapping_mul(1_664_525);
            state[i] = (state[i] ^ mixed).wrapping_add(key[j]).wrapping_add(j as u32);
            j = (j + 1) % length;
            i = step(&mut state, i);
        }
        for _ in 0..N - 1 {
            let mixed = (state[i - 1] ^ (state[i - 1] >> 30)).wrapping_mul(1_566_083_941);
            state[i] = (state[i] ^ mixed).wrapping_sub(i as u32);
            i = step(&mut state, i);
        }
        state[0] = 0x8000_0000;
        Self { state, next: N }
    }

    /// The next tempered 32-bit output.
    pub fn u32(&mut self) -> u32 {
        if self.next == N {
            self.twist();
        }
        let mut y = self.state[self.next];
        self.next += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c_5680;
        y ^= (y << 15) & 0xefc6_0000;
        y ^ (y >> 18)
    }

    fn twist(&mut self) {
        for i in 0..N {
            let y = (self.state[i] & 0x8000_0000) | (self.state[(i + 1) % N] & 0x7fff_ffff);
            let matrix = if y & 1 == 0 { 0 } else { 0x9908_b0df };
            self.state[i] = self.state[(i + M) % N] ^ (y >> 1) ^ matrix;
        }
        self.next = 0;
    }

    /// `getrandbits(k)`.
    ///
    /// # Panics
    /// When `k` is above 64; every use in this crate passes the bit length of a `u64` or a constant.
    pub fn getrandbits(&mut self, k: u32) -> u64 {
        assert!(k <= 64, "getrandbits of {k} bits");
        match k {
            0 => 0,
            1..=32 => u64::from(self.u32() >> (32 - k)),
            _ => {
                let low = u64::from(self.u32());
                low | u64::from(self.u32() >> (64 - k)) << 32
            }
        }
    }

    /// `random()`: a multiple of 2^-53 in [0, 1).
    pub fn random(&mut self) -> f64 {
        let high = f64::from(self.u32() >> 5);
        let low = f64::from(self.u32() >> 6);
        (high * 67_108_864.0 + low) / 9_007_199_254_740_992.0
    }

    /// A uniform integer in `[0, n)`, and 0 for `n = 0`; even `n = 1` consumes draws.
    pub fn below(&mut self, n: u64) -> u64 {
        if n == 0 {
            return 0;
        }
        let bits = u64::BITS - n.leading_zeros();
        loop {
            let drawn = self.getrandbits(bits);
            if drawn < n {
                return drawn;
            }
        }
    }

    /// `randint(low, high)`, both ends included.
    ///
    /// # Errors
    /// [`Error::Range`] when the range is empty, or has 2^64 values or more.
    pub fn randint(&mut self, low: i64, high: i64) -> Result<i64> {
        let width = i128::from(high) - i128::from(low) + 1;
        let width = u64::try_from(width).ok().filter(|&w| w > 0);
        let width = width.ok_or_else(|| Error::range("randint", format!("no range from {low} to {high}")))?;
        Ok(low.wrapping_add(self.below(width) as i64))
    }

    /// `shuffle(items)`.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            let j = self.below(i as u64 + 1) as usize;
            items.swap(i, j);
        }
    }

    /// `sample(range(n), k)`: `k` distinct integers below `n` in the order they are drawn.
    ///
    /// # Errors
    /// [`Error::Range`] when `k` is above `n`.
    pub fn sample(&mut self, n: usize, k: usize) -> Result<Vec<usize>> {
        if k > n {
            let problem = format!("{k} asked for, the population has {n}");
            return Err(Error::range("sample", problem));
        }
        if n as u128 <= pool_limit(k) {
            let mut pool: Vec<usize> = (0..n).collect();
            return Ok((0..k)
                .map(|i| {
                    let j = self.below((n - i) as u64) as usize;
                    let drawn = pool[j];
                    pool[j] = pool[n - i - 1];
                    drawn
                })
                .collect());
        }
        let mut seen = std::collections::HashSet::with_capacity(k);
        let mut drawn = Vec::with_capacity(k);
        while drawn.len() < k {
            let j = self.below(n as u64) as usize;
            if seen.insert(j) {
                drawn.push(j);
            }
        }
        Ok(drawn)
    }
}

fn initial_state(seed: u32) -> [u32; N] {
    let mut state = [seed; N];
    for i in 1..N {
        let previous = state[i - 1];
        state[i] = 1_812_433_253_u32.wrapping_mul(previous ^ (previous >> 30)).wrapping_add(i as u32);
    }
    state
}

/// The next index of the seeding loops, which wrap from the last word to the second.
fn step(state: &mut [u32; N], i: usize) -> usize {
    if i + 1 < N {
        return i + 1;
    }
    state[0] = state[N - 1];
    1
}

/// Largest population that CPython copies: 21, plus 4^ceil(log4(3k)) when k > 5.
///
/// 3k is never a power of 4, so the integer form equals CPython's floating one.
fn pool_limit(k: usize) -> u128 {
    let mut extra: u128 = 0;
    if k > 5 {
        extra = 1;
        while extra < 3 * k as u128 {
            extra *= 4;
        }
    }
    21 + extra
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_pool_limit_of_sixteen_is_eighty_five() {
        assert_eq!(pool_limit(16), 85);
        assert_eq!(pool_limit(5), 21);
        assert_eq!(pool_limit(6), 85);
        assert_eq!(pool_limit(0), 21);
    }

    #[test]
    fn the_sign_of_an_integer_seed_does_not_count() {
        assert_eq!(Mersenne::from_integer(-77).u32(), Mersenne::from_integer(77).u32());
        assert_ne!(Mersenne::from_integer(76).u32(), Mersenne::from_integer(77).u32());
    }

    #[test]
    fn an_empty_or_too_wide_range_is_refused() {
        let mut random = Mersenne::from_integer(1);
        assert!(random.randint(3, 2).is_err());
        assert!(random.randint(i64::MIN, i64::MAX).is_err());
        assert_eq!(random.randint(5, 5).unwrap(), 5);
        assert!(random.sample(3, 4).is_err());
        assert_eq!(random.sample(0, 0).unwrap(), Vec::<usize>::new());
    }

    proptest! {
        #[test]
        fn a_sample_is_distinct_and_inside_the_population(seed: i128, n in 0_usize..400, part in 0_usize..=100) {
            let k = n * part / 100;
            let drawn = Mersenne::from_integer(seed).sample(n, k).unwrap();
            let distinct: std::collections::BTreeSet<_> = drawn.iter().copied().collect();
            prop_assert_eq!(drawn.len(), k);
            prop_assert_eq!(distinct.len(), k);
            prop_assert!(drawn.iter().all(|&j| j < n));
        }

        #[test]
        fn randint_stays_in_its_range(seed: Vec<u8>, a: i64, b: i64) {
            let mut random = Mersenne::from_bytes(&seed);
            match random.randint(a, b) {
                Ok(drawn) => prop_assert!(a <= drawn && drawn <= b),
                Err(_) => prop_assert!(b < a),
            }
        }

        #[test]
        fn a_shuffle_is_a_permutation(seed: Vec<u8>, n in 0_usize..300) {
            let mut items: Vec<usize> = (0..n).collect();
            Mersenne::from_bytes(&seed).shuffle(&mut items);
            items.sort_unstable();
            prop_assert_eq!(items, (0..n).collect::<Vec<_>>());
        }
    }
}

//! Memory that will be read soon, asked for a few cache lines at a time between other work.

use super::memory::{ALIGN, ask_to_read_soon};

/// Memory that work to come will read, in the order of that work. Hints: none of it is ever dereferenced.
#[derive(Debug, Default)]
pub struct Ahead {
    stretches: Vec<Stretch>,
    /// The stretch and its line that are next.
    stretch: usize,
    line: usize,
    /// Lines that have not been asked for, and how many of them are for the work at hand to ask for.
    left: usize,
    allotted: usize,
}

/// Cache lines one after the other.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    first: *const u8,
    lines: usize,
}

impl Ahead {
    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Self { stretches: std::mem::take(&mut self.stretches), ..Self::default() };
        self.stretches.clear();
    }

    /// The first `len` elements of each of `count` parts that begin at every `stride`th element of `x`.
    pub fn push<T>(&mut self, x: &[T], len: usize, count: usize, stride: usize) {
        let lines = (len * size_of::<T>()).div_ceil(ALIGN);
        if lines == 0 {
            return;
        }
        let first = |part| x.as_ptr().wrapping_add(part * stride).cast();
        self.stretches.extend((0..count).map(|part| Stretch { first: first(part), lines }));
        self.left += lines * count;
    }

    /// Lines that have not been asked for.
    pub fn left(&self) -> usize {
        self.left
    }

    /// Of the lines left, the work at hand is to ask for so many.
    pub fn allot(&mut self, lines: usize) {
        self.allotted = lines.min(self.left);
    }

    /// Asks for the first of `parts` equal shares of the lines allotted: for all of them with the last part.
    #[inline(always)]
    pub fn ask(&mut self, parts: usize) {
        if self.allotted > 0 {
            self.ask_for(self.allotted.div_ceil(parts.max(1)));
        }
    }

    fn ask_for(&mut self, mut count: usize) {
        self.allotted -= count;
        self.left -= count;
        while count > 0 {
            let Stretch { first, lines } = self.stretches[self.stretch];
            let now = count.min(lines - self.line);
            (self.line..self.line + now).for_each(|line| ask_to_read_soon(first.wrapping_add(line * ALIGN)));
            count -= now;
            self.line += now;
            if self.line == lines {
                (self.stretch, self.line) = (self.stretch + 1, 0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_end_with_what_was_allotted_and_are_as_even_as_can_be() {
        let x = [0i16; 64];
        for parts in [1, 2, 3, 7, 100] {
            let mut ahead = Ahead::default();
            let pushed = [(0, 3), (1, 1), (32, 8), (33, 8), (0, 1), (64, 5)];
            pushed.iter().for_each(|(len, count)| ahead.push(&x, *len, *count, 128));
            let all = pushed.iter().map(|(len, count)| (2 * len).div_ceil(64) * count).sum::<usize>();
            assert_eq!(ahead.left(), all);
            for lines in [10, 0, 7, 1000] {
                let before = ahead.left();
                ahead.allot(lines);
                let shares: Vec<usize> = (1..=parts)
                    .rev()
                    .map(|left| {
                        let before = ahead.left();
                        ahead.ask(left);
                        before - ahead.left()
                    })
                    .collect();
                assert_eq!(before - ahead.left(), lines.min(before), "{lines} in {parts}");
                assert!(shares.iter().max().unwrap() - shares.iter().min().unwrap() <= 1, "{shares:?}");
            }
            assert_eq!((ahead.left(), ahead.stretch), (0, ahead.stretches.len()));
            ahead.clear();
            ahead.ask(1);
        }
    }
}

//! The ids of a sequence, which the repetition penalty asks for.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The ids of a sequence, each once, in the order of their first positions. It only grows, and a clone is another one, so a
/// device that has seen a part of it needs the rest alone.
#[derive(Debug)]
pub struct Context {
    id: u64,
    tokens: Vec<u32>,
    ids: Vec<u32>,
    first: Vec<usize>,
    seen: Vec<u64>,
}

impl Default for Context {
    fn default() -> Self {
        let (tokens, ids, first, seen) = Default::default();
        Self { id: next_id(), tokens, ids, first, seen }
    }
}

impl Clone for Context {
    fn clone(&self) -> Self {
        let (tokens, ids) = (self.tokens.clone(), self.ids.clone());
        Self { id: next_id(), tokens, ids, first: self.first.clone(), seen: self.seen.clone() }
    }
}

fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Relaxed)
}

impl Context {
    /// Appends a token.
    pub fn push(&mut self, token: u32) {
        let (word, bit) = (token as usize / 64, 1 << (token % 64));
        if self.seen.len() <= word {
            self.seen.resize(word + 1, 0);
        }
        if self.seen[word] & bit == 0 {
            self.seen[word] |= bit;
            self.ids.push(token);
            self.first.push(self.tokens.len());
        }
        self.tokens.push(token);
    }

    /// The ids at positions below `position`.
    pub fn before(&self, position: usize) -> &[u32] {
        &self.ids[..self.first.partition_point(|&first| first < position)]
    }

    /// No other context of this process has the same.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The whole sequence so far.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_context_is_what_came_before() {
        let mut context = Context::default();
        [5, 9, 5, 700, 9].into_iter().for_each(|t| context.push(t));
        assert_eq!(context.before(0), &[] as &[u32]);
        assert_eq!(context.before(2), &[5, 9]);
        assert_eq!(context.before(3), &[5, 9]);
        assert_eq!(context.before(5), &[5, 9, 700]);
        assert_eq!(context.tokens(), &[5, 9, 5, 700, 9]);
    }

    #[test]
    fn a_clone_grows_apart() {
        let mut one = Context::default();
        one.push(3);
        let mut two = one.clone();
        two.push(4);
        assert_ne!(one.id(), two.id());
        assert_eq!((one.before(2), two.before(2)), (&[3][..], &[3, 4][..]));
    }
}

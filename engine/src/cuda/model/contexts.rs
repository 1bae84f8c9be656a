//! Which sequences' contexts the device holds, and what it has not seen of them.

use std::collections::HashMap;

use crate::context::Context;

/// What one context's table in device memory lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Update {
    /// The table.
    pub slot: u32,
    /// Whether it holds another context, which goes first.
    pub restart: bool,
    /// Tokens from this position on are to be noted.
    pub from: usize,
}

struct Slot {
    context: u64,
    noted: usize,
    used: u64,
}

/// A fixed number of tables, the least recently used given away first.
pub(super) struct Contexts {
    slots: Vec<Slot>,
    of: HashMap<u64, usize>,
    calls: u64,
    limit: usize,
}

impl Contexts {
    /// `limit` tables.
    pub fn new(limit: usize) -> Self {
        Self { slots: Vec::new(), of: HashMap::new(), calls: 0, limit }
    }

    /// A table for each of `contexts`, of which no more than the limit may be different. They count as up to date.
    ///
    /// # Panics
    /// When more different contexts are given than there are tables.
    pub fn place(&mut self, contexts: &[&Context]) -> Vec<Update> {
        self.calls += 1;
        // Those that are there first, so that none of them is given away for another.
        for context in contexts {
            if let Some(&slot) = self.of.get(&context.id()) {
                self.slots[slot].used = self.calls;
            }
        }
        contexts.iter().map(|context| self.one(context)).collect()
    }

    /// The device has noted more of a context that it holds by itself: the first `length` tokens are there.
    pub fn noted(&mut self, context: u64, length: usize) {
        if let Some(&slot) = self.of.get(&context) {
            self.slots[slot].noted = length;
        }
    }

    /// Nothing is known to be noted: an update was lost.
    pub fn forget(&mut self) {
        self.slots.clear();
        self.of.clear();
    }

    fn one(&mut self, context: &Context) -> Update {
        let length = context.tokens().len();
        let (slot, restart) = match self.of.get(&context.id()) {
            Some(&slot) => (slot, false),
            None => (self.give(context.id()), true),
        };
        let from = std::mem::replace(&mut self.slots[slot].noted, length);
        Update { slot: slot as u32, restart, from }
    }

    fn give(&mut self, context: u64) -> usize {
        let fresh = Slot { context, noted: 0, used: self.calls };
        let slot = if self.slots.len() < self.limit {
            self.slots.push(fresh);
            self.slots.len() - 1
        } else {
            let oldest = self.slots.iter().enumerate().min_by_key(|(_, s)| s.used).expect("at least one table").0;
            assert!(self.slots[oldest].used < self.calls, "no more contexts at once than tables");
            self.of.remove(&self.slots[oldest].context);
            self.slots[oldest] = fresh;
            oldest
        };
        self.of.insert(context, slot);
        slot
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(tokens: &[u32]) -> Context {
        let mut context = Context::default();
        tokens.iter().for_each(|&t| context.push(t));
        context
    }

    #[test]
    fn only_what_is_new_is_noted() {
        let mut contexts = Contexts::new(2);
        let mut a = context(&[1, 2]);
        assert_eq!(contexts.place(&[&a]), [Update { slot: 0, restart: true, from: 0 }]);
        a.push(3);
        assert_eq!(contexts.place(&[&a]), [Update { slot: 0, restart: false, from: 2 }]);
        assert_eq!(contexts.place(&[&a]), [Update { slot: 0, restart: false, from: 3 }]);
    }

    #[test]
    fn the_least_recently_used_goes_and_comes_back_whole() {
        let mut contexts = Contexts::new(2);
        let (a, b, c) = (context(&[1]), context(&[2]), context(&[3]));
        contexts.place(&[&a, &b]);
        contexts.place(&[&a]);
        assert_eq!(contexts.place(&[&c, &a])[0], Update { slot: 1, restart: true, from: 0 }, "b's place");
        assert_eq!(contexts.place(&[&a, &c]).map_slots(), [0, 1]);
        assert_eq!(contexts.place(&[&b])[0], Update { slot: 0, restart: true, from: 0 });
    }

    #[test]
    fn what_was_forgotten_is_noted_again_from_the_start() {
        let mut contexts = Contexts::new(2);
        let a = context(&[1, 2]);
        contexts.place(&[&a]);
        contexts.forget();
        assert_eq!(contexts.place(&[&a]), [Update { slot: 0, restart: true, from: 0 }]);
    }

    #[test]
    fn what_the_device_notes_by_itself_is_not_noted_again() {
        let mut contexts = Contexts::new(1);
        let mut a = context(&[1, 2]);
        contexts.place(&[&a]);
        contexts.noted(a.id(), 4);
        [7, 8, 9].into_iter().for_each(|t| a.push(t));
        assert_eq!(contexts.place(&[&a]), [Update { slot: 0, restart: false, from: 4 }]);
        let b = context(&[1]);
        contexts.place(&[&b]);
        contexts.noted(a.id(), 5);
        assert_eq!(contexts.place(&[&a]), [Update { slot: 0, restart: true, from: 0 }], "it has no table any more");
    }

    #[test]
    #[should_panic(expected = "no more contexts at once than tables")]
    fn more_at_once_than_tables_is_refused() {
        let all = [context(&[1]), context(&[2])];
        Contexts::new(1).place(&all.iter().collect::<Vec<_>>());
    }

    trait Slots {
        fn map_slots(&self) -> Vec<u32>;
    }

    impl Slots for Vec<Update> {
        fn map_slots(&self) -> Vec<u32> {
            self.iter().map(|u| u.slot).collect()
        }
    }
}

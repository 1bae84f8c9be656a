//! Pages of the key/value cache: who holds which, and how many are promised.
//!
//! A page is 128 positions of all layers, exactly a chunk of NUMERICS section 6, so sharing a prefix means
//! sharing pages. This file only keeps the books; a backend keeps the memory. Pages are promised before work
//! starts ([`PageBook::reserve`]), so a sequence that was admitted never has to be thrown out again.

/// Positions of a page.
pub const PAGE: usize = 128;

/// Index of a page in the backend's store.
pub type PageId = u32;

/// Pages needed for this many positions.
pub fn pages_for(positions: usize) -> usize {
    positions.div_ceil(PAGE)
}

/// Reference counts and promises for a fixed number of pages.
#[derive(Debug)]
pub struct PageBook {
    limit: usize,
    reserved: usize,
    references: Vec<u32>,
    free: Vec<PageId>,
}

impl PageBook {
    /// A book of `limit` pages, none in use.
    pub fn new(limit: usize) -> Self {
        Self { limit, reserved: 0, references: Vec::new(), free: Vec::new() }
    }

    /// Number of pages.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Pages in use.
    pub fn used(&self) -> usize {
        self.references.len() - self.free.len()
    }

    /// Pages promised.
    pub fn reserved(&self) -> usize {
        self.reserved
    }

    /// Promises `pages` more, or nothing.
    pub fn reserve(&mut self, pages: usize) -> bool {
        let fits = self.limit - self.reserved >= pages;
        if fits {
            self.reserved += pages;
        }
        fits
    }

    /// Takes a promise back.
    ///
    /// # Panics
    /// If that much was not promised.
    pub fn unreserve(&mut self, pages: usize) {
        self.reserved = self.reserved.checked_sub(pages).expect("a promise is taken back once");
    }

    /// A page with one reference. One that was freed comes before a new id, so that a backend's memory grows only when
    /// it must.
    ///
    /// # Panics
    /// If more pages are taken than exist, which promises prevent.
    pub fn take(&mut self) -> PageId {
        if let Some(id) = self.free.pop() {
            self.references[id as usize] = 1;
            return id;
        }
        assert!(self.references.len() < self.limit, "pages are taken only after they were promised");
        self.references.push(1);
        (self.references.len() - 1) as PageId
    }

    /// One more reference.
    pub fn share(&mut self, id: PageId) {
        assert!(self.references[id as usize] > 0, "page {id} is free");
        self.references[id as usize] += 1;
    }

    /// One reference less; the last one frees the page.
    pub fn release(&mut self, id: PageId) {
        let count = &mut self.references[id as usize];
        *count = count.checked_sub(1).expect("a page is released once per reference");
        if *count == 0 {
            self.free.push(id);
        }
    }
}

/// The pages of one sequence and how many positions they hold.
#[derive(Debug, Default)]
pub struct CacheTable {
    pages: Vec<PageId>,
    length: usize,
}

impl CacheTable {
    /// Page of each chunk of positions.
    pub fn pages(&self) -> &[PageId] {
        &self.pages
    }

    /// Positions held.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Takes pages for `positions` more and returns the position of the first.
    pub fn grow(&mut self, book: &mut PageBook, positions: usize) -> usize {
        let start = self.length;
        self.length += positions;
        while self.pages.len() < pages_for(self.length) {
            self.pages.push(book.take());
        }
        start
    }

    /// A sequence that starts with this one's positions: whole pages are shared; a last page in part filled
    /// comes back as (from, to) for the backend to copy.
    pub fn fork(&self, book: &mut PageBook) -> (Self, Option<(PageId, PageId)>) {
        let whole = self.length / PAGE;
        let mut pages = self.pages[..whole].to_vec();
        pages.iter().for_each(|&id| book.share(id));
        let mut copy = None;
        if !self.length.is_multiple_of(PAGE) {
            let to = book.take();
            copy = Some((self.pages[whole], to));
            pages.push(to);
        }
        (Self { pages, length: self.length }, copy)
    }

    /// Releases every page.
    pub fn clear(&mut self, book: &mut PageBook) {
        self.pages.drain(..).for_each(|id| book.release(id));
        self.length = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_fork_shares_whole_pages_and_copies_the_rest() {
        let mut book = PageBook::new(10);
        let mut prompt = CacheTable::default();
        assert_eq!(prompt.grow(&mut book, 300), 0);
        let (mut fork, copy) = prompt.fork(&mut book);
        assert_eq!(fork.pages()[..2], prompt.pages()[..2]);
        assert_eq!(copy, Some((prompt.pages()[2], fork.pages()[2])));
        assert_eq!(book.used(), 4);
        prompt.clear(&mut book);
        assert_eq!(book.used(), 3, "shared pages stay while the fork holds them");
        fork.clear(&mut book);
        assert_eq!(book.used(), 0);
    }

    #[test]
    fn a_whole_prompt_is_forked_without_a_copy() {
        let mut book = PageBook::new(4);
        let mut prompt = CacheTable::default();
        prompt.grow(&mut book, 256);
        let (fork, copy) = prompt.fork(&mut book);
        assert_eq!((copy, fork.pages()), (None, prompt.pages()));
    }

    #[test]
    fn promises_end_at_the_limit() {
        let mut book = PageBook::new(3);
        assert!(book.reserve(2) && !book.reserve(2) && book.reserve(1));
        book.unreserve(3);
        assert!(book.reserve(3));
    }

    proptest! {
        #[test]
        fn no_page_is_held_twice_or_lost(steps in prop::collection::vec((0usize..4, 0usize..8, 1usize..300), 1..60)) {
            let mut book = PageBook::new(1000);
            let mut live: Vec<CacheTable> = Vec::new();
            for (what, which, n) in steps {
                match what {
                    0 => {
                        let mut table = CacheTable::default();
                        table.grow(&mut book, n);
                        live.push(table);
                    }
                    1 if !live.is_empty() => {
                        let (fork, copy) = live[which % live.len()].fork(&mut book);
                        prop_assert_eq!(copy.is_some(), fork.length() % PAGE > 0);
                        live.push(fork);
                    }
                    2 if !live.is_empty() => {
                        let mut table = live.swap_remove(which % live.len());
                        table.clear(&mut book);
                    }
                    // Growing within a shared prefix's last page is safe because that page was copied.
                    3 if !live.is_empty() => {
                        let i = which % live.len();
                        live[i].grow(&mut book, n);
                    }
                    _ => {}
                }
                let mut counts = std::collections::HashMap::new();
                live.iter().flat_map(|t| t.pages()).for_each(|id| *counts.entry(*id).or_insert(0u32) += 1);
                prop_assert_eq!(book.used(), counts.len());
                for (id, count) in counts {
                    prop_assert_eq!(book.references[id as usize], count);
                }
            }
        }
    }
}

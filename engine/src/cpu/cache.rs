//! Memory of the cache's pages, and where in a page a key or value lies.
//!
//! Within a page, per layer and kv head: keys as panels of 16 keys, `[block][8][pairs][16][2]` (a block is up to
//! 128 channels), so that q K^T is a product with panels; values as panels of 16 channels,
//! `[panel][64][16][2]`, pairs running over positions, so that u V is one, too. Exponents lie beside them.
//! Lanes of positions not yet written hold anything: their dots are not read, and their u is 0.

use std::io;

use super::ahead::Ahead;
use super::isa::{Isa, dispatched};
use super::memory::{Buffer, Shared, ask_to_write, touch};
use super::pack::PANEL;
use super::pool::Pool;
use super::quantize::{BLOCK, Side, chunk};
use crate::FaultKind;
use crate::config::Config;
use crate::kv::{PAGE, PageId};

/// Sizes and offsets that follow from the config.
#[derive(Debug, Clone, Copy)]
pub struct PageLayout {
    layers: usize,
    kv_heads: usize,
    /// Channels of a head.
    pub head_dim: usize,
    /// Blocks of 128 channels of a head, the last maybe shorter.
    pub blocks: usize,
    /// Panels of 16 channels of a head.
    pub value_panels: usize,
}

impl PageLayout {
    /// The layout for a model.
    pub fn new(config: &Config) -> Self {
        Self {
            layers: config.num_hidden_layers,
            kv_heads: config.num_key_value_heads,
            head_dim: config.head_dim,
            blocks: config.head_dim.div_ceil(BLOCK),
            value_panels: config.head_dim.div_ceil(PANEL),
        }
    }

    /// Channels of a block.
    pub fn block_channels(&self, block: usize) -> usize {
        (self.head_dim - block * BLOCK).min(BLOCK)
    }

    fn key_integers(&self) -> usize {
        PAGE * self.head_dim
    }

    fn head_integers(&self) -> usize {
        self.key_integers() + PAGE * self.value_panels * PANEL
    }

    fn head_exponents(&self) -> usize {
        2 * self.blocks * PAGE
    }

    fn heads(&self) -> usize {
        self.layers * self.kv_heads
    }

    /// Memory of a page, bytes.
    pub fn page_bytes(&self) -> usize {
        self.heads() * (2 * self.head_integers() + self.head_exponents())
    }
}

struct Page {
    integers: Buffer<i16>,
    exponents: Buffer<i8>,
}

/// The pages that were ever in use. Freed ones keep their memory for the next owner.
pub struct PageStore {
    layout: PageLayout,
    pages: Vec<Page>,
}

/// One head's part of a page.
#[derive(Clone, Copy)]
pub struct HeadPage<'a> {
    layout: PageLayout,
    integers: &'a [i16],
    exponents: &'a [i8],
}

impl<'a> HeadPage<'a> {
    /// Key panels of a block, `[8][channels / 2][16][2]`.
    pub fn keys(&self, block: usize) -> &'a [i16] {
        let start = block * BLOCK * PAGE;
        &self.integers[start..start + self.layout.block_channels(block) * PAGE]
    }

    /// Exponents of a block's keys, `[128]`.
    pub fn key_exponents(&self, block: usize) -> &'a [i8] {
        &self.exponents[block * PAGE..(block + 1) * PAGE]
    }

    /// Value panels of a block, `[channels / 16][64][16][2]`.
    pub fn values(&self, block: usize) -> &'a [i16] {
        let start = self.layout.key_integers() + block * BLOCK * PAGE;
        &self.integers[start..start + self.layout.block_channels(block).next_multiple_of(PANEL) * PAGE]
    }

    /// Adds what the first `keys` keys take.
    pub fn keys_ahead(&self, keys: usize, ahead: &mut Ahead) {
        for block in 0..self.layout.blocks {
            ahead.push(self.key_exponents(block), keys, 1, 0);
            ahead.push(self.keys(block), self.layout.block_channels(block) * keys.next_multiple_of(PANEL), 1, 0);
        }
    }

    /// Adds what the first `keys` values take.
    pub fn values_ahead(&self, keys: usize, ahead: &mut Ahead) {
        for block in 0..self.layout.blocks {
            let panels = self.layout.block_channels(block).div_ceil(PANEL);
            ahead.push(self.value_exponents(block), keys, 1, 0);
            ahead.push(self.values(block), LINE * keys.div_ceil(2), panels, PAGE * PANEL);
        }
    }

    /// Exponents of a block's values, `[128]`.
    pub fn value_exponents(&self, block: usize) -> &'a [i8] {
        let start = (self.layout.blocks + block) * PAGE;
        &self.exponents[start..start + PAGE]
    }
}

impl PageStore {
    /// No pages yet.
    pub fn new(layout: PageLayout) -> Self {
        Self { layout, pages: Vec::new() }
    }

    /// The layout.
    pub fn layout(&self) -> &PageLayout {
        &self.layout
    }

    /// Makes sure that a page has memory.
    ///
    /// # Errors
    /// `OutOfMemory`.
    pub fn ensure(&mut self, id: PageId) -> io::Result<()> {
        while self.pages.len() <= id as usize {
            self.pages.push(Page {
                integers: Buffer::lasting(self.layout.heads() * self.layout.head_integers())?,
                exponents: Buffer::lasting(self.layout.heads() * self.layout.head_exponents())?,
            });
        }
        Ok(())
    }

    /// Has the system hand out the memory of the first `pages` pages now.
    ///
    /// # Errors
    /// `OutOfMemory`.
    pub fn warm(&mut self, pool: &Pool, pages: usize) -> io::Result<()> {
        if let Some(last) = pages.checked_sub(1) {
            self.ensure(PageId::try_from(last).map_err(|_| io::ErrorKind::OutOfMemory)?)?;
        }
        self.pages.iter_mut().for_each(|page| touch(pool, &mut page.integers));
        Ok(())
    }

    /// Copies a whole page.
    ///
    /// # Errors
    /// `OutOfMemory`.
    pub fn copy(&mut self, from: PageId, to: PageId) -> io::Result<()> {
        self.ensure(from.max(to))?;
        let [from, to] = self.pages.get_disjoint_mut([from as usize, to as usize]).expect("two different pages");
        to.integers.copy_from_slice(&from.integers);
        to.exponents.copy_from_slice(&from.exponents);
        Ok(())
    }

    /// One head's part of a page.
    pub fn head(&self, id: PageId, layer: usize, kv_head: usize) -> HeadPage<'_> {
        let (page, head) = (&self.pages[id as usize], layer * self.layout.kv_heads + kv_head);
        let (n, e) = (self.layout.head_integers(), self.layout.head_exponents());
        HeadPage {
            layout: self.layout,
            integers: &page.integers[head * n..(head + 1) * n],
            exponents: &page.exponents[head * e..(head + 1) * e],
        }
    }

    /// A handle through which several threads write keys and values of different positions.
    pub fn writer(&mut self) -> PageWriter<'_> {
        let pages = self.pages.iter_mut();
        let pages = pages.map(|p| (Shared::new(&mut p.integers), Shared::new(&mut p.exponents))).collect();
        PageWriter { layout: self.layout, pages, _store: std::marker::PhantomData }
    }
}

/// Writes keys and values while it holds the store exclusively.
pub struct PageWriter<'a> {
    layout: PageLayout,
    pages: Vec<(Shared<i16>, Shared<i8>)>,
    _store: std::marker::PhantomData<&'a mut PageStore>,
}

impl PageWriter<'_> {
    /// Quantizes (R) and stores the key (after norm and RoPE) and value of one head at one position; `position`
    /// counts from the start of the page's sequence.
    ///
    /// # Errors
    /// [`FaultKind::Quantizer`]; zeros are stored then.
    ///
    /// # Safety
    /// No other thread writes the same (page, layer, kv head, position) through this handle meanwhile.
    ///
    /// # Panics
    /// If a length is not `head_dim` or the page has no memory.
    #[allow(clippy::too_many_arguments)]
    pub unsafe fn store(
        &self,
        isa: Isa,
        id: PageId,
        layer: usize,
        kv_head: usize,
        position: usize,
        key: &[f32],
        value: &[f32],
    ) -> Result<(), FaultKind> {
        let l = &self.layout;
        assert!(key.len() == l.head_dim && value.len() == l.head_dim, "lengths of a key and a value");
        let at = position % PAGE;
        let mut result = Ok(());
        for block in 0..l.blocks {
            let channels = l.block_channels(block);
            let range = block * BLOCK..block * BLOCK + channels;
            let to = self.place(id, layer, kv_head, block, at);
            for done in [write_key(isa, &key[range.clone()], &to), write_value(isa, &value[range], &to)] {
                result = result.and(done);
            }
        }
        result
    }

    /// Asks for the memory that [`PageWriter::store`] will write at a position; where it has just been `brought` for the
    /// position before, for what that one did not need.
    pub fn ask(&self, id: PageId, layer: usize, kv_head: usize, position: usize, brought: bool) {
        for block in 0..self.layout.blocks {
            let to = self.place(id, layer, kv_head, block, position % PAGE);
            let channels = self.layout.block_channels(block);
            if !brought || position.is_multiple_of(PANEL) {
                (0..channels / 2).for_each(|pair| ask_to_write(to.keys.at(pair * LINE)));
            }
            if !brought || position.is_multiple_of(2) {
                (0..channels.div_ceil(PANEL)).for_each(|panel| ask_to_write(to.values.at(panel * PAGE * PANEL)));
            }
        }
    }

    fn place(&self, id: PageId, layer: usize, kv_head: usize, block: usize, at: usize) -> Place {
        let l = &self.layout;
        assert!(layer < l.layers && kv_head < l.kv_heads, "layer {layer}, kv head {kv_head}");
        let (integers, exponents) = self.pages[id as usize];
        let head = layer * l.kv_heads + kv_head;
        let (base, e_base) = (head * l.head_integers(), head * l.head_exponents());
        let first = base + block * BLOCK * PAGE;
        let keys = first + (at / PANEL) * PANEL * l.block_channels(block) + (at % PANEL) * 2;
        let values = first + l.key_integers() + (at / 2) * LINE + at % 2;
        let (key_g, value_g) = (e_base + block * PAGE + at, e_base + (l.blocks + block) * PAGE + at);
        Place {
            keys: Shared::from(integers.at(keys)),
            values: Shared::from(integers.at(values)),
            key_g: Shared::from(exponents.at(key_g)),
            value_g: Shared::from(exponents.at(value_g)),
        }
    }
}

/// Elements of a pair of a panel: a cache line.
const LINE: usize = 2 * PANEL;

/// Where one block of one position's key and value go: inside the head's part of a page that the store has, whose layout leaves
/// each of them places of its own; a key's last pair ends at PAGE * channels of its block, a value's last panel
/// at PAGE * channels rounded up to panels.
struct Place {
    keys: Shared<i16>,
    values: Shared<i16>,
    key_g: Shared<i8>,
    value_g: Shared<i8>,
}

dispatched! {
    /// Quantizes (R) and stores a block of a key; zeros where that is an error. Nobody else reads or writes its places meanwhile.
    fn write_key(key: &[f32], to: &Place) -> Result<(), FaultKind> = key_body;
    /// The same for a value.
    fn write_value(value: &[f32], to: &Place) -> Result<(), FaultKind> = value_body;
}

#[inline(always)]
fn key_body(key: &[f32], to: &Place) -> Result<(), FaultKind> {
    let (q, g, result) = quantized(key);
    for (pair, two) in q[..key.len()].as_chunks::<2>().0.iter().enumerate() {
        // SAFETY: see `Place`; a pair lies on four bytes.
        unsafe { to.keys.at(pair * LINE).cast::<[i16; 2]>().write(*two) }
    }
    // SAFETY: as above.
    unsafe { *to.key_g.at(0) = g }
    result
}

#[inline(always)]
fn value_body(value: &[f32], to: &Place) -> Result<(), FaultKind> {
    let (q, g, result) = quantized(value);
    for (i, v) in q[..value.len()].iter().enumerate() {
        // SAFETY: see `Place`.
        unsafe { *to.values.at((i / PANEL) * PAGE * PANEL + (i % PANEL) * 2) = *v }
    }
    // SAFETY: as above.
    unsafe { *to.value_g.at(0) = g }
    result
}

#[inline(always)]
fn quantized(x: &[f32]) -> ([i16; BLOCK], i8, Result<(), FaultKind>) {
    let mut q = [0; BLOCK];
    match chunk(Side::Right, x, &mut q) {
        Ok(g) => (q, g, Ok(())),
        Err(kind) => ([0; BLOCK], 0, Err(kind)),
    }
}

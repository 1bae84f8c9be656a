//! Attention by context length: one row, a group on a shared prefix, and the last rows of a prompt.

use std::hint::black_box;

use grail_engine::config::Config;
use grail_engine::cpu::attention::{HeadShape, Queries, QueryRow, attend};
use grail_engine::cpu::cache::{PageLayout, PageStore};
use grail_engine::cpu::isa::Isa;
use grail_engine::cpu::pool::Pool;
use grail_engine::kv::{PAGE, PageId};

use crate::record::{Bench, Work};
use crate::{Result, filled};

const CONTEXTS: [usize; 3] = [256, 1024, 4096];
/// Rollouts of a group.
const GROUP: usize = 16;
/// Rows of a prefill.
const PREFILL: usize = 128;

pub fn run(bench: &mut Bench, isa: Isa, pool: &Pool, config: &Config) -> Result<()> {
    let layout = PageLayout::new(config);
    let shape = HeadShape {
        heads: config.num_attention_heads,
        kv_heads: config.num_key_value_heads,
        head_dim: config.head_dim,
    };
    for context in CONTEXTS {
        let mut store = PageStore::new(layout);
        let pages: Vec<PageId> = (0..(context / PAGE) as PageId).collect();
        write(&mut store, isa, config, &pages)?;
        for (name, rows) in [
            ("decode", vec![QueryRow { pages: &pages, position: context - 1 }]),
            ("group", vec![QueryRow { pages: &pages, position: context - 1 }; GROUP]),
            ("prefill", (context - PREFILL..context).map(|position| QueryRow { pages: &pages, position }).collect()),
        ] {
            case(bench, isa, pool, shape, config.num_hidden_layers, &store, name, &rows);
        }
    }
    Ok(())
}

/// Keys and values of every position, the same in each layer.
fn write(store: &mut PageStore, isa: Isa, config: &Config, pages: &[PageId]) -> Result<()> {
    for &page in pages {
        store.ensure(page)?;
    }
    let writer = store.writer();
    for position in 0..pages.len() * PAGE {
        let (key, value) = (filled(position, 1.0, config.head_dim), filled(position + 1, 1.0, config.head_dim));
        for layer in 0..config.num_hidden_layers {
            for head in 0..config.num_key_value_heads {
                // SAFETY: one thread writes.
                unsafe { writer.store(isa, pages[position / PAGE], layer, head, position, &key, &value)? };
            }
        }
    }
    Ok(())
}

#[allow(clippy::too_many_arguments)]
fn case(
    bench: &mut Bench,
    isa: Isa,
    pool: &Pool,
    shape: HeadShape,
    layers: usize,
    store: &PageStore,
    name: &str,
    rows: &[QueryRow<'_>],
) {
    let width = shape.heads * shape.head_dim;
    let mut queries = Queries::default();
    queries.quantize(isa, pool, shape, &mut filled(3, 1.0, rows.len() * width), width, &|row, kind| {
        panic!("row {row}: {kind}")
    });
    let context = rows.iter().map(|row| row.position + 1).max().unwrap_or(0);
    let seen: usize = rows.iter().map(|row| row.position + 1).sum();
    // Keys and values once for all rows, which share them.
    let bytes = 2 * context * shape.kv_heads * (2 * shape.head_dim + shape.blocks());
    let work = Work { bytes, macs: 2 * seen * width };
    let mut layer = 0;
    bench.case(&format!("attention/{name}"), &format!("{}x{context}", rows.len()), work, || {
        layer = (layer + 1) % layers;
        let emit = |_: usize, _: usize, part: &[f32]| {
            black_box(part);
        };
        attend(isa, pool, shape, &queries, rows, store, layer, &emit, &|row, kind| panic!("row {row}: {kind}"));
    });
}

//! What is made row by row: norms, rotary embedding, activation, log-sums, the sampler and the sketch.

use std::hint::black_box;
use std::sync::Mutex;

use grail_engine::config::Config;
use grail_engine::cpu::isa::Isa;
use grail_engine::cpu::ops;
use grail_engine::cpu::pool::Pool;
use grail_engine::cpu::rope::RopeTable;
use grail_engine::cpu::sampling::{Distribution, LogSum};
use grail_engine::types::{Sampling, Seed};

use crate::record::{Bench, Work};
use crate::{Result, filled};

/// Rows of a pass.
const ROWS: usize = 512;
/// Different ids that a sequence of 384 tokens has.
const CONTEXT: usize = 384;
const FLOAT: usize = size_of::<f32>();

pub fn run(bench: &mut Bench, isa: Isa, pool: &Pool, config: &Config) -> Result<()> {
    let (hidden, inner) = (config.hidden_size, config.intermediate_size);
    let (x, weight) = (filled(1, 1.0, ROWS * inner), filled(2, 1.0, inner));
    let row = |row: usize, width: usize| &x[row * width..(row + 1) * width];
    let bytes = |width: usize| Work { bytes: ROWS * width * FLOAT, macs: 0 };

    bench.case("rms_norm", &format!("{ROWS}x{hidden}"), bytes(2 * hidden), || {
        each(pool, hidden, |i, out| {
            black_box(ops::rms_norm(isa, row(i, hidden), &weight[..hidden], 1e-6, out).is_ok());
        });
    });
    let mut table = RopeTable::new(config);
    table.grow(ROWS);
    let heads = config.num_attention_heads + config.num_key_value_heads;
    let width = heads * config.head_dim;
    // A rotation keeps lengths, so a row may be turned again and again.
    let turned: Vec<Mutex<Vec<f32>>> = (0..ROWS).map(|i| Mutex::new(filled(i, 1.0, width))).collect();
    bench.case("rope", &format!("{ROWS}x{heads}x{}", config.head_dim), bytes(2 * width), || {
        pool.for_each(ROWS, 4, |rows| {
            for i in rows {
                let mut x = turned[i].lock().expect("no panic while held");
                let (cos, sin) = table.row(i);
                x.chunks_exact_mut(config.head_dim).for_each(|head| ops::rope(isa, head, cos, sin));
            }
        });
    });
    bench.case("silu_mul", &format!("{ROWS}x{inner}"), bytes(3 * inner), || {
        each(pool, inner, |i, out| ops::silu_mul(isa, row(i, inner), &weight, out));
    });
    let r: Vec<i32> = (0..hidden).map(|i| (i as i32 * 7919) % 255 - 127).collect();
    bench.case("sketch", &format!("{ROWS}x{hidden}"), bytes(hidden), || {
        pool.for_each(ROWS, 8, |rows| {
            for i in rows {
                black_box(ops::sketch(isa, row(i, hidden), &r).is_ok());
            }
        });
    });
    logits(bench, isa, pool, config.vocab_size);
    Ok(())
}

/// Calls `f(row, out)` for each row, out being `width` elements of a thread's own.
fn each(pool: &Pool, width: usize, f: impl Fn(usize, &mut [f32]) + Sync) {
    pool.for_each(ROWS, 4, |rows| {
        let mut out = vec![0.0; width];
        for i in rows {
            f(i, &mut out);
            black_box(&mut out);
        }
    });
}

/// One row of logits a thread.
fn logits(bench: &mut Bench, isa: Isa, pool: &Pool, vocab: usize) {
    let context: Vec<u32> = (0..CONTEXT).map(|i| (i * 7919 % vocab) as u32).collect();
    let rows: Vec<Mutex<(Vec<f32>, Vec<f32>)>> =
        (0..pool.threads()).map(|i| Mutex::new((filled(i, 4.0, vocab), Vec::new()))).collect();
    let work = Work { bytes: rows.len() * vocab * FLOAT, macs: 0 };
    let shape = format!("{}x{vocab}", rows.len());
    bench.case("log_sum", &shape, work, || {
        pool.run(&|thread| {
            let (logits, scratch) = &mut *rows[thread].lock().expect("no panic while held");
            black_box(LogSum::new(isa, logits, 1.0, scratch).is_ok());
        });
    });
    let plain = filled(0, 4.0, vocab);
    for (name, logprobs) in [("sampler", false), ("sampler/logprobs", true)] {
        bench.case(name, &shape, work, || {
            pool.run(&|thread| {
                let (logits, scratch) = &mut *rows[thread].lock().expect("no panic while held");
                // The penalty of the call before is taken back.
                context.iter().for_each(|&id| logits[id as usize] = plain[id as usize]);
                let made = Distribution::new(isa, logits, &context, &Sampling::default(), logprobs, scratch);
                black_box(made.map(|d| d.draw(&Seed([7; 32]), CONTEXT)).is_ok());
            });
        });
    }
}

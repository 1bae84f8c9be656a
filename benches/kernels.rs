//! Every CPU kernel on the shapes of Qwen3-0.6B, beside the machine's limits of the same run.
//!
//! `cargo bench -p grail-engine --bench kernels [FILTER]`; `GRAIL_THREADS` and `GRAIL_CPU` choose threads and instruction
//! set. What criterion prints is followed by a table: median time, bytes and multiply-adds a second, and their shares of
//! what the machine can do. Inputs that are small stay in the caches, as they do in the engine, so their share of the
//! read limit can pass 100 %; weights and the keys and values of many layers do not fit.

mod attention;
#[path = "../cli/commands/bench/machine.rs"]
mod machine;
mod matrices;
mod record;
mod rows;

use grail_engine::config::Config;
use grail_engine::cpu::isa::{self, Isa};
use grail_engine::cpu::pool::Pool;

use machine::Machine;
use record::Bench;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let isa = Isa::choose(std::env::var(isa::ENV).ok().filter(|word| !word.is_empty()).as_deref())?;
    let cores = std::thread::available_parallelism()?.get();
    let threads = std::env::var("GRAIL_THREADS").ok().map_or(Ok(cores), |text| text.parse())?;
    let config = Config::parse(&shape().config_json())?;
    let pool = Pool::start(threads)?;
    let mut bench = Bench::new(Machine::measure(isa, threads)?);
    matrices::run(&mut bench, isa, &pool, &config)?;
    attention::run(&mut bench, isa, &pool, &config)?;
    rows::run(&mut bench, isa, &pool, &config)?;
    println!("\n{isa}, {threads} threads");
    bench.finish();
    Ok(())
}

fn shape() -> grail_engine::checkpoint::synthetic::Shape {
    grail_engine::checkpoint::synthetic::Shape::qwen3("0.6b").expect("a shape of this name")
}

/// Bell-shaped values of some scale, the same for the same seed.
fn fill(seed: usize, scale: f32, x: &mut [f32]) {
    let mut state = (seed as u32).wrapping_mul(2_654_435_761) | 1;
    for x in x {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let sum = (state >> 8 & 255) + (state >> 16 & 255) + (state >> 24);
        *x = (sum as f32 - 382.5) / 128.0 * scale;
    }
}

fn filled(seed: usize, scale: f32, len: usize) -> Vec<f32> {
    let mut x = vec![0.0; len];
    fill(seed, scale, &mut x);
    x
}

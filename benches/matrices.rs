//! Products with packed weights, packing, and the quantizers.

use std::hint::black_box;

use grail_engine::config::Config;
use grail_engine::cpu::gemm::{Mode, matmul};
use grail_engine::cpu::isa::Isa;
use grail_engine::cpu::memory::Buffer;
use grail_engine::cpu::pack::{Format, PackedMatrix};
use grail_engine::cpu::pool::Pool;
use grail_engine::cpu::quantize::{BLOCK, QuantRows, Side, quantize_row};

use crate::record::{Bench, Work};
use crate::{Result, fill, filled};

const BATCHES: [usize; 6] = [1, 4, 8, 16, 64, 512];
/// Copies of a matrix take this much together, so that none is in a cache when its turn comes.
const COLD_BYTES: usize = 160 << 20;
/// From here on weights are read for many rows, and one copy is enough.
const WARM_BATCH: usize = 64;
/// Rows that the quantizers get.
const QUANTIZED: usize = 512;

struct Shape {
    name: &'static str,
    rows: usize,
    cols: usize,
    mode: Mode,
}

pub fn run(bench: &mut Bench, isa: Isa, pool: &Pool, config: &Config) -> Result<()> {
    let (hidden, inner) = (config.hidden_size, config.intermediate_size);
    let qkv = config.query_width() + 2 * config.key_value_width();
    for shape in [
        Shape { name: "qkv", rows: qkv, cols: hidden, mode: Mode::Store },
        Shape { name: "o", rows: hidden, cols: config.query_width(), mode: Mode::Add },
        Shape { name: "gate_up", rows: inner, cols: hidden, mode: Mode::SiluMul },
        Shape { name: "down", rows: hidden, cols: inner, mode: Mode::Add },
        Shape { name: "head", rows: config.vocab_size, cols: hidden, mode: Mode::Store },
    ] {
        products(bench, isa, pool, &shape)?;
    }
    packing(bench, isa, pool, hidden, inner)?;
    for (side, name) in [(Side::Right, "right"), (Side::Left, "left")] {
        for cols in [BLOCK, hidden, inner] {
            quantizer(bench, isa, pool, side, name, cols);
        }
    }
    Ok(())
}

/// Weights as a checkpoint has them: bf16.
fn weights(row: usize, x: &mut [f32]) {
    fill(row, 0.03, x);
    x.iter_mut().for_each(|x| *x = f32::from_bits(x.to_bits() & 0xffff_0000));
}

fn products(bench: &mut Bench, isa: Isa, pool: &Pool, shape: &Shape) -> Result<()> {
    let pack = |_| match shape.mode {
        Mode::SiluMul => {
            PackedMatrix::pack_gate_up(isa, pool, Format::Compact, shape.rows, shape.cols, |part, row, x| {
                weights(2 * row + part, x)
            })
        }
        _ => PackedMatrix::pack(isa, pool, Format::Compact, shape.rows, shape.cols, weights),
    };
    let parts = if shape.mode == Mode::SiluMul { 2 } else { 1 };
    let bytes = PackedMatrix::bytes_of(Format::Compact, parts, shape.rows, shape.cols) as usize;
    let copies = COLD_BYTES.div_ceil(bytes);
    let copies: Vec<PackedMatrix> = (0..copies).map(pack).collect::<std::result::Result<_, _>>()?;
    for batch in BATCHES {
        let mut a = QuantRows::new();
        a.reset(batch, shape.cols)?;
        let writer = a.writer();
        for row in 0..batch {
            writer.write(isa, Side::Right, row, &filled(row, 1.0, shape.cols))?;
        }
        let mut out = Buffer::<f32>::zeroed(batch * shape.rows)?;
        let used = if batch < WARM_BATCH { copies.len() } else { 1 };
        let work = Work { bytes, macs: batch * parts * shape.rows * shape.cols };
        let mut next = 0;
        bench.case(&format!("matmul/{}", shape.name), &format!("M={batch}"), work, || {
            next = (next + 1) % used;
            matmul(isa, pool, &copies[next], &a, &mut out, shape.rows, shape.mode);
        });
    }
    Ok(())
}

/// From bf16, as it is stored, to panels.
fn packing(bench: &mut Bench, isa: Isa, pool: &Pool, rows: usize, cols: usize) -> Result<()> {
    let mut source = Buffer::<u16>::zeroed(rows * cols)?;
    for (row, to) in source.chunks_exact_mut(cols).enumerate() {
        to.iter_mut().zip(filled(row, 0.03, cols)).for_each(|(to, x)| *to = (x.to_bits() >> 16) as u16);
    }
    let widen = |row: usize, x: &mut [f32]| {
        let source = &source[row * cols..(row + 1) * cols];
        x.iter_mut().zip(source).for_each(|(x, bits)| *x = f32::from_bits(u32::from(*bits) << 16));
    };
    let bytes = 2 * rows * cols + PackedMatrix::bytes_of(Format::Compact, 1, rows, cols) as usize;
    PackedMatrix::pack(isa, pool, Format::Compact, rows, cols, widen)?;
    bench.case("pack", &format!("{rows}x{cols}"), Work { bytes, macs: 0 }, || {
        black_box(PackedMatrix::pack(isa, pool, Format::Compact, rows, cols, widen).is_ok());
    });
    Ok(())
}

fn quantizer(bench: &mut Bench, isa: Isa, pool: &Pool, side: Side, name: &str, cols: usize) {
    let x = filled(1, 1.0, QUANTIZED * cols);
    let bytes = QUANTIZED * cols * (size_of::<f32>() + size_of::<i16>());
    bench.case(&format!("quantize/{name}"), &format!("{QUANTIZED}x{cols}"), Work { bytes, macs: 0 }, || {
        pool.for_each(QUANTIZED, 8, |rows| {
            let (mut q, mut g) = (vec![0_i16; cols.next_multiple_of(BLOCK)], vec![0_i8; cols.div_ceil(BLOCK)]);
            for row in rows {
                black_box(quantize_row(isa, side, &x[row * cols..(row + 1) * cols], &mut q, &mut g).is_ok());
                black_box(&mut q);
            }
        });
    });
}

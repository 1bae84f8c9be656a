//! The products of a layer, beside those of cuBLASLt.

use super::{BenchRow, Bytes, KernelBench, ShowRow, cublaslt, operations};
use crate::Result;
use crate::cuda::ops::operands::{Arrangement, Epilogue, PackedWeights, Product, QuantizedRows, RowCount};
use crate::cuda::ops::products::Products;
use crate::cuda::{DeviceBuffer, abi};

/// A matrix of a layer.
struct Matrix {
    name: &'static str,
    rows: u32,
    k: u32,
    arrangement: Arrangement,
    epilogue: Epilogue,
}

fn matrices(bench: &KernelBench) -> [Matrix; 4] {
    let (hidden, intermediate) = (bench.hidden(), bench.width(bench.options.shape.intermediate));
    let (heads, shape) = (bench.attention.heads * bench.attention.head_dim, &bench.attention);
    let one = |name, rows, k, arrangement, epilogue| Matrix { name, rows, k, arrangement, epilogue };
    [
        one("qkv", shape.qkv_width(), hidden, Arrangement::Stacked, Epilogue::Store),
        one("o", hidden, heads, Arrangement::Stacked, Epilogue::Add),
        one("gate_up", intermediate, hidden, Arrangement::GateUp, Epilogue::Store),
        one("down", hidden, intermediate, Arrangement::Stacked, Epilogue::Add),
    ]
}

pub(super) fn run(bench: &KernelBench, show: &mut ShowRow<'_>) -> Result<()> {
    let products = Products::new(&bench.device)?;
    for matrix in matrices(bench) {
        let bytes = PackedWeights::bytes_for(matrix.rows, matrix.k, matrix.arrangement);
        let copies = bench.copies(bytes);
        let weights = (0..copies).map(|_| bench.packed(matrix.rows, matrix.k, matrix.arrangement));
        let weights = weights.collect::<Result<Vec<_>>>()?;
        for (rows, what) in bench.row_counts() {
            let mut row = product(bench, &products, &matrix, &weights, rows, &what)?;
            let features = if matrix.arrangement == Arrangement::GateUp { 2 * matrix.rows } else { matrix.rows };
            row.peer = cublaslt::time(bench, rows, features, matrix.k, copies);
            show(row)?;
        }
    }
    Ok(())
}

fn product(
    bench: &KernelBench,
    products: &Products,
    matrix: &Matrix,
    weights: &[PackedWeights],
    rows: u32,
    what: &str,
) -> Result<BenchRow> {
    let x = bench.quantized(rows, matrix.k)?;
    let mut y = DeviceBuffer::<f32>::zeroed(&bench.device, rows as usize * matrix.rows as usize)?;
    let (stride, epilogue, count) = (matrix.rows, matrix.epilogue, RowCount::exactly(rows));
    let first = Product { weights: &weights[0], x: &x, y: &mut y, stride, count, epilogue };
    let kernel = products.kernel_name(&first);
    let seconds = bench.timer.time(weights.len() as u32, |i| {
        let weights = &weights[i as usize];
        products.run(&mut Product { weights, x: &x, y: &mut y, stride, count, epilogue })
    })?;
    let outputs = u64::from(rows) * u64::from(matrix.rows) * if epilogue == Epilogue::Add { 8 } else { 4 };
    let bytes = PackedWeights::bytes_for(matrix.rows, matrix.k, matrix.arrangement) + read_bytes(&x, rows) + outputs;
    Ok(BenchRow {
        kernel,
        case: format!("{} {} x {}, {what}", matrix.name, matrix.rows, matrix.k),
        bytes: Bytes::Exactly(bytes),
        operations: operations(mma(kernel, &weights[0], rows)),
        seconds,
        peer: super::Peer::None,
    })
}

/// Whole tiles of 8 rows.
pub(super) fn read_bytes(x: &QuantizedRows, rows: u32) -> u64 {
    let tiles = u64::from(rows.div_ceil(abi::TILE_TOKENS)) * u64::from(x.k().div_ceil(abi::BLOCK));
    tiles * u64::from(abi::ROWS_TILE_BYTES + abi::TILE_TOKENS)
}

/// Products of m16n8k32 that a kernel issues: four slices of each block, on whole tiles of its own.
fn mma(kernel: &str, weights: &PackedWeights, rows: u32) -> u64 {
    let (features, columns) = match kernel {
        "gemm" => (8, 16),
        "gemm_narrow" => (4, 8),
        "gemv_wide" => (2, 1),
        _ => (1, 1),
    };
    let tiles = weights.tiles().next_multiple_of(features);
    let row_tiles = rows.div_ceil(abi::TILE_TOKENS).next_multiple_of(columns);
    u64::from(tiles) * u64::from(row_tiles) * u64::from(weights.blocks()) * u64::from(4 * abi::KSTEPS)
}

//! What the products of Qwen3-4B cost at least on two devices, from the counts of the main loops. Attention and the small
//! kernels are not in it; keys and values are, as bytes.

use grail_ptx::{A100, Cost, H100, Shape};

use crate::launch::{Compiled, abi, source};
use crate::products::{Case, Epilogue};

const LAYERS: f64 = 36.0;
const HIDDEN: f64 = 2560.0;
/// Features and contraction length of a layer's products: q, k and v; o; gate and up; down.
const PRODUCTS: [(f64, f64); 4] = [(6144.0, 2560.0), (2560.0, 4096.0), (19456.0, 2560.0), (2560.0, 9728.0)];
const VOCABULARY: f64 = 151_936.0;
/// Two bytes an element and an exponent a block, for keys and for values of 8 heads.
const CACHE_BYTES: f64 = LAYERS * 8.0 * 2.0 * (2.0 * 128.0 + 1.0);

/// Cost of one block of 128 of a tile, where the kernel has `features` and `rows` per tile.
fn per_block(compiled: &Compiled, kernel: &str, rows: usize, features: usize, shape: Shape) -> Cost {
    let [short, long] =
        [8, 16].map(|blocks| Case::new(rows, features, 128 * blocks, Epilogue::Store).run(compiled, kernel, shape));
    let mut cost = long.beyond(&short).cost().times(1.0 / 8.0);
    // Rows are read again by every tile, but from the cache; weights are not.
    cost.bytes = (features * (2 * 128 + 1)) as f64;
    cost
}

#[test]
fn predicted_times_of_a_model() {
    let (Some(gemv), Some(gemm)) = (source("gemv.cu"), source("gemm.cu")) else { return };
    println!("Least milliseconds of Qwen3-4B\'s products and cache at 1024 tokens of context, and what bounds them:");
    println!(
        "{:<18} {:>6} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "step", "device", "memory", "tensor", "issue", "shared", "bound"
    );
    for (what, rows, prefill) in [
        ("decode 1", 1, false),
        ("decode 16", 16, false),
        ("decode 64", 64, false),
        ("decode 256", 256, true),
        ("prefill 2048", 2048, true),
    ] {
        let (tile_rows, features, one) = if prefill {
            let shape = Shape { dynamic_shared: abi("GEMM_SHARED_BYTES"), ..Shape::new(1, 256) };
            (128, 128.0, per_block(&gemm, "gemm", 128, 128, shape))
        } else if rows > 16 {
            let shape = Shape { dynamic_shared: abi("GEMV_WIDE_SHARED_BYTES"), ..Shape::new(1, 256) };
            (rows, 32.0, per_block(&gemv, "gemv_wide", rows, 32, shape))
        } else {
            (
                rows,
                16.0,
                per_block(
                    &gemv,
                    "gemv",
                    rows,
                    16,
                    Shape { dynamic_shared: abi("GEMV_SHARED_BYTES"), ..Shape::new(1, 256) },
                ),
            )
        };
        let across = rows.div_ceil(tile_rows) as f64;
        let blocks: f64 = PRODUCTS.iter().map(|(n, k)| LAYERS * n / features * k / 128.0).sum();
        // Of a prefill, only one row needs the head.
        let head = VOCABULARY / features * HIDDEN / 128.0;
        let mut cost = one.times(blocks * across);
        cost.bytes = one.bytes * blocks;
        if what.starts_with("decode") {
            let bytes = one.bytes * head;
            cost = cost.plus(Cost { bytes, ..one.times(head * across) });
            cost.bytes += 1024.0 * CACHE_BYTES * rows as f64;
        }
        for device in [A100, H100] {
            let s = cost.on(&device);
            let ms = |x: f64| 1e3 * x;
            println!(
                "{what:<18} {:>6} {:>9.2} {:>9.2} {:>9.2} {:>9.2} {:>9.2}",
                device.name,
                ms(s.memory),
                ms(s.tensor),
                ms(s.issue),
                ms(s.shared),
                ms(s.bound())
            );
            // Decode of few rows is bound by memory, or the kernels are at fault.
            assert!(rows > 16 || s.bound() == s.memory, "{what} on {}", device.name);
        }
    }
}

//! The device layouts of kernels/abi.h, element by element.

use grail_engine::numerics::{BLOCK, Quantized};

/// Offset of byte `plane` (0: low slice) of element (`row` of 16, `k` of 128) in a packed weight tile.
fn weight_offset(row: usize, k: usize, plane: usize) -> usize {
    let (kstep, half, t, j) = (k / 32, k % 32 / 16, k % 16 / 4, k % 4);
    kstep * 1024 + plane * 512 + (4 * (row % 8) + t) * 16 + (row / 8 + 2 * half) * 4 + j
}

/// The same of element (`row` of 8, `k` of 128) in a tile of quantized rows.
fn rows_offset(row: usize, k: usize, plane: usize) -> usize {
    let (kstep, half, t, j) = (k / 32, k % 32 / 16, k % 16 / 4, k % 4);
    kstep * 512 + (4 * row + t) * 16 + plane * 8 + half * 4 + j
}

/// The slices of q = 256 hi + lo (NUMERICS 3).
fn slices(q: i16) -> [u8; 2] {
    let lo = ((i32::from(q) + 128) & 255) - 128;
    [lo as u8, ((i32::from(q) - lo) / 256) as u8]
}

struct Tiling {
    rows: usize,
    bytes: usize,
    offset: fn(usize, usize, usize) -> usize,
}

const WEIGHTS: Tiling = Tiling { rows: 16, bytes: 4096, offset: weight_offset };
const ROWS: Tiling = Tiling { rows: 8, bytes: 2048, offset: rows_offset };

/// Integers and exponents of rows as they lie on the device; padding rows are zero, their exponents `padding`.
fn pack(tiling: &Tiling, rows: &[Quantized], padding: i8) -> (Vec<u8>, Vec<u8>) {
    let blocks = rows[0].g.len();
    let tiles = rows.len().div_ceil(tiling.rows);
    let mut q = vec![0; tiles * blocks * tiling.bytes];
    let mut g = vec![padding as u8; tiles * blocks * tiling.rows];
    for (r, row) in rows.iter().enumerate() {
        for c in 0..blocks {
            let place = r / tiling.rows * blocks + c;
            g[place * tiling.rows + r % tiling.rows] = row.g[c] as u8;
            for k in 0..BLOCK {
                for (plane, byte) in slices(row.q[c * BLOCK + k]).into_iter().enumerate() {
                    q[place * tiling.bytes + (tiling.offset)(r % tiling.rows, k, plane)] = byte;
                }
            }
        }
    }
    (q, g)
}

pub fn pack_weights(rows: &[Quantized]) -> (Vec<u8>, Vec<u8>) {
    pack(&WEIGHTS, rows, 0)
}

pub fn pack_rows(rows: &[Quantized]) -> (Vec<u8>, Vec<u8>) {
    pack(&ROWS, rows, 0)
}

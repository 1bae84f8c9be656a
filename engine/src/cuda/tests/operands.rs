//! The layouts of `kernels/abi.h` once more, written from its words, and operands made on the host.

use crate::cuda::ops::operands::{Arrangement, PackedWeights, QuantizedRows};
use crate::cuda::{Device, DeviceBuffer, abi};
use crate::numerics::Quantized;

/// Byte of element (row, k) of packed weights, low slice; the high slice lies 512 further.
fn weight_place(row: usize, k: usize, blocks: usize) -> usize {
    let (tile, r) = (row / 16, row % 16);
    let (block, kstep, kk) = (k / 128, k % 128 / 32, k % 32);
    let (half, t, byte) = (kk / 16, kk % 16 / 4, kk % 4);
    let (lane, register) = (4 * (r % 8) + t, r / 8 + 2 * half);
    ((tile * blocks + block) * 4 + kstep) * 1024 + lane * 16 + register * 4 + byte
}

/// Byte of element (row, k) of quantized rows, low slice; the high slice lies 8 further.
fn row_place(row: usize, k: usize, blocks: usize) -> usize {
    let (tile, column) = (row / 8, row % 8);
    let (block, kstep, kk) = (k / 128, k % 128 / 32, k % 32);
    let (half, t, byte) = (kk / 16, kk % 16 / 4, kk % 4);
    ((tile * blocks + block) * 4 + kstep) * 512 + (4 * column + t) * 16 + half * 4 + byte
}

fn slices(q: i16) -> (u8, u8) {
    let q = i32::from(q);
    let low = ((q + 128) & 255) - 128;
    let high = i8::try_from((q - low) / 256).expect("the high slice fits");
    (low as i8 as u8, high as u8)
}

fn joined(low: u8, high: u8) -> i16 {
    i16::from(high as i8) * 256 + i16::from(low as i8)
}

/// Packed row of row `row` of matrix `matrix` (0: the only one or gate, 1: up).
pub fn packed_row(arrangement: Arrangement, matrix: usize, row: usize) -> usize {
    match arrangement {
        Arrangement::Stacked => row,
        Arrangement::GateUp => row / 8 * 16 + 8 * matrix + row % 8,
    }
}

/// Row `row` (packed) of packed weights.
pub fn weight_row(q: &[u8], g: &[i8], blocks: usize, row: usize) -> Quantized {
    let at = |k| weight_place(row, k, blocks);
    Quantized {
        q: (0..blocks * 128).map(|k| joined(q[at(k)], q[at(k) + 512])).collect(),
        g: (0..blocks).map(|b| i32::from(g[(row / 16 * blocks + b) * 16 + row % 16])).collect(),
    }
}

/// A row of quantized rows.
pub fn quantized_row(q: &[u8], g: &[i8], blocks: usize, row: usize) -> Quantized {
    let at = |k| row_place(row, k, blocks);
    Quantized {
        q: (0..blocks * 128).map(|k| joined(q[at(k)], q[at(k) + 8])).collect(),
        g: (0..blocks).map(|b| i32::from(g[(row / 8 * blocks + b) * 8 + row % 8])).collect(),
    }
}

/// Packs one matrix, or gate and up.
pub fn packed(device: &Device, matrices: &[&[Quantized]], k: usize) -> PackedWeights {
    let arrangement = if matrices.len() == 2 { Arrangement::GateUp } else { Arrangement::Stacked };
    let mut to = PackedWeights::zeroed(device, matrices[0].len() as u32, k as u32, arrangement).unwrap();
    let blocks = to.blocks() as usize;
    let (mut q, mut g) = (vec![0; to.q().len()], vec![0; to.g().len()]);
    for (matrix, rows) in matrices.iter().enumerate() {
        for (row, values) in rows.iter().enumerate() {
            let row = packed_row(arrangement, matrix, row);
            for (k, value) in values.q.iter().enumerate() {
                let at = weight_place(row, k, blocks);
                (q[at], q[at + 512]) = slices(*value);
            }
            for (b, value) in values.g.iter().enumerate() {
                g[(row / 16 * blocks + b) * 16 + row % 16] = *value as i8;
            }
        }
    }
    to.q.write(0, &q).unwrap();
    to.g.write(0, &g).unwrap();
    to
}

/// Rows of a right operand; `padding` is what the rows up to the end of the last tile hold.
pub fn right_operand(device: &Device, rows: &[Quantized], k: usize, padding: i16) -> QuantizedRows {
    let mut to = QuantizedRows::zeroed(device, rows.len() as u32, k as u32).unwrap();
    let blocks = k.div_ceil(128);
    let (mut q, mut g) = (vec![0; to.q().len()], vec![0; to.g().len()]);
    let fill = Quantized { q: vec![padding; blocks * 128], g: vec![46; blocks] };
    for row in 0..rows.len().next_multiple_of(abi::TILE_TOKENS as usize) {
        let values = rows.get(row).unwrap_or(&fill);
        for (k, value) in values.q.iter().enumerate() {
            let at = row_place(row, k, blocks);
            (q[at], q[at + 8]) = slices(*value);
        }
        for (b, value) in values.g.iter().enumerate() {
            g[(row / 8 * blocks + b) * 8 + row % 8] = *value as i8;
        }
    }
    to.q.write(0, &q).unwrap();
    to.g.write(0, &g).unwrap();
    to
}

/// All rows of quantized rows, whether in use or not.
pub fn all_rows(x: &QuantizedRows) -> Vec<Quantized> {
    let (q, g) = (x.q().to_vec().unwrap(), x.g().to_vec().unwrap());
    (0..x.rows() as usize).map(|row| quantized_row(&q, &g, x.k().div_ceil(128) as usize, row)).collect()
}

/// Rows of f32, `stride` apart, with NaN between them.
pub fn strided(device: &Device, rows: &[Vec<f32>], stride: usize) -> DeviceBuffer<f32> {
    let mut flat = Vec::new();
    for row in rows {
        flat.extend_from_slice(row);
        flat.resize(flat.len() + stride - row.len(), f32::NAN);
    }
    DeviceBuffer::from_slice(device, &flat).unwrap()
}

/// Fault words of rows to which nothing has happened.
pub fn no_faults(device: &Device, rows: usize) -> DeviceBuffer<u32> {
    DeviceBuffer::from_slice(device, &vec![abi::NO_FAULT; rows]).unwrap()
}

/// Numbers in -0.5..0.5 without a pattern.
pub fn noise(count: usize, salt: u32) -> Vec<f32> {
    let one = |i: u32| {
        let x = i.wrapping_add(salt.wrapping_mul(0x9e37_79b9)).wrapping_mul(0x85eb_ca6b);
        let x = (x ^ (x >> 15)).wrapping_mul(0xc2b2_ae35);
        (x ^ (x >> 13)) as f32 / 4_294_967_296.0 - 0.5
    };
    (0..count as u32).map(one).collect()
}

/// Blocks that the quantizers treat apart, 128 elements each (NUMERICS 12).
pub fn corner_blocks() -> Vec<Vec<f32>> {
    let below_one = f32::from_bits(0x3f7f_ffff);
    let mut blocks = vec![
        vec![0.0; 128],
        vec![-0.0; 128],
        (0..128).map(|i| f32::from_bits(i * 65_537)).collect(), // subnormals
        vec![f32::MIN_POSITIVE; 128],
        // On either side of E = -40, the least.
        (0..128).map(|i| (i as f32 - 64.0) * f32::from_bits((127 - 46) << 23)).collect(),
        (0..128).map(|i| (i as f32 - 64.0) * f32::from_bits((127 - 48) << 23)).collect(),
        // The clamp on both sides.
        (0..128).map(|i| if i % 2 == 0 { below_one } else { -below_one }).collect(),
        // Ties: E = 1, so R scales by 2^13; the widths of L meet theirs at other elements.
        (0..128).map(|i| if i == 0 { 1.0 } else { (i as f32 - 63.5) / 8192.0 }).collect(),
        (0..128).map(|i| if i == 0 { 1.0 } else { (i as f32 - 63.5) / 16384.0 }).collect(),
        (0..128).map(|i| if i == 0 { -1.0 } else { (i as f32 - 63.5) / 512.0 }).collect(),
        // The greatest magnitude there may be.
        vec![-f32::from_bits(((60 + 127) << 23) - 1); 128],
    ];
    // n elements of almost one: L takes 15 bits for one of 0.99, then 14 down to 10.
    for n in [1, 4, 8, 16, 32, 64, 127, 128] {
        blocks.push((0..128).map(|i| if i < n { below_one } else { 0.0 }).collect());
        blocks.push((0..128).map(|i| if i < n { -0.99 } else { 1e-5 }).collect());
    }
    blocks
}

/// Blocks whose sum at some width of L lies close to its bound, so that a trial decides.
pub fn boundary_blocks(count: usize) -> Vec<Vec<f32>> {
    let one = |i: usize| {
        let bits = 10 + i % 6;
        let unit = 1.0 / (1 << bits) as f32;
        let random = noise(129, i as u32 + 77);
        let target = 131_080.0 + f32::round(400.0 * random[128]);
        // One element near 1 makes E = 0 with 15 bits or less; the rest share what is left of the sum.
        let first = (0.97 / unit).floor();
        let weights: Vec<f32> = random[..127].iter().map(|r| 0.6 + r.abs() * 0.8).collect();
        let total: f32 = weights.iter().sum();
        let mut block = vec![first * unit];
        block.extend(weights.iter().zip(&random).map(|(w, r)| {
            let q = (w / total * (target - first)).min(0.98 / unit) + r * 0.9;
            q * unit * if *r < 0.0 { -1.0 } else { 1.0 }
        }));
        block
    };
    (0..count).map(one).collect()
}

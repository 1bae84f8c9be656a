//! quantize_weights.cu and quantize_rows.cu.

use grail_engine::numerics::{Quantized, quantize_l, quantize_r};
use grail_ptx::{Ptr, Shape};

use crate::launch::{Params, Values, floats, source, words_of};
use crate::layout::{pack_rows, pack_weights};

/// Rows with a zero block, subnormals, ties, values at the clamp and every width of L.
pub fn corner_rows(rows: usize, k: usize, seed: u64) -> Vec<Vec<f32>> {
    let mut values = Values(seed);
    let mut all: Vec<Vec<f32>> = (0..rows).map(|_| values.floats(k)).collect();
    for (r, row) in all.iter_mut().enumerate() {
        for (c, block) in row.chunks_mut(128).enumerate() {
            match (r + c) % 7 {
                0 => block.fill(0.0),
                1 => block.iter_mut().for_each(|x| *x *= 1e-40),
                2 => block.iter_mut().enumerate().for_each(|(i, x)| *x = (i as f32 + 0.5) / 16384.0),
                3 => block.iter_mut().for_each(|x| *x = if *x < 0.0 { -0.999_999 } else { 0.999_999 }),
                4 => {
                    block.iter_mut().enumerate().for_each(|(i, x)| *x = if i % (r + 2) == 0 { 0.99 } else { *x * 0.3 })
                }
                _ => {}
            }
        }
    }
    all
}

fn left(rows: &[Vec<f32>]) -> Vec<Quantized> {
    rows.iter().map(|row| quantize_l(row).unwrap()).collect()
}

#[test]
fn quantize_weights_packs_what_the_reference_quantizes() {
    let Some(compiled) = source("quantize_weights.cu") else { return };
    for (rows, k) in [(1, 128), (16, 128), (19, 256), (33, 200), (5, 131)] {
        let values = corner_rows(rows, k, rows as u64);
        let (q, g) = pack_weights(&left(&values));
        let blocks = k.div_ceil(128);
        let tiles = rows.div_ceil(16);
        let shape = Shape::new((tiles * blocks) as u32, 128);
        let counters = compiled.run(
            "quantize_weights",
            shape,
            |device| {
                let w = device.alloc_from("weights", &floats(&values.concat()));
                let q = device.alloc_zeroed("q", q.len());
                let g = device.alloc_zeroed("g", g.len());
                let fault = device.alloc_from("fault", &[0xff; 4]);
                let params = Params::new().ptr(w).ptr(Ptr::NULL).ptr(q).ptr(g).ptr(fault);
                params.words(&[rows as u32, k as u32, 0, 0])
            },
            |device, what| {
                assert_eq!(named(device, 1, q.len()), q, "{what} integers {rows} x {k}");
                assert_eq!(named(device, 2, g.len()), g, "{what} exponents {rows} x {k}");
                assert_eq!(named(device, 3, 4), [0xff; 4], "{what}");
            },
        );
        // Words of a fragment from lanes of one row; at load, where memory decides.
        let total = counters.total();
        assert!(total.wavefronts <= 2 * total.least_wavefronts, "{:?}", counters.conflicting_lines());
        if (rows, k) == (19, 256) {
            println!("{counters}");
        }
    }
}

/// Allocation `index` in the order they were made.
pub fn named(device: &grail_ptx::Device, index: usize, bytes: usize) -> Vec<u8> {
    device.read(device.nth(index), bytes)
}

#[test]
fn quantize_weights_interleaves_gate_and_up_of_bf16() {
    let Some(compiled) = source("quantize_weights.cu") else { return };
    let (rows, k) = (20, 256);
    let half = |x: &f32| f32::from_bits(x.to_bits() & 0xffff_0000);
    let round = |rows: Vec<Vec<f32>>| -> Vec<Vec<f32>> { rows.iter().map(|r| r.iter().map(half).collect()).collect() };
    let (gate, up) = (round(corner_rows(rows, k, 3)), round(corner_rows(rows, k, 4)));
    let zero = vec![0.0; k];
    // Tile i: rows 8i.. of the gate, then the same of the up projection; rows beyond the end are zero.
    let tiles = rows.div_ceil(8);
    let stacked: Vec<Vec<f32>> = (0..16 * tiles)
        .map(|r| {
            if r % 16 < 8 { gate.get(r / 16 * 8 + r % 8) } else { up.get(r / 16 * 8 + r % 8) }.unwrap_or(&zero).clone()
        })
        .collect();
    let (q, mut g) = pack_weights(&left(&stacked));
    let blocks = k / 128;
    for r in (0..16 * tiles).filter(|r| r / 16 * 8 + r % 8 >= rows) {
        (0..blocks).for_each(|c| g[(r / 16 * blocks + c) * 16 + r % 16] = 0);
    }
    let bytes = |rows: &[Vec<f32>]| -> Vec<u8> {
        rows.iter().flatten().flat_map(|x| ((x.to_bits() >> 16) as u16).to_le_bytes()).collect()
    };
    compiled.run(
        "quantize_weights",
        Shape::new((tiles * blocks) as u32, 128),
        |device| {
            let (w, u) = (device.alloc_from("gate", &bytes(&gate)), device.alloc_from("up", &bytes(&up)));
            let (q, g) = (device.alloc_zeroed("q", q.len()), device.alloc_zeroed("g", g.len()));
            let fault = device.alloc_from("fault", &[0xff; 4]);
            Params::new().ptr(w).ptr(u).ptr(q).ptr(g).ptr(fault).words(&[rows as u32, k as u32, 0, 2])
        },
        |device, what| {
            assert_eq!(named(device, 2, q.len()), q, "{what}");
            assert_eq!(named(device, 3, g.len()), g, "{what}");
        },
    );
}

#[test]
fn quantize_rows_equals_the_reference_and_names_faults() {
    let Some(compiled) = source("quantize_rows.cu") else { return };
    for (rows, k, ld) in [(1, 128, 128), (9, 640, 644), (17, 130, 132), (3, 1, 4)] {
        let values = corner_rows(rows, k, 20 + rows as u64);
        let mut quantized: Vec<Quantized> = values.iter().map(|row| quantize_r(row).unwrap()).collect();
        let mut padded: Vec<f32> = values
            .iter()
            .flat_map(|row| {
                let mut row = row.clone();
                row.resize(ld, f32::NAN);
                row
            })
            .collect();
        // The last row has an infinity in its last block, which becomes zeros.
        padded[(rows - 1) * ld + k - 1] = f32::INFINITY;
        let blocks = k.div_ceil(128);
        quantized[rows - 1].q[128 * (blocks - 1)..].fill(0);
        quantized[rows - 1].g[blocks - 1] = -54;
        let (q, g) = pack_rows(&quantized);
        compiled.run(
            "quantize_rows",
            Shape::new((rows * blocks.div_ceil(4)) as u32, 128),
            |device| {
                let x = device.alloc_from("x", &floats(&padded));
                let (q, g) = (device.alloc_zeroed("q", q.len()), device.alloc_zeroed("g", g.len()));
                let fault = device.alloc_from("fault", &vec![0xff; 4 * rows]);
                let params = Params::new().ptr(x).ptr(q).ptr(g).ptr(fault).ptr(Ptr::NULL);
                params.words(&[rows as u32, k as u32, ld as u32, 5, 7, 0])
            },
            |device, what| {
                assert_eq!(named(device, 1, q.len()), q, "{what} {rows} x {k}");
                assert_eq!(named(device, 2, g.len()), g, "{what} {rows} x {k}");
                let faults = words_of(&named(device, 3, 4 * rows));
                assert!(faults[..rows - 1].iter().all(|f| *f == u32::MAX), "{what}");
                assert_eq!(faults[rows - 1], 5 << 16 | 7 << 8, "{what}");
            },
        );
    }
}

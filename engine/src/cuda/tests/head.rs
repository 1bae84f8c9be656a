//! head.cu against `numerics::product` and `numerics::sample`, to the bit.

use super::device;
use super::reading::{Ask, LAYER, bits, expected, noise, prepared, seed};
use crate::cuda::ops::choose::Choose;
use crate::cuda::ops::head::{self, Head, HeadInput};
use crate::cuda::ops::reading::{Reading, ReadingShape};
use crate::cuda::{Device, DeviceBuffer};
use crate::numerics::{Quantized, product, quantize_l, quantize_r};
use crate::types::Sampling;

/// A head and rows, quantized; what the reference multiplies and what the device is given.
struct Case {
    weights: Vec<Quantized>,
    rows: Vec<Quantized>,
    hidden: usize,
}

fn slices(q: i16) -> (u8, u8) {
    let lo = ((i32::from(q) + 128) & 255) - 128;
    (lo as u8, ((i32::from(q) - lo) / 256) as u8)
}

impl Case {
    fn new(weights: &[Vec<f32>], rows: &[Vec<f32>]) -> Self {
        Self {
            weights: weights.iter().map(|w| quantize_l(w).unwrap()).collect(),
            rows: rows.iter().map(|x| quantize_r(x).unwrap()).collect(),
            hidden: rows[0].len(),
        }
    }

    fn random(vocabulary: usize, hidden: usize, rows: usize) -> Self {
        let many = |count: usize, salt: u32, width: f32| -> Vec<Vec<f32>> {
            (0..count).map(|i| noise(hidden, salt + i as u32, width)).collect()
        };
        Self::new(&many(vocabulary, 10_000, 0.5), &many(rows, 77, 9.0))
    }

    fn blocks(&self) -> usize {
        self.hidden.div_ceil(128)
    }

    fn logits(&self, row: usize) -> Vec<f32> {
        self.weights.iter().map(|w| product(w, &self.rows[row])).collect()
    }

    /// `[N/16][block][kstep 4][plane 2: lo, hi][lane 32][16 bytes a0 a1 a2 a3]`, exponents `[N/16][block][16]`.
    fn packed_weights(&self) -> (Vec<u8>, Vec<i8>) {
        let (tiles, blocks) = (self.weights.len().div_ceil(16), self.blocks());
        let (mut q, mut g) = (vec![0u8; tiles * blocks * 4096], vec![0i8; tiles * blocks * 16]);
        for (n, w) in self.weights.iter().enumerate() {
            for (k, &value) in w.q.iter().enumerate() {
                let (block, kstep, in_step) = (k / 128, k % 128 / 32, k % 32);
                let lane = (n % 8) * 4 + in_step % 16 / 4;
                let register = usize::from(n % 16 >= 8) + 2 * usize::from(in_step >= 16);
                let at = ((n / 16) * blocks + block) * 4096 + kstep * 1024 + lane * 16 + register * 4 + k % 4;
                (q[at], q[at + 512]) = slices(value);
            }
            for (block, &e) in w.g.iter().enumerate() {
                g[((n / 16) * blocks + block) * 16 + n % 16] = e as i8;
            }
        }
        (q, g)
    }

    /// `[T/8][block][kstep 4][lane 32][16 bytes: lo b0, lo b1, hi b0, hi b1]`, exponents `[T/8][block][8]`.
    fn packed_rows(&self) -> (Vec<u8>, Vec<i8>) {
        // A launch may be for more rows than there are.
        let (tiles, blocks) = (self.rows.len().max(130).div_ceil(8), self.blocks());
        let (mut q, mut g) = (vec![0u8; tiles * blocks * 2048], vec![0i8; tiles * blocks * 8]);
        for (t, x) in self.rows.iter().enumerate() {
            for (k, &value) in x.q.iter().enumerate() {
                let (block, kstep, in_step) = (k / 128, k % 128 / 32, k % 32);
                let lane = (t % 8) * 4 + in_step % 16 / 4;
                let at = ((t / 8) * blocks + block) * 2048 + kstep * 512 + lane * 16 + in_step / 16 * 4 + k % 4;
                (q[at], q[at + 8]) = slices(value);
            }
            for (block, &e) in x.g.iter().enumerate() {
                g[((t / 8) * blocks + block) * 8 + t % 8] = e as i8;
            }
        }
        (q, g)
    }

    /// The reading after head and choice, with logits kept.
    fn run(
        &self,
        device: &Device,
        asks: &[Ask],
        sampling: &Sampling,
        max_rows: usize,
        multiprocessors: u32,
    ) -> Reading {
        let vocabulary = self.weights.len() as u32;
        let head = Head::new(device, self.hidden as u32, max_rows as u32).unwrap();
        let shape = ReadingShape {
            vocabulary,
            rows: max_rows as u32,
            questions: asks.len().max(max_rows) as u32,
            slots: self.rows.len() as u32,
            slices: head.slices(multiprocessors, max_rows as u32, vocabulary),
            layer: LAYER,
        };
        let mut reading = prepared(device, shape, asks, sampling, true, true);
        let ((weight, weight_g), (x, x_g)) = (self.packed_weights(), self.packed_rows());
        let bytes = |v: &[u8]| DeviceBuffer::from_slice(device, v).unwrap();
        let exponents = |v: &[i8]| DeviceBuffer::from_slice(device, v).unwrap();
        let input = HeadInput {
            weight: &bytes(&weight),
            weight_g: &exponents(&weight_g),
            x: &bytes(&x),
            x_g: &exponents(&x_g),
        };
        head.run_at_most(&input, &mut reading, max_rows as u32).unwrap();
        Choose::new(device).unwrap().run(&mut reading).unwrap();
        reading
    }
}

fn asks(rows: usize, vocabulary: usize) -> Vec<Ask> {
    let one = |i: usize| Ask {
        row: i / 2,
        tokens: vec![(i / 2 % vocabulary) as u32, (i / 2 * 5 % vocabulary) as u32],
        seed: seed(i as u8),
        claimed: (i % 2 == 1).then_some((i * 37 % vocabulary) as u32),
    };
    (0..2 * rows).map(one).collect()
}

fn same(found: &[f32], wanted: &[f32]) -> bool {
    found.len() == wanted.len() && found.iter().zip(wanted).all(|(a, b)| a.to_bits() == b.to_bits())
}

fn check(device: &Device, case: &Case, sampling: &Sampling, max_rows: usize, multiprocessors: u32) {
    let asks = asks(case.rows.len(), case.weights.len());
    let reading = case.run(device, &asks, sampling, max_rows, multiprocessors);
    let logits: Vec<Vec<f32>> = (0..case.rows.len()).map(|row| case.logits(row)).collect();
    let what =
        || format!("{} ids, {} channels, {} of {max_rows} rows", case.weights.len(), case.hidden, case.rows.len());
    for (row, wanted) in logits.iter().enumerate() {
        assert!(same(&reading.logits(row).unwrap(), wanted), "logits of row {row}: {}", what());
    }
    for (ask, found) in asks.iter().zip(reading.answers().unwrap()) {
        assert_eq!(bits(&found), bits(&expected(&logits[ask.row], ask, sampling)), "{ask:?}: {}", what());
    }
}

#[test]
fn logits_and_answers_equal_the_reference_bitwise() {
    let Some(device) = device() else { return };
    for (vocabulary, hidden, rows) in
        [(1, 32, 1), (127, 300, 3), (128, 128, 8), (129, 129, 2), (300, 64, 5), (700, 257, 1)]
    {
        let case = Case::random(vocabulary, hidden, rows);
        for sampling in [
            Sampling::default(),
            Sampling { top_k: 0, top_p: 1.0, ..Sampling::default() },
            Sampling { top_k: 0, top_p: 0.9, ..Sampling::default() },
            Sampling { temperature: 0.0, ..Sampling::default() },
        ] {
            for multiprocessors in [1, 2, 132] {
                check(&device, &case, &sampling, rows, multiprocessors);
            }
        }
    }
}

/// Every form of the kernel, its last row, and more rows than one block holds.
#[test]
fn any_number_of_rows_agrees() {
    let Some(device) = device() else { return };
    for rows in [8, 9, 16, 17, 32, 33, 64, 65] {
        check(&device, &Case::random(200, 160, rows), &Sampling::default(), rows, 4);
    }
    // A launch for more rows than are in use, as a captured step is.
    for (rows, max_rows) in [(1, 8), (3, 16), (20, 64), (2, 130), (70, 130)] {
        check(&device, &Case::random(140, 33, rows), &Sampling::default(), max_rows, 6);
    }
}

/// A head made for many rows, launched for those in use: every form of the kernel from one wrapper.
#[test]
fn the_launch_is_for_the_rows_in_use() {
    let Some(device) = device() else { return };
    // As many bytes as blocks of this device have, and as those of sm_86 and sm_89.
    let rooms = [head::room(&device).unwrap(), 101_376];
    for (rows, room) in [1, 12, 30, 50, 70].into_iter().flat_map(|rows| rooms.map(|room| (rows, room))) {
        let case = Case::random(150, 300, rows);
        let asks = asks(rows, 150);
        let (head, shape) = (Head::with_room(&device, 300, 70, room).unwrap(), |slices| ReadingShape {
            vocabulary: 150,
            rows: 70,
            questions: 140,
            slots: 70,
            slices,
            layer: LAYER,
        });
        let mut reading = prepared(&device, shape(2), &asks, &Sampling::default(), true, false);
        let ((weight, weight_g), (x, x_g)) = (case.packed_weights(), case.packed_rows());
        let input = HeadInput {
            weight: &DeviceBuffer::from_slice(&device, &weight).unwrap(),
            weight_g: &DeviceBuffer::from_slice(&device, &weight_g).unwrap(),
            x: &DeviceBuffer::from_slice(&device, &x).unwrap(),
            x_g: &DeviceBuffer::from_slice(&device, &x_g).unwrap(),
        };
        head.run(&input, &mut reading).unwrap();
        Choose::new(&device).unwrap().run(&mut reading).unwrap();
        for (ask, found) in asks.iter().zip(reading.answers().unwrap()) {
            assert_eq!(bits(&found), bits(&expected(&case.logits(ask.row), ask, &Sampling::default())), "{ask:?}");
        }
        assert!(head.run_at_most(&input, &mut reading, rows as u32 - 1).is_err());
        assert!(head.run_at_most(&input, &mut reading, 71).is_err());
    }
}

/// Integers at their bounds: partial sums of a block leave int32 on the way, and its end does not.
#[test]
fn dots_near_the_bound_agree() {
    let Some(device) = device() else { return };
    let signs = |k: usize, n: usize| if (k * n) % 3 == 1 { -1.0 } else { 1.0 };
    let row = |scale: f32, n: usize| (0..256).map(|k| scale * signs(k, n)).collect::<Vec<f32>>();
    let weights: Vec<Vec<f32>> = (0..40).map(|n| row(0.03125 * (1.0 + n as f32 / 64.0), n)).collect();
    let rows: Vec<Vec<f32>> = (0..3).map(|n| row(1.999_999 * (1 << n) as f32, n)).collect();
    let case = Case::new(&weights, &rows);
    let greatest =
        case.weights.iter().flat_map(|w| crate::numerics::block_dots(w, &case.rows[0])).map(i32::unsigned_abs).max();
    assert!(greatest > Some(1 << 30), "the case is near the bound: {greatest:?}");
    check(&device, &case, &Sampling { top_k: 3, ..Sampling::default() }, 3, 1);
}

/// The comparison sees one integer of one weight.
#[test]
fn another_weight_is_another_logit() {
    let Some(device) = device() else { return };
    let mut case = Case::random(130, 140, 2);
    let wanted = case.logits(1);
    case.weights[129].q[139] += 1;
    let reading = case.run(&device, &asks(2, 130), &Sampling::default(), 2, 2);
    let found = reading.logits(1).unwrap();
    assert!(same(&found[..129], &wanted[..129]));
    assert_ne!(found[129].to_bits(), wanted[129].to_bits());
}

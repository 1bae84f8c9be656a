use super::oracle::{self, Twist};
use super::{Draw, bits};
use crate::cpu::ahead::Ahead;
use crate::cpu::dot::{Factors, dot_panels};
use crate::cpu::gemm::{Mode, matmul, matmul_panels, silu_mul_quantized};
use crate::cpu::isa::Isa;
use crate::cpu::pack::{Format, PackError, PackedMatrix};
use crate::cpu::pool::Pool;
use crate::cpu::quantize::{QuantRows, STRIDE, Side};
use crate::error::FaultKind;

type Quantized = (Vec<i16>, Vec<i8>);

const FORMATS: [Format; 2] = [Format::Compact, Format::Wide];

fn paths() -> impl Iterator<Item = (Isa, Format)> {
    Isa::under_test().into_iter().flat_map(|isa| FORMATS.map(|format| (isa, format)))
}

/// A matrix, activations and their product by the oracle.
struct Case {
    rows: usize,
    cols: usize,
    weights: Vec<Vec<f32>>,
    inputs: Vec<Vec<f32>>,
    expected: Vec<Vec<f32>>,
}

fn quantize_all(side: Side, x: &[Vec<f32>]) -> Vec<Quantized> {
    x.iter().map(|x| oracle::quantize_row(side, x, Twist::None)).collect()
}

fn products(weights: &[Vec<f32>], inputs: &[Vec<f32>], twist: Twist) -> Vec<Vec<f32>> {
    let (w, a) = (quantize_all(Side::Left, weights), quantize_all(Side::Right, inputs));
    a.iter().map(|a| w.iter().map(|w| oracle::product(w, a, twist)).collect()).collect()
}

impl Case {
    fn new(draw: &mut Draw, rows: usize, cols: usize, m: usize) -> Self {
        let weights: Vec<Vec<f32>> = (0..rows).map(|_| draw.row(cols)).collect();
        let inputs: Vec<Vec<f32>> = (0..m).map(|_| draw.row(cols)).collect();
        let expected = products(&weights, &inputs, Twist::None);
        Self { rows, cols, weights, inputs, expected }
    }

    fn pack(&self, isa: Isa, pool: &Pool, format: Format) -> PackedMatrix {
        let fill = |row: usize, x: &mut [f32]| x.copy_from_slice(&self.weights[row]);
        PackedMatrix::pack(isa, pool, format, self.rows, self.cols, fill).unwrap()
    }

    fn batch(&self, isa: Isa, rows: std::ops::Range<usize>) -> QuantRows {
        batch(isa, &self.inputs[rows], self.cols)
    }
}

fn batch(isa: Isa, inputs: &[Vec<f32>], cols: usize) -> QuantRows {
    let mut batch = QuantRows::new();
    batch.reset(inputs.len(), cols).unwrap();
    let writer = batch.writer();
    for (row, x) in inputs.iter().enumerate() {
        writer.write(isa, Side::Right, row, x).unwrap();
    }
    batch
}

fn check(got: &[f32], ld: usize, expected: &[Vec<f32>], what: &str) {
    for (row, expected) in expected.iter().enumerate() {
        assert_eq!(bits(&got[row * ld..][..expected.len()]), bits(expected), "{what}, row {row}");
    }
}

#[test]
fn products_equal_the_oracle_for_every_path_shape_and_thread_count() {
    let mut draw = Draw(1);
    let pools: Vec<Pool> = [1, 2, 3, 5].map(Pool::new).into();
    for (rows, cols) in [(1, 1), (16, 128), (17, 129), (40, 640), (33, 300), (100, 256)] {
        let case = Case::new(&mut draw, rows, cols, 40);
        for isa in Isa::under_test() {
            for (m, format) in (0..=40).flat_map(|m| FORMATS.map(|format| (m, format))) {
                let pool = &pools[m % pools.len()];
                let w = case.pack(isa, pool, format);
                let a = case.batch(isa, 0..m);
                let ld = rows + m % 3;
                let mut out = vec![7.0; m * ld];
                matmul(isa, pool, &w, &a, &mut out, ld, Mode::Store);
                check(&out, ld, &case.expected[..m], &format!("{isa} {format:?} {rows}x{cols} m {m}"));
            }
        }
    }
}

#[test]
fn a_row_has_the_same_product_in_every_batch() {
    let mut draw = Draw(2);
    let case = Case::new(&mut draw, 50, 512, 257);
    let pool = Pool::new(2);
    for (isa, format) in paths() {
        let w = case.pack(isa, &pool, format);
        let mut start = 0;
        for m in [257, 1, 2, 48, 49, 97, 13, 47] {
            let from = if start + m <= 257 { start } else { 0 };
            let a = case.batch(isa, from..from + m);
            let mut out = vec![0.0; m * 50];
            matmul(isa, &pool, &w, &a, &mut out, 50, Mode::Store);
            check(&out, 50, &case.expected[from..from + m], &format!("{isa} rows {from}+{m}"));
            start = from + m;
        }
    }
}

#[test]
fn panels_may_be_made_in_any_ranges() {
    let mut draw = Draw(3);
    let case = Case::new(&mut draw, 90, 260, 7);
    for (isa, format) in paths() {
        let w = case.pack(isa, &Pool::new(1), format);
        for m in [1, 7] {
            let a = case.batch(isa, 0..m);
            for range in [0..6, 0..1, 1..2, 1..4, 5..6, 3..3] {
                let columns = range.start * 16..(range.end * 16).min(90);
                let mut out = vec![0.0; m * 96];
                matmul_panels(isa, &w, &a, range, &mut out, 96, Mode::Store);
                let expected: Vec<_> = case.expected[..m].iter().map(|y| y[columns.clone()].to_vec()).collect();
                check(&out, 96, &expected, &format!("{isa} columns {columns:?}"));
            }
        }
    }
}

#[test]
fn the_residual_is_one_addition() {
    let mut draw = Draw(4);
    let case = Case::new(&mut draw, 37, 384, 9);
    for (isa, format) in paths() {
        for m in [1, 9] {
            let x = draw.normals(m * 37);
            let mut out = x.clone();
            let w = case.pack(isa, &Pool::new(1), format);
            matmul(isa, &Pool::new(2), &w, &case.batch(isa, 0..m), &mut out, 37, Mode::Add);
            let sum = |row: usize| (0..37).map(|n| x[row * 37 + n] + case.expected[row][n]).collect();
            check(&out, 37, &(0..m).map(sum).collect::<Vec<_>>(), &format!("{isa} m {m}"));
        }
    }
}

#[test]
fn the_activation_is_that_of_gate_and_up_made_apart() {
    let mut draw = Draw(5);
    for rows in [16, 40, 64] {
        let gate = Case::new(&mut draw, rows, 256, 14);
        let mut up = Case::new(&mut draw, rows, 256, 0);
        // Moderate gates: the activation of 1e30 would tell nothing.
        let mut gate = Case { weights: (0..rows).map(|_| draw.normals(256)).collect(), ..gate };
        gate.inputs = (0..14).map(|_| draw.normals(256).iter().map(|x| x * 0.02).collect()).collect();
        gate.expected = products(&gate.weights, &gate.inputs, Twist::None);
        up.expected = products(&up.weights, &gate.inputs, Twist::None);
        let both = |m: usize, n: usize| oracle::silu(gate.expected[m][n], Twist::None) * up.expected[m][n];
        for (isa, format) in paths() {
            for m in [1, 14] {
                let expected: Vec<Vec<f32>> = (0..m).map(|m| (0..rows).map(|n| both(m, n)).collect()).collect();
                let pool = Pool::new(2);
                let fill = |part: usize, row: usize, x: &mut [f32]| {
                    x.copy_from_slice(&if part == 0 { &gate } else { &up }.weights[row]);
                };
                let w = PackedMatrix::pack_gate_up(isa, &pool, format, rows, 256, fill).unwrap();
                let mut out = vec![0.0; m * rows];
                matmul(isa, &pool, &w, &gate.batch(isa, 0..m), &mut out, rows, Mode::SiluMul);
                check(&out, rows, &expected, &format!("{isa} {rows} rows, m {m}"));
            }
        }
    }
}

#[test]
fn the_activation_quantized_where_it_is_made_is_that_quantized_afterwards() {
    let mut draw = Draw(9);
    for (rows, cols, m) in [(16, 128, 1), (100, 256, 33), (300, 130, 130), (256, 384, 97)] {
        let weights: Vec<Vec<f32>> = (0..2 * rows).map(|_| draw.normals(cols)).collect();
        let mut inputs: Vec<Vec<f32>> = (0..m).map(|_| draw.normals(cols).iter().map(|x| x * 0.02).collect()).collect();
        // One row whose activation no quantizer takes: 2^40 squared.
        inputs[m / 2].fill((1u64 << 40) as f32);
        for (isa, format) in paths() {
            let pool = Pool::new(3);
            let fill = |part: usize, row: usize, x: &mut [f32]| x.copy_from_slice(&weights[part * rows + row]);
            let w = PackedMatrix::pack_gate_up(isa, &pool, format, rows, cols, fill).unwrap();
            let a = batch(isa, &inputs, cols);
            let mut apart = vec![0.0; m * rows];
            matmul(isa, &pool, &w, &a, &mut apart, rows, Mode::SiluMul);
            let mut fused = QuantRows::new();
            fused.reset(m, rows).unwrap();
            let faults = std::sync::Mutex::new(std::collections::BTreeSet::new());
            silu_mul_quantized(isa, &pool, &w, &a, &fused.writer(), &|row, kind| {
                faults.lock().unwrap().insert((row, kind));
            });
            assert!(fused.complete());
            let faults = faults.into_inner().unwrap();
            for (row, x) in apart.chunks_exact(rows).enumerate() {
                if faults.contains(&(row, FaultKind::Quantizer)) {
                    assert!(
                        row == m / 2 && x.iter().any(|x| x.is_nan() || x.abs() >= 2f32.powi(60)),
                        "{isa} row {row}"
                    );
                    continue;
                }
                let (q, g) = oracle::quantize_row(Side::Right, x, Twist::None);
                for block in 0..fused.blocks() {
                    let at = block * m + row;
                    assert_eq!(fused.g()[at], g[block], "{isa} {rows}x{cols} row {row} block {block}");
                    assert_eq!(
                        fused.q()[at * STRIDE..][..128],
                        q[block * 128..][..128],
                        "{isa} row {row} block {block}"
                    );
                }
            }
            assert_eq!(faults.len(), 1, "{isa} {rows}x{cols}");
        }
    }
}

/// Blocks whose dot products come within 2^16 of 2^31, with both signs.
#[test]
fn dot_products_near_the_limit_are_exact() {
    // Ten-bit weights clamped at 1023 with one block of 128 * 1023 = 130944, and four of 32639 with 524 to spare.
    let mut large = vec![0.0f32; 128];
    large[..4].fill(32_639.0 / 32_768.0);
    large[4] = 524.0 / 32_768.0;
    let weights = vec![vec![1.0f32.next_down(); 128], large.clone(), large.iter().map(|x| -x).collect()];
    let inputs = vec![vec![1.0f32.next_down(); 128], vec![-1.0f32.next_down(); 128]];
    let (w, a) = (quantize_all(Side::Left, &weights), quantize_all(Side::Right, &inputs));
    let dot = |w: &Quantized, a: &Quantized| -> i64 {
        w.0.iter().zip(&a.0).map(|(w, a)| i64::from(*w) * i64::from(*a)).sum()
    };
    let near = w.iter().flat_map(|w| a.iter().map(|a| dot(w, a))).filter(|d| d.abs() > (1 << 31) - (1 << 16)).count();
    assert!(near >= 4, "only {near} dot products within 2^16 of 2^31");
    let expected = products(&weights, &inputs, Twist::None);
    for (isa, format) in paths() {
        let pool = Pool::new(1);
        let packed = PackedMatrix::pack(isa, &pool, format, 3, 128, |row, x| x.copy_from_slice(&weights[row])).unwrap();
        for m in [1, 2] {
            let mut out = vec![0.0; m * 3];
            matmul(isa, &pool, &packed, &batch(isa, &inputs[..m], 128), &mut out, 3, Mode::Store);
            check(&out, 3, &expected[..m], &format!("{isa}"));
        }
    }
}

#[test]
fn the_products_tell_a_wrong_order_or_rounding_apart() {
    let mut draw = Draw(1);
    let weights: Vec<_> = (0..40).map(|_| draw.normals(640)).collect();
    let inputs: Vec<_> = (0..4).map(|_| draw.normals(640)).collect();
    let right = products(&weights, &inputs, Twist::None);
    for twist in [Twist::Descending, Twist::Unfused] {
        let wrong = products(&weights, &inputs, twist);
        let differ = right.iter().flatten().zip(wrong.iter().flatten()).filter(|(a, b)| a.to_bits() != b.to_bits());
        // An integer of up to 31 bits is rounded to 24 before it is scaled, so an unfused scaling is the same.
        assert_eq!(differ.count() > 0, twist == Twist::Descending);
    }
}

#[test]
fn packed_rows_are_the_quantized_rows() {
    let mut draw = Draw(6);
    let rows: Vec<Vec<f32>> = (0..2 * 35).map(|_| draw.row(300)).collect();
    for (isa, format) in paths() {
        for threads in [1, 3] {
            let pool = Pool::new(threads);
            let fill = |part: usize, row: usize, x: &mut [f32]| x.copy_from_slice(&rows[part * 35 + row]);
            let pair = PackedMatrix::pack_gate_up(isa, &pool, format, 35, 300, fill).unwrap();
            let one = PackedMatrix::pack(isa, &pool, format, 35, 300, |row, x| fill(0, row, x)).unwrap();
            assert_eq!((one.panels(), pair.panels(), pair.blocks()), (3, 6, 3));
            for row in 0..35 {
                for part in 0..2 {
                    let expected = oracle::quantize_row(Side::Left, &rows[part * 35 + row], Twist::None);
                    assert_eq!(pair.row(part, row), expected, "{isa} part {part} row {row}");
                }
                assert_eq!(one.row(0, row), pair.row(0, row));
            }
        }
    }
}

/// A matrix as a checkpoint has it: bf16, one block in eight with an outlier that leaves fifteen bits to the others.
#[test]
fn weights_from_bf16_take_eleven_bits_and_what_is_larger_is_kept_apart() {
    let mut draw = Draw(10);
    let bf16 = |x: f32| f32::from_bits(x.to_bits() & 0xffff_0000);
    let case = |draw: &mut Draw, outliers: bool| {
        let mut case = Case::new(draw, 70, 640, 0);
        for row in &mut case.weights {
            row.iter_mut().for_each(|x| *x = bf16(0.03 * (0..4).map(|_| draw.unit()).sum::<f32>()));
            if outliers {
                row[draw.below(5) * 128 + draw.below(128)] = 7.0;
            }
        }
        case.inputs = (0..110).map(|_| draw.normals(640)).collect();
        case.expected = products(&case.weights, &case.inputs, Twist::None);
        case
    };
    for (case, apart) in [(case(&mut draw, false), 0), (case(&mut draw, true), 70)] {
        for isa in Isa::under_test() {
            let pool = Pool::new(2);
            let w = case.pack(isa, &pool, Format::Compact);
            assert_eq!(w.kept_apart(), apart, "{isa}");
            assert_eq!(w.bytes(), 5 * 5 * (2048 * 11 / 8 + 16) + apart * 8, "{isa}");
            for m in (1..=24).chain([47, 48, 49, 96, 97, 110]) {
                let mut out = vec![0.0; m * 70];
                matmul(isa, &pool, &w, &case.batch(isa, 0..m), &mut out, 70, Mode::Store);
                check(&out, 70, &case.expected[..m], &format!("{isa} {apart} m {m}"));
            }
        }
    }
}

#[test]
fn the_lowest_weight_that_cannot_be_quantized_is_named() {
    for (isa, format) in paths() {
        let packed = PackedMatrix::pack(isa, &Pool::new(3), format, 400, 130, |row, x| {
            x.fill(0.5);
            match row {
                77 => x[129] = f32::NAN,
                78 => x[0] = f32::INFINITY,
                300 => x[1] = 1e30,
                _ => {}
            }
        });
        match packed {
            Err(PackError::Fault { part: 0, row: 77, kind: FaultKind::Quantizer }) => {}
            other => panic!("{isa}: {other:?}"),
        }
    }
}

#[test]
fn integer_dots_are_exact_for_every_path_and_shape() {
    let mut draw = Draw(8);
    for rows in [1, 2, 3, 5, 6, 7, 12, 13, 25, 64] {
        for (pairs, count) in [(64, 1), (64, 8), (1, 3), (7, 2), (0, 1), (63, 4)] {
            let (stride, panel_stride, out_stride) =
                (2 * pairs + draw.below(3), 32 * pairs + draw.below(5), 16 * count + draw.below(4));
            // |u| sums stay below the bound: 1000 * 128 < 131080.
            let a: Vec<i16> = (0..rows * stride).map(|_| draw.below(2001) as i16 - 1000).collect();
            let w: Vec<i16> = (0..count * panel_stride).map(|_| draw.below(32_767) as i16 - 16_383).collect();
            let expected = |row: usize, column: usize| -> i32 {
                let (panel, lane) = (column / 16, column % 16);
                let w = |k: usize| i32::from(w[panel * panel_stride + k / 2 * 32 + lane * 2 + k % 2]);
                (0..2 * pairs).map(|k| i32::from(a[row * stride + k]) * w(k)).sum()
            };
            for isa in Isa::under_test() {
                let mut out = vec![-1; rows * out_stride];
                let mut ahead = Ahead::default();
                ahead.push(&w, 16, 5, 100);
                ahead.allot(4);
                let factors = Factors { a: &a, a_stride: stride, rows, pairs, panels: &w, panel_stride, count };
                dot_panels(isa, &factors, &mut out, out_stride, &mut ahead);
                for (i, got) in out.iter().enumerate() {
                    let (row, column) = (i / out_stride, i % out_stride);
                    let expected = if column < 16 * count { expected(row, column) } else { -1 };
                    assert_eq!(*got, expected, "{isa} rows {rows} pairs {pairs} count {count} at {row},{column}");
                }
            }
        }
    }
}

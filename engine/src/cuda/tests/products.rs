//! gemm.cu and gemv.cu against `numerics::product`, to the bit: every form of both on every case.

use super::device;
use super::operands::{noise, packed, right_operand};
use crate::cuda::ops::gemm::{Gemm, GemmTile};
use crate::cuda::ops::gemv::{Gemv, GemvForm, MAX_ROWS};
use crate::cuda::ops::operands::{Epilogue, PackedWeights, Product, QuantizedRows, RowCount};
use crate::cuda::{Device, DeviceBuffer};
use crate::numerics::{Quantized, block_dots, product, quantize_l, quantize_r, silu};

/// Every way to compute a product.
#[derive(Debug, Clone, Copy)]
enum Form {
    Gemm(GemmTile),
    Gemv(GemvForm),
}

const FORMS: [Form; 4] = [
    Form::Gemm(GemmTile::Wide),
    Form::Gemm(GemmTile::Narrow),
    Form::Gemv(GemvForm::Single),
    Form::Gemv(GemvForm::Double),
];

struct Kernels {
    device: Device,
    gemm: Gemm,
    gemv: Gemv,
}

impl Kernels {
    fn new() -> Option<Self> {
        let device = device()?;
        Some(Self { gemm: Gemm::new(&device).unwrap(), gemv: Gemv::new(&device).unwrap(), device })
    }

    fn run(&self, form: Form, multiprocessors: u32, product: &mut Product<'_>) {
        match form {
            Form::Gemm(tile) => self.gemm.run_as(tile, multiprocessors, product).unwrap(),
            Form::Gemv(form) => self.gemv.run_as(form, multiprocessors, product).unwrap(),
        }
    }

    /// y of a form, `stride` apart, over what `before` says was there.
    fn y(&self, form: Form, multiprocessors: u32, case: &Case<'_>, before: &[f32], epilogue: Epilogue) -> Vec<u32> {
        let mut y = DeviceBuffer::from_slice(&self.device, before).unwrap();
        let count = RowCount { most: case.rows, now: case.now };
        let mut product = Product { weights: case.w, x: case.x, y: &mut y, stride: case.stride, count, epilogue };
        self.run(form, multiprocessors, &mut product);
        y.to_vec().unwrap().iter().map(|v| v.to_bits()).collect()
    }
}

struct Case<'a> {
    w: &'a PackedWeights,
    x: &'a QuantizedRows,
    rows: u32,
    now: Option<&'a DeviceBuffer<u32>>,
    stride: u32,
}

fn forms(rows: usize) -> impl Iterator<Item = Form> {
    FORMS.into_iter().filter(move |form| matches!(form, Form::Gemm(_)) || rows <= MAX_ROWS as usize)
}

fn rows_of(
    count: usize,
    k: usize,
    salt: u32,
    quantize: fn(&[f32]) -> Result<Quantized, crate::FaultKind>,
) -> Vec<Quantized> {
    // Scales that differ from block to block and row to row.
    let one = |i: usize| {
        let mut row = noise(k, salt + i as u32);
        for (b, block) in row.chunks_mut(128).enumerate() {
            let scale = f32::from_bits(((120 + (i * 7 + b * 5) % 13) as u32) << 23);
            block.iter_mut().for_each(|v| *v *= scale);
        }
        quantize(&row).unwrap()
    };
    (0..count).map(one).collect()
}

/// y before a product: values of the size of products, NaN where nothing may be written.
fn before(features: usize, rows: usize, stride: usize) -> Vec<f32> {
    let values = noise(rows * stride, 4242);
    values.iter().enumerate().map(|(i, v)| if i % stride < features { *v } else { f32::NAN }).collect()
}

/// Stores and adds, in every form.
fn agree(kernels: &Kernels, left: &[Quantized], right: &[Quantized], k: usize) {
    let (features, rows) = (left.len(), right.len());
    let stride = features + 3;
    let w = packed(&kernels.device, &[left], k);
    let x = right_operand(&kernels.device, right, k, -32_768);
    let case = Case { w: &w, x: &x, rows: rows as u32, now: None, stride: stride as u32 };
    let before = before(features, rows, stride);
    let (mut stored, mut added) = (before.clone(), before.clone());
    for (t, x) in right.iter().enumerate() {
        for (f, w) in left.iter().enumerate() {
            let y = product(w, x);
            stored[t * stride + f] = y;
            added[t * stride + f] += y;
        }
    }
    let bits = |y: &[f32]| y.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    for form in forms(rows) {
        for (epilogue, wanted) in [(Epilogue::Store, bits(&stored)), (Epilogue::Add, bits(&added))] {
            for multiprocessors in [1, 132] {
                let found = kernels.y(form, multiprocessors, &case, &before, epilogue);
                assert_eq!(
                    found, wanted,
                    "{form:?} {epilogue:?} {features} x {k}, {rows} rows, {multiprocessors} multiprocessors"
                );
            }
        }
    }
}

#[test]
fn products_of_any_shape_equal_the_reference() {
    let Some(kernels) = Kernels::new() else { return };
    let shapes = [
        (1, 1, 1),
        (15, 127, 7),
        (16, 128, 8),
        (17, 129, 9),
        (40, 300, 16),
        (33, 1027, 17),
        (20, 2200, 3),
        (130, 384, 63),
        (50, 260, 64),
        (36, 256, 65),
        (150, 129, 130),
    ];
    for (features, k, rows) in shapes {
        let left = rows_of(features, k, 1, quantize_l);
        let right = rows_of(rows, k, 1000, quantize_r);
        agree(&kernels, &left, &right, k);
    }
}

/// Section 3's bounds are met with equality or nearly so, and every slice takes its extremes.
#[test]
fn dot_products_at_the_ends_of_int32_equal_the_reference() {
    let Some(kernels) = Kernels::new() else { return };
    let k = 256;
    let mut left = vec![vec![0i16; k]; 6];
    left[0][..4].fill(32_639);
    left[0][4] = 524; // sum 131080
    left[1][..4].fill(-32_639);
    left[1][127] = -524;
    left[2][..128].fill(1024);
    left[2][127] = 1032;
    left[3][..128].fill(-1024);
    left[4][..5].copy_from_slice(&[-32_639, 32_639, -128, 127, 128]);
    left[5][128..].fill(-1023);
    let right = [16_383i16, -16_383, -16_384 + 128, 127, -128, 255];
    let right: Vec<Vec<i16>> = right.iter().map(|q| vec![*q; k]).collect();
    let with_exponents = |rows: Vec<Vec<i16>>, g: [i32; 2]| -> Vec<Quantized> {
        rows.into_iter().map(|q| Quantized { q, g: g.to_vec() }).collect()
    };
    // The least and the greatest scale that quantizers make, and the greatest that keeps sums finite.
    for (gl, gr) in [([-55, -50], [-54, -54]), ([0, 3], [-14, -20]), ([50, 50], [46, 46])] {
        let (left, right) = (with_exponents(left.clone(), gl), with_exponents(right.clone(), gr));
        agree(&kernels, &left, &right, k);
        let greatest = block_dots(&left[0], &right[0])[0];
        assert_eq!(greatest, 131_080 * 16_383);
        assert!(i32::MAX - greatest < 1 << 16 && block_dots(&left[1], &right[0])[0] == -greatest);
    }
}

/// d is rounded to f32 before it is scaled and added: blocks whose d lies on ties of that rounding.
#[test]
fn dot_products_on_ties_round_to_even() {
    let Some(kernels) = Kernels::new() else { return };
    // 2^24 + odd numbers lie halfway between two f32.
    let row = |extra: i16| {
        let mut q = vec![0i16; 128];
        q[0] = 16_384;
        q[1] = extra;
        Quantized { q, g: vec![-15] }
    };
    let left: Vec<Quantized> = (0..16).map(row).collect();
    let mut q = vec![0i16; 128];
    (q[0], q[1]) = (1024, 1);
    let right =
        [Quantized { q: q.clone(), g: vec![-14] }, Quantized { q: q.iter().map(|q| -q).collect(), g: vec![-14] }];
    let ties = left.iter().filter(|l| block_dots(l, &right[0])[0] % 2 == 1).count();
    assert_eq!(ties, 8);
    agree(&kernels, &left, &right, 128);
}

#[test]
fn gate_and_up_become_silu_times_up() {
    let Some(kernels) = Kernels::new() else { return };
    for (features, k, rows) in [(1, 128, 1), (8, 130, 9), (20, 300, 17), (76, 260, 66)] {
        let (gate, up) = (rows_of(features, k, 1, quantize_l), rows_of(features, k, 500, quantize_l));
        let right = rows_of(rows, k, 1000, quantize_r);
        let stride = features + 5;
        let w = packed(&kernels.device, &[&gate, &up], k);
        let x = right_operand(&kernels.device, &right, k, 77);
        let case = Case { w: &w, x: &x, rows: rows as u32, now: None, stride: stride as u32 };
        let before = before(features, rows, stride);
        let mut wanted = before.clone();
        for (t, x) in right.iter().enumerate() {
            for f in 0..features {
                wanted[t * stride + f] = silu(product(&gate[f], x)) * product(&up[f], x);
            }
        }
        let wanted: Vec<u32> = wanted.iter().map(|v| v.to_bits()).collect();
        for form in forms(rows) {
            assert_eq!(
                kernels.y(form, 2, &case, &before, Epilogue::Store),
                wanted,
                "{form:?} {features} x {k}, {rows} rows"
            );
        }
    }
}

#[test]
fn batch_mates_do_not_move_a_row() {
    let Some(kernels) = Kernels::new() else { return };
    let (features, k) = (24, 300);
    let left = rows_of(features, k, 1, quantize_l);
    let w = packed(&kernels.device, &[&left], k);
    let row = rows_of(1, k, 60, quantize_r).remove(0);
    let alone: Vec<u32> = left.iter().map(|w| product(w, &row).to_bits()).collect();
    for (rows, at) in [(2, 1), (8, 0), (9, 8), (64, 37), (70, 69)] {
        // The others are what no quantizer makes.
        let mates = Quantized { q: vec![-32_768; k.div_ceil(128) * 128], g: vec![60; k.div_ceil(128)] };
        let mut right = vec![mates; rows];
        right[at] = row.clone();
        let x = right_operand(&kernels.device, &right, k, 0);
        let case = Case { w: &w, x: &x, rows: rows as u32, now: None, stride: features as u32 };
        for form in forms(rows) {
            let y = kernels.y(form, 3, &case, &vec![0.0; rows * features], Epilogue::Store);
            assert_eq!(y[at * features..][..features], alone, "{form:?}, row {at} of {rows}");
        }
    }
}

#[test]
fn rows_beyond_the_count_on_the_device_are_left_alone() {
    let Some(kernels) = Kernels::new() else { return };
    let (features, k, most) = (20, 130, 40);
    let (left, right) = (rows_of(features, k, 1, quantize_l), rows_of(most, k, 9, quantize_r));
    let w = packed(&kernels.device, &[&left], k);
    let x = right_operand(&kernels.device, &right, k, 0);
    let before = before(features, most, features);
    for rows in [0, 1, 8, 19, 40, 41] {
        let now = DeviceBuffer::from_slice(&kernels.device, &[rows as u32]).unwrap();
        let case = Case { w: &w, x: &x, rows: most as u32, now: Some(&now), stride: features as u32 };
        let mut wanted = before.clone();
        for (t, x) in right.iter().enumerate().take(rows) {
            left.iter().enumerate().for_each(|(f, w)| wanted[t * features + f] += product(w, x));
        }
        let wanted: Vec<u32> = wanted.iter().map(|v| v.to_bits()).collect();
        for form in FORMS {
            assert_eq!(kernels.y(form, 2, &case, &before, Epilogue::Add), wanted, "{form:?}, {rows} rows of {most}");
        }
    }
}

/// The comparison sees what it should: one unit in one slice of one element, one exponent.
#[test]
fn one_unit_of_one_element_shows() {
    let Some(kernels) = Kernels::new() else { return };
    let k = 256;
    let (left, right) = (rows_of(16, k, 1, quantize_l), rows_of(8, k, 2, quantize_r));
    let y = |left: &[Quantized], right: &[Quantized], form: Form| {
        let (w, x) = (packed(&kernels.device, &[left], k), right_operand(&kernels.device, right, k, 0));
        let case = Case { w: &w, x: &x, rows: 8, now: None, stride: 16 };
        kernels.y(form, 1, &case, &[0.0; 128], Epilogue::Store)
    };
    for form in FORMS {
        let same = y(&left, &right, form);
        assert_eq!(y(&left, &right, form), same);
        for step in [1, 256] {
            let mut other = left.clone();
            other[11].q[200] -= step;
            let found = y(&other, &right, form);
            let moved: Vec<usize> = (0..128).filter(|i| found[*i] != same[*i]).collect();
            assert!(!moved.is_empty() && moved.iter().all(|i| i % 16 == 11), "{form:?} {step}: {moved:?}");
        }
        let mut other = right.clone();
        other[5].g[1] += 1;
        let found = y(&left, &other, form);
        assert!((0..128).all(|i| (found[i] != same[i]) == (i / 16 == 5)), "{form:?}");
    }
}

#[test]
fn shapes_that_do_not_agree_are_refused() {
    let Some(kernels) = Kernels::new() else { return };
    let w = packed(&kernels.device, &[&rows_of(20, 130, 1, quantize_l)], 130);
    let pair = rows_of(20, 130, 1, quantize_l);
    let pair = packed(&kernels.device, &[&pair, &pair], 130);
    let x = right_operand(&kernels.device, &rows_of(70, 130, 1, quantize_r), 130, 0);
    let narrow = right_operand(&kernels.device, &rows_of(70, 128, 1, quantize_r), 128, 0);
    let run =
        |w: &PackedWeights, x: &QuantizedRows, rows: u32, stride: u32, len: usize, epilogue: Epilogue, form: Form| {
            let mut y = DeviceBuffer::zeroed(&kernels.device, len).unwrap();
            let mut product = Product { weights: w, x, y: &mut y, stride, count: RowCount::exactly(rows), epilogue };
            match form {
                Form::Gemm(tile) => kernels.gemm.run_as(tile, 1, &mut product).is_ok(),
                Form::Gemv(form) => kernels.gemv.run_as(form, 1, &mut product).is_ok(),
            }
        };
    for form in FORMS {
        assert!(run(&w, &x, 64, 20, 64 * 20, Epilogue::Store, form));
        assert!(!run(&w, &narrow, 64, 20, 64 * 20, Epilogue::Store, form), "other columns");
        assert!(!run(&w, &x, 71, 20, 71 * 20, Epilogue::Store, form), "more rows than are quantized");
        assert!(!run(&w, &x, 64, 19, 64 * 20, Epilogue::Store, form), "a stride below the width");
        assert!(!run(&w, &x, 64, 20, 64 * 20 - 1, Epilogue::Store, form), "y too short");
        assert!(!run(&w, &x, 0, 20, 20, Epilogue::Store, form), "no rows");
        assert!(!run(&pair, &x, 64, 20, 64 * 20, Epilogue::Add, form), "a residual of gate and up");
    }
    assert!(!run(&w, &x, 65, 20, 65 * 20, Epilogue::Store, Form::Gemv(GemvForm::Single)), "too many rows for gemv");
}

#[test]
fn the_forms_are_chosen_by_rows_and_width() {
    let Some(kernels) = Kernels::new() else { return };
    let multiprocessors = kernels.device.multiprocessors().unwrap();
    let mut y = DeviceBuffer::zeroed(&kernels.device, 0).unwrap();
    let x = QuantizedRows::zeroed(&kernels.device, 4096, 1).unwrap();
    let mut forms = |features: u32, rows: u32| {
        let w = PackedWeights::zeroed(&kernels.device, features, 1, crate::cuda::ops::operands::Arrangement::Stacked)
            .unwrap();
        let count = RowCount::exactly(rows);
        let product = Product { weights: &w, x: &x, y: &mut y, stride: features, count, epilogue: Epilogue::Store };
        (kernels.gemm.tile(&product), kernels.gemv.form(&product))
    };
    assert_eq!(forms(128 * multiprocessors, 64), (GemmTile::Wide, GemvForm::Double));
    assert_eq!(forms(128 * multiprocessors, 16), (GemmTile::Wide, GemvForm::Single));
    assert_eq!(forms(128 * multiprocessors - 128, 128).0, GemmTile::Narrow);
    assert_eq!(forms(32 * multiprocessors - 32, 64).1, GemvForm::Single);
}

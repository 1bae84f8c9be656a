//! final_norm.cu against `numerics`, to the bit.

use proptest::prelude::*;

use super::attention::unpack_rows;
use super::device;
use super::reading::noise;
use crate::cuda::ops::final_norm::{FinalInput, FinalNorm, FinalOut};
use crate::cuda::{Device, DeviceBuffer, abi};
use crate::numerics::{self, Quantized};

const EPS: f32 = 1e-6;
const LAYER: u32 = 5;

struct Out {
    hidden: Vec<Vec<f32>>,
    sketch: Vec<u32>,
    rows: Vec<Quantized>,
    faults: Vec<u32>,
}

/// All outputs of rows of `x`; without `r`, no sketch is asked for.
fn run(device: &Device, x: &[Vec<f32>], weight: &[f32], r: Option<&[i32]>, source: Option<&[u32]>) -> Out {
    let n = weight.len();
    let ld = n.next_multiple_of(4) + 4;
    let rows = source.map_or(x.len(), <[u32]>::len);
    let mut flat = vec![f32::NAN; x.len() * ld];
    flat.chunks_mut(ld).zip(x).for_each(|(to, x)| to[..n].copy_from_slice(x));
    let flat = DeviceBuffer::from_slice(device, &flat).unwrap();
    let weight = DeviceBuffer::from_slice(device, weight).unwrap();
    let projection = DeviceBuffer::from_slice(device, r.unwrap_or(&[])).unwrap();
    let source = source.map(|s| DeviceBuffer::from_slice(device, s).unwrap());
    let tiles = rows.div_ceil(8) * n.div_ceil(128);
    let mut sketch = DeviceBuffer::zeroed(device, rows).unwrap();
    let mut hidden = DeviceBuffer::zeroed(device, rows * n).unwrap();
    let mut q = DeviceBuffer::zeroed(device, tiles * 2048).unwrap();
    let mut g = DeviceBuffer::zeroed(device, tiles * 8).unwrap();
    let mut fault = DeviceBuffer::from_slice(device, &vec![abi::NO_FAULT; x.len()]).unwrap();
    let input = FinalInput {
        x: &flat,
        ld: ld as u32,
        weight: &weight,
        eps: EPS,
        source: source.as_ref(),
        rows: rows as u32,
        layer: LAYER,
    };
    let mut out = FinalOut {
        sketch: r.is_some().then_some((&projection, &mut sketch)),
        hidden: Some(&mut hidden),
        rows: Some((&mut q, &mut g)),
    };
    // SAFETY: sources are rows of x.
    unsafe { FinalNorm::new(device).unwrap().run(&input, None, &mut out, &mut fault) }.unwrap();
    Out {
        hidden: hidden.to_vec().unwrap().chunks(n).map(<[f32]>::to_vec).collect(),
        sketch: sketch.to_vec().unwrap(),
        rows: unpack_rows(&q.to_vec().unwrap(), &g.to_vec().unwrap(), rows, n),
        faults: fault.to_vec().unwrap(),
    }
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

fn projection(n: usize, salt: u32) -> Vec<i32> {
    noise(n, salt, 2.0).iter().map(|x| (x * 2e9) as i32).collect()
}

fn word(stage: u32, kind: u32) -> u32 {
    LAYER << 16 | stage << 8 | kind
}

#[test]
fn hidden_states_sketches_and_rows_are_the_reference() {
    let Some(device) = device() else { return };
    for n in [1usize, 3, 64, 127, 128, 130, 257, 1024, 2560] {
        let weight: Vec<f32> = noise(n, 3, 2.0);
        let x: Vec<Vec<f32>> = (0..9).map(|i| noise(n, 40 + i, [1.0, 1e-12, 1e15][i as usize % 3])).collect();
        let r = projection(n, 8);
        let out = run(&device, &x, &weight, Some(&r), None);
        for (i, x) in x.iter().enumerate() {
            let wanted = numerics::rmsnorm(x, &weight, EPS).unwrap();
            assert_eq!(bits(&out.hidden[i]), bits(&wanted), "hidden, n {n}");
            assert_eq!(out.sketch[i], numerics::sketch(&wanted, &r).unwrap(), "sketch, n {n}");
            assert_eq!(out.rows[i], numerics::quantize_r(&wanted).unwrap(), "rows, n {n}");
            assert_eq!(out.faults[i], abi::NO_FAULT);
        }
    }
}

/// Sums of |v| far beyond 2^32, and the ends of both ranges: rows of one magnitude, so that the norm gives the weights.
#[test]
fn sketches_are_exact_beyond_64_bits_of_partial_sums() {
    let Some(device) = device() else { return };
    let n = 2560;
    // 1024 * 2097000 is just below 2^31.
    let x: Vec<Vec<f32>> = (0..4).map(|i| noise(n, 60 + i, 1.0).iter().map(|x| x.signum()).collect()).collect();
    for (size, r) in [
        (2_097_000.0f32, vec![i32::MAX; n]),
        (2_097_000.0, vec![i32::MIN; n]),
        (2_097_000.0, (0..n).map(|i| if i % 2 == 0 { i32::MIN } else { i32::MAX }).collect()),
        (-2_097_000.0, projection(n, 9)),
        (2_097_000.0, vec![i32::MAX - 1; n]),
    ] {
        let weight = vec![size; n];
        let out = run(&device, &x, &weight, Some(&r), None);
        for (x, found) in x.iter().zip(&out.sketch) {
            let hidden = numerics::rmsnorm(x, &weight, EPS).unwrap();
            let sum: u64 =
                numerics::SketchTerms::new(&hidden).unwrap().v.iter().map(|v| u64::from(v.unsigned_abs())).sum();
            assert!(sum > 1 << 42, "the sum is not large");
            assert_eq!(*found, numerics::sketch(&hidden, &r).unwrap());
            assert!(*found < numerics::Q);
        }
    }
}

#[test]
fn faults_are_told_in_the_order_of_the_pass_and_move_no_other_row() {
    let Some(device) = device() else { return };
    let n = 256;
    let r = projection(n, 1);
    let mut weight = vec![1.0f32; n];
    // One column so heavy that its row leaves the sketch, and with more, the quantizer.
    (weight[7], weight[9]) = (1e7, 1e19);
    let unit = |at: usize| (0..n).map(|i| if i == at { 1.0 } else { 0.0 }).collect::<Vec<f32>>();
    let mut overflow = unit(1);
    overflow[3] = 2e19;
    let mut nan = unit(2);
    nan[200] = f32::NAN;
    let x = vec![unit(0), unit(7), overflow, unit(9), nan, unit(255)];
    let sum = word(abi::STAGE_FINAL_NORM, abi::FAULT_SUM_OF_SQUARES);
    let sketch = word(abi::STAGE_SKETCH, abi::FAULT_SKETCH);
    let head = word(abi::STAGE_HEAD, abi::FAULT_QUANTIZER);
    let none = abi::NO_FAULT;
    let with = run(&device, &x, &weight, Some(&r), None);
    assert_eq!(with.faults, [none, sketch, sum, sketch, sum, none]);
    assert_eq!(with.sketch[1], 0);
    let without = run(&device, &x, &weight, None, None);
    assert_eq!(without.faults, [none, none, sum, head, sum, none]);
    for i in [0, 5] {
        let wanted = numerics::rmsnorm(&x[i], &weight, EPS).unwrap();
        assert_eq!(bits(&with.hidden[i]), bits(&wanted));
        assert_eq!(with.sketch[i], numerics::sketch(&wanted, &r).unwrap());
        assert_eq!(without.rows[i], numerics::quantize_r(&wanted).unwrap());
    }
    for i in [2, 4] {
        assert!(with.hidden[i].iter().all(|h| *h == 0.0) && with.rows[i].q.iter().all(|q| *q == 0));
    }
    assert!(with.rows[3].q[..128].iter().all(|q| *q == 0), "a block that no quantizer takes");
    // The reference says the same of the rows it refuses.
    assert_eq!(numerics::rmsnorm(&x[2], &weight, EPS).unwrap_err(), crate::FaultKind::SumOfSquares);
    let heavy = numerics::rmsnorm(&x[1], &weight, EPS).unwrap();
    assert_eq!(numerics::sketch(&heavy, &r).unwrap_err(), crate::FaultKind::Sketch);
    assert!(numerics::quantize_r(&heavy).is_ok());
    assert!(numerics::quantize_r(&numerics::rmsnorm(&x[3], &weight, EPS).unwrap()).is_err());
}

#[test]
fn gathered_rows_are_the_rows_and_faults_go_home() {
    let Some(device) = device() else { return };
    let n = 96;
    let weight = noise(n, 4, 1.0);
    let mut x: Vec<Vec<f32>> = (0..12).map(|i| noise(n, 80 + i, 1.0)).collect();
    x[10][0] = f32::INFINITY;
    let source = [11, 2, 10, 2];
    let out = run(&device, &x, &weight, None, Some(&source));
    for (i, &s) in source.iter().enumerate().filter(|(_, s)| **s != 10) {
        let wanted = numerics::rmsnorm(&x[s as usize], &weight, EPS).unwrap();
        assert_eq!(bits(&out.hidden[i]), bits(&wanted));
        assert_eq!(out.rows[i], numerics::quantize_r(&wanted).unwrap());
    }
    let told: Vec<usize> = (0..12).filter(|&i| out.faults[i] != abi::NO_FAULT).collect();
    assert_eq!(told, [10]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_row_is_the_reference(n in 1usize..400, salt in any::<u32>(), exponent in -30i32..30) {
        let Some(device) = device() else { return Ok(()) };
        let weight = noise(n, salt ^ 1, 2.0);
        let x = vec![noise(n, salt, 2f32.powi(exponent))];
        let r = projection(n, salt ^ 2);
        let out = run(&device, &x, &weight, Some(&r), None);
        let wanted = numerics::rmsnorm(&x[0], &weight, EPS).unwrap();
        prop_assert_eq!(bits(&out.hidden[0]), bits(&wanted));
        prop_assert_eq!(out.sketch[0], numerics::sketch(&wanted, &r).unwrap());
        prop_assert_eq!(&out.rows[0], &numerics::quantize_r(&wanted).unwrap());
    }
}

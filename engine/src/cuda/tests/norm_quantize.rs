//! norm_quantize.cu against `numerics::rmsnorm` and `numerics::quantize_r`, to the bit.

use super::device;
use super::operands::{all_rows, no_faults, noise, strided};
use crate::FaultKind;
use crate::cuda::ops::norm_quantize::NormQuantize;
use crate::cuda::ops::operands::{Faults, QuantizedRows, RowCount, Rows};
use crate::cuda::{Device, DeviceBuffer, abi};
use crate::numerics::{Quantized, quantize_r, rmsnorm};

const EPS: f32 = 1e-6;
const WORD: u32 = 3 << 16 | abi::STAGE_POST_NORM << 8;

struct Found {
    quantized: Vec<Quantized>,
    normed: Vec<Vec<u32>>,
    words: Vec<u32>,
}

fn normed(device: &Device, rows: &[Vec<f32>], weight: &[f32], stride: usize, now: Option<u32>) -> Found {
    let (count, n) = (rows.len(), weight.len());
    let x = strided(device, rows, stride);
    let now = now.map(|now| DeviceBuffer::from_slice(device, &[now]).unwrap());
    let weight = DeviceBuffer::from_slice(device, weight).unwrap();
    let mut to = QuantizedRows::zeroed(device, count as u32, n as u32).unwrap();
    let mut copy = DeviceBuffer::zeroed(device, count * n).unwrap();
    let mut words = no_faults(device, count);
    let mut faults = Faults { words: &mut words, layer: 3, stage: abi::STAGE_POST_NORM };
    let rows = Rows { x: &x, stride: stride as u32, count: RowCount { most: count as u32, now: now.as_ref() } };
    let kernel = NormQuantize::new(device).unwrap();
    kernel.run(&rows, &weight, EPS, &mut to, Some(&mut copy), &mut faults).unwrap();
    let copied = copy.to_vec().unwrap();
    let with_copy = (all_rows(&to), words.to_vec().unwrap());
    // Without the copy, the same integers.
    let mut words = no_faults(device, count);
    let mut faults = Faults { words: &mut words, layer: 3, stage: abi::STAGE_POST_NORM };
    kernel.run(&rows, &weight, EPS, &mut to, None, &mut faults).unwrap();
    assert_eq!((all_rows(&to), words.to_vec().unwrap()), with_copy);
    let bits = |row: &[f32]| row.iter().map(|v| v.to_bits()).collect();
    Found { quantized: with_copy.0, normed: copied.chunks(n).map(bits).collect(), words: with_copy.1 }
}

fn agree(device: &Device, rows: &[Vec<f32>], weight: &[f32], stride: usize) {
    let found = normed(device, rows, weight, stride, None);
    for (i, row) in rows.iter().enumerate() {
        let wanted = rmsnorm(row, weight, EPS).unwrap();
        let bits: Vec<u32> = wanted.iter().map(|v| v.to_bits()).collect();
        assert_eq!(found.normed[i], bits, "row {i} of {}", weight.len());
        assert_eq!(found.quantized[i], quantize_r(&wanted).unwrap(), "row {i} of {}", weight.len());
        assert_eq!(found.words[i], abi::NO_FAULT);
    }
}

#[test]
fn rows_of_any_shape_equal_the_reference() {
    let Some(device) = device() else { return };
    for (count, n) in [(1, 1), (3, 64), (9, 128), (2, 130), (8, 127), (17, 300), (2, 1024), (2, 2560), (1, 9001)] {
        let rows: Vec<Vec<f32>> = (0..count).map(|i| noise(n, i as u32)).collect();
        let weight: Vec<f32> = noise(n, 999).iter().map(|w| 1.0 + w).collect();
        agree(&device, &rows, &weight, n.next_multiple_of(4));
        agree(&device, &rows, &weight, n.next_multiple_of(4) + 4);
    }
}

#[test]
fn magnitudes_from_subnormal_to_huge_equal_the_reference() {
    let Some(device) = device() else { return };
    let scales = [0.0, 1e-42, 1e-30, 1e-19, 1e-3, 1e6, 1e16, 3e17];
    let rows: Vec<Vec<f32>> = scales.iter().map(|s| noise(384, 4).iter().map(|v| v * s).collect()).collect();
    agree(&device, &rows, &noise(384, 5), 384);
    // Outlier channels, and zeros of both signs.
    let mut spiky = noise(384, 6);
    spiky[100] = 4000.0;
    spiky[101] = -0.0;
    agree(&device, &[spiky], &noise(384, 7), 384);
}

#[test]
fn a_fault_is_its_rows_alone() {
    let Some(device) = device() else { return };
    let mut rows: Vec<Vec<f32>> = (0..9).map(|i| noise(260, i)).collect();
    rows[1][0] = f32::NAN;
    rows[4][259] = f32::INFINITY;
    rows[5][130] = 1e20; // its square is not finite
    rows[8].iter_mut().for_each(|v| *v = 1e-22); // a norm near 0 times a weight beyond any
    let mut weight: Vec<f32> = noise(260, 99);
    weight[7] = 3e38;
    rows.iter_mut().take(8).for_each(|row| row[7] = 0.0);
    let found = normed(&device, &rows, &weight, 260, None);
    for (i, row) in rows.iter().enumerate() {
        match rmsnorm(row, &weight, EPS).and_then(|y| quantize_r(&y)) {
            Ok(wanted) => assert_eq!((&found.quantized[i], found.words[i]), (&wanted, abi::NO_FAULT), "row {i}"),
            Err(FaultKind::SumOfSquares) => {
                assert_eq!(found.words[i], WORD | abi::FAULT_SUM_OF_SQUARES, "row {i}");
                assert!(found.quantized[i].q.iter().all(|q| *q == 0));
            }
            Err(kind) => {
                assert_eq!((kind, found.words[i]), (FaultKind::Quantizer, WORD | abi::FAULT_QUANTIZER), "row {i}")
            }
        }
    }
    let of = |word: u32| (0..9).filter(|i| found.words[*i] == word).collect::<Vec<_>>();
    assert_eq!(of(WORD | abi::FAULT_SUM_OF_SQUARES), [1, 4, 5]);
    assert_eq!(of(WORD | abi::FAULT_QUANTIZER), [8]);
}

#[test]
fn rows_beyond_the_count_on_the_device_are_left_alone() {
    let Some(device) = device() else { return };
    let rows: Vec<Vec<f32>> = (0..6).map(|i| noise(140, i)).collect();
    let weight = noise(140, 50);
    let found = normed(&device, &rows, &weight, 140, Some(4));
    for (i, row) in rows.iter().enumerate() {
        let untouched = Quantized { q: vec![0; 256], g: vec![0; 2] };
        let wanted = if i < 4 { quantize_r(&rmsnorm(row, &weight, EPS).unwrap()).unwrap() } else { untouched };
        assert_eq!(found.quantized[i], wanted, "row {i}");
    }
}

#[test]
fn one_bit_of_one_element_shows() {
    let Some(device) = device() else { return };
    let mut row = noise(256, 3);
    row[200] = 0.5;
    let weight = vec![1.0; 256];
    let before = normed(&device, std::slice::from_ref(&row), &weight, 256, None);
    row[200] = f32::from_bits(row[200].to_bits() + 1);
    let after = normed(&device, &[row], &weight, 256, None);
    assert_ne!(before.normed[0], after.normed[0]);
}

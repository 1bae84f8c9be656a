//! quantize_rows.cu against `numerics::quantize_r`, to the bit.

use super::device;
use super::operands::{all_rows, boundary_blocks, corner_blocks, no_faults, noise, strided};
use crate::FaultKind;
use crate::cuda::ops::operands::{Faults, QuantizedRows, RowCount, Rows};
use crate::cuda::ops::quantize_rows::QuantizeRows;
use crate::cuda::{Device, DeviceBuffer, abi};
use crate::numerics::{Quantized, quantize_r};

const LAYER: u32 = 5;
const WORD: u32 = LAYER << 16 | abi::STAGE_ACTIVATION << 8 | abi::FAULT_QUANTIZER;

fn quantized(device: &Device, rows: &[Vec<f32>], stride: usize) -> (Vec<Quantized>, Vec<u32>) {
    let x = strided(device, rows, stride);
    let mut to = QuantizedRows::zeroed(device, rows.len() as u32, rows[0].len() as u32).unwrap();
    let mut words = no_faults(device, rows.len());
    let mut faults = Faults { words: &mut words, layer: LAYER, stage: abi::STAGE_ACTIVATION };
    let rows = Rows { x: &x, stride: stride as u32, count: RowCount::exactly(rows.len() as u32) };
    QuantizeRows::new(device).unwrap().run(&rows, &mut to, &mut faults).unwrap();
    (all_rows(&to), words.to_vec().unwrap())
}

#[test]
fn rows_of_any_shape_equal_the_reference() {
    let Some(device) = device() else { return };
    for (count, k) in [(1, 1), (1, 128), (7, 127), (8, 129), (9, 130), (17, 640), (3, 1027), (65, 256)] {
        let rows: Vec<Vec<f32>> = (0..count).map(|i| noise(k, i as u32).iter().map(|v| v * 3.0).collect()).collect();
        for stride in [k.next_multiple_of(4), k.next_multiple_of(4) + 16] {
            let (found, words) = quantized(&device, &rows, stride);
            let wanted: Vec<Quantized> = rows.iter().map(|row| quantize_r(row).unwrap()).collect();
            assert_eq!(found, wanted, "{count} rows of {k}");
            assert!(words.iter().all(|w| *w == abi::NO_FAULT));
        }
    }
}

#[test]
fn corner_blocks_equal_the_reference() {
    let Some(device) = device() else { return };
    let rows: Vec<Vec<f32>> = corner_blocks().into_iter().chain(boundary_blocks(64)).collect();
    let (found, _) = quantized(&device, &rows, 128);
    let wanted: Vec<Quantized> = rows.iter().map(|row| quantize_r(row).unwrap()).collect();
    assert_eq!(found, wanted);
    let clamped = |limit: i16| wanted.iter().any(|row| row.q.contains(&limit));
    assert!(clamped(16_383) && clamped(-16_383) && wanted.iter().any(|row| row.g[0] == -54), "the corners are there");
}

#[test]
fn a_fault_is_its_rows_alone() {
    let Some(device) = device() else { return };
    let two_60 = f32::from_bits((60 + 127) << 23);
    for bad in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY, two_60, -two_60] {
        let mut rows: Vec<Vec<f32>> = (0..10).map(|i| noise(300, i)).collect();
        for (row, column) in [(2, 0), (9, 299), (9, 5)] {
            rows[row][column] = bad;
        }
        let (found, words) = quantized(&device, &rows, 300);
        for (i, row) in rows.iter().enumerate() {
            match quantize_r(row) {
                Ok(wanted) => assert_eq!((&found[i], words[i]), (&wanted, abi::NO_FAULT), "row {i}"),
                Err(kind) => assert_eq!((kind, words[i]), (FaultKind::Quantizer, WORD), "row {i}"),
            }
        }
        assert_eq!(words.iter().filter(|w| **w == WORD).count(), 2);
        assert!(found[2].q[..128].iter().all(|q| *q == 0), "a block without values is zero");
    }
}

#[test]
fn an_earlier_fault_is_kept() {
    let Some(device) = device() else { return };
    let x = strided(&device, &[vec![f32::NAN; 128], vec![f32::NAN; 128]], 128);
    let mut to = QuantizedRows::zeroed(&device, 2, 128).unwrap();
    let earlier = LAYER << 16 | abi::STAGE_INPUT_NORM << 8 | abi::FAULT_SUM_OF_SQUARES;
    let mut words = DeviceBuffer::from_slice(&device, &[earlier, (LAYER + 1) << 16]).unwrap();
    let mut faults = Faults { words: &mut words, layer: LAYER, stage: abi::STAGE_ACTIVATION };
    let rows = Rows { x: &x, stride: 128, count: RowCount::exactly(2) };
    QuantizeRows::new(&device).unwrap().run(&rows, &mut to, &mut faults).unwrap();
    assert_eq!(words.to_vec().unwrap(), [earlier, WORD]);
}

#[test]
fn rows_beyond_the_count_on_the_device_are_left_alone() {
    let Some(device) = device() else { return };
    let rows: Vec<Vec<f32>> = (0..12).map(|i| noise(200, i)).collect();
    let x = strided(&device, &rows, 200);
    let now = DeviceBuffer::from_slice(&device, &[9u32]).unwrap();
    let mut to = QuantizedRows::zeroed(&device, 12, 200).unwrap();
    let mut words = no_faults(&device, 12);
    let mut faults = Faults { words: &mut words, layer: LAYER, stage: abi::STAGE_ACTIVATION };
    let count = RowCount { most: 12, now: Some(&now) };
    QuantizeRows::new(&device).unwrap().run(&Rows { x: &x, stride: 200, count }, &mut to, &mut faults).unwrap();
    for (i, found) in all_rows(&to).iter().enumerate() {
        let untouched = Quantized { q: vec![0; 256], g: vec![0; 2] };
        let wanted = if i < 9 { quantize_r(&rows[i]).unwrap() } else { untouched };
        assert_eq!(*found, wanted, "row {i}");
    }
}

#[test]
fn shapes_that_do_not_agree_are_refused() {
    let Some(device) = device() else { return };
    let kernel = QuantizeRows::new(&device).unwrap();
    let x = DeviceBuffer::zeroed(&device, 4 * 128).unwrap();
    let run = |stride: u32, rows: u32, words: usize, room: u32| {
        let mut words = no_faults(&device, words);
        let mut faults = Faults { words: &mut words, layer: 0, stage: 0 };
        let mut to = QuantizedRows::zeroed(&device, room, 128).unwrap();
        kernel.run(&Rows { x: &x, stride, count: RowCount::exactly(rows) }, &mut to, &mut faults).is_ok()
    };
    assert!(run(128, 4, 4, 4));
    assert!(!run(127, 4, 4, 4), "a stride below the width");
    assert!(!run(130, 3, 4, 4), "a stride that is no multiple of four");
    assert!(!run(132, 4, 4, 4), "rows beyond the buffer");
    assert!(!run(128, 4, 3, 4), "a row without a fault word");
    assert!(!run(128, 4, 4, 3), "a row without room");
    assert!(!run(128, 0, 4, 4), "no rows");
}

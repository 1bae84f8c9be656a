//! quantize_weights.cu against `numerics::quantize_l`, to the bit.

use half::{bf16, f16};

use super::device;
use super::operands::{boundary_blocks, corner_blocks, no_faults, noise, packed_row, weight_row};
use crate::cuda::ops::operands::{Arrangement, PackedWeights};
use crate::cuda::ops::quantize_weights::{QuantizeWeights, SourceRows, WeightType};
use crate::cuda::{Device, DeviceBuffer, abi};
use crate::numerics::{Quantized, quantize_l};

/// The bytes of a tensor, and what they say in f32.
fn encoded(rows: &[Vec<f32>], element: WeightType) -> (Vec<u8>, Vec<Vec<f32>>) {
    let one = |v: &f32| -> (Vec<u8>, f32) {
        match element {
            WeightType::F32 => (v.to_le_bytes().to_vec(), *v),
            WeightType::F16 => (f16::from_f32(*v).to_le_bytes().to_vec(), f16::from_f32(*v).to_f32()),
            WeightType::Bf16 => (bf16::from_f32(*v).to_le_bytes().to_vec(), bf16::from_f32(*v).to_f32()),
        }
    };
    let bytes = rows.iter().flatten().flat_map(|v| one(v).0).collect();
    (bytes, rows.iter().map(|row| row.iter().map(|v| one(v).1).collect()).collect())
}

/// Quantizes rows from `first` on, of one matrix or two; the fault word.
fn pack(
    device: &Device,
    to: &mut PackedWeights,
    first: u32,
    matrices: &[&[u8]],
    rows: u32,
    element: WeightType,
) -> u32 {
    let buffers: Vec<_> = matrices.iter().map(|bytes| DeviceBuffer::from_slice(device, bytes).unwrap()).collect();
    let mut fault = no_faults(device, 1);
    let source = SourceRows { bytes: &buffers[0], up: buffers.get(1), rows, element };
    QuantizeWeights::new(device).unwrap().run(&source, to, first, &mut fault).unwrap();
    fault.to_vec().unwrap()[0]
}

fn packed_rows(to: &PackedWeights) -> Vec<Quantized> {
    let (q, g) = (to.q().to_vec().unwrap(), to.g().to_vec().unwrap());
    (0..to.tiles() as usize * 16).map(|row| weight_row(&q, &g, to.blocks() as usize, row)).collect()
}

fn padding(blocks: usize) -> Quantized {
    Quantized { q: vec![0; blocks * 128], g: vec![0; blocks] }
}

fn agree(device: &Device, rows: &[Vec<f32>], element: WeightType) {
    let (count, k) = (rows.len(), rows[0].len());
    let (bytes, values) = encoded(rows, element);
    let mut to = PackedWeights::zeroed(device, count as u32, k as u32, Arrangement::Stacked).unwrap();
    let fault = pack(device, &mut to, 0, &[&bytes], count as u32, element);
    assert_eq!(fault, abi::NO_FAULT);
    for (i, found) in packed_rows(&to).iter().enumerate() {
        let wanted = values.get(i).map_or(padding(k.div_ceil(128)), |row| quantize_l(row).unwrap());
        assert_eq!(*found, wanted, "row {i} of {count} x {k} {element:?}");
    }
}

#[test]
fn matrices_of_any_shape_and_type_equal_the_reference() {
    let Some(device) = device() else { return };
    for element in [WeightType::F32, WeightType::F16, WeightType::Bf16] {
        for (count, k) in [(1, 1), (2, 127), (16, 128), (17, 130), (33, 300), (5, 257), (3, 1024)] {
            let rows: Vec<Vec<f32>> =
                (0..count).map(|i| noise(k, i as u32).iter().map(|v| v * 0.1).collect()).collect();
            agree(&device, &rows, element);
        }
    }
}

#[test]
fn corners_and_every_width_equal_the_reference() {
    let Some(device) = device() else { return };
    let blocks: Vec<Vec<f32>> = corner_blocks().into_iter().chain(boundary_blocks(600)).collect();
    let mut widths = [0; 16];
    for block in &blocks {
        let max = block.iter().map(|v| v.to_bits() & 0x7fff_ffff).max().unwrap();
        let exponent = ((max >> 23) as i32 - 126).max(-40);
        widths[(exponent - quantize_l(block).unwrap().g[0]) as usize] += 1;
    }
    assert!(widths[10..].iter().all(|count| *count >= 3), "blocks of every width: {widths:?}");
    // Several blocks a row, so that neighbours in a tile take different widths.
    let rows: Vec<Vec<f32>> = blocks.chunks(3).filter(|c| c.len() == 3).map(|c| c.concat()).collect();
    agree(&device, &rows, WeightType::F32);
}

/// A warp concludes the width from the sum at 15 bits. Blocks whose elements are all rounded the same way are the worst for that.
#[test]
fn one_sided_rounding_does_not_mislead_the_width() {
    let Some(device) = device() else { return };
    let mut rows = Vec::new();
    for bits in 10..=15 {
        let unit = 1.0 / (1 << bits) as f32;
        for offset in [-0.5f32, -0.499, 0.499, 0.5] {
            for step in -8..=8 {
                // 127 equal elements next to a tie, and the clamp at some of them.
                let q = ((131_080.0 - 0.5 / unit) / 127.0 + step as f32 * 0.5).floor().min(0.999 / unit - 1.0);
                let mut block = vec![(q + offset) * unit; 128];
                block[0] = 0.5;
                rows.push(block);
                let clamped = (131_080 / ((1 << bits) - 1)).min(128) as usize;
                let mut block = vec![0.0; 128];
                block[..clamped].fill(f32::from_bits(0x3f7f_ffff));
                block[clamped..].fill((step as f32 + 8.0 + offset).max(0.0) * unit);
                rows.push(block);
            }
        }
    }
    agree(&device, &rows, WeightType::F32);
}

#[test]
fn every_finite_half_widens_exactly() {
    let Some(device) = device() else { return };
    let finite: Vec<f32> = (0..=u16::MAX).map(f16::from_bits).filter(|h| h.is_finite()).map(f16::to_f32).collect();
    let rows: Vec<Vec<f32>> = finite.chunks(128 * 4).map(<[f32]>::to_vec).collect();
    assert_eq!(rows.len(), 124);
    agree(&device, &rows, WeightType::F16);
}

#[test]
fn stacked_parts_lie_row_upon_row() {
    let Some(device) = device() else { return };
    let (k, parts) = (140, [5usize, 24, 3, 16]);
    let rows: Vec<Vec<f32>> = (0..48).map(|i| noise(k, i)).collect();
    let mut to = PackedWeights::zeroed(&device, 48, k as u32, Arrangement::Stacked).unwrap();
    let mut first = 0;
    for part in parts {
        let (bytes, _) = encoded(&rows[first..first + part], WeightType::F32);
        assert_eq!(pack(&device, &mut to, first as u32, &[&bytes], part as u32, WeightType::F32), abi::NO_FAULT);
        first += part;
    }
    let wanted: Vec<Quantized> = rows.iter().map(|row| quantize_l(row).unwrap()).collect();
    assert_eq!(packed_rows(&to), wanted);
}

#[test]
fn gate_and_up_alternate_by_eight_rows() {
    let Some(device) = device() else { return };
    for count in [1, 8, 20] {
        let k = 130;
        let matrix = |salt: u32| (0..count).map(|i| noise(k, i as u32 + salt)).collect::<Vec<_>>();
        let (gate, up) = (matrix(0), matrix(100));
        let bytes = [encoded(&gate, WeightType::Bf16), encoded(&up, WeightType::Bf16)];
        let mut to = PackedWeights::zeroed(&device, count as u32, k as u32, Arrangement::GateUp).unwrap();
        // In two pieces where there are enough rows for that.
        for (start, end) in if count == 20 { vec![(0, 8), (8, 20)] } else { vec![(0, count)] } {
            let piece = |m: usize| &bytes[m].0[start * k * 2..end * k * 2];
            let rows = (end - start) as u32;
            assert_eq!(
                pack(&device, &mut to, start as u32, &[piece(0), piece(1)], rows, WeightType::Bf16),
                abi::NO_FAULT
            );
        }
        let mut wanted = vec![padding(2); to.tiles() as usize * 16];
        for (matrix, (_, values)) in bytes.iter().enumerate() {
            for (row, values) in values.iter().enumerate() {
                wanted[packed_row(Arrangement::GateUp, matrix, row)] = quantize_l(values).unwrap();
            }
        }
        assert_eq!(packed_rows(&to), wanted, "{count} rows");
    }
}

#[test]
fn the_first_unusable_row_is_told_and_others_are_packed() {
    let Some(device) = device() else { return };
    let huge = f32::from_bits((60 + 127) << 23);
    for (bad, element) in [
        (f32::NAN, WeightType::F32),
        (f32::INFINITY, WeightType::F16),
        (f32::NAN, WeightType::F16),
        (f32::NEG_INFINITY, WeightType::Bf16),
        (f32::NAN, WeightType::Bf16),
        (huge, WeightType::Bf16),
        (-huge, WeightType::F32),
    ] {
        let mut rows: Vec<Vec<f32>> = (0..20).map(|i| noise(200, i)).collect();
        rows[7][150] = bad;
        rows[18][3] = bad;
        let (bytes, values) = encoded(&rows, element);
        let mut to = PackedWeights::zeroed(&device, 20, 200, Arrangement::Stacked).unwrap();
        assert_eq!(pack(&device, &mut to, 0, &[&bytes], 20, element), 7, "{bad} {element:?}");
        for (i, found) in packed_rows(&to).iter().take(20).enumerate() {
            if i != 7 && i != 18 {
                assert_eq!(*found, quantize_l(&values[i]).unwrap(), "row {i}");
            }
        }
        let mut paired = PackedWeights::zeroed(&device, 20, 200, Arrangement::GateUp).unwrap();
        let good = encoded(&rows[..6].iter().cycle().take(20).cloned().collect::<Vec<_>>(), element).0;
        assert_eq!(pack(&device, &mut paired, 0, &[&good, &bytes], 20, element), 27, "of up");
    }
}

#[test]
fn shapes_that_do_not_agree_are_refused() {
    let Some(device) = device() else { return };
    let kernel = QuantizeWeights::new(&device).unwrap();
    let bytes = DeviceBuffer::<u8>::zeroed(&device, 16 * 128 * 2).unwrap();
    let run = |rows: u32, first: u32, arrangement: Arrangement, up: bool| {
        let mut to = PackedWeights::zeroed(&device, 24, 128, arrangement).unwrap();
        let source = SourceRows { bytes: &bytes, up: up.then_some(&bytes), rows, element: WeightType::Bf16 };
        kernel.run(&source, &mut to, first, &mut no_faults(&device, 1)).is_ok()
    };
    assert!(run(16, 8, Arrangement::Stacked, false) && run(16, 8, Arrangement::GateUp, true));
    assert!(!run(17, 0, Arrangement::Stacked, false), "more rows than bytes");
    assert!(!run(16, 9, Arrangement::Stacked, false), "rows beyond the matrix");
    assert!(!run(0, 0, Arrangement::Stacked, false), "no rows");
    assert!(!run(16, 0, Arrangement::Stacked, true) && !run(16, 0, Arrangement::GateUp, false), "half a pair");
    assert!(!run(8, 4, Arrangement::GateUp, true), "a pair that starts within eight rows");
}

//! embed.cu against the elements of the checkpoint.

use half::{bf16, f16};

use super::device;
use crate::cuda::ops::embed::{Embed, Embedding};
use crate::cuda::ops::pages::StepRows;
use crate::cuda::{Device, DeviceBuffer, abi};

/// Bit patterns of all kinds: zeros of both signs, subnormals, ordinary numbers, infinities and NaN.
fn pattern(i: usize) -> u16 {
    [0, 0x8000, 1, 0x83ff, 0x0400, 0x3c00, 0x7bff, 0x7c00, 0xfc00, 0x7e01, 0x7f80, 0xff81]
        .get(i % 29)
        .copied()
        .unwrap_or((i as u16).wrapping_mul(40503))
}

fn run(
    device: &Device,
    bytes: &[u8],
    element: u32,
    vocab: u32,
    hidden: u32,
    tokens: &[u32],
    counted: Option<u32>,
) -> Vec<u32> {
    let ld = hidden.next_multiple_of(4) + 4;
    let rows = tokens.len() as u32;
    let mut step = StepRows::new(device, rows, 1, 1).unwrap();
    step.token.write(0, tokens).unwrap();
    step.count.write(0, &[counted.unwrap_or(0)]).unwrap();
    let buffer = DeviceBuffer::from_slice(device, bytes).unwrap();
    let mut x = DeviceBuffer::from_slice(device, &vec![-1.0f32; (rows * ld) as usize]).unwrap();
    let embedding = Embedding { bytes: &buffer, element, vocab, hidden };
    let kernel = Embed::new(device).unwrap();
    // SAFETY: the tokens of these tests are below `vocab`.
    unsafe { kernel.run(&embedding, &step, &mut x, ld, rows, counted.is_some()) }.unwrap();
    x.to_vec().unwrap().iter().map(|x| x.to_bits()).collect()
}

#[test]
fn embedding_rows_are_the_checkpoints_elements() {
    let Some(device) = device() else { return };
    let vocab = 7u32;
    let tokens = [6, 0, 3, 3, 1];
    for hidden in [1u32, 6, 8, 36, 100, 2064] {
        let n = (vocab * hidden) as usize;
        let halves: Vec<u16> = (0..n).map(pattern).collect();
        let words: Vec<u32> = (0..n).map(|i| u32::from(pattern(i)) << 16 | u32::from(pattern(i + 5))).collect();
        let bytes: Vec<u8> = halves.iter().flat_map(|h| h.to_le_bytes()).collect();
        let wide: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
        let forms: [(&[u8], u32, Vec<u32>); 3] = [
            (&bytes, abi::ELEMENT_BF16, halves.iter().map(|&h| bf16::from_bits(h).to_f32().to_bits()).collect()),
            (&bytes, abi::ELEMENT_F16, halves.iter().map(|&h| f16::from_bits(h).to_f32().to_bits()).collect()),
            (&wide, abi::ELEMENT_F32, words),
        ];
        let ld = hidden.next_multiple_of(4) as usize + 4;
        for (bytes, element, wanted) in forms {
            let found = run(&device, bytes, element, vocab, hidden, &tokens, None);
            for (row, &token) in found.chunks(ld).zip(&tokens) {
                let wanted = &wanted[(token * hidden) as usize..][..hidden as usize];
                for (i, (&a, &b)) in row.iter().zip(wanted).enumerate() {
                    let nan = |x: u32| f32::from_bits(x).is_nan();
                    assert!(
                        a == b || nan(a) && nan(b),
                        "element {element}, hidden {hidden}, column {i}: {a:08x} {b:08x}"
                    );
                }
                assert!(row[hidden as usize..].iter().all(|&x| x == (-1.0f32).to_bits()), "written beyond the row");
            }
        }
    }
}

#[test]
fn rows_beyond_the_count_are_left_alone() {
    let Some(device) = device() else { return };
    let bytes: Vec<u8> = (0..64u16).flat_map(|i| (0x3f80 + i).to_le_bytes()).collect();
    let found = run(&device, &bytes, abi::ELEMENT_BF16, 4, 16, &[1, 2, 3], Some(2));
    assert!(found[..20].iter().take(16).all(|&x| x != (-1.0f32).to_bits()));
    assert!(found[40..].iter().all(|&x| x == (-1.0f32).to_bits()));
}

#[test]
fn buffers_that_are_too_small_are_refused() {
    let Some(device) = device() else { return };
    let kernel = Embed::new(&device).unwrap();
    let step = StepRows::new(&device, 2, 1, 1).unwrap();
    let bytes = DeviceBuffer::zeroed(&device, 4 * 16 * 2).unwrap();
    let mut x = DeviceBuffer::zeroed(&device, 2 * 16).unwrap();
    let mut run = |vocab, element, ld, rows| {
        let embedding = Embedding { bytes: &bytes, element, vocab, hidden: 16 };
        // SAFETY: the tokens are 0; what does not fit is refused before the launch.
        unsafe { kernel.run(&embedding, &step, &mut x, ld, rows, false) }.is_ok()
    };
    assert!(run(4, abi::ELEMENT_BF16, 16, 2));
    assert!(!run(5, abi::ELEMENT_BF16, 16, 2) && !run(4, abi::ELEMENT_F32, 16, 2) && !run(4, 3, 16, 2));
    assert!(
        !run(4, abi::ELEMENT_BF16, 18, 1) && !run(4, abi::ELEMENT_BF16, 12, 2) && !run(4, abi::ELEMENT_BF16, 16, 3)
    );
}

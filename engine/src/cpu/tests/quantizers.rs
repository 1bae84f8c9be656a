use super::oracle::{self, Twist};
use super::{Draw, bits};
use crate::cpu::isa::Isa;
use crate::cpu::quantize::{QuantRows, STRIDE, Side, quantize_row};
use crate::error::FaultKind;

/// Blocks that reach each rule's corners, in units of one block of 128.
fn corner_blocks() -> Vec<Vec<f32>> {
    let mut draw = Draw(11);
    let mut blocks = vec![
        vec![0.0; 128],
        vec![-0.0; 128],
        vec![f32::from_bits(1); 128],
        (0..128).map(|i| f32::from_bits(i * 65_537)).collect(),
        vec![f32::MIN_POSITIVE; 128],
        vec![1.0f32.next_down(); 128],
        vec![-1.0f32.next_down(); 128],
        vec![1.0; 128],
        vec![2f32.powi(60).next_down(); 128],
        vec![2f32.powi(-41); 128],
        vec![2f32.powi(-40); 128],
        vec![2f32.powi(-41).next_down(); 128],
    ];
    // One element sets E = 0; the rest are ties of each width.
    for b in 10..=15 {
        let ulp = 2f32.powi(-b);
        let mut ties: Vec<f32> = (0..128).map(|i| (i as f32 - 64.0 + 0.5) * ulp).collect();
        ties[0] = 0.75;
        blocks.push(ties);
        // Sums of |q| around the bound: k full elements and the rest small.
        for k in 1..=127 {
            let level = (131_080.0 / k as f32 * ulp).min(0.999);
            for off in [-1.0, -0.5, 0.0, 0.5, 1.0] {
                let mut x = vec![0.0; 128];
                x[..k].fill(level);
                x[127] = 0.51;
                x[k - 1] = level + off * ulp;
                blocks.push(x);
            }
        }
    }
    // Many clamped elements and many just below a tie: the sum at 15 bits is farthest from 2^(15-b) sums here.
    let mut clamped = vec![(2047.99f32) / 2048.0; 128];
    for (i, x) in clamped[64..].iter_mut().enumerate() {
        *x = if i < 8 { 2.499 } else { 1.499 } / 2048.0;
    }
    blocks.push(clamped);
    // Largest |q| at 15 bits around 32639, with a small sum.
    for q in 32_636..=32_767 {
        let mut x = vec![0.0; 128];
        x[5] = -(q as f32) / 32_768.0;
        blocks.push(x);
        blocks.push(x_with(q as f32 + 0.5));
    }
    for _ in 0..3000 {
        let spread = draw.unit() * 12.0;
        let x = (0..128).map(|_| draw.unit() * (draw.unit() * spread).exp2()).collect();
        blocks.push(x);
    }
    blocks.extend((0..300).map(|_| draw.row(128)));
    blocks
}

fn x_with(q: f32) -> Vec<f32> {
    let mut x = vec![0.0; 128];
    x[9] = q / 32_768.0;
    x
}

#[test]
fn quantizers_equal_the_oracle_on_every_path() {
    let blocks = corner_blocks();
    let mut widths = [0; 6];
    let (mut clamped, mut differs) = (0, 0);
    for side in [Side::Left, Side::Right] {
        for x in &blocks {
            let (q, g) = oracle::quantize_block(side, x, Twist::None);
            for isa in Isa::under_test() {
                let (mut q2, mut g2) = (vec![1i16; 128], vec![1i8; 1]);
                quantize_row(isa, side, x, &mut q2, &mut g2).unwrap();
                assert_eq!((&q, g), (&q2, g2[0]), "{isa} {side:?} {x:?}");
            }
            if side == Side::Left {
                let e = ((x.iter().map(|x| x.abs().to_bits()).max().unwrap() >> 23) as i32 - 126).max(-40);
                widths[(e - i32::from(g) - 10) as usize] += 1;
            } else {
                clamped += usize::from(q.iter().any(|q| q.abs() == 16_383));
            }
            differs += usize::from((q, g) != oracle::quantize_block(side, x, Twist::TiesAway));
        }
    }
    assert!(widths.iter().all(|n| *n > 5), "every b from 10 to 15 is met: {widths:?}");
    assert!(clamped > 5 && differs > 100, "clamps {clamped}, ties told apart {differs}");
}

#[test]
fn the_bound_on_the_sum_of_a_left_block_is_met_exactly() {
    let sums: Vec<i64> = corner_blocks()
        .iter()
        .map(|x| oracle::quantize_block(Side::Left, x, Twist::None).0.iter().map(|q| i64::from(*q).abs()).sum())
        .collect();
    assert!(sums.contains(&131_080) && sums.iter().all(|s| *s <= 131_080));
}

#[test]
fn rows_are_padded_with_zeros_to_whole_blocks() {
    let mut draw = Draw(5);
    for n in [1, 2, 64, 127, 128, 129, 200, 300, 1024] {
        let x = draw.row(n);
        let blocks = n.div_ceil(128);
        for isa in Isa::under_test() {
            for side in [Side::Left, Side::Right] {
                let (mut q, mut g) = (vec![7i16; blocks * 128], vec![7i8; blocks]);
                quantize_row(isa, side, &x, &mut q, &mut g).unwrap();
                assert_eq!((q, g), oracle::quantize_row(side, &x, Twist::None), "{isa} n {n}");
            }
        }
    }
}

#[test]
fn what_cannot_be_quantized_is_a_fault_and_what_can_is_not() {
    let limit = 2f32.powi(60);
    for isa in Isa::under_test() {
        for side in [Side::Left, Side::Right] {
            let try_value = |value: f32, at: usize| {
                let mut x = vec![0.25f32; 200];
                x[at] = value;
                quantize_row(isa, side, &x, &mut [0; 256], &mut [0; 2])
            };
            for at in [0, 127, 128, 199] {
                for bad in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY, limit, -limit, f32::MAX] {
                    assert_eq!(try_value(bad, at), Err(FaultKind::Quantizer), "{isa} {bad} at {at}");
                }
                for good in [limit.next_down(), -limit.next_down(), 0.0, f32::from_bits(1)] {
                    assert_eq!(try_value(good, at), Ok(()), "{isa} {good} at {at}");
                }
            }
        }
    }
}

#[test]
fn a_batch_holds_the_rows_written_and_its_memory_is_reused() {
    let mut draw = Draw(3);
    let mut batch = QuantRows::new();
    for (rows, cols) in [(5, 300), (1, 128), (7, 129), (3, 0), (0, 64), (2, 640)] {
        batch.reset(rows, cols).unwrap();
        assert_eq!(batch.complete(), rows * cols == 0);
        let x: Vec<Vec<f32>> = (0..rows).map(|_| draw.row(cols)).collect();
        let writer = batch.writer();
        std::thread::scope(|scope| {
            for parity in [0, 1] {
                let (writer, x) = (writer, &x);
                scope.spawn(move || {
                    for row in (parity..rows).step_by(2) {
                        writer.write(Isa::PORTABLE, Side::Right, row, &x[row]).unwrap();
                    }
                });
            }
        });
        assert!(batch.complete());
        for (row, x) in x.iter().enumerate() {
            let (q, g) = oracle::quantize_row(Side::Right, x, Twist::None);
            for block in 0..batch.blocks() {
                let at = block * rows + row;
                assert_eq!(batch.g()[at], g[block]);
                assert_eq!(batch.q()[at * STRIDE..][..128], q[block * 128..][..128]);
            }
        }
    }
}

#[test]
fn a_row_that_does_not_exist_is_refused() {
    for (rows, cols) in [(2, 128), (2, 300), (3, 0)] {
        for row in [rows, rows + 1, 100] {
            let mut batch = QuantRows::new();
            batch.reset(rows, cols).unwrap();
            let writer = batch.writer();
            let write = || writer.write(Isa::PORTABLE, Side::Right, row, &vec![0.0; cols]);
            let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(write)).expect_err("no such row");
            let said = panic.downcast_ref::<String>().expect("a message");
            assert_eq!(*said, format!("row {row} of {rows}"));
        }
    }
}

#[test]
#[should_panic(expected = "written twice")]
fn a_row_cannot_be_written_twice() {
    let mut batch = QuantRows::new();
    batch.reset(2, 8).unwrap();
    let writer = batch.writer();
    writer.write(Isa::PORTABLE, Side::Right, 1, &[0.5; 8]).unwrap();
    let _ = writer.write(Isa::PORTABLE, Side::Right, 1, &[0.5; 8]);
}

#[test]
fn inputs_of_the_laws_hold_what_they_claim() {
    let blocks = corner_blocks();
    assert!(blocks.iter().any(|x| bits(x).iter().all(|b| *b == 0)));
    assert!(blocks.iter().any(|x| x.iter().all(|x| x.is_subnormal())));
}

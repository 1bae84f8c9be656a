//! norm_quantize.cu.

use grail_engine::numerics::{quantize_r, rmsnorm};
use grail_ptx::{Ptr, Shape};

use crate::launch::{Params, Values, floats, source, words_of};
use crate::layout::pack_rows;
use crate::quantizers::{corner_rows, named};

#[test]
fn norm_quantize_equals_the_reference() {
    let Some(compiled) = source("norm_quantize.cu") else { return };
    for (rows, n, ld) in [(1, 128, 128), (9, 1000, 1000), (3, 2560, 2564), (2, 66, 68)] {
        let values = corner_rows(rows, n, 40 + n as u64);
        let weight = Values(n as u64).floats(n);
        let eps = 1e-6;
        let normed: Vec<Vec<f32>> = values.iter().map(|row| rmsnorm(row, &weight, eps).unwrap()).collect();
        let (q, g) = pack_rows(&normed.iter().map(|row| quantize_r(row).unwrap()).collect::<Vec<_>>());
        let mut padded = Vec::new();
        for row in &values {
            padded.extend(row);
            padded.resize(padded.len() + ld - n, f32::NAN);
        }
        let count = (rows as u32).to_le_bytes();
        let shape = Shape { dynamic_shared: 4 * n.next_multiple_of(128) as u32, ..Shape::new(rows as u32 + 1, 256) };
        let counters = compiled.run(
            "norm_quantize",
            shape,
            |device| {
                let (x, w) = (device.alloc_from("x", &floats(&padded)), device.alloc_from("weight", &floats(&weight)));
                let (q, g) = (device.alloc_zeroed("q", q.len()), device.alloc_zeroed("g", g.len()));
                let out = device.alloc_named("normed", 4 * rows * n);
                let fault = device.alloc_from("fault", &vec![0xff; 4 * rows]);
                let count = device.alloc_from("row_count", &count);
                let params = Params::new().ptr(x).ptr(w).ptr(q).ptr(g).ptr(out).ptr(fault).ptr(count);
                params.words(&[rows as u32 + 1, n as u32, ld as u32, 0, 0]).float(eps)
            },
            |device, what| {
                assert_eq!(named(device, 2, q.len()), q, "{what} {rows} x {n}");
                assert_eq!(named(device, 3, g.len()), g, "{what} {rows} x {n}");
                assert_eq!(named(device, 4, 4 * rows * n), floats(&normed.concat()), "{what} {rows} x {n}");
                assert!(named(device, 5, 4 * rows).iter().all(|byte| *byte == 0xff), "{what}");
            },
        );
        assert_eq!(counters.bank_conflicts(), 0, "{:?}", counters.conflicting_lines());
        if n == 2560 {
            println!("{counters}");
        }
    }
}

#[test]
fn norm_quantize_voids_a_row_whose_sum_is_not_finite() {
    let Some(compiled) = source("norm_quantize.cu") else { return };
    let n = 256;
    let mut values = Values(1).floats(3 * n);
    values[n + 7] = 1e30;
    compiled.run(
        "norm_quantize",
        Shape { dynamic_shared: 4 * n as u32, ..Shape::new(3, 256) },
        |device| {
            let (x, w) =
                (device.alloc_from("x", &floats(&values)), device.alloc_from("weight", &floats(&vec![1.0; n])));
            let (q, g) = (device.alloc_zeroed("q", 2 * 2048), device.alloc_zeroed("g", 16));
            let fault = device.alloc_from("fault", &[0xff; 12]);
            let params = Params::new().ptr(x).ptr(w).ptr(q).ptr(g).ptr(Ptr::NULL).ptr(fault).ptr(Ptr::NULL);
            params.words(&[3, n as u32, n as u32, 2, 6]).float(1e-6)
        },
        |device, what| {
            let faults = words_of(&named(device, 4, 12));
            assert_eq!(faults, [u32::MAX, 2 << 16 | 6 << 8 | 1, u32::MAX], "{what}");
        },
    );
}

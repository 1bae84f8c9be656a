//! The microbenchmarks on the stand-in: every kernel has its rows, and the limits are limits of right results.

use std::collections::BTreeSet;

use super::device;
use crate::checkpoint::Dtype;
use crate::checkpoint::synthetic::Shape;
use crate::cuda::{BenchOptions, BenchRow, KernelBench, Peer, image};

/// A model of small whole tiles.
fn tiny() -> BenchOptions {
    let shape = Shape {
        hidden: 128,
        layers: 2,
        heads: 4,
        kv_heads: 2,
        head_dim: 64,
        intermediate: 256,
        vocab: 640,
        tied: true,
        dtype: Dtype::Bf16,
        max_positions: 512,
        rope_theta: 1e4,
    };
    BenchOptions { batches: vec![1, 3, 65], prompt: 70, context: 140, runs: 2, ..BenchOptions::new(shape) }.quick()
}

fn rows(options: BenchOptions) -> Vec<BenchRow> {
    let bench = KernelBench::new(0, options).unwrap();
    let mut rows = Vec::new();
    bench
        .run(&mut |row| {
            rows.push(row);
            Ok(())
        })
        .unwrap();
    rows
}

#[test]
fn every_file_of_kernels_has_rows_that_are_finite() {
    if device().is_none() {
        return;
    }
    let rows = rows(tiny());
    for row in &rows {
        assert_eq!(row.seconds.len(), 2, "{row:?}");
        assert!(row.seconds.iter().all(|s| s.is_finite() && *s > 0.0), "{row:?}");
        assert!(row.bytes.count() > 0, "{row:?}");
        let multiplies = ["gem", "head", "attend"].iter().any(|name| row.kernel.starts_with(name));
        assert_eq!(row.operations > 0, multiplies, "{row:?}");
        let compared = ["gem", "head"].iter().any(|name| row.kernel.starts_with(name));
        assert_eq!(row.peer != Peer::None, compared, "{row:?}");
    }
    let measured: BTreeSet<_> = rows.iter().map(|row| image::file_of(row.kernel).expect("a kernel")).collect();
    let missing = (0..image::FILES.len()).filter(|file| !measured.contains(file)).map(|i| image::FILES[i].name);
    // What is measured as a limit.
    assert_eq!(missing.collect::<Vec<_>>(), ["mma_peak.cu"]);
    // Few rows and many, and no case twice.
    let kernels: BTreeSet<_> = rows.iter().map(|row| row.kernel).collect();
    assert!(kernels.contains("gemv") && kernels.contains("gemm_narrow"), "{kernels:?}");
    let cases: BTreeSet<_> = rows.iter().map(|row| (row.kernel, row.case.as_str())).collect();
    assert_eq!(cases.len(), rows.len());
}

#[test]
fn limits_are_finite_and_of_right_results() {
    if device().is_none() {
        return;
    }
    let bench = KernelBench::new(0, tiny()).unwrap();
    // Wrong results are an error.
    let limits = bench.limits().unwrap();
    assert!(limits.bytes_per_s.is_finite() && limits.bytes_per_s > 0.0, "{limits:?}");
    assert!(limits.operations_per_s.is_finite() && limits.operations_per_s > 0.0, "{limits:?}");
}

#[test]
fn what_no_kernel_takes_is_refused_by_name() {
    if device().is_none() {
        return;
    }
    let refused = |options| KernelBench::new(0, options).unwrap_err().to_string();
    assert!(refused(BenchOptions { prompt: 0, ..tiny() }).contains("prompt"));
    assert!(refused(BenchOptions { batches: vec![4, 0], ..tiny() }).contains("batches"));
    assert!(refused(BenchOptions { batches: vec![], ..tiny() }).contains("batches"));
    let shape = Shape { head_dim: 72, ..tiny().shape };
    assert!(refused(BenchOptions { shape, ..tiny() }).contains("head_dim"));
    assert!(KernelBench::new(7, tiny()).unwrap_err().to_string().contains("cuda:7"));
}

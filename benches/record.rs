//! Criterion's measurements, kept for a closing table.

use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};

use crate::machine::Machine;

/// Samples of a benchmark.
const SAMPLES: usize = 20;

/// What one call of a kernel does at least.
#[derive(Debug, Clone, Copy, Default)]
pub struct Work {
    /// Bytes read and written.
    pub bytes: usize,
    /// Multiply-adds of i16.
    pub macs: usize,
}

struct Row {
    name: String,
    work: Work,
    seconds: f64,
}

/// Runs benchmarks, and remembers their medians.
pub struct Bench {
    criterion: Criterion,
    machine: Machine,
    rows: Vec<Row>,
}

impl Bench {
    /// With what the command line says.
    pub fn new(machine: Machine) -> Self {
        let criterion = Criterion::default()
            .sample_size(SAMPLES)
            .warm_up_time(Duration::from_millis(200))
            .measurement_time(Duration::from_millis(1000))
            .configure_from_args();
        Self { criterion, machine, rows: Vec::new() }
    }

    /// One benchmark: `f` is one call.
    pub fn case(&mut self, kernel: &str, shape: &str, work: Work, mut f: impl FnMut()) {
        let throughput = match work {
            Work { bytes, macs: 0 } => Throughput::BytesDecimal(bytes as u64),
            Work { bytes, macs } => Throughput::ElementsAndBytes { elements: macs as u64, bytes: bytes as u64 },
        };
        let mut samples = Vec::new();
        let mut group = self.criterion.benchmark_group(kernel);
        group.throughput(throughput).bench_function(shape, |bencher| {
            bencher.iter_custom(|count| {
                let begun = Instant::now();
                (0..count).for_each(|_| f());
                let elapsed = begun.elapsed();
                samples.push(elapsed.as_secs_f64() / count as f64);
                elapsed
            });
        });
        group.finish();
        // Those of the warming up come first; with a filter or --list there are none.
        let mut last = samples.split_off(samples.len().saturating_sub(SAMPLES));
        last.sort_by(f64::total_cmp);
        if let Some(&seconds) = last.get(last.len() / 2) {
            self.rows.push(Row { name: format!("{kernel}/{shape}"), work, seconds });
        }
    }

    /// The closing table.
    pub fn finish(self) {
        self.criterion.final_summary();
        let Machine { read_bytes_per_s, macs_per_s } = self.machine;
        println!("reads {:.1} GB/s, {:.0} G multiply-adds/s (i16)\n", read_bytes_per_s / 1e9, macs_per_s / 1e9);
        println!("{:<34} {:>10} {:>8} {:>6} {:>8} {:>6}", "kernel", "us", "GB/s", "%", "GMAC/s", "%");
        for Row { name, work, seconds } in &self.rows {
            let rate = |amount: usize, limit: f64| match amount {
                0 => format!("{:>8} {:>6}", "-", "-"),
                amount => {
                    let rate = amount as f64 / seconds;
                    format!("{:>8.1} {:>6.0}", rate / 1e9, 100.0 * rate / limit)
                }
            };
            let (bytes, macs) = (rate(work.bytes, read_bytes_per_s), rate(work.macs, macs_per_s));
            println!("{name:<34} {:>10.1} {bytes} {macs}", seconds * 1e6);
        }
    }
}

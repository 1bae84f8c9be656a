//! Speed of the matrix products against what the machine can do, medians of interleaved rounds.
//!
//! `cargo run --release -p grail-engine --example kernel_speed [rounds] [threads] [layers]`
//! Shapes are those of Qwen3-0.6B. `GRAIL_CPU` picks the instruction set.

use std::hint::black_box;
use std::time::Instant;

use grail_engine::cpu::gemm::{Mode, matmul};
use grail_engine::cpu::isa::{self, Isa};
use grail_engine::cpu::memory::Buffer;
use grail_engine::cpu::pack::PackedMatrix;
use grail_engine::cpu::pool::Pool;
use grail_engine::cpu::quantize::{QuantRows, Side};

const HIDDEN: usize = 1024;
const INNER: usize = 3072;
const BATCHES: [usize; 7] = [1, 2, 4, 8, 16, 64, 512];

struct Layer {
    matrices: Vec<(PackedMatrix, Mode)>,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default: usize| arguments.next().map_or(Ok(default), |word| word.parse::<usize>());
    let (rounds, max_threads, layers) = (number(5)?, number(2)?, number(8)?);
    let isa = Isa::choose(std::env::var(isa::ENV).ok().as_deref())?;
    for threads in 1..=max_threads {
        let pool = Pool::new(threads);
        let mut layers_made = Vec::new();
        let mut failed = Ok(());
        let packed = timed(threads, || {
            failed = (0..layers).try_for_each(|i| layer(isa, &pool, i as u32).map(|l| layers_made.push(l)));
        });
        failed?;
        let layers = layers_made;
        let weights: usize =
            layers.iter().flat_map(|l| &l.matrices).map(|(w, _)| w.parts() * w.rows() * w.cols()).sum();
        println!(
            "{isa}, {threads} threads: {:.0} M weights packed at {:.0} M/s",
            weights as f64 / 1e6,
            weights as f64 / packed / 1e6
        );
        let mut buffer = Buffer::<i32>::zeroed(64 << 20)?;
        buffer.fill(1); // untouched pages would all be the one zero page
        let mut times = vec![Vec::new(); BATCHES.len() + 2];
        for _ in 0..rounds {
            times[0].push(buffer.len() as f64 * 4.0 / timed(threads, || read(&pool, &buffer)));
            times[1].push(multiply_add_peak(&pool));
            for (i, m) in BATCHES.into_iter().enumerate() {
                let (inputs, mut out) = activations(isa, m)?;
                let used = if m > 64 { &layers[..2.min(layers.len())] } else { &layers[..] };
                let macs: usize =
                    used.iter().flat_map(|l| &l.matrices).map(|(w, _)| w.parts() * w.rows() * w.cols()).sum();
                let seconds = timed(threads, || step(isa, &pool, used, &inputs, &mut out));
                times[i + 2].push((macs * m) as f64 / seconds);
            }
        }
        let medians: Vec<f64> = times.into_iter().map(median).collect();
        let (read, peak) = (medians[0], medians[1]);
        println!("  read {:.1} GB/s, multiply-add peak {:.1} GMAC/s", read / 1e9, peak / 1e9);
        for (m, rate) in BATCHES.into_iter().zip(&medians[2..]) {
            let bytes = rate / m as f64 * (2.0 + 1.0 / 128.0);
            println!(
                "  M {m:3}: {:6.1} GMAC/s ({:3.0} % of peak), weights {:5.1} GB/s ({:3.0} % of read)",
                rate / 1e9,
                100.0 * rate / peak,
                bytes / 1e9,
                100.0 * bytes / read
            );
        }
    }
    Ok(())
}

fn layer(isa: Isa, pool: &Pool, seed: u32) -> Result<Layer, Box<dyn std::error::Error>> {
    let fill = |row: usize, x: &mut [f32]| {
        let mut state = seed.wrapping_mul(977).wrapping_add(row as u32 | 1);
        for x in x {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // bf16 weights of a bell-shaped spread.
            let sum = (state >> 16 & 255) as f32 + (state >> 24) as f32 - 255.0;
            *x = f32::from_bits((sum * 1e-4).to_bits() & 0xffff_0000);
        }
    };
    let pair = |_: usize, row: usize, x: &mut [f32]| fill(row, x);
    Ok(Layer {
        matrices: vec![
            (PackedMatrix::pack(isa, pool, 4096, HIDDEN, fill)?, Mode::Store),
            (PackedMatrix::pack(isa, pool, HIDDEN, 2048, fill)?, Mode::Add),
            (PackedMatrix::pack_gate_up(isa, pool, INNER, HIDDEN, pair)?, Mode::SiluMul),
            (PackedMatrix::pack(isa, pool, HIDDEN, INNER, fill)?, Mode::Add),
        ],
    })
}

/// Activations of each width a layer reads, and room for the widest output.
fn activations(isa: Isa, m: usize) -> Result<(Vec<QuantRows>, Vec<f32>), Box<dyn std::error::Error>> {
    let mut all = Vec::new();
    for cols in [HIDDEN, 2048, INNER] {
        let mut batch = QuantRows::new();
        batch.reset(m, cols)?;
        let writer = batch.writer();
        for row in 0..m {
            let x: Vec<f32> = (0..cols).map(|i| ((i * 7919 + row * 31) % 257) as f32 - 128.0).collect();
            writer.write(isa, Side::Right, row, &x)?;
        }
        all.push(batch);
    }
    Ok((all, vec![0.0; m * 4096]))
}

fn step(isa: Isa, pool: &Pool, layers: &[Layer], inputs: &[QuantRows], out: &mut [f32]) {
    for (w, mode) in layers.iter().flat_map(|l| &l.matrices) {
        let a = inputs.iter().find(|a| a.cols() == w.cols()).expect("a batch for each width");
        matmul(isa, pool, w, a, out, 4096, *mode);
    }
}

/// Seconds per thread that `f` used. On Linux processor time: what other programs take does not count.
fn timed(threads: usize, f: impl FnOnce()) -> f64 {
    let (start, wall) = (processor_seconds(), Instant::now());
    f();
    match (start, processor_seconds()) {
        (Some(start), Some(end)) => (end - start) / threads as f64,
        _ => wall.elapsed().as_secs_f64(),
    }
}

#[cfg(target_os = "linux")]
fn processor_seconds() -> Option<f64> {
    unsafe extern "C" {
        fn clock_gettime(clock: i32, time: *mut [i64; 2]) -> i32;
    }
    let mut time = [0i64; 2];
    // SAFETY: on 64-bit Linux a timespec is two i64; 2 is CLOCK_PROCESS_CPUTIME_ID.
    let failed = unsafe { clock_gettime(2, &mut time) };
    (failed == 0).then(|| time[0] as f64 + time[1] as f64 * 1e-9)
}

#[cfg(not(target_os = "linux"))]
fn processor_seconds() -> Option<f64> {
    None
}

fn median(mut x: Vec<f64>) -> f64 {
    x.sort_by(f64::total_cmp);
    x[x.len() / 2]
}

fn read(pool: &Pool, buffer: &[i32]) {
    pool.for_each(buffer.len() / 65_536, 4, |range| {
        let mut sums = [0i32; 64];
        for x in buffer[range.start * 65_536..range.end * 65_536].as_chunks::<64>().0 {
            prefetch(x);
            sums.iter_mut().zip(x).for_each(|(s, x)| *s = s.wrapping_add(*x));
        }
        black_box(sums);
    });
}

/// Asks for what follows 8 KiB later, as the kernels do.
fn prefetch(x: &[i32; 64]) {
    #[cfg(target_arch = "x86_64")]
    for line in (0..64).step_by(16) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch of any address is allowed.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(x.as_ptr().wrapping_add(line + 2048).cast()) };
    }
    let _ = x;
}

/// i16 multiply-adds per second with everything in registers, all threads together.
fn multiply_add_peak(pool: &Pool) -> f64 {
    const LOOPS: usize = 2_000_000;
    let seconds = timed(pool.threads(), || pool.run(&|_| registers(LOOPS)));
    (LOOPS * 12 * lanes() * pool.threads()) as f64 / seconds
}

#[cfg(target_arch = "x86_64")]
fn lanes() -> usize {
    if is_x86_feature_detected!("avx512vnni") { 32 } else { 16 }
}

#[cfg(target_arch = "x86_64")]
fn registers(loops: usize) {
    macro_rules! twelve {
        ($($text:expr),* $(,)?) => {
            // SAFETY: arithmetic on registers declared as clobbered; the caller checked the instructions.
            unsafe { std::arch::asm!("2:", $($text,)* "dec {n}", "jnz 2b", n = inout(reg) loops => _,
                out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _, out("xmm4") _, out("xmm5") _, out("xmm6") _,
                out("xmm7") _, out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _, out("xmm12") _, out("xmm13") _,
                options(nostack)) }
        };
    }
    if lanes() == 32 {
        twelve!(
            "vpdpwssd zmm0, zmm12, zmm13",
            "vpdpwssd zmm1, zmm12, zmm13",
            "vpdpwssd zmm2, zmm12, zmm13",
            "vpdpwssd zmm3, zmm12, zmm13",
            "vpdpwssd zmm4, zmm12, zmm13",
            "vpdpwssd zmm5, zmm12, zmm13",
            "vpdpwssd zmm6, zmm12, zmm13",
            "vpdpwssd zmm7, zmm12, zmm13",
            "vpdpwssd zmm8, zmm12, zmm13",
            "vpdpwssd zmm9, zmm12, zmm13",
            "vpdpwssd zmm10, zmm12, zmm13",
            "vpdpwssd zmm11, zmm12, zmm13",
        );
    } else {
        twelve!(
            "vpmaddwd ymm0, ymm12, ymm13",
            "vpmaddwd ymm1, ymm12, ymm13",
            "vpmaddwd ymm2, ymm12, ymm13",
            "vpmaddwd ymm3, ymm12, ymm13",
            "vpmaddwd ymm4, ymm12, ymm13",
            "vpmaddwd ymm5, ymm12, ymm13",
            "vpmaddwd ymm6, ymm12, ymm13",
            "vpmaddwd ymm7, ymm12, ymm13",
            "vpmaddwd ymm8, ymm12, ymm13",
            "vpmaddwd ymm9, ymm12, ymm13",
            "vpmaddwd ymm10, ymm12, ymm13",
            "vpmaddwd ymm11, ymm12, ymm13",
        );
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn lanes() -> usize {
    1
}

#[cfg(not(target_arch = "x86_64"))]
fn registers(loops: usize) {
    for i in 0..loops {
        black_box(i);
    }
}

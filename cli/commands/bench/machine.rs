//! What this machine can do at most, with some threads and one instruction set: bytes read and integer multiply-adds a
//! second. Every speed of `grail bench` and of `benches/` (which includes this file) is a fraction of these.
//!
//! Each is the best of many short passes, so that a machine with other work still shows its limit: of ten milliseconds or so
//! where memory is read, since hosts lend their guests for a moment a rate that no model's pass will ever see.

use std::hint::black_box;
use std::io;
use std::time::{Duration, Instant};

use grail_engine::cpu::isa::{Isa, Path};
use grail_engine::cpu::memory::Buffer;
use grail_engine::cpu::pool::Pool;

/// Memory of all threads together, read once a pass: beyond any cache, little enough for any machine that holds a model.
const READ_BYTES: usize = 512 << 20;
/// Passes at least.
const PASSES: usize = 5;
/// How long each limit is looked for.
const PATIENCE: Duration = Duration::from_millis(600);
/// Iterations of a pass of multiply-adds, each of [`INSTRUCTIONS`].
const LOOPS: usize = 1 << 20;
/// Multiply-adds of one iteration, independent of each other: enough to hide the latency of each.
const INSTRUCTIONS: usize = 12;
/// Elements of a cache line.
const LINE: usize = 16;

/// The limits, all threads together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Machine {
    /// Bytes read from memory a second.
    pub read_bytes_per_s: f64,
    /// Products of two i16 added to an i32, a second.
    pub macs_per_s: f64,
}

impl Machine {
    /// Measures for about two seconds.
    ///
    /// # Errors
    /// The system gives no memory or no threads.
    pub fn measure(isa: Isa, threads: usize) -> io::Result<Self> {
        let pool = Pool::start(threads)?;
        Ok(Self { read_bytes_per_s: read(isa, &pool)?, macs_per_s: multiply_adds(isa, &pool) })
    }
}

/// Seconds of the fastest pass of many, in each of which every thread runs `f(thread)` once.
fn best(pool: &Pool, f: impl Fn(usize) + Sync) -> f64 {
    let (first, mut least) = (Instant::now(), f64::INFINITY);
    for pass in 1.. {
        let begun = Instant::now();
        pool.run(&f);
        least = least.min(begun.elapsed().as_secs_f64());
        if pass >= PASSES && first.elapsed() >= PATIENCE {
            break;
        }
    }
    least
}

/// The better of one stream a thread and four, which some prefetchers follow better.
fn read(isa: Isa, pool: &Pool) -> io::Result<f64> {
    let lines = READ_BYTES / size_of::<[i32; LINE]>() / pool.threads() / 4 * 4;
    let buffers = (0..pool.threads()).map(|_| Buffer::<i32>::zeroed(lines * LINE));
    let mut buffers = buffers.collect::<io::Result<Vec<_>>>()?;
    // Pages never written would all be the one page of zeros.
    buffers.iter_mut().for_each(|buffer| buffer.fill(1));
    let streams = |count: usize| best(pool, |thread| sum_streams(isa, buffers[thread].as_chunks::<LINE>().0, count));
    let bytes = (pool.threads() * lines * LINE * size_of::<i32>()) as f64;
    Ok(bytes / streams(1).min(streams(4)))
}

fn sum_streams(isa: Isa, lines: &[[i32; LINE]], streams: usize) {
    let each = lines.len() / streams;
    let from = |i: usize| &lines[i * each..(i + 1) * each];
    let four = match streams {
        4 => [from(0), from(1), from(2), from(3)],
        _ => [from(0), &[], &[], &[]],
    };
    match isa.path() {
        // SAFETY: an `Isa` exists only for a path this machine was found to have.
        #[cfg(target_arch = "x86_64")]
        Path::Avx512 => unsafe { x86::sum_512(four) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Path::Avx2 | Path::AvxVnni => unsafe { x86::sum_256(four) },
        _ => sum(four),
    }
}

fn sum(streams: [&[[i32; LINE]]; 4]) {
    let mut sums = [0_i32; LINE];
    for i in 0..streams[0].len() {
        for line in streams.iter().filter_map(|stream| stream.get(i)) {
            sums.iter_mut().zip(line).for_each(|(s, x)| *s = s.wrapping_add(*x));
        }
    }
    black_box(sums);
}

fn multiply_adds(isa: Isa, pool: &Pool) -> f64 {
    let (lanes, run) = registers(isa);
    (LOOPS * INSTRUCTIONS * lanes * pool.threads()) as f64 / best(pool, |_| run(LOOPS))
}

/// Multiply-adds of one instruction (of a pair, where product and sum are two), and a loop of [`INSTRUCTIONS`] of them
/// with everything in registers.
fn registers(isa: Isa) -> (usize, fn(usize)) {
    match isa.path() {
        // The asserted path: each of these functions needs what its `Isa` vouches for.
        #[cfg(target_arch = "x86_64")]
        Path::Avx512 => (32, x86::dot_512),
        #[cfg(target_arch = "x86_64")]
        Path::Avx2 => (16, x86::dot_256),
        #[cfg(target_arch = "x86_64")]
        Path::AvxVnni => (16, x86::dot_256_vnni),
        #[cfg(target_arch = "x86_64")]
        _ => (8, x86::dot_128),
        #[cfg(not(target_arch = "x86_64"))]
        _ => (8, plain_dot),
    }
}

/// What the compiler makes of plain Rust.
#[cfg(not(target_arch = "x86_64"))]
fn plain_dot(loops: usize) {
    let (a, b) = (black_box([3_i16; 8]), black_box([5_i16; 8]));
    let mut sums = [[0_i32; 8]; INSTRUCTIONS];
    for _ in 0..loops {
        for sums in &mut sums {
            for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(&b)) {
                *sum = sum.wrapping_add(i32::from(*a) * i32::from(*b));
            }
        }
        black_box(&mut sums);
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::asm;
    use std::arch::x86_64::*;
    use std::hint::black_box;

    use super::LINE;

    /// Sums whole cache lines of the streams side by side.
    #[target_feature(enable = "avx512f")]
    pub fn sum_512(streams: [&[[i32; LINE]]; 4]) {
        let mut sums = [_mm512_setzero_si512(); 4];
        let count = if streams[1].is_empty() { 1 } else { 4 };
        let lines = streams[0].len() / (4 / count) * (4 / count);
        for i in (0..lines).step_by(4 / count) {
            for (k, sum) in sums.iter_mut().enumerate() {
                let line = if count == 1 { &streams[0][i + k] } else { &streams[k][i] };
                // SAFETY: a line is 64 readable bytes.
                *sum = _mm512_add_epi32(*sum, unsafe { _mm512_loadu_si512(line.as_ptr().cast()) });
            }
        }
        black_box(sums);
    }

    /// The same in halves of lines.
    #[target_feature(enable = "avx2")]
    pub fn sum_256(streams: [&[[i32; LINE]]; 4]) {
        let mut sums = [[_mm256_setzero_si256(); 2]; 4];
        let count = if streams[1].is_empty() { 1 } else { 4 };
        let lines = streams[0].len() / (4 / count) * (4 / count);
        for i in (0..lines).step_by(4 / count) {
            for (k, sum) in sums.iter_mut().enumerate() {
                let line = if count == 1 { &streams[0][i + k] } else { &streams[k][i] };
                for (half, sum) in line.as_chunks::<8>().0.iter().zip(sum) {
                    // SAFETY: half a line is 32 readable bytes.
                    *sum = _mm256_add_epi32(*sum, unsafe { _mm256_loadu_si256(half.as_ptr().cast()) });
                }
            }
        }
        black_box(sums);
    }

    /// The loop of `$text`, whose registers 0 to 13 are free; what they hold does not change the speed.
    macro_rules! repeated {
        ($loops:ident, $($text:literal),* $(,)?) => {
            // SAFETY: arithmetic on registers that are declared as clobbered. The instructions exist: these functions
            // are only reached through an `Isa`.
            unsafe {
                asm!("2:", $($text,)* "dec {n}", "jnz 2b", n = inout(reg) $loops => _,
                    out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _, out("xmm4") _, out("xmm5") _,
                    out("xmm6") _, out("xmm7") _, out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
                    out("xmm12") _, out("xmm13") _, options(nomem, nostack))
            }
        };
    }

    /// AVX-512 VNNI: product and sum are one instruction.
    pub fn dot_512(loops: usize) {
        repeated!(
            loops,
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
    }

    /// AVX-VNNI: the encoding that does not need AVX-512.
    pub fn dot_256_vnni(loops: usize) {
        repeated!(
            loops,
            "{{vex}} vpdpwssd ymm0, ymm12, ymm13",
            "{{vex}} vpdpwssd ymm1, ymm12, ymm13",
            "{{vex}} vpdpwssd ymm2, ymm12, ymm13",
            "{{vex}} vpdpwssd ymm3, ymm12, ymm13",
            "{{vex}} vpdpwssd ymm4, ymm12, ymm13",
            "{{vex}} vpdpwssd ymm5, ymm12, ymm13",
            "{{vex}} vpdpwssd ymm6, ymm12, ymm13",
            "{{vex}} vpdpwssd ymm7, ymm12, ymm13",
            "{{vex}} vpdpwssd ymm8, ymm12, ymm13",
            "{{vex}} vpdpwssd ymm9, ymm12, ymm13",
            "{{vex}} vpdpwssd ymm10, ymm12, ymm13",
            "{{vex}} vpdpwssd ymm11, ymm12, ymm13",
        );
    }

    /// AVX2: a product of pairs, then a sum. Twelve of them on six sums.
    pub fn dot_256(loops: usize) {
        repeated!(
            loops,
            "vpmaddwd ymm6, ymm12, ymm13",
            "vpmaddwd ymm7, ymm12, ymm13",
            "vpmaddwd ymm8, ymm12, ymm13",
            "vpaddd ymm0, ymm0, ymm6",
            "vpaddd ymm1, ymm1, ymm7",
            "vpaddd ymm2, ymm2, ymm8",
            "vpmaddwd ymm9, ymm12, ymm13",
            "vpmaddwd ymm10, ymm12, ymm13",
            "vpmaddwd ymm11, ymm12, ymm13",
            "vpaddd ymm3, ymm3, ymm9",
            "vpaddd ymm4, ymm4, ymm10",
            "vpaddd ymm5, ymm5, ymm11",
            "vpmaddwd ymm6, ymm12, ymm13",
            "vpmaddwd ymm7, ymm12, ymm13",
            "vpmaddwd ymm8, ymm12, ymm13",
            "vpaddd ymm0, ymm0, ymm6",
            "vpaddd ymm1, ymm1, ymm7",
            "vpaddd ymm2, ymm2, ymm8",
            "vpmaddwd ymm9, ymm12, ymm13",
            "vpmaddwd ymm10, ymm12, ymm13",
            "vpmaddwd ymm11, ymm12, ymm13",
            "vpaddd ymm3, ymm3, ymm9",
            "vpaddd ymm4, ymm4, ymm10",
            "vpaddd ymm5, ymm5, ymm11",
        );
    }

    /// SSE2, which every x86-64 has and the portable code compiles to; the product overwrites an operand.
    pub fn dot_128(loops: usize) {
        repeated!(
            loops,
            "movdqa xmm6, xmm12",
            "pmaddwd xmm6, xmm13",
            "paddd xmm0, xmm6",
            "movdqa xmm7, xmm12",
            "pmaddwd xmm7, xmm13",
            "paddd xmm1, xmm7",
            "movdqa xmm8, xmm12",
            "pmaddwd xmm8, xmm13",
            "paddd xmm2, xmm8",
            "movdqa xmm9, xmm12",
            "pmaddwd xmm9, xmm13",
            "paddd xmm3, xmm9",
            "movdqa xmm10, xmm12",
            "pmaddwd xmm10, xmm13",
            "paddd xmm4, xmm10",
            "movdqa xmm11, xmm12",
            "pmaddwd xmm11, xmm13",
            "paddd xmm5, xmm11",
            "movdqa xmm6, xmm12",
            "pmaddwd xmm6, xmm13",
            "paddd xmm0, xmm6",
            "movdqa xmm7, xmm12",
            "pmaddwd xmm7, xmm13",
            "paddd xmm1, xmm7",
            "movdqa xmm8, xmm12",
            "pmaddwd xmm8, xmm13",
            "paddd xmm2, xmm8",
            "movdqa xmm9, xmm12",
            "pmaddwd xmm9, xmm13",
            "paddd xmm3, xmm9",
            "movdqa xmm10, xmm12",
            "pmaddwd xmm10, xmm13",
            "paddd xmm4, xmm10",
            "movdqa xmm11, xmm12",
            "pmaddwd xmm11, xmm13",
            "paddd xmm5, xmm11",
        );
    }
}

#[cfg(test)]
mod tests {
    #[allow(unused_imports)] // in `benches/`, which has no harness and so no tests
    use super::*;

    #[test]
    fn every_instruction_set_multiplies_and_reads_at_some_finite_speed() {
        let pool = Pool::new(2);
        for isa in Isa::available() {
            let macs = multiply_adds(isa, &pool);
            assert!(macs.is_finite() && macs > 1e6, "{isa}: {macs}");
            let lines = [[1; LINE]; 8];
            [1, 4].into_iter().for_each(|streams| sum_streams(isa, &lines, streams));
        }
    }
}

//! What the shim computes is what CUDA's documents say, under every schedule.

mod common;

use common::{Gpu, Params, SCHEDULES, address, gpu, run, schedule, set, shape};
use cudarc::driver::DeviceRepr;
use grail_standin::{Build, Setting, rerun};

fn words(gpu: &Gpu, name: &str, blocks: u32, threads: u32, n: usize, start: Vec<u32>) -> Vec<u32> {
    let out = gpu.stream.clone_htod(&start).expect("a copy");
    let params = Params { out: address(gpu, &out), n: n as u32, ..Params::default() };
    run(gpu, name, &params, shape(blocks, threads, 256)).expect("it runs");
    gpu.stream.clone_dtoh(&out).expect("a copy")
}

#[test]
fn a_kernel_runs_over_grid_and_block() {
    let Some(gpu) = gpu() else { return };
    for n in [1usize, 255, 256, 257, 1000] {
        let x = gpu.stream.clone_htod(&(0..n).map(|i| i as f32).collect::<Vec<_>>()).expect("a copy");
        let y = gpu.stream.clone_htod(&vec![1.0f32; n]).expect("a copy");
        let params = Params { x: address(&gpu, &x), y: address(&gpu, &y), n: n as u32, ..Params::default() };
        run(&gpu, "test_axpy", &params, shape(n.div_ceil(256) as u32, 256, 0)).expect("it runs");
        let y = gpu.stream.clone_dtoh(&y).expect("a copy");
        assert!(y.iter().enumerate().all(|(i, v)| *v == 3.0 * i as f32 + 1.0));
    }
}

/// The definitions in the CUDA C++ Programming Guide, warp shuffle, vote, match and reduce functions.
fn collectives(lane: u32) -> [u32; 20] {
    let v = |lane: u32| 100 + lane;
    let lanes = |p: &dyn Fn(u32) -> bool| (0..32).filter(|&l| p(l)).fold(0, |mask, l| mask | 1 << l);
    let half: u32 = if lane % 2 == 1 { v(31) } else { (0..32).step_by(2).map(v).sum() };
    [
        v(5),
        v(lane / 8 * 8 + (lane + 1) % 8),
        v(lane ^ 3),
        if lane < 16 { v(lane) } else { v(lane - 16) },
        if lane + 4 < 32 { v(lane + 4) } else { v(lane) },
        if lane % 16 >= 4 { v(lane - 4) } else { v(lane) },
        lanes(&|l| l % 3 == 0),
        1,
        0,
        lanes(&|l| l / 5 == lane / 5),
        (0..32).map(v).sum(),
        (0..32).map(|l| v(l) ^ 21).min().unwrap_or(0),
        (0..32).map(|l| v(l) ^ 21).max().unwrap_or(0),
        v(lane ^ 1) << 1,
        if lane < 31 { v(lane + 1) } else { v(31) },
        half,
        v(31),
        (0..32).map(v).sum(),
        -16i32 as u32,
        (0..32).map(v).fold(0, |a, b| a ^ b),
    ]
}

#[test]
fn collectives_are_those_of_the_programming_guide() {
    let Some(gpu) = gpu() else { return };
    for s in SCHEDULES {
        schedule(s);
        let out = words(&gpu, "test_collectives", 1, 32, 0, vec![0; 32 * 24]);
        for lane in 0..32 {
            assert_eq!(out[24 * lane..][..20], collectives(lane as u32), "lane {lane}, {s:?}");
        }
    }
}

#[test]
fn atomics_and_voting_barriers_lose_nothing() {
    let Some(gpu) = gpu() else { return };
    let (blocks, threads) = (3u32, 96u32);
    for s in SCHEDULES {
        schedule(s);
        let mut start = vec![0; 8 + 4 * blocks as usize];
        start[2] = u32::MAX;
        let out = words(&gpu, "test_atomics", blocks, threads, 0, start);
        let n = blocks * threads;
        assert_eq!(out[..8], [n, n - 1, 10, u32::MAX, 77, 1, n, n]);
        for block in out[8..].chunks(4) {
            assert_eq!(block, [(0..64).sum::<u32>() + (0..32).sum::<u32>(), threads / 2, 1, 0]);
        }
    }
}

#[test]
fn named_barriers_and_polling_hand_values_on() {
    let Some(gpu) = gpu() else { return };
    for s in SCHEDULES {
        schedule(s);
        assert_eq!(words(&gpu, "test_handing", 1, 96, 0, vec![0; 2]), [55, 9]);
    }
}

/// PTX prmt in its default mode.
fn byte_perm(x: u32, y: u32, selector: u32) -> u32 {
    let bytes = [x.to_le_bytes(), y.to_le_bytes()].concat();
    let byte = |i: u32| {
        let nibble = selector >> (4 * i) & 15;
        let b = bytes[(nibble & 7) as usize];
        if nibble < 8 { b } else { ((b as i8) >> 7) as u8 }
    };
    u32::from_le_bytes([byte(0), byte(1), byte(2), byte(3)])
}

fn f16(bits: u16) -> f64 {
    let (sign, e, m) = (if bits >> 15 == 1 { -1.0 } else { 1.0 }, (bits >> 10 & 31) as i32, (bits & 1023) as f64);
    match e {
        0 => sign * m * 2f64.powi(-24),
        31 if m == 0.0 => sign * f64::INFINITY,
        31 => f64::NAN,
        _ => sign * (1024.0 + m) * 2f64.powi(e - 25),
    }
}

fn intrinsics(f: f32) -> [u32; 16] {
    let u = f.to_bits();
    let signed = |shift: u32, w: u32| (w >> shift) as i8 as i32;
    let dot: i32 = (0..4).map(|i| signed(8 * i, u) * signed(8 * i, 0x80ff_7f01)).sum();
    let max = if f.is_nan() || f < 0.0 || u == 1 << 31 { -0.0f32 } else { f };
    let min = if f.is_nan() || f > 0.0 { 0.0f32 } else { f };
    [
        u.count_ones(),
        u.leading_zeros(),
        if u == 0 { 0 } else { u.trailing_zeros() + 1 },
        u.reverse_bits(),
        ((u as u64 * 0x9e37_79b9) >> 32) as u32,
        byte_perm(u, !u, 0x91b4),
        f.round_ties_even() as i32 as u32,
        f as i32 as u32,
        f.round_ties_even() as u32,
        max.to_bits(),
        min.to_bits(),
        (f16(u as u16) as f32).to_bits(),
        (u << 16),
        f.mul_add(f, -f).to_bits(),
        (f.abs().sqrt() / 3.0).to_bits(),
        (5 + dot) as u32,
    ]
}

#[test]
fn intrinsics_have_their_documented_bits() {
    let Some(gpu) = gpu() else { return };
    let mut x = vec![
        0.0,
        -0.0,
        1.0,
        -1.0,
        0.5,
        1.5,
        2.5,
        -2.5,
        1e-45,
        -1e-45,
        3.4e38,
        -3.4e38,
        2147483647.0,
        4294967296.0,
        1e10,
        -1e10,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::NAN,
        0.1,
        -7.7,
    ];
    x.extend((0..40u32).map(|i| f32::from_bits(0x3a12_3457u32.wrapping_mul(2 * i + 1))));
    let start = gpu.stream.clone_htod(&x).expect("a copy");
    let out = gpu.stream.alloc_zeros::<u32>(16 * x.len()).expect("memory");
    let n = x.len() as u32;
    let params = Params { x: address(&gpu, &start), out: address(&gpu, &out), n, ..Params::default() };
    run(&gpu, "test_intrinsics", &params, shape(1, 64, 0)).expect("it runs");
    let out = gpu.stream.clone_dtoh(&out).expect("a copy");
    for (got, f) in out.chunks(16).zip(&x) {
        let wanted = intrinsics(*f);
        for (i, (got, wanted)) in got.iter().zip(wanted).enumerate() {
            let both_nan = (11..15).contains(&i) && f32::from_bits(*got).is_nan() && f32::from_bits(wanted).is_nan();
            assert!(
                *got == wanted || both_nan,
                "intrinsic {i} of {f:e} ({:08x}): {got:08x}, not {wanted:08x}",
                f.to_bits()
            );
        }
    }
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Mma {
    a: u64,
    b: u64,
    c: u64,
    d: u64,
    swapped: u32,
}
// SAFETY: plain data with the layout of test_mma_params.
unsafe impl DeviceRepr for Mma {}

fn mma(gpu: &Gpu, a: &[i8], b: &[i8], c: &[i32], swapped: bool) -> Vec<i32> {
    let [da, db] = [a, b].map(|m| gpu.stream.clone_htod(m).expect("a copy"));
    let dc = gpu.stream.clone_htod(c).expect("a copy");
    let d = gpu.stream.alloc_zeros::<i32>(128).expect("memory");
    let [a, b] = [&da, &db].map(|m| address(gpu, m));
    let params = Mma { a, b, c: address(gpu, &dc), d: address(gpu, &d), swapped: swapped.into() };
    run(gpu, "test_mma", &params, shape(1, 32, 0)).expect("it runs");
    gpu.stream.clone_dtoh(&d).expect("a copy")
}

fn product(a: &[i8], b: &[i8], c: &[i32]) -> Vec<i32> {
    let mut d = c.to_vec();
    for row in 0..16 {
        for column in 0..8 {
            for k in 0..32 {
                let term = a[32 * row + k] as i32 * b[8 * k + column] as i32;
                d[8 * row + column] = d[8 * row + column].wrapping_add(term);
            }
        }
    }
    d
}

#[test]
fn mma_is_the_triple_loop_and_swapped_registers_are_not() {
    let Some(gpu) = gpu() else { return };
    let mut state = 1u64;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u32
    };
    for round in 0..12 {
        let (mut a, mut b, mut c) = (vec![0i8; 512], vec![0i8; 256], vec![0i32; 128]);
        a.iter_mut().for_each(|v| *v = random() as i8);
        b.iter_mut().for_each(|v| *v = random() as i8);
        c.iter_mut().for_each(|v| *v = random() as i32);
        match round {
            0 => (a.fill(-128), b.fill(-128)).0,
            1 => (a.fill(127), b.fill(-128)).0,
            2 => c.fill(i32::MAX), // sums wrap
            _ => {}
        }
        schedule(SCHEDULES[round % 4]);
        let wanted = product(&a, &b, &c);
        assert_eq!(mma(&gpu, &a, &b, &c, false), wanted, "round {round}");
        if round > 2 {
            assert_ne!(mma(&gpu, &a, &b, &c, true), wanted, "round {round}: registers 1 and 2 of A swapped");
        }
    }
}

#[test]
fn mma_tf32_is_the_triple_loop_on_powers_of_two() {
    let Some(gpu) = gpu() else { return };
    let x: Vec<f32> = (0..96i32).map(|i| 2f32.powi(i % 11 - 5) * if i % 3 == 0 { -1.0 } else { 1.0 }).collect();
    let (dx, dy) = (gpu.stream.clone_htod(&x).expect("a copy"), gpu.stream.alloc_zeros::<f32>(128).expect("memory"));
    let params = Params { x: address(&gpu, &dx), y: address(&gpu, &dy), ..Params::default() };
    run(&gpu, "test_mma_tf32", &params, shape(1, 32, 0)).expect("it runs");
    let y = gpu.stream.clone_dtoh(&dy).expect("a copy");
    for (i, got) in y.iter().enumerate() {
        let wanted: f32 = (0..4).map(|k| x[4 * (i / 8) + k] * x[64 + 8 * k + i % 8]).sum();
        assert_eq!(got.to_bits(), wanted.to_bits(), "element {i}");
    }
}

#[test]
fn schedules_differ_and_a_seed_repeats_itself() {
    let Some(gpu) = gpu() else { return };
    let order = |s: (&str, u64)| {
        set(Setting::Order(s.0));
        set(Setting::Seed(s.1));
        words(&gpu, "test_order", 1, 128, 128, vec![0; 256])
    };
    let ascending: Vec<u32> = (0..128).collect();
    let mut sorted = order(("ascending", 1));
    assert_ne!(sorted[..128], ascending[..], "thread 0 cannot be the only one that waits"); // the last opens the barrier
    sorted[..128].sort_unstable();
    assert_eq!(sorted[..128], ascending[..]);
    let all = [("ascending", 1), ("descending", 1), ("random", 1), ("random", 2)].map(order);
    for (i, one) in all.iter().enumerate() {
        assert!(all[..i].iter().all(|other| other != one), "schedule {i}");
    }
    assert_eq!(order(("random", 2)), all[3]);
}

#[test]
fn the_laws_hold_without_optimisation_and_under_the_sanitizers() {
    let Some(gpu) = gpu() else { return };
    drop(gpu);
    let laws = [
        "a_kernel_runs_over_grid_and_block",
        "collectives_are_those_of_the_programming_guide",
        "atomics_and_voting_barriers_lose_nothing",
        "named_barriers_and_polling_hand_values_on",
        "mma_is_the_triple_loop_and_swapped_registers_are_not",
        "schedules_differ_and_a_seed_repeats_itself",
    ];
    for build in [Build::Unoptimised, Build::Address] {
        let run = rerun(build, &laws, &[]).unwrap_or_else(|why| panic!("{why}"));
        assert!(run.passed, "{build:?}: {}", run.text);
    }
}

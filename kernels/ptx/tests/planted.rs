//! Planted faults in CUDA C++, compiled by nvcc: the table of issue 6. Each source has marked lines, of which the wrong
//! version drops or changes one.

mod common;

use common::{Words, schedules};
use grail_ptx::{Arch, Check, Device, Finding, Module, Options, Shape, compile_text, find_nvcc};

/// A pipeline of two stages: cp.async, fragments from shared memory, mma, and a sum over the block. `/*x*/` marks what a
/// fault changes.
const SOURCE: &str = r#"
#include <stdint.h>
struct tile_params { const int8_t *a; const int8_t *b; int *d; int *sum; uint32_t k; uint32_t rows; };
__device__ __forceinline__ void copy16(void *s, const void *g) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"((uint32_t)__cvta_generic_to_shared(s)), "l"(g) : "memory");
}
__device__ __forceinline__ void commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int N> __device__ __forceinline__ void wait() { asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory"); }
__device__ __forceinline__ void mma(int (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
                 : "r"(a[0]), /*REGISTERS*/"r"(a[1]), "r"(a[2])/*END*/, "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
// d[16][8] = a[16][k] b[8][k]^T for each of two warps (own a, own d), then the sum of all of d over the block.
extern "C" __global__ void __launch_bounds__(64) tile(const __grid_constant__ tile_params p) {
    __shared__ __align__(16) int8_t sa[2][2][16][48];
    __shared__ __align__(16) int8_t sb[2][2][8][48];
    __shared__ int parts[/*PARTS*/64/*END*/];
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, t = lane % 4, row = lane / 2, half = lane % 2 * 16;
    int d[4] = {0, 0, 0, 0};
    auto load = [&](int stage, uint32_t k) {
        copy16(&sa[warp][stage][row][half], p.a + (warp * 16 + row) * p.k + k + half);
        if (row < 8) copy16(&sb[warp][stage][row][half], p.b + row * p.k + k + half);
        commit();
    };
    load(0, 0);
    for (uint32_t k = 0, stage = 0; k < p.k; k += 32, stage ^= 1) {
        if (k + 32 < p.k) { load(stage ^ 1, k + 32); /*WAIT*/wait<1>();/*END*/ } else wait<0>();
        __syncwarp();
        uint32_t a[4], b[2];
        for (int i = 0; i < 4; i++) a[i] = *(const uint32_t *)&sa[warp][stage][g + 8 * (i & 1)][4 * t + 16 * (i >> 1)];
        for (int i = 0; i < 2; i++) b[i] = *(const uint32_t *)&sb[warp][stage][g][4 * t + 16 * i];
        mma(d, a, b);
        /*TRAILING*/__syncwarp();/*END*/
    }
    for (int i = 0; i < 4; i++) p.d[warp * 128 + (g + 8 * (i / 2)) * 8 + 2 * t + i % 2] = d[i];
    for (int round = 0; round < 2; round++) {
        parts[threadIdx.x /*STORE*//*END*/] = d[0] + d[1] + d[2] + d[3];
        /*BARRIER*/__syncthreads();/*END*/
        int sum = 0;
        for (int i = 0; i < 64; i++) sum += parts[i];
        if (threadIdx.x == 0) p.sum[round] = sum;
        /*REUSE*/__syncthreads();/*END*/
    }
}
"#;

fn with(marker: &str, replacement: &str) -> String {
    let start = SOURCE.find(&format!("/*{marker}*/")).unwrap_or_else(|| panic!("no marker {marker}"));
    let end = start + SOURCE[start..].find("/*END*/").unwrap();
    format!("{}{replacement}{}", &SOURCE[..start], &SOURCE[end..])
}

/// What a run came to: a finding, or whether the result was right.
fn run(source: &str, arch: Arch, options: &Options) -> Result<bool, Box<Finding>> {
    const K: usize = 128;
    let module = Module::parse(&compile_text("planted", source, arch).unwrap()).unwrap();
    let mut words = Words(6);
    let mut bytes = |n: usize| (0..n).map(|_| words.next() as u8).collect::<Vec<u8>>();
    let (a, b) = (bytes(32 * K), bytes(8 * K));
    let mut device = Device::new();
    let (pa, pb) = (device.alloc_from("a", &a), device.alloc_from("b", &b));
    let (pd, sum) = (device.alloc_named("d", 4 * 256), device.alloc_named("sum", 8));
    let mut params: Vec<u8> = [pa, pb, pd, sum].iter().flat_map(|p| p.0.to_le_bytes()).collect();
    params.extend([K as u32, 32].iter().flat_map(|v| v.to_le_bytes()));
    device.launch(&module, "tile", Shape::new(1, 64), &params, options)?;
    let mut want = Vec::new();
    for row in a.chunks(K) {
        for column in b.chunks(K) {
            want.push(row.iter().zip(column).map(|(x, y)| i32::from(*x as i8) * i32::from(*y as i8)).sum::<i32>());
        }
    }
    let total = want.iter().fold(0i32, |s, x| s.wrapping_add(*x)).to_le_bytes();
    let want: Vec<u8> = want.iter().flat_map(|v| v.to_le_bytes()).collect();
    Ok(device.read(pd, 1024) == want && device.read(sum, 8) == [total, total].concat())
}

#[test]
fn planted_faults_in_compiled_kernels_are_found() {
    if find_nvcc().is_none() {
        println!("SKIPPED: no nvcc on this machine, so no faults to compile");
        return;
    }
    let faults: [(&str, String, Option<Check>); 10] = [
        ("missing __syncthreads", with("BARRIER", ""), Some(Check::Race)),
        ("scratch reused without a barrier (right result)", with("REUSE", ""), Some(Check::Race)),
        ("missing trailing __syncwarp under cp.async", with("TRAILING", ""), Some(Check::Race)),
        ("cp.async wait too lax", with("WAIT", "wait<2>();"), Some(Check::CopyInFlight)),
        (
            "out-of-bounds global read",
            SOURCE.replace("p.a + (warp * 16 + row)", "p.a + (warp * 17 + row)"),
            Some(Check::Bounds),
        ),
        ("out-of-bounds global write", SOURCE.replace("p.sum[round]", "p.sum[2 * round]"), Some(Check::Bounds)),
        ("out-of-bounds shared memory", with("PARTS", "63"), Some(Check::Bounds)),
        (
            "divergent __syncthreads",
            with("BARRIER", "if (threadIdx.x < 40) __syncthreads();"),
            Some(Check::BarrierDivergence),
        ),
        ("misaligned cp.async", SOURCE.replace("sa[2][2][16][48]", "sa[2][2][16][40]"), Some(Check::Alignment)),
        ("A registers swapped in the inline mma", with("REGISTERS", r#""r"(a[2]), "r"(a[1])"#), None),
    ];
    println!("{:<50} {:<14} interpreter", "planted fault", "architecture");
    for arch in Arch::ALL {
        for options in schedules() {
            assert!(run(SOURCE, arch, &options).unwrap_or_else(|finding| panic!("{finding}")), "{options:?}");
        }
        for (name, source, check) in &faults {
            let mut verdicts = Vec::new();
            for options in schedules() {
                match (run(source, arch, &options), check) {
                    (Err(finding), Some(check)) => {
                        let early = finding.check == Check::Uninitialised;
                        assert!(finding.check == *check || *check == Check::Race && early, "{name}: {finding}");
                        assert!(finding.place.is_some(), "{finding}");
                        verdicts.push(finding);
                    }
                    (Ok(right), None) => assert!(!right, "{name}: the result is right"),
                    (other, _) => panic!("{name}, {options:?}: {other:?}"),
                }
            }
            let shown = verdicts.iter().find(|finding| Some(finding.check) == *check);
            let text = match shown {
                Some(finding) => format!("{:?} at {}", finding.check, finding.place.clone().unwrap_or_default()),
                None => "wrong result".to_string(),
            };
            assert!(check.is_none() || shown.is_some(), "{name}: found in no schedule");
            println!("{name:<50} {:<14} {text}", format!("{arch:?}"));
        }
    }
}

// AVX-512 smoke: detected features, vpdpwssd, vcvtps2dq, masked loads, FMA against scalar results.
use std::arch::x86_64::*;
fn rng(s: &mut u64) -> u64 {
    *s ^= *s << 13;
    *s ^= *s >> 7;
    *s ^= *s << 17;
    *s
}
/// # Safety
/// The CPU has these features.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn check() -> Result<(), String> {
    let mut s = 88172645463325252u64;
    for _ in 0..200 {
        let mut a = [0i16; 32];
        let mut b = [0i16; 32];
        let mut c = [0i32; 16];
        for i in 0..32 {
            a[i] = rng(&mut s) as i16;
            b[i] = rng(&mut s) as i16;
        }
        for i in 0..16 {
            c[i] = rng(&mut s) as i32;
        }
        let mut r = [0i32; 16];
        let v = _mm512_dpwssd_epi32(
            _mm512_loadu_si512(c.as_ptr().cast()),
            _mm512_loadu_si512(a.as_ptr().cast()),
            _mm512_loadu_si512(b.as_ptr().cast()),
        );
        _mm512_storeu_si512(r.as_mut_ptr().cast(), v);
        for i in 0..16 {
            let e = c[i]
                .wrapping_add((a[2 * i] as i32).wrapping_mul(b[2 * i] as i32))
                .wrapping_add((a[2 * i + 1] as i32).wrapping_mul(b[2 * i + 1] as i32));
            if e != r[i] {
                return Err(format!("vpdpwssd {i} {e} {}", r[i]));
            }
        }
        let mut u = [0u8; 64];
        let mut w = [0i8; 64];
        for i in 0..64 {
            u[i] = rng(&mut s) as u8;
            w[i] = rng(&mut s) as i8;
        }
        let v = _mm512_dpbusd_epi32(
            _mm512_loadu_si512(c.as_ptr().cast()),
            _mm512_loadu_si512(u.as_ptr().cast()),
            _mm512_loadu_si512(w.as_ptr().cast()),
        );
        _mm512_storeu_si512(r.as_mut_ptr().cast(), v);
        for i in 0..16 {
            let mut e = c[i];
            for k in 0..4 {
                e = e.wrapping_add(u[4 * i + k] as i32 * w[4 * i + k] as i32);
            }
            if e != r[i] {
                return Err(format!("vpdpbusd {i} {e} {}", r[i]));
            }
        }
        let mut f = [0f32; 16];
        let mut g = [0f32; 16];
        let mut h = [0f32; 16];
        for i in 0..16 {
            f[i] = (rng(&mut s) as i64 % 1_000_000) as f32 / 37.5;
            g[i] = (rng(&mut s) as i64 % 1000) as f32 / 64.0;
            h[i] = (rng(&mut s) as i64 % 1000) as f32;
        }
        // ties to even: every other lane sits on a half
        for i in (0..16).step_by(2) {
            f[i] = f[i].trunc() + 0.5;
        }
        let v = _mm512_cvtps_epi32(_mm512_loadu_ps(f.as_ptr()));
        _mm512_storeu_si512(r.as_mut_ptr().cast(), v);
        for i in 0..16 {
            if f[i].round_ties_even() as i32 != r[i] {
                return Err(format!("vcvtps2dq {} {}", f[i], r[i]));
            }
        }
        let k = rng(&mut s) as u16;
        let m = _mm512_maskz_loadu_ps(k, f.as_ptr());
        let m = _mm512_mask_fmadd_ps(m, k, _mm512_loadu_ps(g.as_ptr()), _mm512_loadu_ps(h.as_ptr()));
        let mut o = [-7f32; 16];
        _mm512_mask_storeu_ps(o.as_mut_ptr(), k | 1, m);
        for i in 0..16 {
            let on = k >> i & 1 == 1;
            let e = if on {
                f[i].mul_add(g[i], h[i])
            } else if i == 0 {
                0.0
            } else {
                -7.0
            };
            if e.to_bits() != o[i].to_bits() {
                return Err(format!("mask {i} {e} {}", o[i]));
            }
        }
        // VL forms on ymm16+ style operands and DQ 64-bit multiply
        let mut q = [0i64; 8];
        let (mut x, mut y) = ([0i64; 8], [0i64; 8]);
        for i in 0..8 {
            x[i] = rng(&mut s) as i64;
            y[i] = rng(&mut s) as i64;
        }
        _mm512_storeu_si512(
            q.as_mut_ptr().cast(),
            _mm512_mullo_epi64(_mm512_loadu_si512(x.as_ptr().cast()), _mm512_loadu_si512(y.as_ptr().cast())),
        );
        for i in 0..8 {
            if q[i] != x[i].wrapping_mul(y[i]) {
                return Err("vpmullq".into());
            }
        }
        let mk = _mm256_cmplt_epi32_mask(_mm256_loadu_si256(c.as_ptr().cast()), _mm256_setzero_si256());
        let mut e = 0u8;
        for i in 0..8 {
            e |= ((c[i] < 0) as u8) << i;
        }
        if mk != e {
            return Err("vpcmpd ymm".into());
        }
    }
    Ok(())
}
fn main() {
    let f = [
        ("avx2", is_x86_feature_detected!("avx2")),
        ("avx512f", is_x86_feature_detected!("avx512f")),
        ("bw", is_x86_feature_detected!("avx512bw")),
        ("dq", is_x86_feature_detected!("avx512dq")),
        ("vl", is_x86_feature_detected!("avx512vl")),
        ("vnni", is_x86_feature_detected!("avx512vnni")),
        ("bf16", is_x86_feature_detected!("avx512bf16")),
        ("vbmi", is_x86_feature_detected!("avx512vbmi")),
    ];
    println!(
        "{f:?}; threads {:?}; args {:?}",
        std::thread::available_parallelism(),
        std::env::args().collect::<Vec<_>>()
    );
    if !f[..6].iter().all(|f| f.1) {
        println!("NO AVX-512");
        std::process::exit(3)
    }
    // SAFETY: the features that `check` is compiled for were just detected.
    match unsafe { check() } {
        Ok(()) => println!("OK"),
        Err(e) => {
            println!("FAIL {e}");
            std::process::exit(1)
        }
    }
    let n: u64 = std::env::args().nth(1).and_then(|x| x.parse().ok()).unwrap_or(0);
    if n > 0 {
        let t = std::time::Instant::now();
        let mut s = 1u64;
        for _ in 0..n {
            rng(&mut s);
        }
        println!("scalar {} Minsn, {:.2} s guest, {s:x}", n * 8 / 1_000_000, t.elapsed().as_secs_f64());
    }
    if let Some(c) = std::env::args().nth(2) {
        std::process::exit(c.parse().unwrap())
    }
}

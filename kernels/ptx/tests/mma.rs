//! The matrix products against three plain loops, on matrices without any symmetry. Fragments by the PTX manual.

mod common;

use common::{Words, run};
use grail_ptx::{Check, Device, Options};

/// Runs one mma; register `i` of lane `l` of A is `a(l, i)`, and so for B and C. Returns D as `[lane][i]`.
fn product(
    form: &str,
    counts: [usize; 2],
    a: impl Fn(usize, usize) -> u32,
    b: impl Fn(usize, usize) -> u32,
    c: impl Fn(usize, usize) -> u32,
) -> Result<Vec<[u32; 4]>, Box<grail_ptx::Finding>> {
    let mut words = Vec::new();
    for lane in 0..32 {
        words.extend((0..4).map(|i| if i < counts[0] { a(lane, i) } else { 0 }));
        words.extend((0..4).map(|i| if i < counts[1] { b(lane, i) } else { 0 }));
        words.extend((0..4).map(|i| c(lane, i)));
    }
    let list = |name: &str, n: usize| (0..n).map(|i| format!("%{name}{i}")).collect::<Vec<_>>().join(", ");
    let body = format!(
        ".reg .b64 %rd<4>; .reg .b32 %a<4>; .reg .b32 %b<4>; .reg .b32 %c<4>; .reg .b32 %d<4>; .reg .b32 %t;
        mov.u32 %t, %tid.x; ld.param.u64 %rd1, [k_param_0]; mad.wide.u32 %rd2, %t, 48, %rd1;
        ld.global.v4.u32 {{%a0, %a1, %a2, %a3}}, [%rd2]; ld.global.v4.u32 {{%b0, %b1, %b2, %b3}}, [%rd2+16];
        ld.global.v4.u32 {{%c0, %c1, %c2, %c3}}, [%rd2+32];
        mma.sync.aligned.{form} {{{}}}, {{{}}}, {{{}}}, {{{}}};
        ld.param.u64 %rd1, [k_param_1]; mad.wide.u32 %rd2, %t, 16, %rd1; st.global.v4.u32 [%rd2], {{%d0, %d1, %d2, %d3}};",
        list("d", 4),
        list("a", counts[0]),
        list("b", counts[1]),
        list("c", 4)
    );
    let mut device = Device::new();
    let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
    let (from, to) = (device.alloc_from("from", &bytes), device.alloc_named("to", 512));
    run(&body, 32, &mut device, &[from, to], &Options::default())?;
    let out = device.read(to, 512);
    let word = |at: usize| u32::from_le_bytes(out[at..at + 4].try_into().unwrap());
    Ok((0..32).map(|lane| std::array::from_fn(|i| word(16 * lane + 4 * i))).collect())
}

fn bytes_law(k: usize, a_signed: bool, b_signed: bool, seed: u64) {
    let mut words = Words(seed);
    let mut byte = || words.next() as u8;
    let a: Vec<Vec<u8>> = (0..16).map(|_| (0..k).map(|_| byte()).collect()).collect();
    let b: Vec<Vec<u8>> = (0..k).map(|_| (0..8).map(|_| byte()).collect()).collect();
    let c: Vec<Vec<u32>> = (0..16).map(|r| (0..8).map(|n| 0x7fff_0000 + 5000 * r * r + 77 * n).collect()).collect();
    let wide = |x: u8, signed: bool| if signed { i64::from(x as i8) } else { i64::from(x) };
    let four = |f: &dyn Fn(usize) -> u8| u32::from_le_bytes([f(0), f(1), f(2), f(3)]);
    // m16n8k32: a0 = (g, 4t..), a1 = (g + 8, 4t..), a2 = (g, 16 + 4t..), a3 = (g + 8, 16 + 4t..); b0 = (4t.., g),
    // b1 = (16 + 4t.., g). m16n8k16: a0, a1 and b0 alone.
    let at_a = |lane: usize, i: usize| four(&|j| a[lane / 4 + 8 * (i % 2)][16 * (i / 2) + 4 * (lane % 4) + j]);
    let at_b = |lane: usize, i: usize| four(&|j| b[16 * i + 4 * (lane % 4) + j][lane / 4]);
    let at = |lane: usize, i: usize| (lane / 4 + 8 * (i / 2), 2 * (lane % 4) + i % 2);
    let name = |signed| if signed { "s8" } else { "u8" };
    let form = format!("m16n8k{k}.row.col.s32.{}.{}.s32", name(a_signed), name(b_signed));
    let got = product(&form, [k / 8, k / 16], at_a, at_b, |lane, i| c[at(lane, i).0][at(lane, i).1]).unwrap();
    for (lane, got) in got.iter().enumerate() {
        for (i, got) in got.iter().enumerate() {
            let (row, column) = at(lane, i);
            let mut sum = i64::from(c[row][column]);
            for (x, b) in a[row].iter().zip(&b) {
                sum += wide(*x, a_signed) * wide(b[column], b_signed);
            }
            assert_eq!(*got, sum as u32, "{form} row {row} column {column}");
        }
    }
}

#[test]
fn products_of_bytes_equal_three_plain_loops() {
    for seed in 0..8 {
        for k in [16, 32] {
            bytes_law(k, true, true, seed);
        }
        bytes_law(32, true, false, seed);
        bytes_law(32, false, true, seed);
        bytes_law(16, false, false, seed);
    }
}

/// Scales of blocks: powers of two, as an outer product.
#[test]
fn products_of_powers_of_two_are_exact_in_tf32() {
    let power = |e: i32| ((127 + e) as u32) << 23;
    let row = |r: usize| r as i32 * 3 - 40;
    let column = |n: usize| 7 - 5 * n as i32;
    let form = "m16n8k4.row.col.f32.tf32.tf32.f32";
    let got =
        product(form, [2, 1], |lane, i| power(row(lane / 4 + 8 * i)), |lane, _| power(column(lane / 4) - 2), |_, _| 0)
            .unwrap();
    for (lane, got) in got.iter().enumerate() {
        for (i, got) in got.iter().enumerate() {
            let want = power(row(lane / 4 + 8 * (i / 2)) + column(2 * (lane % 4) + i % 2));
            assert_eq!(*got, want, "lane {lane} {i}");
        }
    }
    // The place of each k: only k = 2 of row 9 and column 3 is not zero.
    let only = |at: bool, e: i32| if at { power(e) } else { 0 };
    let got =
        product(form, [2, 1], |lane, i| only((lane, i) == (4 + 2, 1), 3), |lane, _| only(lane == 12 + 2, 4), |_, _| 0)
            .unwrap();
    let hits: Vec<_> = got
        .iter()
        .enumerate()
        .flat_map(|(l, d)| d.iter().enumerate().map(move |(i, v)| (l, i, *v)))
        .filter(|h| h.2 != 0)
        .collect();
    assert_eq!(hits, [(4 + 1, 3, power(7))]);
}

#[test]
fn sums_in_tf32_that_depend_on_their_order_are_found() {
    let form = "m16n8k4.row.col.f32.tf32.tf32.f32";
    let far = |lane: usize| if lane.is_multiple_of(4) { 1e9f32.to_bits() & !0x1fff } else { 0.5f32.to_bits() };
    let finding = product(form, [2, 1], |lane, _| far(lane), |_, _| 1f32.to_bits(), |_, _| 0).unwrap_err();
    assert_eq!(finding.check, Check::Inexact);
    let fine = 1.0f32.to_bits() | 1;
    let finding = product(form, [2, 1], |_, _| fine, |_, _| 1f32.to_bits(), |_, _| 0).unwrap_err();
    assert_eq!(finding.check, Check::Inexact);
}

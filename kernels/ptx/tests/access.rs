//! Loads, stores and atomics of every state space, branches and calls.

mod common;

use common::{combinations, eval, header, law, longs, params, run, words};
use grail_ptx::{Device, Module, Options, Shape};

#[test]
fn loads_extend_to_the_register_and_stores_cut_to_the_type() {
    let inputs = combinations::<1>(&longs());
    let load = |ty: &str, to: &'static str, f: &dyn Fn(u64) -> u64| {
        let body = format!("st.global.b64 [at], a; ld.global.{ty} o, [at];");
        law(&body, to, ["b64"], &inputs, |[a]| f(a));
    };
    load("u8", "b32", &|a| a & 0xff);
    load("s8", "b32", &|a| u64::from(a as i8 as i32 as u32));
    load("s8", "b16", &|a| u64::from(a as i8 as i16 as u16));
    load("u16", "b32", &|a| a & 0xffff);
    load("s16", "b32", &|a| u64::from(a as i16 as i32 as u32));
    load("s32", "b64", &|a| a as i32 as i64 as u64);
    load("L1::no_allocate.L2::128B.b64", "b64", &|a| a);
    load("volatile.u32", "b32", &|a| a & 0xffff_ffff);
    law("st.global.u8 [at], a; ld.global.u32 o, [at];", "b32", ["b32"], &[[0x1234_56ff]], |[a]| a);
    law(
        "st.global.b32 [at], 0; st.global.u16 [at+2], a; ld.global.u32 o, [at];",
        "b32",
        ["b32"],
        &[[0x1234_56ff]],
        |[a]| a << 16 & 0xffff_0000,
    );
}

#[test]
fn vectors_move_whole() {
    let mut device = Device::new();
    let from = device.alloc_from("from", &(0..=255).collect::<Vec<u8>>());
    let to = device.alloc_named("to", 256);
    let body = ".reg .b64 %rd<5>; .reg .b32 %r<6>; .reg .b16 %rs<3>; .reg .b64 %q<3>;
        ld.param.u64 %rd1, [k_param_0]; ld.param.u64 %rd2, [k_param_1]; mov.u32 %r5, %tid.x;
        mad.wide.u32 %rd1, %r5, 16, %rd1; mad.wide.u32 %rd2, %r5, 16, %rd2;
        ld.global.nc.v4.u32 {%r1, %r2, %r3, %r4}, [%rd1]; st.global.v4.u32 [%rd2], {%r4, %r3, %r2, %r1};
        ld.global.v2.u64 {%q1, %q2}, [%rd1+128]; st.global.v2.u64 [%rd2+128], {%q2, %q1};";
    run(body, 8, &mut device, &[from, to], &Options::default()).unwrap();
    let got = device.read(to, 256);
    assert_eq!(got[..16], [12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3]);
    assert_eq!(got[128..144], [136, 137, 138, 139, 140, 141, 142, 143, 128, 129, 130, 131, 132, 133, 134, 135]);
}

#[test]
fn every_atomic_returns_the_old_value_and_stores_the_new() {
    let pairs: Vec<[u64; 2]> = combinations::<2>(&words()).into_iter().map(|p| p.map(|v| v & 0xffff_ffff)).collect();
    for (name, f) in [
        ("add.u32", &(|a: u32, b: u32| a.wrapping_add(b)) as &dyn Fn(u32, u32) -> u32),
        ("min.u32", &|a, b| a.min(b)),
        ("min.s32", &|a, b| (a as i32).min(b as i32) as u32),
        ("max.u32", &|a, b| a.max(b)),
        ("max.s32", &|a, b| (a as i32).max(b as i32) as u32),
        ("and.b32", &|a, b| a & b),
        ("or.b32", &|a, b| a | b),
        ("xor.b32", &|a, b| a ^ b),
        ("exch.b32", &|_, b| b),
        ("inc.u32", &|a, b| if a >= b { 0 } else { a + 1 }),
        ("dec.u32", &|a, b| if a == 0 || a > b { b } else { a - 1 }),
    ] {
        for (space, set) in [
            ("global", ""),
            (
                "shared",
                ".shared .align 8 .b8 place[512]; .reg .b32 s; mov.u32 s, %tid.x; mad.lo.u32 s, s, 8, place; cvt.u64.u32 at, s;",
            ),
        ] {
            let body = format!(
                "{set} .reg .b32 x, y; st.{space}.u32 [at], a; atom.{space}.{name} x, [at], b; ld.{space}.u32 y, [at]; mov.b64 o, {{x, y}};"
            );
            law(&body, "b64", ["b32", "b32"], &pairs, |[a, b]| a | u64::from(f(a as u32, b as u32)) << 32);
        }
    }
    let cas = ".reg .b32 x, y; st.global.u32 [at], a; atom.global.cas.b32 x, [at], b, 77; ld.global.u32 y, [at]; mov.b64 o, {x, y};";
    law(cas, "b64", ["b32", "b32"], &pairs, |[a, b]| a | if a == b { 77 << 32 } else { a << 32 });
    let wide = "st.global.u64 [at], a; red.global.add.u64 [at], b; ld.global.u64 o, [at];";
    law(wide, "b64", ["b64", "b64"], &combinations::<2>(&longs()), |[a, b]| a.wrapping_add(b));
}

#[test]
fn atomics_of_all_threads_of_all_blocks_meet_in_one_word() {
    let mut device = Device::new();
    let sum = device.alloc_zeroed("sum", 4);
    let text = format!(
        "{}.reg .b64 %rd1; .reg .b32 %r1; ld.param.u64 %rd1, [k_param_0]; mov.u32 %r1, %tid.x;
        red.global.add.u32 [%rd1], %r1; ret; }}",
        header("k", 1)
    );
    let module = Module::parse(&text).unwrap();
    device.launch(&module, "k", Shape::new(5, 96), &params(&[sum]), &Options::default()).unwrap();
    assert_eq!(device.read(sum, 4), (5u32 * 95 * 96 / 2).to_le_bytes());
}

const CALLS: &str = "
.version 9.0
.target sm_80
.address_size 64
.const .align 4 .b8 table[16] = {1, 0, 0, 0, 2, 0, 0, 0, 3};
.global .align 4 .u32 counter = 7;
.global .align 8 .u64 zero;
.func (.param .b32 back) scale(.param .b32 scale_0, .param .align 4 .b8 scale_1[8])
{
	.reg .b32 %r<5>;
	.reg .b64 %rd<3>;
	.reg .pred %p<2>;
	ld.param.u32 %r1, [scale_0];
	mov.b64 %rd1, scale_1;
	ld.param.u32 %r2, [%rd1+4];
	setp.gt.u32 %p1, %r1, 100;
	@%p1 bra $L__BB0_1;
	mul.lo.s32 %r3, %r1, %r2;
	st.param.b32 [back+0], %r3;
	ret;
$L__BB0_1:
	mov.u32 %r3, 9;
	st.param.b32 [back+0], %r3;
	ret;
}
.visible .entry k(.param .align 8 .b8 k_param_0[24])
.maxntid 64, 1, 1
{
	.local .align 8 .b8 __local_depot0[16];
	.reg .b64 %SP;
	.reg .b64 %SPL;
	.reg .b32 %r<12>;
	.reg .b64 %rd<8>;
	mov.u64 %SPL, __local_depot0;
	cvta.local.u64 %SP, %SPL;
	mov.b64 %rd1, k_param_0;
	ld.param.u64 %rd2, [%rd1+8];
	ld.param.s8 %r1, [k_param_0+16];
	mov.u32 %r2, %tid.x;
	{ // callseq 0, 0
	.reg .b32 temp_param_reg;
	.param .b32 param0;
	st.param.b32 [param0+0], %r2;
	.param .align 4 .b8 param1[8];
	st.param.b32 [param1+0], 0;
	st.param.b32 [param1+4], %r1;
	.param .b32 retval0;
	call.uni (retval0),
	scale,
	(
	param0,
	param1
	);
	ld.param.b32 %r3, [retval0+0];
	} // callseq 0
	{
	.param .b32 param0;
	st.param.b32 [param0+0], 500;
	.param .align 4 .b8 param1[8];
	st.param.b32 [param1+4], 5;
	.param .b32 retval0;
	call.uni (retval0), scale, (param0, param1);
	ld.param.b32 %r4, [retval0+0];
	}
	add.s32 %r3, %r3, %r4;
	// generic local memory
	st.u32 [%SP+8], %r3;
	ld.local.u32 %r5, [%SPL+8];
	// constants and variables
	mov.u64 %rd3, table;
	ld.const.u32 %r6, [%rd3+4];
	ld.const.u32 %r7, [table+8];
	mov.u64 %rd4, counter;
	ld.global.u32 %r8, [%rd4];
	ld.u32 %r9, [zero+4];
	add.s32 %r5, %r5, %r6;
	add.s32 %r5, %r5, %r7;
	add.s32 %r5, %r5, %r8;
	add.s32 %r5, %r5, %r9;
	cvta.to.global.u64 %rd5, %rd2;
	mul.wide.u32 %rd6, %r2, 4;
	add.s64 %rd7, %rd5, %rd6;
	st.global.u32 [%rd7], %r5;
	ret;
}
";

#[test]
fn calls_parameters_locals_constants_and_variables() {
    let module = Module::parse(CALLS).unwrap();
    let mut device = Device::new();
    let out = device.alloc_named("out", 256);
    let mut bytes = vec![0; 24];
    bytes[8..16].copy_from_slice(&out.0.to_le_bytes());
    bytes[16] = 0xfd;
    device.launch(&module, "k", Shape::new(1, 64), &bytes, &Options::default()).unwrap();
    let got: Vec<i32> = device.read(out, 256).chunks(4).map(|b| i32::from_le_bytes(b.try_into().unwrap())).collect();
    let want: Vec<i32> = (0..64).map(|t| -3 * t + 9 + 2 + 3 + 7).collect();
    assert_eq!(got, want);
    assert!(device.launch(&module, "k", Shape::new(1, 96), &bytes, &Options::default()).is_err(), "more than .maxntid");
    assert!(
        device.launch(&module, "k", Shape::new(1, 64), &bytes[1..], &Options::default()).is_err(),
        "short parameters"
    );
    assert!(device.launch(&module, "no", Shape::new(1, 64), &bytes, &Options::default()).is_err(), "no such kernel");
}

#[test]
fn a_function_that_calls_itself_is_refused() {
    let text = "
.version 9.0
.func f()
{
	call.uni f;
	ret;
}
.visible .entry k()
{
	call.uni f, ();
	ret;
}
";
    let error = Module::parse(text).unwrap_err().to_string();
    assert!(error.contains("calls itself"), "{error}");
}

#[test]
fn lanes_part_and_meet_again() {
    // Collatz steps: every lane leaves the loop at another time; a warp vote behind it needs all lanes together.
    let body = "mov.u32 o, 0;
        LOOP: setp.le.u32 p, a, 1; @p bra DONE;
        and.b32 x, a, 1; setp.eq.u32 q, x, 0; @q bra EVEN;
        mad.lo.u32 a, a, 3, 1; bra.uni NEXT;
        EVEN: shr.u32 a, a, 1;
        NEXT: add.u32 o, o, 1; bra LOOP;
        DONE: vote.sync.ballot.b32 x, p, -1; add.u32 o, o, x;";
    let declare = ".reg .pred p, q; .reg .b32 x;";
    let inputs: Vec<[u64; 1]> = (1..=256).map(|i| [i]).collect();
    let steps = |mut n: u64| {
        let mut count = 0;
        while n > 1 {
            n = if n.is_multiple_of(2) { n / 2 } else { 3 * n + 1 };
            count += 1;
        }
        count
    };
    law(&format!("{declare}{body}"), "b32", ["b32"], &inputs, |[a]| (steps(a) + 0xffff_ffff) & 0xffff_ffff);
}

#[test]
fn tables_of_branches() {
    let body = ".reg .b32 x; and.b32 x, a, 3; TABLE: .branchtargets A, B, C, A; brx.idx x, TABLE;
        A: mov.u32 o, 10; bra.uni END_; B: mov.u32 o, 20; bra.uni END_; C: mov.u32 o, 30; END_:";
    let inputs: Vec<[u64; 1]> = (0..64).map(|i| [i]).collect();
    law(body, "b32", ["b32"], &inputs, |[a]| [10, 20, 30, 10][(a & 3) as usize]);
}

#[test]
fn guards_leave_other_lanes_alone() {
    let inputs: Vec<[u64; 1]> = (0..64).map(|i| [i]).collect();
    let body = ".reg .pred p; setp.lt.u32 p, a, 20; mov.u32 o, 1; @p mov.u32 o, 2; @!p add.u32 o, o, a;";
    law(body, "b32", ["b32"], &inputs, |[a]| if a < 20 { 2 } else { 1 + a });
}

#[test]
fn special_registers() {
    let get = |name: &str| eval(&format!("mov.u32 o, {name};"), "b32", ["b32"], &[[0]; 160]);
    let each = |f: &dyn Fn(u64) -> u64| (0..160).map(f).collect::<Vec<_>>();
    assert_eq!(get("%tid.x"), each(&|t| t % 64));
    assert_eq!(get("%ctaid.x"), each(&|t| t / 64));
    assert_eq!(get("%ntid.x"), each(&|_| 64));
    assert_eq!(get("%nctaid.x"), each(&|_| 3));
    assert_eq!(get("%laneid"), each(&|t| t % 32));
    assert_eq!(get("%warpid"), each(&|t| t % 64 / 32));
    assert_eq!(get("%lanemask_lt"), each(&|t| (1 << (t % 32)) - 1));
    assert_eq!(get("%lanemask_ge"), each(&|t| 0xffff_ffff & !((1 << (t % 32)) - 1)));
}

#[test]
fn grids_and_blocks_have_three_axes() {
    let text = format!(
        "{}.reg .b64 %rd<3>; .reg .b32 %r<12>;
        mov.u32 %r1, %tid.x; mov.u32 %r2, %tid.y; mov.u32 %r3, %tid.z; mov.u32 %r4, %ctaid.x; mov.u32 %r5, %ctaid.y; mov.u32 %r6, %ctaid.z;
        mad.lo.u32 %r7, %r6, 3, %r5; mad.lo.u32 %r7, %r7, 2, %r4;
        mad.lo.u32 %r8, %r3, 3, %r2; mad.lo.u32 %r8, %r8, 5, %r1; mad.lo.u32 %r9, %r7, 30, %r8;
        ld.param.u64 %rd1, [k_param_0]; mad.wide.u32 %rd2, %r9, 4, %rd1; st.global.u32 [%rd2], %r9; ret; }}",
        header("k", 1)
    );
    let module = Module::parse(&text).unwrap();
    let mut device = Device::new();
    let out = device.alloc_named("out", 4 * 24 * 30);
    let shape = Shape { grid: [2, 3, 4], block: [5, 3, 2], dynamic_shared: 0 };
    device.launch(&module, "k", shape, &params(&[out]), &Options::default()).unwrap();
    let want: Vec<u8> = (0..24u32 * 30).flat_map(u32::to_le_bytes).collect();
    assert_eq!(device.read(out, 4 * 24 * 30), want);
}

//! Shuffles, votes, matches, reductions, barriers, ldmatrix and asynchronous copies.

mod common;

use common::{Words, eval, law, run, schedules};
use grail_ptx::{Device, Options};

/// One warp's worth of words.
fn words(seed: u64) -> Vec<[u64; 1]> {
    let mut stream = Words(seed);
    (0..32).map(|_| [stream.next() & 0xffff_ffff]).collect()
}

fn column(body: &str, inputs: &[[u64; 1]]) -> Vec<u64> {
    eval(body, "b32", ["b32"], inputs)
}

#[test]
fn shuffles_follow_the_manual() {
    // The manual's own text: minLane, maxLane and the source lane.
    let source = |mode: &str, lane: usize, b: usize, c: usize| {
        let (clamp, segment) = (c & 31, c >> 8 & 31);
        let max = lane & segment | clamp & !segment & 31;
        let min = lane & segment;
        let (j, p) = match mode {
            "up" => (lane as i32 - b as i32, lane as i32 - b as i32 >= max as i32),
            "down" => ((lane + b) as i32, lane + b <= max),
            "bfly" => ((lane ^ b) as i32, lane ^ b <= max),
            _ => ((min | b & !segment & 31) as i32, (min | b & !segment & 31) <= max),
        };
        if p { (j as usize, 1) } else { (lane, 0) }
    };
    let inputs = words(1);
    for mode in ["up", "down", "bfly", "idx"] {
        for width in [32usize, 16, 8, 4, 2] {
            for b in [0, 1, 2, 3, 5, 8, 16, 31] {
                let c = (32 - width) << 8 | if mode == "up" { 0 } else { 31 };
                let body = format!(
                    ".reg .b32 x; .reg .pred p; shfl.sync.{mode}.b32 x|p, a, {b}, {c}, -1; selp.u32 o, 1, 0, p; shl.b32 x, x, 1; or.b32 o, o, x;"
                );
                let want: Vec<u64> = (0..32)
                    .map(|lane| {
                        let (j, p) = source(mode, lane, b, c);
                        inputs[j][0] << 1 & 0xffff_ffff | p
                    })
                    .collect();
                assert_eq!(column(&body, &inputs), want, "{mode} {b} {c:#x}");
            }
        }
    }
}

#[test]
fn votes_matches_and_reductions() {
    let inputs = words(2);
    let parity = ".reg .pred p, q; .reg .b32 x; and.b32 x, a, 1; setp.ne.u32 p, x, 0;";
    let set = inputs.iter().enumerate().fold(0u64, |s, (i, [v])| s | (v & 1) << i);
    assert_eq!(column(&format!("{parity} vote.sync.ballot.b32 o, p, -1;"), &inputs), vec![set; 32]);
    for (vote, all) in [("all", 0), ("any", 1), ("uni", 0)] {
        let body = format!("{parity} vote.sync.{vote}.pred q, p, -1; selp.u32 o, 1, 0, q;");
        assert_eq!(column(&body, &inputs), vec![all; 32], "{vote}");
    }
    let body = format!("{parity} vote.sync.all.pred q, !p, -1; selp.u32 o, 1, 0, q;");
    assert_eq!(column(&body, &vec![[2]; 32]), vec![1; 32]);
    let few: Vec<[u64; 1]> = (0..32).map(|i| [i % 3]).collect();
    let want: Vec<u64> = (0..32).map(|i| (0..32).filter(|j| j % 3 == i % 3).fold(0, |s, j| s | 1 << j)).collect();
    assert_eq!(column("match.any.sync.b32 o, a, -1;", &few), want);
    let all = ".reg .b32 x; .reg .pred p; match.all.sync.b32 x|p, a, -1; selp.u32 o, x, 5, p;";
    assert_eq!(column(all, &few), vec![5; 32]);
    assert_eq!(column(all, &vec![[9]; 32]), vec![0xffff_ffff; 32]);
    for (op, f) in [
        ("add.s32", &(|x: u32, y: u32| x.wrapping_add(y)) as &dyn Fn(u32, u32) -> u32),
        ("min.s32", &|x, y| (x as i32).min(y as i32) as u32),
        ("max.u32", &|x, y| x.max(y)),
        ("max.s32", &|x, y| (x as i32).max(y as i32) as u32),
        ("and.b32", &|x, y| x & y),
        ("or.b32", &|x, y| x | y),
        ("xor.b32", &|x, y| x ^ y),
    ] {
        let want = inputs.iter().map(|[v]| *v as u32).reduce(f).unwrap();
        assert_eq!(column(&format!("redux.sync.{op} o, a, -1;"), &inputs), vec![u64::from(want); 32], "{op}");
    }
}

#[test]
fn collectives_of_part_of_a_warp() {
    // Each half shuffles within itself, from different places of the code.
    let body = ".reg .pred p; .reg .b32 l; mov.u32 l, %laneid; setp.lt.u32 p, l, 16; @p bra LOW;
        shfl.sync.bfly.b32 o, a, 1, 31, 0xffff0000; bra.uni JOIN;
        LOW: shfl.sync.bfly.b32 o, a, 2, 31, 0x0000ffff; JOIN: bar.warp.sync -1;";
    let inputs = words(3);
    let want: Vec<u64> = (0..32).map(|l: usize| inputs[l ^ if l < 16 { 2 } else { 1 }][0]).collect();
    assert_eq!(column(body, &inputs), want);
    // The same instruction with two masks.
    let body =
        ".reg .pred p; .reg .b32 l, m; mov.u32 l, %laneid; setp.lt.u32 p, l, 16; selp.u32 m, 0xffff, 0xffff0000, p;
        redux.sync.add.u32 o, l, m;";
    let want: Vec<u64> = (0..32).map(|l| if l < 16 { 120 } else { 376 }).collect();
    assert_eq!(column(body, &inputs), want);
    let body = ".reg .pred p; .reg .b32 l; mov.u32 l, %laneid; mov.u32 o, 0; setp.lt.u32 p, l, 5; @p activemask.b32 o;";
    assert_eq!(column(body, &inputs)[..6], [31, 31, 31, 31, 31, 0]);
}

#[test]
fn barriers_make_writes_visible_in_every_schedule() {
    let body = ".reg .b64 %rd<3>; .reg .b32 %r<8>; .shared .align 4 .b8 tile[512];
        mov.u32 %r1, %tid.x; mov.u32 %r2, tile; mad.lo.u32 %r3, %r1, 4, %r2; st.shared.u32 [%r3], %r1;
        bar.sync 0;
        sub.u32 %r4, 127, %r1; mad.lo.u32 %r5, %r4, 4, %r2; ld.shared.u32 %r6, [%r5];
        ld.param.u64 %rd1, [k_param_0]; mad.wide.u32 %rd2, %r1, 4, %rd1; st.global.u32 [%rd2], %r6;";
    for options in schedules() {
        let mut device = Device::new();
        let out = device.alloc(512);
        run(body, 128, &mut device, &[out], &options).unwrap();
        let want: Vec<u8> = (0..128u32).flat_map(|t| (127 - t).to_le_bytes()).collect();
        assert_eq!(device.read(out, 512), want, "{options:?}");
    }
}

#[test]
fn barriers_reduce_over_the_block_and_named_ones_join_some_warps() {
    let body = ".reg .b64 %rd<3>; .reg .b32 %r<9>; .reg .pred %p<5>; .shared .align 4 .b8 tile[512];
        mov.u32 %r1, %tid.x; setp.lt.u32 %p1, %r1, 50;
        bar.red.popc.u32 %r2, 0, %p1; bar.red.or.pred %p2, 0, %p1; bar.red.and.pred %p3, 0, !%p1;
        selp.u32 %r3, 100, 0, %p2; add.u32 %r2, %r2, %r3; selp.u32 %r3, 1000, 0, %p3; add.u32 %r2, %r2, %r3;
        // Two pairs of warps, each with a barrier of its own.
        shr.u32 %r4, %r1, 6; add.u32 %r4, %r4, 1; mov.u32 %r5, tile; mad.lo.u32 %r6, %r1, 4, %r5; st.shared.u32 [%r6], %r2;
        barrier.sync.aligned %r4, 64;
        xor.b32 %r7, %r1, 32; mad.lo.u32 %r6, %r7, 4, %r5; ld.shared.u32 %r8, [%r6];
        ld.param.u64 %rd1, [k_param_0]; mad.wide.u32 %rd2, %r1, 4, %rd1; st.global.u32 [%rd2], %r8;";
    for options in schedules() {
        let mut device = Device::new();
        let out = device.alloc(512);
        run(body, 128, &mut device, &[out], &options).unwrap();
        assert_eq!(device.read(out, 512), 150u32.to_le_bytes().repeat(128), "{options:?}");
    }
}

#[test]
fn matrices_are_loaded_by_rows_and_transposed() {
    for (count, form) in [(1, "x1"), (2, "x2"), (4, "x4")] {
        for transposed in [false, true] {
            let registers = ["%r10", "%r11", "%r12", "%r13"][..count].join(", ");
            let suffix = if transposed { ".trans" } else { "" };
            let stores: String = (0..count).map(|i| format!("st.global.u32 [%rd2+{}], %r1{i};", 4 * i)).collect();
            let body = format!(
                ".reg .b64 %rd<3>; .reg .b32 %r<14>; .shared .align 16 .b8 tile[512];
                mov.u32 %r1, %tid.x; mov.u32 %r2, tile; mad.lo.u32 %r3, %r1, 16, %r2; mad.lo.u32 %r4, %r1, 8, 0; 
                add.u32 %r5, %r4, 1; prmt.b32 %r6, %r4, %r5, 0x5410; add.u32 %r7, %r6, 0x20002; add.u32 %r8, %r6, 0x40004; add.u32 %r9, %r6, 0x60006;
                st.shared.v4.u32 [%r3], {{%r6, %r7, %r8, %r9}}; bar.warp.sync -1;
                ldmatrix.sync.aligned.m8n8.{form}{suffix}.shared.b16 {{{registers}}}, [%r3];
                ld.param.u64 %rd1, [k_param_0]; mad.wide.u32 %rd2, %r1, 16, %rd1; {stores}"
            );
            let mut device = Device::new();
            let out = device.alloc_zeroed("out", 512);
            let counters = run(&body, 32, &mut device, &[out], &Options::default()).unwrap();
            assert_eq!(counters.bank_conflicts(), 0);
            // Element (row, column) of matrix m is 64 m + 8 row + column.
            for lane in 0..32u16 {
                for m in 0..count as u16 {
                    let (row, column) = (lane / 4, 2 * (lane % 4));
                    let element = |row: u16, column: u16| 64 * m + 8 * row + column;
                    let [low, high] = if transposed {
                        [element(column, row), element(column + 1, row)]
                    } else {
                        [element(row, column), element(row, column + 1)]
                    };
                    let at = out.offset(u64::from(16 * lane + 4 * m));
                    let want = (u32::from(high) << 16 | u32::from(low)).to_le_bytes();
                    assert_eq!(device.read(at, 4), want, "{form} {transposed} lane {lane} matrix {m}");
                }
            }
        }
    }
}

#[test]
fn asynchronous_copies_arrive_at_their_wait() {
    let body = ".reg .b64 %rd<4>; .reg .b32 %r<12>; .shared .align 16 .b8 tile[2048];
        mov.u32 %r1, %tid.x; mov.u32 %r2, tile; mad.lo.u32 %r3, %r1, 16, %r2; ld.param.u64 %rd1, [k_param_0];
        mad.wide.u32 %rd2, %r1, 16, %rd1;
        cp.async.cg.shared.global [%r3], [%rd2], 16; cp.async.commit_group;
        cp.async.ca.shared.global.L2::128B [%r3+1024], [%rd2+1024], 8, 4;
        cp.async.ca.shared.global [%r3+1032], [%rd2+1032], 4; cp.async.commit_group;
        cp.async.wait_group 1; ld.shared.v4.u32 {%r4, %r5, %r6, %r7}, [%r3];
        cp.async.wait_all; ld.shared.v2.u32 {%r8, %r9}, [%r3+1024]; ld.shared.u32 %r10, [%r3+1032];
        add.u32 %r4, %r4, %r7; ld.param.u64 %rd1, [k_param_1]; mad.wide.u32 %rd2, %r1, 16, %rd1;
        st.global.v4.u32 [%rd2], {%r4, %r8, %r9, %r10};";
    let from: Vec<u32> = (0..512).map(|i| 1000 + i).collect();
    for options in schedules() {
        let mut device = Device::new();
        let bytes: Vec<u8> = from.iter().flat_map(|w| w.to_le_bytes()).collect();
        let (source, out) = (device.alloc_from("source", &bytes), device.alloc(1024));
        run(body, 64, &mut device, &[source, out], &options).unwrap();
        let got: Vec<u32> =
            device.read(out, 1024).chunks(4).map(|b| u32::from_le_bytes(b.try_into().unwrap())).collect();
        for t in 0..64 {
            let want = [from[4 * t] + from[4 * t + 3], from[256 + 4 * t], 0, from[256 + 4 * t + 2]];
            assert_eq!(got[4 * t..4 * t + 4], want);
        }
    }
}

#[test]
fn a_law_that_does_not_hold_is_noticed() {
    let wrong = std::panic::catch_unwind(|| law("add.u32 o, a, 1;", "b32", ["b32"], &[[1]], |[a]| a));
    assert!(wrong.is_err());
}

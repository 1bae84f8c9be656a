//! Every check has a kernel that it must stop, beside one without the fault that it must let pass, in every schedule.

mod common;

use common::{header, params, schedules};
use grail_ptx::{Check, Device, Finding, Module, Options, Ptr, Shape};

/// A fault in hand-written PTX: the body with `FAULT` replaced by the wrong line, and by the right one.
struct Planted {
    name: &'static str,
    check: Check,
    body: &'static str,
    wrong: &'static str,
    right: &'static str,
    shape: Shape,
}

const START: &str = ".reg .b64 %rd<8>; .reg .b32 %r<16>; .reg .pred %p<8>; .extern_here
mov.u32 %r1, %tid.x; mov.u32 %r2, %laneid; ld.param.u64 %rd1, [k_param_0]; mad.wide.u32 %rd2, %r1, 16, %rd1; mov.u32 %r3, tile;
mad.lo.u32 %r4, %r1, 16, %r3; xor.b32 %r5, %r1, 32; mad.lo.u32 %r5, %r5, 16, %r3; xor.b32 %r6, %r1, 1; mad.lo.u32 %r6, %r6, 16, %r3;
setp.lt.u32 %p1, %r1, 40; setp.eq.u32 %p2, %r1, 0;\n";

fn faults() -> Vec<Planted> {
    let planted =
        |name, check, body, wrong, right| Planted { name, check, body, wrong, right, shape: Shape::new(1, 64) };
    let blocks = Shape::new(3, 64);
    vec![
        planted(
            "global: one element too far",
            Check::Bounds,
            "FAULT",
            "ld.global.u32 %r7, [%rd2+3088];",
            "ld.global.u32 %r7, [%rd2+4];",
        ),
        planted(
            "global: before the allocation",
            Check::Bounds,
            "FAULT",
            "ld.global.u32 %r7, [%rd1+-4];",
            "ld.global.u32 %r7, [%rd1];",
        ),
        planted(
            "global: a null pointer",
            Check::Bounds,
            "FAULT ld.global.u32 %r7, [%rd3];",
            "mov.u64 %rd3, 0;",
            "mov.u64 %rd3, %rd1;",
        ),
        planted(
            "shared: behind the end",
            Check::Bounds,
            "FAULT",
            "st.shared.u32 [%r4+2048], %r1;",
            "st.shared.u32 [%r4+1024], %r1;",
        ),
        planted(
            "parameters: behind the end",
            Check::Bounds,
            "FAULT",
            "ld.param.u32 %r7, [k_param_0+8];",
            "ld.param.u32 %r7, [k_param_0+4];",
        ),
        planted(
            "local: behind the end",
            Check::Bounds,
            ".local .align 8 .b8 mine[8]; mov.u32 %r7, mine; FAULT",
            "st.local.u32 [%r7+8], %r1;",
            "st.local.u32 [%r7+4], %r1;",
        ),
        planted(
            "global: not aligned",
            Check::Alignment,
            "FAULT",
            "ld.global.v2.u32 {%r7, %r8}, [%rd2+4];",
            "ld.global.v2.u32 {%r7, %r8}, [%rd2+8];",
        ),
        planted(
            "shared: not aligned",
            Check::Alignment,
            "FAULT",
            "st.shared.u32 [%r4+2], %r1;",
            "st.shared.u32 [%r4+4], %r1;",
        ),
        planted(
            "global: nobody wrote it",
            Check::Uninitialised,
            "FAULT ld.global.u8 %r7, [%rd2+2051];",
            "",
            "st.global.u32 [%rd2+2048], 0;",
        ),
        planted(
            "shared: nobody wrote it",
            Check::Uninitialised,
            "FAULT ld.shared.u32 %r7, [%r4];",
            "st.shared.u16 [%r4], 1;",
            "st.shared.u32 [%r4], 1;",
        ),
        planted(
            "local: nobody wrote it",
            Check::Uninitialised,
            ".local .align 8 .b8 mine[8]; mov.u32 %r7, mine; FAULT ld.local.u32 %r8, [%r7];",
            "",
            "st.local.u32 [%r7], 0;",
        ),
        planted(
            "race: no barrier between write and read",
            Check::Race,
            "st.shared.u32 [%r4], %r1; FAULT ld.shared.u32 %r7, [%r5];",
            "",
            "bar.sync 0;",
        ),
        planted(
            "race: a warp barrier for another warp's data",
            Check::Race,
            "st.shared.u32 [%r4], %r1; FAULT ld.shared.u32 %r7, [%r5];",
            "bar.warp.sync -1;",
            "bar.sync 0;",
        ),
        planted(
            "race: reused before everybody has read",
            Check::Race,
            "st.shared.u32 [%r4], %r1; bar.sync 0; ld.shared.u32 %r7, [%r5]; FAULT st.shared.u32 [%r4], %r7;",
            "",
            "bar.sync 0;",
        ),
        planted(
            "race: within a warp, no bar.warp.sync",
            Check::Race,
            "st.shared.u32 [%r4], %r1; FAULT ld.shared.u32 %r7, [%r6];",
            "",
            "bar.warp.sync -1;",
        ),
        planted(
            "race: a shuffle orders no memory",
            Check::Race,
            "st.shared.u32 [%r4], %r1; FAULT ld.shared.u32 %r7, [%r6];",
            "shfl.sync.bfly.b32 %r8, %r1, 1, 31, -1;",
            "bar.warp.sync -1;",
        ),
        planted(
            "race: all threads write one word",
            Check::Race,
            "FAULT",
            "st.shared.u32 [%r3], %r1;",
            "@%p2 st.shared.u32 [%r3], %r1;",
        ),
        planted(
            "race: a plain write beside atomics",
            Check::Race,
            "@%p2 st.shared.u32 [%r3], %r1; bar.sync 0; FAULT",
            "atom.shared.add.u32 %r7, [%r3], 1; @%p2 st.shared.u32 [%r3], 0;",
            "atom.shared.add.u32 %r7, [%r3], 1;",
        ),
        planted(
            "race: global memory, within a block",
            Check::Race,
            "st.global.u32 [%rd2], %r1; xor.b32 %r7, %r1, 32; mad.wide.u32 %rd3, %r7, 16, %rd1; FAULT ld.global.u32 %r8, [%rd3];",
            "",
            "bar.sync 0;",
        ),
        Planted {
            shape: blocks,
            ..planted(
                "blocks: all write one word",
                Check::BlockRace,
                "@%p2 FAULT",
                "st.global.u32 [%rd1], 7;",
                "red.global.add.u32 [%rd1], 7;",
            )
        },
        Planted {
            shape: blocks,
            ..planted(
                "blocks: one reads what another writes",
                Check::BlockRace,
                "ld.global.u32 %r7, [%rd1]; bar.sync 0; FAULT",
                "@%p2 st.global.u32 [%rd1], 7;",
                "@%p2 ld.global.u32 %r8, [%rd1];",
            )
        },
        planted(
            "barrier: in a branch of some lanes",
            Check::BarrierDivergence,
            "FAULT bar.sync 0;",
            "@%p1 bra OUT; bar.sync 0; OUT:",
            "",
        ),
        planted(
            "barrier: in a branch of some warps",
            Check::BarrierDivergence,
            "setp.lt.u32 %p1, %r1, 32; FAULT",
            "@%p1 bar.sync 0;",
            "bar.sync 0;",
        ),
        planted(
            "barrier: two places at once",
            Check::BarrierDivergence,
            "setp.lt.u32 %p1, %r1, 32; FAULT",
            "@%p1 bar.sync 0; @!%p1 bar.sync 0;",
            "bar.sync 0;",
        ),
        planted(
            "shuffle: half of the warp named, part of it there",
            Check::MissingLanes,
            "FAULT",
            "setp.lt.u32 %p3, %r2, 16; @%p3 shfl.sync.bfly.b32 %r7, %r1, 1, 31, -1;",
            "setp.lt.u32 %p3, %r2, 16; @%p3 shfl.sync.bfly.b32 %r7, %r1, 1, 31, 0xffff;",
        ),
        planted(
            "shuffle: from a lane outside the mask",
            Check::MissingLanes,
            "setp.lt.u32 %p3, %r2, 16; FAULT",
            "@%p3 shfl.sync.bfly.b32 %r7, %r1, 16, 31, 0xffff;",
            "@%p3 shfl.sync.bfly.b32 %r7, %r1, 8, 31, 0xffff;",
        ),
        planted(
            "vote: the mask leaves the lane out",
            Check::MissingLanes,
            "FAULT",
            "vote.sync.ballot.b32 %r7, %p1, 0x7fffffff;",
            "vote.sync.ballot.b32 %r7, %p1, -1;",
        ),
        planted(
            "mma: not all lanes",
            Check::MissingLanes,
            "setp.ne.u32 %p3, %r2, 9; FAULT",
            "@%p3 mma.sync.aligned.m16n8k16.row.col.s32.s8.s8.s32 {%r7,%r8,%r9,%r10}, {%r1,%r1}, {%r1}, {%r1,%r1,%r1,%r1};",
            "mma.sync.aligned.m16n8k16.row.col.s32.s8.s8.s32 {%r7,%r8,%r9,%r10}, {%r1,%r1}, {%r1}, {%r1,%r1,%r1,%r1};",
        ),
        planted(
            "cp.async: read before the wait",
            Check::CopyInFlight,
            "cp.async.cg.shared.global [%r4], [%rd2], 16; cp.async.commit_group; FAULT ld.shared.u32 %r7, [%r4]; cp.async.wait_all;",
            "cp.async.wait_group 1;",
            "cp.async.wait_group 0;",
        ),
        planted(
            "cp.async: waited for, not committed",
            Check::CopyInFlight,
            "cp.async.cg.shared.global [%r4], [%rd2], 16; FAULT cp.async.wait_group 0; ld.shared.u32 %r7, [%r4]; cp.async.wait_all;",
            "",
            "cp.async.commit_group;",
        ),
        planted(
            "cp.async: the thread ends first",
            Check::CopyInFlight,
            "cp.async.cg.shared.global [%r4], [%rd2], 16; FAULT",
            "",
            "cp.async.wait_all;",
        ),
        planted(
            "cp.async: another's data without a barrier",
            Check::Race,
            "cp.async.cg.shared.global [%r4], [%rd2], 16; cp.async.wait_all; FAULT ld.shared.u32 %r7, [%r6];",
            "",
            "bar.warp.sync -1;",
        ),
        planted(
            "cp.async: over data that others still read",
            Check::Race,
            "st.shared.v4.u32 [%r4], {%r1, %r1, %r1, %r1}; bar.sync 0; ld.shared.u32 %r7, [%r6]; FAULT
             cp.async.cg.shared.global [%r4], [%rd2], 16; cp.async.wait_all;",
            "",
            "bar.warp.sync -1;",
        ),
        planted(
            "the read-only path to what the launch writes",
            Check::NonCoherent,
            "st.global.u32 [%rd2], 1; FAULT",
            "ld.global.nc.u32 %r7, [%rd2];",
            "ld.global.u32 %r7, [%rd2];",
        ),
        planted(
            "a store to a constant",
            Check::ReadOnly,
            "mov.u64 %rd3, fixed; FAULT",
            "st.global.u32 [%rd3], 1;",
            "ld.const.u32 %r7, [%rd3];",
        ),
        planted("trap", Check::Trap, "setp.gt.u32 %p3, %r1, 63; FAULT", "@!%p3 trap;", "@%p3 trap;"),
        planted(
            "a loop without an end",
            Check::Endless,
            "mov.u32 %r7, 0; LOOP: FAULT setp.lt.u32 %p3, %r7, 9; @%p3 bra LOOP;",
            "",
            "add.u32 %r7, %r7, 1;",
        ),
    ]
}

fn launch(planted: &Planted, line: &str, options: &Options) -> Result<(), Box<Finding>> {
    let body = planted.body.replace("FAULT", &format!("\n{line}\n"));
    let text = header("k", 1)
        .replace(".visible", ".extern .shared .align 16 .b8 tile[];\n.const .align 4 .u32 fixed = 3;\n.visible")
        + &START.replace(".extern_here", "")
        + &body
        + "\nret;\n}\n";
    let module = Module::parse(&text).unwrap_or_else(|error| panic!("{}: {error}\n{text}", planted.name));
    let mut device = Device::new();
    let buffer = device.alloc_named("buffer", 4096);
    device.write(buffer, &[1; 2048]);
    device.write(buffer.offset(3072), &[1; 1024]);
    let shape = Shape { dynamic_shared: 2048, ..planted.shape };
    device.launch(&module, "k", shape, &params(&[buffer]), &Options { limit: 10_000, ..*options }).map(|_| ())
}

#[test]
fn every_check_stops_its_fault_and_nothing_else() {
    println!("{:<52} {:<18} found", "planted fault", "check");
    let mut checked = std::collections::HashSet::new();
    for planted in faults() {
        let mut shown = None;
        for options in schedules() {
            if let Err(finding) = launch(&planted, planted.right, &options) {
                panic!("{} without its fault, {options:?}: {finding}", planted.name);
            }
            let Err(finding) = launch(&planted, planted.wrong, &options) else {
                panic!("{}: not found, {options:?}", planted.name);
            };
            // A read that comes too early may come even before the write.
            let early = planted.check == Check::Race && finding.check == Check::Uninitialised;
            assert!(finding.check == planted.check || early, "{}, {options:?}: {finding}", planted.name);
            assert!(finding.ptx_line > 0 && !finding.ptx.is_empty(), "{finding}");
            if finding.check == planted.check {
                shown = Some(finding);
            }
        }
        let finding = shown.unwrap_or_else(|| panic!("{}: found in no schedule", planted.name));
        println!("{:<52} {:<18} `{}`: {}", planted.name, format!("{:?}", finding.check), finding.ptx, finding.detail);
        checked.insert(planted.check);
    }
    assert!(checked.len() >= 11, "{checked:?}");
}

#[test]
fn races_are_not_looked_for_when_that_is_off() {
    for planted in faults().iter().filter(|p| matches!(p.check, Check::Race | Check::BlockRace)) {
        let options = Options { races: false, ..Options::default() };
        let check = launch(planted, planted.wrong, &options).err().map(|finding| finding.check);
        assert!(!matches!(check, Some(Check::Race | Check::BlockRace)), "{}", planted.name);
    }
}

#[test]
fn a_finding_says_where() {
    let text = "
.version 9.0
.target sm_80
.address_size 64
.visible .entry deep(.param .u64 deep_param_0)
{
	.reg .b64 %rd<4>;
	.reg .b32 %r<4>;
	.loc 1 30 5
	ld.param.u64 %rd1, [deep_param_0];
	mov.u32 %r1, %tid.y;
	.loc 2 12 3, function_name $L__info_string0, inlined_at 1 31 9
	mad.wide.u32 %rd2, %r1, 4, %rd1;
	ld.global.u32 %r2, [%rd2];
	ret;
}
	.file	1 \"/somewhere/kernel.cu\"
	.file	2 \"/somewhere/else/header.cuh\", 1, 2
";
    let module = Module::parse(text).unwrap();
    let mut device = Device::new();
    let buffer = device.alloc_from("rows", &[0; 12]);
    let shape = Shape { grid: [1, 1, 2], block: [8, 4, 1], dynamic_shared: 0 };
    let finding = device.launch(&module, "deep", shape, &params(&[buffer]), &Options::default()).unwrap_err();
    assert_eq!((finding.ptx_line, finding.block, finding.thread), (14, [0, 0, 0], [0, 3, 0]));
    assert_eq!(finding.address, Some(buffer.0 + 12));
    let text = finding.to_string();
    for part in [
        "deep",
        "line 14",
        "header.cuh:12 inlined at kernel.cu:31",
        "4 bytes, at 12 of rows of 12 bytes",
        "ld.global.u32 %r2",
    ] {
        assert!(text.contains(part), "{text}");
    }
    let finding = device.launch(&module, "deep", shape, &params(&[Ptr(0)]), &Options::default()).unwrap_err();
    assert!(finding.to_string().contains("no allocation"), "{finding}");
}

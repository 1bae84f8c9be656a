//! Counts of sectors, bank conflicts and bytes on accesses whose cost is known.

mod common;

use common::run;
use grail_ptx::{Class, Counters, Device, Options};

const START: &str = ".reg .b64 %rd<4>; .reg .b32 %r<10>; .shared .align 16 .b8 tile[8192];
    mov.u32 %r1, %tid.x; ld.param.u64 %rd1, [k_param_0]; mov.u32 %r2, tile;\n";

fn counted(body: &str) -> Counters {
    let mut device = Device::new();
    let buffer = device.alloc_zeroed("buffer", 1 << 16);
    run(&format!("{START}{body}"), 32, &mut device, &[buffer], &Options::default()).unwrap()
}

fn global(stride: u32, load: &str) -> Counters {
    counted(&format!("mad.wide.u32 %rd2, %r1, {stride}, %rd1; {load}"))
}

#[test]
fn sectors_are_those_that_a_request_touches() {
    for (stride, load, bytes, sectors, least) in [
        (4, "ld.global.u32 %r3, [%rd2];", 128, 4, 4),
        (16, "ld.global.v4.u32 {%r3, %r4, %r5, %r6}, [%rd2];", 512, 16, 16),
        (8, "ld.global.u32 %r3, [%rd2];", 128, 8, 4),
        (32, "ld.global.u32 %r3, [%rd2];", 128, 32, 4),
        (0, "ld.global.u32 %r3, [%rd2];", 4, 1, 1),
        (1, "ld.global.u8 %r3, [%rd2];", 32, 1, 1),
        (1, "ld.global.u8 %r3, [%rd2+16];", 32, 2, 1),
    ] {
        let counters = global(stride, load);
        let count = counters.class(Class::LoadGlobal);
        assert_eq!(
            (count.requests, count.bytes, count.sectors, count.least_sectors),
            (1, bytes, sectors, least),
            "{stride} {load}"
        );
        let traffic = counters.traffic_of("buffer").unwrap();
        assert_eq!((traffic.read, traffic.read_sectors, traffic.distinct_read), (bytes, 32 * sectors, bytes));
        assert_eq!((traffic.written, traffic.distinct_written), (0, 0));
    }
    let counters = global(4, "st.global.u32 [%rd2], %r1; st.global.u32 [%rd2], %r2;");
    let traffic = counters.traffic_of("buffer").unwrap();
    assert_eq!((traffic.written, traffic.written_sectors, traffic.distinct_written), (256, 256, 128));
}

#[test]
fn bank_conflicts_are_extra_passes() {
    let passes = |stride: u32, access: &str| {
        let counters = counted(&format!("mad.lo.u32 %r3, %r1, {stride}, %r2; {access}"));
        (counters.class(Class::StoreShared).wavefronts, counters.bank_conflicts())
    };
    let word = "st.shared.u32 [%r3], %r1;";
    assert_eq!(passes(4, word), (1, 0));
    assert_eq!(passes(8, word), (2, 1));
    assert_eq!(passes(128, word), (32, 31));
    assert_eq!(passes(132, word), (1, 0));
    assert_eq!(passes(1, "st.shared.u8 [%r3], %r1;"), (1, 0));
    assert_eq!(passes(8, "st.shared.v2.u32 [%r3], {%r1, %r1};"), (2, 0));
    assert_eq!(passes(16, "st.shared.v4.u32 [%r3], {%r1, %r1, %r1, %r1};"), (4, 0));
    assert_eq!(passes(128, "st.shared.v4.u32 [%r3], {%r1, %r1, %r1, %r1};"), (32, 28));
    // Lanes at one word share a pass.
    let counters = counted(
        ".reg .pred %p; setp.eq.u32 %p, %r1, 0; @%p st.shared.u32 [%r2], 1; bar.warp.sync -1; ld.shared.u32 %r3, [%r2];",
    );
    assert_eq!((counters.class(Class::LoadShared).wavefronts, counters.bank_conflicts()), (1, 0));
}

#[test]
fn instructions_are_counted_per_warp_and_per_thread() {
    let counters = counted(
        ".reg .pred %p; setp.lt.u32 %p, %r1, 10; @%p add.u32 %r3, %r1, 1;
        mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%r3,%r4,%r5,%r6}, {%r1,%r1,%r1,%r1}, {%r1,%r1}, {%r1,%r1,%r1,%r1};",
    );
    assert_eq!((counters.class(Class::Int).issued, counters.class(Class::Int).threads), (1, 10));
    assert_eq!(counters.class(Class::Imma).issued, 1);
    // Everything but moves: ld.param, setp, add, mma and ret.
    assert!((counters.share(Class::Imma) - 1.0 / 5.0).abs() < 1e-9, "{counters}");
    let text = counters.to_string();
    assert!(text.contains("Imma") && text.contains("instructions issued"), "{text}");
}

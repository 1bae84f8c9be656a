//! Launches that other tests recorded through the stand-in driver, run again from the compiled code. To record:
//!
//!     STANDIN_RECORD=folder cargo test --release -p grail-engine --features cuda cuda
//!     PTX_REPLAY=folder cargo test --release -p grail-ptx --test replay -- --nocapture

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use grail_ptx::{
    Arch, Class, Counters, Module, Options, Recorded, Region, ReplayError, Schedule, Shape, compile, find_nvcc,
};

/// Kernels of the tree by name, for one architecture.
fn kernels(arch: Arch) -> BTreeMap<String, std::rc::Rc<Module>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        if entry.path().extension().is_some_and(|extension| extension == "cu") {
            let ptx = compile(&entry.path(), arch).unwrap_or_else(|error| panic!("{error}"));
            let module = std::rc::Rc::new(Module::parse(&ptx).unwrap_or_else(|error| panic!("{error}")));
            for name in module.kernels() {
                all.insert(name.to_string(), module.clone());
            }
        }
    }
    all
}

/// Lines with bank conflicts, or whose requests touch many more sectors than they need.
fn weak_lines(counters: &Counters) {
    let all = counters.total();
    for line in &counters.lines {
        let count = &line.count;
        let (extra, spread) = (count.wavefronts - count.least_wavefronts, count.sectors - count.least_sectors);
        if 50 * extra > all.wavefronts || 50 * spread > all.sectors {
            let place = line.place.as_deref().unwrap_or("?");
            print!("  {} {place}: {:?} issued {}", counters.kernel, line.class, count.issued);
            print!(", passes {} for {}", count.wavefronts, count.least_wavefronts);
            println!(", sectors {} for {}", count.sectors, count.least_sectors);
        }
    }
}

#[derive(Default)]
struct Tally {
    launches: u64,
    instructions: u64,
    worst: Option<(f64, Counters)>,
    failures: Vec<String>,
}

#[test]
fn recorded_launches_leave_the_same_bytes() {
    let Some(folder) = std::env::var_os("PTX_REPLAY") else {
        println!("SKIPPED: PTX_REPLAY names no folder of recorded launches");
        return;
    };
    if find_nvcc().is_none() {
        println!("SKIPPED: no nvcc on this machine, so no PTX to run");
        return;
    }
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "launch"));
    files.sort();
    let modules = Arch::ALL.map(kernels);
    let mut tallies: BTreeMap<String, Tally> = BTreeMap::new();
    for (number, file) in files.iter().enumerate() {
        let recorded = Recorded::read(&std::fs::read(file).unwrap()).unwrap();
        let modules = &modules[number % modules.len()];
        // Kernels of the driver's own tests are not of the tree.
        let Some(module) = modules.get(&recorded.kernel) else { continue };
        let schedule = match number % 3 {
            0 => Schedule::RoundRobin { quantum: 64 },
            1 => Schedule::RoundRobin { quantum: 1 },
            _ => Schedule::Random { seed: number as u64 },
        };
        let tally = tallies.entry(recorded.kernel.clone()).or_default();
        tally.launches += 1;
        match recorded.replay(module, &Options { schedule, ..Options::default() }) {
            Ok(counters) => {
                tally.instructions += counters.total().threads;
                let use_of_sectors = counters.sector_use();
                if tally.worst.as_ref().is_none_or(|(worst, _)| use_of_sectors < *worst) {
                    tally.worst = Some((use_of_sectors, counters));
                }
            }
            Err(error) => tally.failures.push(format!("{}: {error}", file.file_name().unwrap().to_string_lossy())),
        }
    }
    println!("{:<22} launches  thread instructions  failures  least use of sectors  bank conflicts there", "kernel");
    for (kernel, tally) in &tallies {
        let Tally { launches, instructions, worst, failures } = tally;
        let (used, conflicts) = worst.as_ref().map_or((0.0, 0), |(used, c)| (100.0 * used, c.bank_conflicts()));
        println!(
            "{kernel:<22} {launches:>8}  {instructions:>19}  {:>8}  {used:>18.1} %  {conflicts:>8}",
            failures.len()
        );
    }
    for (_, counters) in tallies.values().filter_map(|tally| tally.worst.as_ref()) {
        weak_lines(counters);
    }
    for failure in tallies.values().flat_map(|tally| tally.failures.iter().take(3)) {
        println!("{failure}");
    }
    assert!(!tallies.is_empty(), "no launch of a kernel of the tree was recorded");
    assert!(tallies.values().all(|tally| tally.failures.is_empty()));
}

/// A record of a kernel that doubles 64 words.
fn doubling(after: u32) -> (Module, Recorded) {
    let text = format!(
        "{}.reg .b64 %rd<3>; .reg .b32 %r<3>; mov.u32 %r1, %tid.x; ld.param.u64 %rd1, [k_param_0]; mad.wide.u32 %rd2, %r1, 4, %rd1;
        ld.global.u32 %r2, [%rd2]; add.u32 %r2, %r2, %r2; st.global.u32 [%rd2], %r2; ret; }}",
        common::header("k", 1)
    );
    let words = |f: &dyn Fn(u32) -> u32| (0..80).flat_map(|i| f(i).to_le_bytes()).collect::<Vec<u8>>();
    let before = words(&|i| i);
    let after = words(&|i| if i < 16 || i == 79 { i + if i == 79 { after } else { 0 } } else { 2 * i });
    let region = Region { address: 0x5000, before, after };
    let params = 0x5040u64.to_le_bytes().to_vec();
    let shape = Shape::new(1, 63);
    (Module::parse(&text).unwrap(), Recorded { kernel: "k".into(), shape, params, regions: vec![region] })
}

#[test]
fn a_launch_is_replayed_where_its_pointers_point_and_every_byte_compared() {
    let (module, recorded) = doubling(0);
    let counters = recorded.replay(&module, &Options::default()).unwrap();
    assert_eq!(counters.class(Class::StoreGlobal).threads, 63);
    let (module, recorded) = doubling(1);
    match recorded.replay(&module, &Options::default()) {
        Err(ReplayError::Differs { offset: 316, param: 0, .. }) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn only_the_nan_of_a_host_may_become_anything() {
    let text = format!(
        "{}.reg .b64 %rd1; .reg .f32 %f<3>; ld.param.u64 %rd1, [k_param_0]; ld.global.f32 %f1, [%rd1];
        sub.rn.f32 %f2, %f1, %f1; st.global.f32 [%rd1], %f2; ret; }}",
        common::header("k", 1)
    );
    let module = Module::parse(&text).unwrap();
    let replay = |after: u32| {
        let region =
            Region { address: 64, before: f32::INFINITY.to_le_bytes().into(), after: after.to_le_bytes().into() };
        let params = 64u64.to_le_bytes().to_vec();
        let recorded = Recorded { kernel: "k".into(), shape: Shape::new(1, 1), params, regions: vec![region] };
        recorded.replay(&module, &Options::default())
    };
    assert!(replay(0xffc0_0000).is_ok() && replay(0x7fff_ffff).is_ok());
    assert!(replay(0x7fff_fffe).is_err() && replay(0).is_err());
}

#[test]
fn damaged_records_are_errors() {
    let whole =
        b"launch 1\n\x01\0\0\0k\x01\0\0\0\x01\0\0\0\x01\0\0\0\x01\0\0\0\x01\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    assert_eq!(Recorded::read(whole).unwrap().kernel, "k");
    for n in 0..whole.len() {
        assert!(Recorded::read(&whole[..n]).is_err(), "{n}");
    }
    assert!(Recorded::read(b"launch 2\n").is_err());
}

//! The bytes and operations that `grail bench kernels` divides by times are those that the compiled kernels were counted
//! to move and to issue: its launches on the stand-in driver, run again from the PTX.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use grail_engine::checkpoint::Dtype;
use grail_engine::checkpoint::synthetic::Shape;
use grail_engine::cuda::{BenchOptions, Bytes, KernelBench};
use grail_ptx::{Arch, Class, Module, Options, Recorded, compile, find_nvcc};

/// Heads of a whole block and of a part of one, and numbers of rows that leave tiles unfilled.
fn options(head_dim: usize) -> BenchOptions {
    let shape = Shape {
        hidden: 256,
        layers: 1,
        heads: 4,
        kv_heads: 2,
        head_dim,
        intermediate: 384,
        vocab: 640,
        tied: true,
        dtype: Dtype::Bf16,
        max_positions: 512,
        rope_theta: 1e4,
    };
    BenchOptions { batches: vec![1, 20, 72], prompt: 136, context: 150, runs: 1, ..BenchOptions::new(shape) }.quick()
}

/// In a process of its own, whose launches are recorded.
#[test]
#[ignore = "run by the_bytes_and_operations_of_every_row_are_those_counted"]
fn record_the_benchmarks() {
    grail_standin::load().unwrap();
    for head_dim in [128, 48] {
        let bench = KernelBench::new(0, options(head_dim)).unwrap();
        bench
            .run(&mut |row| {
                let exactly = matches!(row.bytes, Bytes::Exactly(_));
                println!("ROW\t{}\t{}\t{exactly}\t{}\t{}", row.kernel, row.bytes.count(), row.operations, row.case);
                Ok(())
            })
            .unwrap();
    }
}

struct Row {
    kernel: String,
    bytes: u64,
    exactly: bool,
    operations: u64,
    case: String,
}

impl Row {
    fn read(line: &str) -> Option<Self> {
        // What the test harness prints may stand before it on the line.
        let mut fields = line.split_once("ROW\t")?.1.split('\t');
        let mut next = || fields.next().unwrap().to_owned();
        let (kernel, bytes, exactly, operations, case) = (next(), next(), next(), next(), next());
        let [bytes, operations] = [bytes, operations].map(|n| n.parse().unwrap());
        Some(Self { kernel, bytes, exactly: exactly == "true", operations, case })
    }

    fn is(&self, bytes: u64, operations: u64) -> bool {
        self.operations == operations && if self.exactly { self.bytes == bytes } else { self.bytes <= bytes }
    }
}

/// Bytes moved, each once, and operations of every launch in the folder that differs from those before, by kernel.
fn counted(folder: &Path) -> BTreeMap<String, BTreeSet<(u64, u64)>> {
    let files = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("..")).unwrap();
    let mut sources: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    sources.retain(|source| source.extension().is_some_and(|extension| extension == "cu"));
    // The compiler takes seconds a file, and what it made is kept.
    let next = AtomicUsize::new(0);
    std::thread::scope(|threads| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            threads.spawn(|| {
                while let Some(source) = sources.get(next.fetch_add(1, Ordering::Relaxed)) {
                    compile(source, Arch::Compute80).unwrap_or_else(|error| panic!("{error}"));
                }
            });
        }
    });
    let mut modules: BTreeMap<String, std::rc::Rc<Module>> = BTreeMap::new();
    for source in &sources {
        let ptx = compile(source, Arch::Compute80).unwrap_or_else(|error| panic!("{error}"));
        let module = std::rc::Rc::new(Module::parse(&ptx).unwrap_or_else(|error| panic!("{error}")));
        modules.extend(module.kernels().into_iter().map(|name| (name.to_string(), module.clone())));
    }
    let (mut all, mut seen) = (BTreeMap::<_, BTreeSet<_>>::new(), BTreeSet::new());
    for file in std::fs::read_dir(folder).unwrap() {
        let recorded = Recorded::read(&std::fs::read(file.unwrap().path()).unwrap()).unwrap();
        if !seen.insert((recorded.kernel.clone(), format!("{:?}", recorded.shape), recorded.params.clone())) {
            continue;
        }
        let counters = recorded.replay(&modules[&recorded.kernel], &Options::default());
        let counters = counters.unwrap_or_else(|error| panic!("{}: {error}", recorded.kernel));
        let operations = 2 * 16 * 8 * 32 * counters.class(Class::Imma).issued;
        all.entry(recorded.kernel).or_default().insert((counters.cost().bytes as u64, operations));
    }
    all
}

#[test]
fn the_bytes_and_operations_of_every_row_are_those_counted() {
    if find_nvcc().is_none() {
        println!("SKIPPED: no nvcc on this machine, so no PTX to run");
        return;
    }
    match grail_standin::library_dir() {
        Err(grail_standin::Unavailable::NoCompiler) => {
            println!("SKIPPED: {}", grail_standin::Unavailable::NoCompiler);
            return;
        }
        other => drop(other.unwrap()),
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-launches");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "--ignored", "--nocapture", "record_the_benchmarks"]);
    child.env("STANDIN_RECORD", &folder).env("STANDIN_RECORD_SHAPES", "1000").env("STANDIN_RECORD_BYTES", "67108864");
    let output = child.output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    let rows: Vec<Row> = told.lines().filter_map(Row::read).collect();
    assert!(rows.len() > 80 && rows.iter().filter(|row| row.exactly).count() > 60, "{} rows", rows.len());
    let counted = counted(&folder);
    let wrong: Vec<String> = rows
        .iter()
        .filter(|row| !counted[&row.kernel].iter().any(|&(bytes, operations)| row.is(bytes, operations)))
        .map(|row| {
            let Row { kernel, bytes, exactly, operations, case } = row;
            format!("{kernel} {case}: {bytes} ({exactly}), {operations}; counted {:?}", counted[kernel])
        })
        .collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
    // A byte or a product more would show.
    for row in rows.iter().filter(|row| row.exactly) {
        assert!(!counted[&row.kernel].contains(&(row.bytes + 1, row.operations)), "{} {}", row.kernel, row.case);
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

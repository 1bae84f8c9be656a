//! Compiling a kernel of the tree and launching it.

use std::path::Path;

use grail_ptx::{Arch, Counters, Device, Module, Options, Ptr, Schedule, Shape, compile, find_nvcc};

/// A kernel's parameter structure, field by field.
#[derive(Default)]
pub struct Params(Vec<u8>);

impl Params {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn ptr(mut self, ptr: Ptr) -> Self {
        self.0.resize(self.0.len().next_multiple_of(8), 0);
        self.0.extend(ptr.0.to_le_bytes());
        self
    }

    pub fn word(mut self, word: u32) -> Self {
        self.0.extend(word.to_le_bytes());
        self
    }

    pub fn words(self, words: &[u32]) -> Self {
        words.iter().fold(self, |params, word| params.word(*word))
    }

    pub fn float(self, value: f32) -> Self {
        self.word(value.to_bits())
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.0.clone();
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    }
}

/// A number that kernels/abi.h defines.
pub fn abi(name: &str) -> u32 {
    let header = std::fs::read_to_string(kernels().join("abi.h")).unwrap();
    let line = header.lines().find_map(|line| line.strip_prefix(&format!("#define {name} ")));
    let value = line.and_then(|rest| rest.split_whitespace().next()).and_then(|word| word.parse().ok());
    value.unwrap_or_else(|| panic!("abi.h defines no number {name}"))
}

/// A compiled source file, for each architecture.
pub struct Compiled {
    modules: Vec<(Arch, Module)>,
}

fn kernels() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// `None`, and a line that says so, where there is no nvcc.
pub fn source(name: &str) -> Option<Compiled> {
    source_in(&kernels(), name)
}

/// A source file in a copy of the tree in which `header` has `right` replaced by `wrong`.
pub fn planted(name: &str, header: &str, right: &str, wrong: &str) -> Option<Compiled> {
    let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join("planted");
    std::fs::create_dir_all(&copy).unwrap();
    for file in std::fs::read_dir(kernels()).unwrap().flatten().filter(|file| file.path().is_file()) {
        let mut text = std::fs::read_to_string(file.path()).unwrap();
        if file.file_name() == header {
            assert!(text.contains(right), "{header} has no {right}");
            text = text.replace(right, wrong);
        }
        std::fs::write(copy.join(file.file_name()), text).unwrap();
    }
    source_in(&copy, name)
}

fn source_in(folder: &Path, name: &str) -> Option<Compiled> {
    if find_nvcc().is_none() {
        println!("SKIPPED: no nvcc on this machine, so no PTX of {name} to run");
        return None;
    }
    let file = folder.join(name);
    let one = |arch| {
        let ptx = compile(&file, arch).unwrap_or_else(|error| panic!("{error}"));
        (arch, Module::parse(&ptx).unwrap_or_else(|error| panic!("{name}: {error}")))
    };
    Some(Compiled { modules: Arch::ALL.map(one).into() })
}

impl Compiled {
    /// Runs a kernel in every architecture and some schedules, each on a device that `set_up` makes, and gives the device
    /// to `check`. Returns the counters of the last run.
    pub fn run(
        &self,
        kernel: &str,
        shape: Shape,
        set_up: impl Fn(&mut Device) -> Params,
        check: impl Fn(&Device, &str),
    ) -> Counters {
        let mut last = None;
        for (arch, module) in &self.modules {
            for schedule in [Schedule::RoundRobin { quantum: 50 }, Schedule::Random { seed: 7 }] {
                let mut device = Device::new();
                let params = set_up(&mut device).bytes();
                let options = Options { schedule, ..Options::default() };
                let what = format!("{kernel} {arch:?} {schedule:?}");
                match device.launch(module, kernel, shape, &params, &options) {
                    Ok(counters) => last = Some(counters),
                    Err(finding) => panic!("{what}: {finding}"),
                }
                check(&device, &what);
            }
        }
        last.expect("there is an architecture")
    }
}

pub fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

pub fn words_of(bytes: &[u8]) -> Vec<u32> {
    bytes.chunks_exact(4).map(|b| u32::from_le_bytes(b.try_into().unwrap())).collect()
}

/// A deterministic stream of values of very different sizes.
pub struct Values(pub u64);

impl Values {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// In (-1, 1), now and then a hundred times as much.
    pub fn float(&mut self) -> f32 {
        let word = self.next();
        let unit = ((word >> 40) as f32 / 8_388_608.0) - 1.0;
        if word & 63 == 0 { 100.0 * unit } else { unit }
    }

    pub fn floats(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.float()).collect()
    }
}

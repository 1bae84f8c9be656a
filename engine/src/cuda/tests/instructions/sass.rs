//! Reads what cuobjdump prints.

use std::collections::{BTreeMap, BTreeSet};

/// One kernel on one architecture.
#[derive(Debug, Clone)]
pub(super) struct Compiled {
    pub(super) kernel: String,
    pub(super) arch: String,
    pub(super) registers: usize,
    /// Static shared memory, in bytes.
    pub(super) shared: usize,
    /// Stack and local memory, in bytes.
    pub(super) local: usize,
    /// Instructions by class, see [`class`], and all together as `all`.
    pub(super) counts: BTreeMap<String, usize>,
    /// Opcodes of the PTX that it was made from.
    pub(super) ptx: BTreeSet<String>,
}

impl Compiled {
    pub(super) fn count(&self, class: &str) -> usize {
        self.counts.get(class).copied().unwrap_or(0)
    }
}

/// The class of an instruction that rules speak of: the unit, and for accesses of memory only those of 16 bytes.
fn class(opcode: &str) -> Option<String> {
    let parts: Vec<&str> = opcode.split('.').collect();
    let float = parts.iter().any(|part| part.starts_with("F32") || part.starts_with("F16") || part.starts_with("BF16"));
    match parts[0] {
        unit @ ("IMMA" | "HMMA" | "FFMA" | "LDL" | "STL") => Some(unit.into()),
        "MUFU" => Some(opcode.into()),
        "RED" | "ATOM" | "ATOMG" | "ATOMS" | "REDG" if float => Some("FLOAT_ATOMIC".into()),
        unit @ ("LDG" | "LDGSTS" | "LDS" | "STG" | "STS") if parts.contains(&"128") => Some(format!("{unit}.128")),
        _ => None,
    }
}

/// From the three listings of one fat binary.
pub(super) fn read(resources: &str, sass: &str, ptx: &str) -> Vec<Compiled> {
    let (counts, ptx) = (instructions(sass), opcodes(ptx));
    let mut all = Vec::new();
    let (mut arch, mut kernel) = ("", "");
    for line in resources.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix("arch = ") {
            arch = name;
        } else if let Some(name) = line.strip_prefix("Function ") {
            kernel = name.trim_end_matches(':');
        } else if line.starts_with("REG:") {
            let field = |name: &str| {
                let word = line.split(' ').find_map(|word| word.strip_prefix(name)).unwrap_or_else(|| panic!("{line}"));
                word.parse::<usize>().unwrap()
            };
            all.push(Compiled {
                kernel: kernel.into(),
                arch: arch.into(),
                registers: field("REG:"),
                shared: field("SHARED:"),
                local: field("STACK:") + field("LOCAL:"),
                counts: counts[&(kernel.to_owned(), arch.to_owned())].clone(),
                ptx: ptx[kernel].clone(),
            });
        }
    }
    all
}

/// Counts by kernel and architecture.
fn instructions(sass: &str) -> BTreeMap<(String, String), BTreeMap<String, usize>> {
    let mut counts: BTreeMap<_, BTreeMap<String, usize>> = BTreeMap::new();
    let (mut arch, mut kernel) = ("", "");
    for line in sass.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix("arch = ") {
            arch = name;
        } else if let Some(name) = line.strip_prefix("Function : ") {
            kernel = name;
        } else if let Some((_, instruction)) = line.strip_prefix("/*").and_then(|rest| rest.split_once("*/")) {
            // After the address a predicate may stand; lines with the second half of the encoding have no instruction.
            let mut words = instruction.split_whitespace().filter(|word| !word.starts_with('@'));
            let Some(opcode) = words.next().filter(|word| word.starts_with(|c: char| c.is_ascii_uppercase())) else {
                continue;
            };
            let counts = counts.entry((kernel.to_owned(), arch.to_owned())).or_default();
            *counts.entry("all".into()).or_default() += 1;
            if let Some(class) = class(opcode.trim_end_matches(';')) {
                *counts.entry(class).or_default() += 1;
            }
        }
    }
    counts
}

/// Opcodes of PTX by kernel.
fn opcodes(ptx: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut kernel = String::new();
    for line in ptx.lines().map(str::trim) {
        if let Some((_, rest)) = line.split_once(".entry ") {
            kernel = rest.trim_end_matches(['(', ' ']).to_owned();
            all.entry(kernel.clone()).or_default();
        } else if let Some(set) = all.get_mut(&kernel) {
            let mut words = line.split_whitespace().filter(|word| !word.starts_with('@'));
            if let Some(opcode) = words.next().filter(|word| word.starts_with(|c: char| c.is_ascii_lowercase())) {
                set.insert(opcode.trim_end_matches(';').to_owned());
            }
        }
    }
    all
}

//! The rules, and the two files that hold their numbers.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::sass::Compiled;

/// Floating-point units whose use is recorded: FFMA only where a fma is written or inside `/` and `sqrtf`, MUFU only inside
/// those and integer division, HMMA only on powers of two.
const UNITS: [&str; 4] = ["FFMA", "HMMA", "MUFU.RCP", "MUFU.RSQ"];

/// What one kernel may have on one architecture.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) registers: usize,
    pub(super) shared: usize,
    pub(super) units: [usize; UNITS.len()],
}

/// `kernels/budget.tsv`: limits by kernel and architecture.
pub(super) struct Budget(BTreeMap<(String, String), Limits>);

impl Budget {
    pub(super) fn parse(text: &str) -> Self {
        let rows = text.lines().filter(|line| !line.starts_with('#')).map(|line| {
            let [kernel, arch, numbers @ ..] = &line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
            let numbers: Vec<usize> = numbers.iter().map(|number| number.parse().expect(line)).collect();
            let [registers, shared, units @ ..] = &numbers[..] else { panic!("{line}") };
            let limits = Limits { registers: *registers, shared: *shared, units: units.try_into().expect(line) };
            ((kernel.to_string(), arch.to_string()), limits)
        });
        Self(rows.collect())
    }

    /// The file that allows exactly what is there.
    pub(super) fn record(compiled: &[Compiled]) -> String {
        let mut text = format!("# kernel\tarchitecture\tregisters\tshared bytes\t{}\n", UNITS.join("\t"));
        for c in compiled {
            write!(text, "{}\t{}\t{}\t{}", c.kernel, c.arch, c.registers, c.shared).unwrap();
            UNITS.iter().for_each(|unit| write!(text, "\t{}", c.count(unit)).unwrap());
            text.push('\n');
        }
        text
    }

    pub(super) fn of(&self, c: &Compiled) -> Option<&Limits> {
        self.0.get(&(c.kernel.clone(), c.arch.clone()))
    }

    /// Lines of the file that belong to no kernel.
    pub(super) fn without_kernel(&self, kernels: &[(String, String)]) -> impl Iterator<Item = String> {
        let rows = self.0.keys().filter(|row| !kernels.contains(row));
        rows.map(|(kernel, arch)| format!("budget.tsv: there is no {kernel} for {arch}"))
    }
}

/// `kernels/needs.tsv`: classes of instructions by kernel.
pub(super) struct Needs(BTreeMap<String, Vec<String>>);

impl Needs {
    pub(super) fn parse(text: &str) -> Self {
        let rows = text.lines().filter(|line| !line.starts_with('#')).map(|line| {
            let (kernel, needs) = line.split_once('\t').expect(line);
            (kernel.to_owned(), needs.split(' ').filter(|need| *need != "-").map(str::to_owned).collect())
        });
        Self(rows.collect())
    }

    pub(super) fn of(&self, c: &Compiled) -> Option<&[String]> {
        self.0.get(&c.kernel).map(Vec::as_slice)
    }

    /// Lines of the file that belong to no kernel.
    pub(super) fn without_kernel(&self, kernels: &[(String, String)]) -> impl Iterator<Item = String> {
        let rows = self.0.keys().filter(|row| kernels.iter().all(|(kernel, _)| kernel != *row));
        rows.map(|kernel| format!("needs.tsv: there is no {kernel}"))
    }
}

/// The rules that a kernel breaks, in words.
pub(super) fn broken(c: &Compiled, limits: Option<&Limits>, needs: Option<&[String]>) -> Vec<String> {
    let mut found = Vec::new();
    let mut unless = |kept: bool, words: String| {
        if !kept {
            found.push(format!("{} on {}: {words}", c.kernel, c.arch));
        }
    };
    let (loads, stores) = (c.count("LDL"), c.count("STL"));
    unless(c.local + loads + stores == 0, format!("{} bytes of local memory, {loads} LDL, {stores} STL", c.local));
    unless(c.count("FLOAT_ATOMIC") == 0, "a float atomic".into());
    let approximate: Vec<&String> = c.ptx.iter().filter(|opcode| opcode.contains(".approx")).collect();
    unless(approximate.is_empty(), format!("approximate: {approximate:?}"));
    let from_ptx = |prefixes: &[&str]| c.ptx.iter().any(|opcode| prefixes.iter().any(|p| opcode.starts_with(p)));
    for (class, origins) in [
        ("FFMA", &["fma.rn.f32", "div.rn.f32", "sqrt.rn.f32", "rcp.rn.f32"][..]),
        ("MUFU.RCP", &["div.", "rem.", "rcp.rn.f32"][..]),
        ("MUFU.RSQ", &["sqrt.rn.f32", "div.rn.f32", "rcp.rn.f32"][..]),
    ] {
        unless(c.count(class) == 0 || from_ptx(origins), format!("{class} without any of {origins:?}"));
    }
    for (class, count) in c.counts.iter().filter(|(class, _)| class.starts_with("MUFU")) {
        unless(UNITS.contains(&class.as_str()), format!("{count} {class}"));
    }
    let Some(limits) = limits else {
        unless(false, "no line in budget.tsv".into());
        unless(needs.is_some(), "no line in needs.tsv".into());
        return found;
    };
    unless(c.registers <= limits.registers, format!("{} registers of {}", c.registers, limits.registers));
    unless(c.shared <= limits.shared, format!("{} bytes of shared memory of {}", c.shared, limits.shared));
    for (unit, limit) in UNITS.iter().zip(limits.units) {
        unless(c.count(unit) <= limit, format!("{} {unit} of {limit}", c.count(unit)));
    }
    unless(needs.is_some(), "no line in needs.tsv".into());
    for need in needs.unwrap_or_default() {
        unless(c.count(need) > 0, format!("no {need}"));
    }
    found
}

/// What is there, for people.
pub(super) fn table(compiled: &[Compiled]) -> String {
    let wide = ["LDG.128", "LDGSTS.128", "LDS.128", "STG.128", "STS.128"];
    let classes = || ["all", "IMMA"].into_iter().chain(UNITS).chain(wide);
    let mut text = format!("{:<24}{:<8}{:>5}{:>8}{:>7}", "kernel", "arch", "regs", "shared", "local");
    classes().for_each(|class| write!(text, "{class:>11}").unwrap());
    for c in compiled {
        write!(text, "\n{:<24}{:<8}{:>5}{:>8}{:>7}", c.kernel, c.arch, c.registers, c.shared, c.local).unwrap();
        classes().for_each(|class| write!(text, "{:>11}", c.count(class)).unwrap());
    }
    text
}

//! A compiled module: its kernels, its variables and its text, for findings.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::PtxError;
use crate::ast::{Location, Source, Variable};
use crate::counters::Counters;
use crate::decode::{Kernel, Symbols, decode};
use crate::exec::{Options, Shape, launch};
use crate::finding::{Check, Finding};
use crate::memory::{Device, MODULES};
use crate::parse::parse;

#[derive(Debug)]
pub struct Module {
    kernels: HashMap<String, Kernel>,
    variables: Vec<Placed>,
    lines: Vec<String>,
    files: HashMap<u32, String>,
}

#[derive(Debug)]
struct Placed {
    variable: Variable,
    address: u64,
    read_only: bool,
}

/// Distance of the variables of all modules: one slot of the address space each.
const SLOT: u64 = 1 << 36;
static NEXT: AtomicU64 = AtomicU64::new(0);

impl Module {
    /// Parses and decodes every kernel of a module.
    ///
    /// # Errors
    /// On anything that is not understood, or that no exact kernel may use; the error names line and instruction.
    pub fn parse(text: &str) -> Result<Self, PtxError> {
        let source: Source = parse(text)?;
        let mut variables = Vec::new();
        let mut symbols = Symbols::new();
        let all = source.globals.iter().map(|v| (v, false)).chain(source.constants.iter().map(|v| (v, true)));
        for (variable, read_only) in all {
            if variable.external {
                return Err(PtxError::unsupported(variable.line, &variable.name, "an external variable"));
            }
            let address = MODULES + NEXT.fetch_add(1, Ordering::Relaxed) * SLOT;
            symbols.insert(variable.name.clone(), address);
            variables.push(Placed { variable: variable.clone(), address, read_only });
        }
        let mut kernels = HashMap::new();
        for entry in source.functions.iter().filter(|function| function.entry && function.body.is_some()) {
            kernels.insert(entry.name.clone(), decode(&source, &symbols, entry)?);
        }
        let lines = text.lines().map(|line| line.trim().to_string()).collect();
        Ok(Self { kernels, variables, lines, files: source.files })
    }

    /// Names of the kernels, sorted.
    pub fn kernels(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.kernels.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    /// Bytes of a kernel's parameters.
    pub fn param_bytes(&self, kernel: &str) -> Option<u64> {
        self.kernels.get(kernel).map(|k| k.param_bytes)
    }

    pub(crate) fn line(&self, line: u32) -> String {
        self.lines.get(line.wrapping_sub(1) as usize).cloned().unwrap_or_default()
    }

    /// `file:line`, innermost first.
    pub(crate) fn place(&self, location: Location) -> Option<String> {
        let spell = |file: u32, line: u32| Some(format!("{}:{line}", self.files.get(&file)?));
        if location.line == 0 {
            return None;
        }
        let place = spell(location.file, location.line)?;
        match location.inlined_at.and_then(|(file, line)| spell(file, line)) {
            Some(outer) => Some(format!("{place} inlined at {outer}")),
            None => Some(place),
        }
    }

    pub(crate) fn refusal(&self, kernel: &str, detail: String) -> Box<Finding> {
        Box::new(Finding {
            check: Check::Launch,
            kernel: kernel.to_string(),
            ptx_line: 0,
            ptx: String::new(),
            place: None,
            block: [0; 3],
            thread: [0; 3],
            address: None,
            detail,
        })
    }
}

impl Device {
    /// Runs a kernel to its end and counts what it did.
    ///
    /// # Errors
    /// The first thing the kernel did that it must not do; memory is as it was left then.
    pub fn launch(
        &mut self,
        module: &Module,
        kernel: &str,
        shape: Shape,
        params: &[u8],
        options: &Options,
    ) -> Result<Counters, Box<Finding>> {
        for Placed { variable, address, read_only } in &module.variables {
            if !self.has(*address) {
                self.place(&variable.name, *address, variable.bytes as usize, *read_only);
                let bytes = variable.value.clone().unwrap_or_else(|| vec![0; variable.bytes as usize]);
                self.write(crate::Ptr(*address), &bytes);
            }
        }
        let Some(found) = module.kernels.get(kernel) else {
            return Err(module.refusal(kernel, format!("the module has only {:?}", module.kernels())));
        };
        launch(self, module, found, shape, params, options)
    }
}

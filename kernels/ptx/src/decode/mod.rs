//! From statements to a flat array of instructions: names become register columns, device functions are put in place of
//! their calls (no recursion, no indirect calls), labels become indices. Everything that is not understood is an error.

mod arith;
mod convert;
mod memory;
mod mods;
mod names;
mod warp;

use std::collections::HashMap;

use crate::PtxError;
use crate::ast::{Call, Function, Instruction, Location, Source, Statement, Variable};
use crate::inst::{Inst, Op, R};
use crate::types::Ty;
use mods::Mods;
pub(crate) use names::Special;
use names::{Scope, Symbol};

/// One kernel, ready to run.
#[derive(Debug)]
pub(crate) struct Kernel {
    pub name: String,
    pub code: Vec<Inst>,
    /// Columns of the register file a warp needs.
    pub columns: usize,
    pub constants: Vec<(R, u64)>,
    pub specials: Vec<(R, Special)>,
    /// Static variables: start and bytes of each, then where dynamic shared memory starts.
    pub shared: Vec<(u64, u64)>,
    pub dynamic_start: u64,
    pub local_bytes: u64,
    pub param_bytes: u64,
    pub max_threads: Option<u32>,
}

/// Where the module's variables lie; shared with every kernel of it.
pub(crate) type Symbols = HashMap<String, u64>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Constant {
    Value(u64),
    /// So many bytes behind the start of dynamic shared memory, known when all static variables are.
    Dynamic(u64),
}

pub(crate) struct Decoder<'a> {
    source: &'a Source,
    symbols: &'a Symbols,
    pub code: Vec<Inst>,
    widths: Vec<u32>,
    constants: HashMap<Constant, R>,
    specials: HashMap<Special, R>,
    scopes: Vec<Scope>,
    /// Scopes at and above this one belong to the function being decoded.
    frame: usize,
    /// Functions being put in place, outermost first.
    stack: Vec<String>,
    shared: HashMap<(String, String), u64>,
    variables: Vec<(u64, u64)>,
    dynamic_align: u64,
    local_bytes: u64,
    location: Location,
    /// The carry flag and the place of results nobody wants.
    carry: R,
    sink: R,
}

/// One pass through shared memory's banks.
const GAP: u64 = 128;

const RETURN: &str = "\0return";

pub(crate) fn decode(source: &Source, symbols: &Symbols, entry: &Function) -> Result<Kernel, PtxError> {
    let mut decoder = Decoder {
        source,
        symbols,
        code: Vec::new(),
        widths: Vec::new(),
        constants: HashMap::new(),
        specials: HashMap::new(),
        scopes: Vec::new(),
        frame: 0,
        stack: vec![entry.name.clone()],
        shared: HashMap::new(),
        variables: Vec::new(),
        dynamic_align: 16,
        local_bytes: 0,
        location: Location::default(),
        carry: 0,
        sink: 0,
    };
    decoder.carry = decoder.column(64);
    decoder.sink = decoder.column(64);
    decoder.open();
    let mut param_bytes = 0u64;
    for param in &entry.params {
        let offset = param_bytes.next_multiple_of(param.align.max(1));
        param_bytes = offset + param.bytes;
        decoder.declare(&param.name, Symbol::KernelParam(offset));
    }
    decoder.body(entry, entry.line)?;
    decoder.emit_plain(Op::Exit, entry.line);
    Ok(decoder.finish(entry, param_bytes))
}

impl Decoder<'_> {
    fn finish(self, entry: &Function, param_bytes: u64) -> Kernel {
        let dynamic_start = self.next_shared(self.dynamic_align);
        let constants = self.constants.iter().map(|(constant, r)| match constant {
            Constant::Value(value) => (*r, *value),
            Constant::Dynamic(offset) => (*r, dynamic_start.wrapping_add(*offset)),
        });
        Kernel {
            name: entry.name.clone(),
            columns: self.widths.len(),
            constants: constants.collect(),
            specials: self.specials.iter().map(|(special, r)| (*r, *special)).collect(),
            shared: self.variables,
            dynamic_start,
            local_bytes: self.local_bytes,
            param_bytes,
            max_threads: entry.max_threads,
            code: self.code,
        }
    }

    /// Decodes a function's body in the scope that holds its parameters, and closes that scope.
    fn body(&mut self, function: &Function, line: u32) -> Result<(), PtxError> {
        let Some(body) = &function.body else {
            return Err(PtxError::unsupported(line, "call", &format!("{} has no body here", function.name)));
        };
        let outer = (self.frame, self.location);
        self.frame = self.scopes.len() - 1;
        for statement in body {
            self.statement(statement)?;
        }
        self.label(RETURN);
        self.close()?;
        (self.frame, self.location) = outer;
        Ok(())
    }

    fn statement(&mut self, statement: &Statement) -> Result<(), PtxError> {
        match statement {
            Statement::Registers(names, ty) => self.registers(names, ty)?,
            Statement::Shared(variable) => self.shared_variable(variable),
            Statement::Local(variable) | Statement::Param(variable) => self.local_variable(variable),
            Statement::Label(name) => self.label(name),
            Statement::Targets(name, targets) => self.declare(name, Symbol::Targets(targets.clone())),
            Statement::Open => self.open(),
            Statement::Close => self.close()?,
            Statement::Location(location) => self.location = *location,
            Statement::Instruction(instruction) => self.instruction(instruction)?,
            Statement::Call(call) => self.call(call)?,
        }
        Ok(())
    }

    fn registers(&mut self, names: &[String], ty: &str) -> Result<(), PtxError> {
        let bits = match ty {
            ".pred" => 1,
            _ => match ty.get(1..).and_then(Ty::parse) {
                Some(ty) if ty.bits <= 64 => ty.bits,
                _ => return Err(PtxError::syntax(0, &format!("register type {ty}"))),
            },
        };
        for name in names {
            let column = self.column(bits);
            self.declare(name, Symbol::Register(column));
        }
        Ok(())
    }

    /// One storage for every place a function is put.
    fn shared_variable(&mut self, variable: &Variable) {
        let key = (self.stack.last().cloned().unwrap_or_default(), variable.name.clone());
        let offset = match self.shared.get(&key) {
            Some(offset) => *offset,
            None => self.allocate_shared(variable),
        };
        self.shared.insert(key, offset);
        self.declare(&variable.name, Symbol::Shared(offset));
    }

    fn allocate_shared(&mut self, variable: &Variable) -> u64 {
        let offset = self.next_shared(variable.align);
        self.variables.push((offset, variable.bytes));
        offset
    }

    /// Behind a gap: whoever leaves a variable is found out. All start at the first bank.
    fn next_shared(&self, align: u64) -> u64 {
        let end = self.variables.last().map_or(0, |(start, bytes)| start + bytes + GAP);
        end.next_multiple_of(align.max(GAP))
    }

    fn local_variable(&mut self, variable: &Variable) {
        let offset = self.local_bytes.next_multiple_of(variable.align.max(1));
        self.local_bytes = offset + variable.bytes;
        self.declare(&variable.name, Symbol::Local(offset));
    }

    /// Puts the callee's instructions here; its parameters are the caller's `.param` variables.
    fn call(&mut self, call: &Call) -> Result<(), PtxError> {
        let function = self.source.functions.iter().find(|f| f.name == call.callee && f.body.is_some());
        let Some(function) = function else {
            return Err(PtxError::unsupported(call.line, "call", &format!("{} has no body here", call.callee)));
        };
        if self.stack.contains(&function.name) {
            return Err(PtxError::unsupported(call.line, "call", &format!("{} calls itself", function.name)));
        }
        if call.arguments.len() != function.params.len() || call.results.len() != function.results.len() {
            return Err(PtxError::syntax(call.line, &format!("a call of {} with other parameters", function.name)));
        }
        let mut bound = Vec::new();
        let actual = call.arguments.iter().chain(&call.results);
        for (actual, formal) in actual.zip(function.params.iter().chain(&function.results)) {
            let Some(Symbol::Local(offset)) = self.lookup(actual) else {
                return Err(PtxError::unsupported(call.line, "call", &format!("argument {actual} is not a .param")));
            };
            bound.push((formal.name.clone(), Symbol::Local(offset)));
        }
        self.stack.push(function.name.clone());
        self.open();
        for (name, symbol) in bound {
            self.declare(&name, symbol);
        }
        self.body(function, call.line)?;
        self.stack.pop();
        Ok(())
    }

    fn instruction(&mut self, inst: &Instruction) -> Result<(), PtxError> {
        let first = inst.opcode.split('.').next().unwrap_or_default();
        let mut mods = Mods::new(inst);
        let guard = match &inst.guard {
            None => None,
            Some((name, negated)) => Some((self.register(name, 1, inst)?, *negated)),
        };
        let start = self.code.len();
        let op = self.operation(first, &mut mods)?;
        mods.done()?;
        // Helper instructions (negated predicate operands) come before and are harmless without the guard.
        debug_assert!(self.code[start..].iter().all(|i| i.guard.is_none()));
        self.code.push(Inst { op, guard, line: inst.line, location: self.location });
        Ok(())
    }

    fn operation(&mut self, first: &str, m: &mut Mods) -> Result<Op, PtxError> {
        match first {
            "ex2" | "lg2" | "rsqrt" | "sin" | "cos" | "tanh" => {
                Err(PtxError::inexact(m.inst.line, &m.inst.opcode, "an approximation"))
            }
            "mov" | "cvt" | "cvta" | "selp" | "slct" => self.conversion(first, m),
            "ld" | "ldu" | "st" | "atom" | "red" | "cp" | "ldmatrix" | "prefetch" => self.memory(first, m),
            "shfl" | "vote" | "match" | "redux" | "activemask" | "bar" | "barrier" | "membar" | "fence" | "mma"
            | "bra" | "brx" | "ret" | "exit" | "trap" | "nanosleep" => self.warp(first, m),
            _ => self.arithmetic(first, m),
        }
    }

    fn emit_plain(&mut self, op: Op, line: u32) {
        self.code.push(Inst { op, guard: None, line, location: self.location });
    }
}

//! Scopes, labels and operands.

use std::collections::HashMap;

use super::{Constant, Decoder, RETURN};
use crate::PtxError;
use crate::ast::{Instruction, Operand};
use crate::inst::{Addr, Int1, Op, R};
use crate::types::Ty;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Special {
    Tid(usize),
    Ntid(usize),
    Ctaid(usize),
    Nctaid(usize),
    Lane,
    Warp,
    Warps,
    LanesEqual,
    LanesBelow,
    LanesUpTo,
    LanesAbove,
    LanesFrom,
    DynamicShared,
}

#[derive(Clone, Debug)]
pub(crate) enum Symbol {
    Register(R),
    /// Offset in the launch's parameter bytes.
    KernelParam(u64),
    /// Offset in the thread's local memory; parameters of calls live there, too.
    Local(u64),
    Shared(u64),
    Targets(Vec<String>),
}

/// A pending jump: instruction and, in a table, entry.
type Jump = (usize, usize);

#[derive(Debug, Default)]
pub(crate) struct Scope {
    names: HashMap<String, Symbol>,
    labels: HashMap<String, u32>,
    pending: Vec<(Jump, String)>,
}

impl Decoder<'_> {
    pub fn open(&mut self) {
        self.scopes.push(Scope::default());
    }

    /// Resolves the jumps to labels of this scope and hands the others to the scope around it.
    pub fn close(&mut self) -> Result<(), PtxError> {
        let Some(scope) = self.scopes.pop() else { return Err(PtxError::syntax(0, "a closing brace too many")) };
        let leaves_function = self.scopes.len() == self.frame;
        for ((inst, entry), name) in scope.pending {
            if let Some(target) = scope.labels.get(&name) {
                match &mut self.code[inst].op {
                    Op::Branch { target: t } => *t = *target,
                    Op::BranchTable { targets, .. } => targets[entry] = *target,
                    _ => {}
                }
            } else if leaves_function {
                let line = self.code[inst].line;
                return Err(PtxError::syntax(line, &format!("label {name} is nowhere")));
            } else if let Some(outer) = self.scopes.last_mut() {
                outer.pending.push(((inst, entry), name));
            }
        }
        Ok(())
    }

    pub fn label(&mut self, name: &str) {
        let at = self.code.len() as u32;
        if let Some(scope) = self.scopes.last_mut() {
            scope.labels.insert(name.to_string(), at);
        }
    }

    /// The instruction about to be pushed jumps to `name`.
    pub fn jump(&mut self, entry: usize, name: &str) {
        let at = self.code.len();
        if let Some(scope) = self.scopes.last_mut() {
            scope.pending.push(((at, entry), name.to_string()));
        }
    }

    pub fn jump_to_return(&mut self) {
        self.jump(0, RETURN);
    }

    pub fn declare(&mut self, name: &str, symbol: Symbol) {
        if let Some(scope) = self.scopes.last_mut() {
            scope.names.insert(name.to_string(), symbol);
        }
    }

    pub fn lookup(&self, name: &str) -> Option<Symbol> {
        self.scopes[self.frame..].iter().rev().find_map(|scope| scope.names.get(name)).cloned()
    }

    /// Whether the function being decoded is the kernel itself.
    pub fn in_entry(&self) -> bool {
        self.stack.len() == 1
    }

    pub fn column(&mut self, bits: u32) -> R {
        self.widths.push(bits);
        self.widths.len() as R - 1
    }

    pub fn width(&self, r: R) -> u32 {
        self.widths[r as usize]
    }

    pub fn constant(&mut self, value: u64) -> R {
        self.late(Constant::Value(value))
    }

    fn late(&mut self, constant: Constant) -> R {
        if let Some(r) = self.constants.get(&constant) {
            return *r;
        }
        let r = self.column(64);
        self.constants.insert(constant, r);
        r
    }

    /// A declared register of `bits`; 0 for any width.
    pub fn register(&mut self, name: &str, bits: u32, inst: &Instruction) -> Result<R, PtxError> {
        match self.lookup(name) {
            Some(Symbol::Register(r)) if bits == 0 || self.width(r) == bits => Ok(r),
            Some(Symbol::Register(_)) => {
                Err(PtxError::unsupported(inst.line, &inst.opcode, &format!("register {name} is not of {bits} bits")))
            }
            _ => Err(PtxError::unsupported(inst.line, &inst.opcode, &format!("{name} is no register"))),
        }
    }

    pub fn target(&mut self, operand: &Operand, bits: u32, inst: &Instruction) -> Result<R, PtxError> {
        match operand {
            Operand::Name(name) if name == "_" => Ok(self.sink),
            Operand::Name(name) => self.register(name, bits, inst),
            _ => Err(PtxError::unsupported(inst.line, &inst.opcode, "the result operand")),
        }
    }

    /// A target at least as wide as the value, with its width.
    pub fn wide_target(&mut self, operand: &Operand, bits: u32, inst: &Instruction) -> Result<(R, u32), PtxError> {
        let r = self.target(operand, 0, inst)?;
        let width = self.width(r);
        if width < bits {
            return Err(PtxError::unsupported(inst.line, &inst.opcode, "a result narrower than its value"));
        }
        Ok((r, width))
    }

    pub fn source(&mut self, operand: &Operand, ty: Ty, inst: &Instruction) -> Result<R, PtxError> {
        self.operand(operand, ty, true, inst)
    }

    /// A source that may stand in a wider register, of which the low bits count.
    pub fn wide_source(&mut self, operand: &Operand, ty: Ty, inst: &Instruction) -> Result<R, PtxError> {
        self.operand(operand, ty, false, inst)
    }

    fn operand(&mut self, operand: &Operand, ty: Ty, strict: bool, inst: &Instruction) -> Result<R, PtxError> {
        let refuse = |what: &str| Err(PtxError::unsupported(inst.line, &inst.opcode, what));
        match operand {
            Operand::Name(name) if name.starts_with('%') && self.lookup(name).is_none() => self.special(name, inst),
            Operand::Name(name) if matches!(self.lookup(name), Some(Symbol::Register(_))) => {
                let r = self.register(name, if strict { ty.bits } else { 0 }, inst)?;
                if self.width(r) < ty.bits { refuse("an operand narrower than its type") } else { Ok(r) }
            }
            Operand::Name(name) => self.address_of(name, 0, inst),
            Operand::Sum(name, offset) => self.address_of(name, *offset, inst),
            Operand::Not(name) if ty == Ty::PRED => {
                let a = self.register(name, 1, inst)?;
                let d = self.column(1);
                self.emit_plain(Op::Int1 { op: Int1::Not, ty: Ty::PRED, d, a }, inst.line);
                Ok(d)
            }
            Operand::Int(value) if !ty.float() => Ok(self.constant(value & ty.mask())),
            Operand::F32(bits) if ty.bits == 32 => Ok(self.constant(u64::from(*bits))),
            Operand::F64(bits) if ty.bits == 64 => Ok(self.constant(*bits)),
            _ => refuse("an operand"),
        }
    }

    /// The address of a variable in its own state space.
    fn address_of(&mut self, name: &str, offset: i64, inst: &Instruction) -> Result<R, PtxError> {
        let offset = offset as u64;
        match self.lookup(name) {
            Some(Symbol::KernelParam(at) | Symbol::Local(at) | Symbol::Shared(at)) => {
                return Ok(self.constant(at.wrapping_add(offset)));
            }
            Some(_) => return Err(PtxError::unsupported(inst.line, &inst.opcode, &format!("{name} as an address"))),
            None => {}
        }
        if let Some(at) = self.symbols.get(name) {
            return Ok(self.constant(at.wrapping_add(offset)));
        }
        let Some(variable) = self.source.shared.iter().find(|v| v.name == name) else {
            return Err(PtxError::unsupported(inst.line, &inst.opcode, &format!("{name} is not declared")));
        };
        if variable.external {
            self.dynamic_align = self.dynamic_align.max(variable.align);
            return Ok(self.late(Constant::Dynamic(offset)));
        }
        let key = (String::new(), name.to_string());
        let at = match self.shared.get(&key) {
            Some(at) => *at,
            None => self.allocate_shared(variable),
        };
        self.shared.insert(key, at);
        Ok(self.constant(at.wrapping_add(offset)))
    }

    /// An address operand: a register, a variable or a number, and an offset.
    pub fn address(&mut self, operand: &Operand, inst: &Instruction) -> Result<Addr, PtxError> {
        let Operand::Address(base, offset) = operand else {
            return Err(PtxError::unsupported(inst.line, &inst.opcode, "an operand that is no address"));
        };
        let base = self.wide_source(base, Ty { kind: crate::types::Kind::Bits, bits: 32 }, inst)?;
        Ok(Addr { base, offset: *offset as u64, narrow: self.width(base) == 32 })
    }

    fn special(&mut self, name: &str, inst: &Instruction) -> Result<R, PtxError> {
        let axis = |rest: &str| ["x", "y", "z"].iter().position(|a| *a == rest);
        let special = match name.split_once('.').map(|(stem, rest)| (stem, axis(rest))) {
            Some(("%tid", Some(axis))) => Special::Tid(axis),
            Some(("%ntid", Some(axis))) => Special::Ntid(axis),
            Some(("%ctaid", Some(axis))) => Special::Ctaid(axis),
            Some(("%nctaid", Some(axis))) => Special::Nctaid(axis),
            _ => match name {
                "%laneid" => Special::Lane,
                "%warpid" => Special::Warp,
                "%nwarpid" => Special::Warps,
                "%lanemask_eq" => Special::LanesEqual,
                "%lanemask_lt" => Special::LanesBelow,
                "%lanemask_le" => Special::LanesUpTo,
                "%lanemask_gt" => Special::LanesAbove,
                "%lanemask_ge" => Special::LanesFrom,
                "%dynamic_smem_size" => Special::DynamicShared,
                _ => return Err(PtxError::unsupported(inst.line, &inst.opcode, &format!("{name} is not declared"))),
            },
        };
        if let Some(r) = self.specials.get(&special) {
            return Ok(*r);
        }
        let r = self.column(32);
        self.specials.insert(special, r);
        Ok(r)
    }
}

//! The modifiers of an opcode. Each has to be taken by somebody: what is left over is an unknown form.

use crate::PtxError;
use crate::ast::Instruction;
use crate::types::Ty;

pub(crate) struct Mods<'a> {
    pub inst: &'a Instruction,
    parts: Vec<&'a str>,
}

impl<'a> Mods<'a> {
    /// The modifiers behind the opcode's first word.
    pub fn new(inst: &'a Instruction) -> Self {
        Self { inst, parts: inst.opcode.split('.').skip(1).collect() }
    }

    pub fn take(&mut self, name: &str) -> bool {
        let found = self.parts.iter().position(|p| *p == name);
        found.map(|i| self.parts.remove(i)).is_some()
    }

    /// The first of `choices` that is there, with what it stands for.
    pub fn choose<T: Copy>(&mut self, choices: &[(&str, T)]) -> Option<T> {
        choices.iter().find(|(name, _)| self.take(name)).map(|(_, value)| *value)
    }

    pub fn need<T: Copy>(&mut self, choices: &[(&str, T)]) -> Result<T, PtxError> {
        self.choose(choices).ok_or_else(|| self.unsupported("the form"))
    }

    pub fn must(&mut self, name: &str) -> Result<(), PtxError> {
        if self.take(name) { Ok(()) } else { Err(self.unsupported(&format!("without .{name}"))) }
    }

    /// Takes the last modifier, which must be a type.
    pub fn ty(&mut self) -> Result<Ty, PtxError> {
        let ty = self.parts.last().and_then(|last| Ty::parse(last));
        self.parts.pop();
        ty.ok_or_else(|| self.unsupported("the type"))
    }

    pub fn integer(&mut self) -> Result<Ty, PtxError> {
        let ty = self.ty()?;
        if ty.integer() && ty.bits >= 16 { Ok(ty) } else { Err(self.unsupported("the type")) }
    }

    /// Whether the next of the type suffixes is that of a float or packed float.
    pub fn float(&self) -> bool {
        self.parts.last().is_some_and(|last| last.starts_with('f') || last.starts_with("bf") || *last == "tf32")
    }

    /// Refuses flush-to-zero and approximations, which no exact kernel may use.
    pub fn exact(&self) -> Result<(), PtxError> {
        for (name, why) in
            [("ftz", "subnormals are kept (NUMERICS 1)"), ("approx", "an approximation"), ("full", "an approximation")]
        {
            if self.parts.contains(&name) {
                return Err(PtxError::inexact(self.inst.line, &self.inst.opcode, why));
            }
        }
        Ok(())
    }

    pub fn done(&self) -> Result<(), PtxError> {
        match self.parts.first() {
            None => Ok(()),
            Some(part) => Err(self.unsupported(&format!("modifier .{part}"))),
        }
    }

    pub fn operands(&self, counts: std::ops::RangeInclusive<usize>) -> Result<(), PtxError> {
        if counts.contains(&self.inst.operands.len()) { Ok(()) } else { Err(self.unsupported("this many operands")) }
    }

    pub fn unsupported(&self, what: &str) -> PtxError {
        PtxError::unsupported(self.inst.line, &self.inst.opcode, what)
    }
}

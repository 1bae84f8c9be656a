//! Moves, conversions and selections.

use super::{Decoder, Mods};
use crate::PtxError;
use crate::ast::Operand;
use crate::inst::{Cast, Int3, Op, R, Round, Space};
use crate::types::{Kind, Ty};

impl Decoder<'_> {
    pub fn conversion(&mut self, first: &str, m: &mut Mods) -> Result<Op, PtxError> {
        match first {
            "mov" => self.mov(m),
            "cvta" => self.cvta(m),
            "cvt" => self.cvt(m),
            "selp" => {
                let ty = m.ty()?;
                m.operands(4..=4)?;
                let operands = &m.inst.operands;
                let a = self.source(&operands[1], ty, m.inst)?;
                let b = self.source(&operands[2], ty, m.inst)?;
                let p = self.source(&operands[3], Ty::PRED, m.inst)?;
                Ok(Op::Selp { d: self.target(&operands[0], ty.bits, m.inst)?, a, b, p })
            }
            _ => self.slct(m),
        }
    }

    fn slct(&mut self, m: &mut Mods) -> Result<Op, PtxError> {
        m.exact()?;
        let by = m.ty()?;
        let ty = m.ty()?;
        if by.bits != 32 || !(by.float() || by.signed()) {
            return Err(m.unsupported("the type"));
        }
        m.operands(4..=4)?;
        let operands = &m.inst.operands;
        let a = self.source(&operands[1], ty, m.inst)?;
        let b = self.source(&operands[2], ty, m.inst)?;
        let c = self.source(&operands[3], by, m.inst)?;
        let op = if by.float() { Int3::SlctFloat } else { Int3::Slct };
        Ok(Op::Int3 { op, ty, d: self.target(&operands[0], ty.bits, m.inst)?, a, b, c })
    }

    fn mov(&mut self, m: &mut Mods) -> Result<Op, PtxError> {
        let ty = m.ty()?;
        m.operands(2..=2)?;
        match (&m.inst.operands[0], &m.inst.operands[1]) {
            (Operand::Vector(to), from) => {
                let bits = part_bits(ty, to.len(), m)?;
                let part = Ty { kind: Kind::Bits, bits };
                let a = self.source(from, ty, m.inst)?;
                let mut d = [self.sink; 4];
                for (d, operand) in d.iter_mut().zip(to) {
                    *d = self.target(operand, part.bits, m.inst)?;
                }
                Ok(Op::Unpack { d, count: to.len() as u32, bits, a })
            }
            (to, Operand::Vector(from)) => {
                let bits = part_bits(ty, from.len(), m)?;
                let mut parts = [0; 4];
                for (part, operand) in parts.iter_mut().zip(from) {
                    *part = self.source(operand, Ty { kind: Kind::Bits, bits }, m.inst)?;
                }
                Ok(Op::Pack { d: self.target(to, ty.bits, m.inst)?, parts, count: from.len() as u32, bits })
            }
            (to, from) => {
                let a = self.source(from, ty, m.inst)?;
                Ok(Op::Move { d: self.target(to, ty.bits, m.inst)?, a })
            }
        }
    }

    fn cvta(&mut self, m: &mut Mods) -> Result<Op, PtxError> {
        let to_generic = !m.take("to");
        let space = m.need(&[
            ("global", Space::Global),
            ("const", Space::Global),
            ("shared", Space::Shared),
            ("shared::cta", Space::Shared),
            ("local", Space::Local),
            ("param", Space::Param),
        ])?;
        let ty = m.ty()?;
        let operands = &m.inst.operands;
        m.operands(2..=2)?;
        let a = self.source(&operands[1], ty, m.inst)?;
        Ok(Op::Cvta { space, to_generic, d: self.target(&operands[0], ty.bits, m.inst)?, a })
    }

    fn cvt(&mut self, m: &mut Mods) -> Result<Op, PtxError> {
        m.exact()?;
        let from = m.ty()?;
        let to = m.ty()?;
        let integral =
            m.choose(&[("rni", Round::Even), ("rzi", Round::Zero), ("rmi", Round::Down), ("rpi", Round::Up)]);
        let nearest = m.take("rn");
        let saturate = m.take("sat");
        let (to_float, from_float) = (!to.integer(), !from.integer());
        let cast = match (from_float, to_float, integral) {
            (false, false, None) if !nearest => Cast::Integers { saturate },
            (false, true, None) if nearest && to.float() && to.bits >= 32 && !saturate => Cast::IntegerToFloat,
            (true, false, Some(round)) if from.float() && from.bits >= 32 => Cast::FloatToInteger(round),
            (true, true, Some(round)) if from == to && to.bits >= 32 && !saturate => Cast::Integral(round),
            (true, true, None) if !saturate && (nearest || to.bits > from.bits) => Cast::FloatToFloat,
            _ => return Err(m.unsupported("the form")),
        };
        if matches!(from.kind, Kind::Pred) || matches!(to.kind, Kind::Pred) {
            return Err(m.unsupported("a predicate"));
        }
        m.operands(2..=2)?;
        let a = self.wide_source(&m.inst.operands[1], from, m.inst)?;
        let (d, d_bits) = self.wide_target(&m.inst.operands[0], to.bits, m.inst)?;
        Ok(Op::Convert { cast, to, from, d, d_bits, a })
    }

    /// A register or a brace of `count` registers.
    pub fn vector<'b>(&self, operand: &'b Operand, count: usize, m: &Mods) -> Result<Vec<&'b Operand>, PtxError> {
        let parts: Vec<&Operand> = match operand {
            Operand::Vector(parts) => parts.iter().collect(),
            one => vec![one],
        };
        if parts.len() == count { Ok(parts) } else { Err(m.unsupported("a vector of another length")) }
    }

    pub fn vector_sources<const N: usize>(
        &mut self,
        operand: &Operand,
        count: usize,
        ty: Ty,
        m: &Mods,
    ) -> Result<[R; N], PtxError> {
        let mut sources = [0; N];
        for (source, part) in sources.iter_mut().zip(self.vector(operand, count, m)?) {
            *source = self.source(part, ty, m.inst)?;
        }
        Ok(sources)
    }

    pub fn vector_targets<const N: usize>(
        &mut self,
        operand: &Operand,
        count: usize,
        bits: u32,
        m: &Mods,
    ) -> Result<[R; N], PtxError> {
        let mut targets = [self.sink; N];
        for (target, part) in targets.iter_mut().zip(self.vector(operand, count, m)?) {
            *target = self.target(part, bits, m.inst)?;
        }
        Ok(targets)
    }
}

fn part_bits(ty: Ty, parts: usize, m: &Mods) -> Result<u32, PtxError> {
    match (ty.bits, parts) {
        (16 | 32 | 64, 2) | (32 | 64, 4) => Ok(ty.bits / parts as u32),
        _ => Err(m.unsupported("a vector of this length")),
    }
}

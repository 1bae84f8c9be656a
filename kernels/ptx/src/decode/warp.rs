//! What lanes do together, barriers, the matrix product and control.

use super::{Decoder, Mods};
use crate::PtxError;
use crate::ast::Operand;
use crate::decode::names::Symbol;
use crate::inst::{Mma, MmaTf32, Op, R, Reduce, Rmw, Shuffle, Vote};
use crate::types::{Kind, Ty};

impl Decoder<'_> {
    pub fn warp(&mut self, first: &str, m: &mut Mods) -> Result<Op, PtxError> {
        match first {
            "shfl" => self.shfl(m),
            "vote" => self.vote(m),
            "match" => self.matching(m),
            "redux" => self.redux(m),
            "activemask" => {
                m.must("b32")?;
                m.operands(1..=1)?;
                Ok(Op::ActiveMask { d: self.target(&m.inst.operands[0], 32, m.inst)? })
            }
            "bar" | "barrier" => self.barrier(first, m),
            "membar" => {
                m.need(&[("cta", ()), ("gl", ()), ("sys", ())])?;
                Ok(Op::Fence)
            }
            "fence" => {
                m.choose(&[("sc", ()), ("acq_rel", ())]);
                m.need(&[("cta", ()), ("gpu", ()), ("sys", ())])?;
                Ok(Op::Fence)
            }
            "mma" => self.mma(m),
            "nanosleep" => {
                m.must("u32")?;
                Ok(Op::Nop)
            }
            _ => self.control(first, m),
        }
    }

    /// A result and, behind a bar, a predicate.
    fn pair(&mut self, operand: &Operand, m: &Mods) -> Result<(R, R), PtxError> {
        match operand {
            Operand::Pair(d, p) => {
                let d = self.target(&Operand::Name(d.clone()), 32, m.inst)?;
                Ok((d, self.target(&Operand::Name(p.clone()), 1, m.inst)?))
            }
            d => Ok((self.target(d, 32, m.inst)?, self.sink)),
        }
    }

    fn shfl(&mut self, m: &mut Mods) -> Result<Op, PtxError> {
        m.must("sync")?;
        m.must("b32")?;
        let mode =
            m.need(&[("up", Shuffle::Up), ("down", Shuffle::Down), ("bfly", Shuffle::Bfly), ("idx", Shuffle::Idx)])?;
        m.operands(5..=5)?;
        let operands = &m.inst.operands;
        let (d, p) = self.pair(&operands[0], m)?;
        let mut sources = [0; 4];
        for (source, operand) in sources.iter_mut().zip(&operands[1..]) {
            *source = self.source(operand, Ty::parse("b32").unwrap_or(Ty::U32), m.inst)?;
        }
        let [a, b, c, mask] = sources;
        Ok(Op::Shfl { mode, d, p, a, b, c, mask })
    }

    fn vote(&mut self, m: &mut Mods) -> Result<Op, PtxError> {
        m.must("sync")?;
        let op = m.need(&[("all", Vote::All), ("any", Vote::Any), ("uni", Vote::Uni), ("ballot", Vote::Ballot)])?;
        m.must(if op == Vote::Ballot { "b32" } else { "pred" })?;
        m.operands(3..=3)?;
        let operands = &m.inst.operands;
        let a = self.source(&operands[1], Ty::PRED, m.inst)?;
        let mask = self.source(&operands[2], Ty::U32, m.inst)?;
        Ok(Op::Vote { op, d: self.target(&operands[0], if op == Vote::Ballot { 32 } else { 1 }, m.inst)?, a, mask })
    }

    fn matching(&mut self, m: &mut Mods) -> Result<Op, PtxError> {
        m.must("sync")?;
        let all = m.need(&[("all", true), ("any", false)])?;
        let ty = m.integer()?;
        m.operands(3..=3)?;
        let (d, p) = self.pair(&m.inst.operands[0], m)?;
        let a = self.source(&m.inst.operands[1], ty, m.inst)?;
        let mask = self.source(&m.inst.operands[2], Ty::U32, m.inst)?;
        Ok(Op::Match { all, bits: ty.bits, d, p, a, mask })
    }

    fn redux(&mut self, m: &mut Mods) -> Result<Op, PtxError> {
        m.must("sync")?;
        let op = m.need(&[
            ("add", Rmw::Add),
            ("min", Rmw::Min),
            ("max", Rmw::Max),
            ("and", Rmw::And),
            ("or", Rmw::Or),
            ("xor", Rmw::Xor),
        ])?;
        let ty = m.integer()?;
        if ty.bits != 32 {
            return Err(m.unsupported("the type"));
        }
        m.operands(3..=3)?;
        let a = self.source(&m.inst.operands[1], ty, m.inst)?;
        let mask = self.source(&m.inst.operands[2], Ty::U32, m.inst)?;
        Ok(Op::Redux { op, ty, d: self.target(&m.inst.operands[0], 32, m.inst)?, a, mask })
    }

    /// `bar.sync`, `barrier.sync.aligned`, `bar.red` and `bar.warp.sync`. Unaligned barriers and arrivals are refused.
    fn barrier(&mut self, first: &str, m: &mut Mods) -> Result<Op, PtxError> {
        let operands = &m.inst.operands;
        if m.take("warp") {
            m.must("sync")?;
            m.operands(1..=1)?;
            return Ok(Op::WarpSync { mask: self.source(&operands[0], Ty::U32, m.inst)? });
        }
        m.take("cta");
        if first == "barrier" {
            m.must("aligned")?;
        }
        if m.take("sync") {
            m.operands(1..=2)?;
            let id = self.source(&operands[0], Ty::U32, m.inst)?;
            let count = match operands.get(1) {
                Some(operand) => Some(self.source(operand, Ty::U32, m.inst)?),
                None => None,
            };
            return Ok(Op::Barrier { id, count, reduce: None });
        }
        m.must("red")?;
        let op = m.need(&[("and", Reduce::And), ("or", Reduce::Or), ("popc", Reduce::Popc)])?;
        m.must(if op == Reduce::Popc { "u32" } else { "pred" })?;
        m.operands(3..=4)?;
        let d = self.target(&operands[0], if op == Reduce::Popc { 32 } else { 1 }, m.inst)?;
        let id = self.source(&operands[1], Ty::U32, m.inst)?;
        let count = match operands.len() {
            4 => Some(self.source(&operands[2], Ty::U32, m.inst)?),
            _ => None,
        };
        let p = self.source(&operands[operands.len() - 1], Ty::PRED, m.inst)?;
        Ok(Op::Barrier { id, count, reduce: Some((op, d, p)) })
    }

    /// m16n8k16 and m16n8k32 of bytes, row by column, wrapping. `.satfinite` would not be the sum mod 2^32.
    fn mma(&mut self, m: &mut Mods) -> Result<Op, PtxError> {
        m.must("sync")?;
        m.must("aligned")?;
        if m.take("m16n8k4") {
            return self.mma_tf32(m);
        }
        let k = m.need(&[("m16n8k32", 32), ("m16n8k16", 16)])?;
        m.must("row")?;
        m.must("col")?;
        let types = [m.ty()?, m.ty()?, m.ty()?, m.ty()?];
        let [c_ty, b_ty, a_ty, d_ty] = types;
        let sum = Ty::parse("s32");
        if Some(c_ty) != sum
            || Some(d_ty) != sum
            || a_ty.bits != 8
            || b_ty.bits != 8
            || !a_ty.integer()
            || !b_ty.integer()
        {
            return Err(m.unsupported("the types"));
        }
        m.operands(4..=4)?;
        let operands = &m.inst.operands;
        Ok(Op::Mma(Box::new(Mma {
            k,
            a_signed: a_ty.signed(),
            b_signed: b_ty.signed(),
            d: self.vector_targets(&operands[0], 4, 32, m)?,
            a: self.vector_sources(&operands[1], k / 8, Ty::U32, m)?,
            b: self.vector_sources(&operands[2], k / 16, Ty::U32, m)?,
            c: self.vector_sources(&operands[3], 4, Ty::U32, m)?,
        })))
    }

    /// m16n8k4 of tf32. Its sum has no defined order: running it checks that every order gives the same.
    fn mma_tf32(&mut self, m: &mut Mods) -> Result<Op, PtxError> {
        m.must("row")?;
        m.must("col")?;
        for part in ["tf32", "tf32", "f32", "f32"] {
            m.must(part)?;
        }
        m.operands(4..=4)?;
        let operands = &m.inst.operands;
        let float = Ty { kind: Kind::Float, bits: 32 };
        let [b] = self.vector_sources(&operands[2], 1, Ty::U32, m)?;
        Ok(Op::MmaTf32(Box::new(MmaTf32 {
            d: self.vector_targets(&operands[0], 4, 32, m)?,
            a: self.vector_sources(&operands[1], 2, Ty::U32, m)?,
            b,
            c: self.vector_sources(&operands[3], 4, float, m)?,
        })))
    }

    fn control(&mut self, first: &str, m: &mut Mods) -> Result<Op, PtxError> {
        m.take("uni");
        let operands = &m.inst.operands;
        match (first, &operands[..]) {
            ("bra", [Operand::Name(label)]) => {
                self.jump(0, label);
                Ok(Op::Branch { target: u32::MAX })
            }
            ("brx", [index, Operand::Name(table)]) => {
                m.must("idx")?;
                let index = self.source(index, Ty::U32, m.inst)?;
                let Some(Symbol::Targets(labels)) = self.lookup(table) else {
                    return Err(m.unsupported(&format!("{table} is no table of targets")));
                };
                for (entry, label) in labels.iter().enumerate() {
                    self.jump(entry, label);
                }
                Ok(Op::BranchTable { index, targets: vec![u32::MAX; labels.len()].into() })
            }
            ("ret", []) if self.in_entry() => Ok(Op::Exit),
            ("ret", []) => {
                self.jump_to_return();
                Ok(Op::Branch { target: u32::MAX })
            }
            ("exit", []) => Ok(Op::Exit),
            ("trap", []) => Ok(Op::Trap),
            _ => Err(m.unsupported("the form")),
        }
    }
}

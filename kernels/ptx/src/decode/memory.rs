//! Loads, stores, atomics and asynchronous copies.

use super::{Decoder, Mods};
use crate::PtxError;
use crate::ast::Operand;
use crate::decode::names::Symbol;
use crate::inst::{Op, Rmw, Space};
use crate::types::{Kind, Ty};

/// Hints that change where data is cached, not what is read.
const CACHE_HINTS: [&str; 18] = [
    "ca",
    "cg",
    "cs",
    "lu",
    "cv",
    "wb",
    "wt",
    "L1::evict_normal",
    "L1::evict_unchanged",
    "L1::evict_first",
    "L1::evict_last",
    "L1::no_allocate",
    "L2::evict_normal",
    "L2::evict_first",
    "L2::evict_last",
    "L2::64B",
    "L2::128B",
    "L2::256B",
];

impl Decoder<'_> {
    pub fn memory(&mut self, first: &str, m: &mut Mods) -> Result<Op, PtxError> {
        match first {
            "ld" | "ldu" => self.load(m),
            "st" => self.store(m),
            "atom" | "red" => self.atomic(first, m),
            "cp" => self.copy(m),
            "ldmatrix" => self.ldmatrix(m),
            _ => self.prefetch(m),
        }
    }

    fn space(&self, m: &mut Mods, address: Option<&Operand>) -> Space {
        let named = m.choose(&[
            ("global", Space::Global),
            ("const", Space::Global),
            ("shared", Space::Shared),
            ("shared::cta", Space::Shared),
            ("local", Space::Local),
            ("param", Space::Param),
            ("param::entry", Space::Param),
            ("param::func", Space::Local),
        ]);
        let Some(Space::Param) = named else { return named.unwrap_or(Space::Generic) };
        // Parameters of calls lie in local memory, those of the kernel in the launch's bytes.
        let symbol = match address {
            Some(Operand::Address(base, _)) => match &**base {
                Operand::Name(name) => self.lookup(name),
                _ => None,
            },
            _ => None,
        };
        match symbol {
            Some(Symbol::Local(_)) => Space::Local,
            Some(Symbol::KernelParam(_)) => Space::Param,
            _ if self.in_entry() => Space::Param,
            _ => Space::Local,
        }
    }

    fn hints(m: &mut Mods) {
        for hint in CACHE_HINTS {
            m.take(hint);
        }
    }

    /// Whether the access is strong: volatile, relaxed or acquire and release, and so no race with atomics.
    fn strong(m: &mut Mods) -> bool {
        let strong = ["volatile", "relaxed", "acquire", "release"].map(|name| m.take(name)).contains(&true);
        for scope in ["cta", "gpu", "sys"] {
            if strong {
                m.take(scope);
            }
        }
        m.take("weak");
        strong
    }

    fn count(m: &mut Mods) -> usize {
        m.choose(&[("v2", 2), ("v4", 4)]).unwrap_or(1)
    }

    fn element(m: &mut Mods) -> Result<Ty, PtxError> {
        let ty = m.ty()?;
        if ty == Ty::PRED || ty.kind == Kind::Bf16 { Err(m.unsupported("the type")) } else { Ok(ty) }
    }

    fn load(&mut self, m: &mut Mods) -> Result<Op, PtxError> {
        m.operands(2..=2)?;
        let ty = Self::element(m)?;
        let strong = Self::strong(m);
        let space = self.space(m, m.inst.operands.get(1));
        let coherent = !m.take("nc");
        Self::hints(m);
        let count = Self::count(m);
        let mut d = [self.sink; 4];
        let mut d_bits = ty.bits;
        for (d, part) in d.iter_mut().zip(self.vector(&m.inst.operands[0], count, m)?) {
            (*d, d_bits) = self.wide_target(part, ty.bits, m.inst)?;
        }
        let addr = self.address(&m.inst.operands[1], m.inst)?;
        Ok(Op::Load { space, ty, strong, coherent, d, count: count as u32, d_bits, addr })
    }

    fn store(&mut self, m: &mut Mods) -> Result<Op, PtxError> {
        m.operands(2..=2)?;
        let ty = Self::element(m)?;
        let strong = Self::strong(m);
        let space = self.space(m, m.inst.operands.first());
        Self::hints(m);
        let count = Self::count(m);
        let addr = self.address(&m.inst.operands[0], m.inst)?;
        let mut s = [0; 4];
        for (s, part) in s.iter_mut().zip(self.vector(&m.inst.operands[1], count, m)?) {
            *s = self.wide_source(part, ty, m.inst)?;
        }
        Ok(Op::Store { space, ty, strong, s, count: count as u32, addr })
    }

    fn atomic(&mut self, first: &str, m: &mut Mods) -> Result<Op, PtxError> {
        let ty = m.ty()?;
        for order in ["relaxed", "acquire", "release", "acq_rel", "cta", "gpu", "sys"] {
            m.take(order);
        }
        let with_result = first == "atom";
        let at = usize::from(with_result);
        let space = self.space(m, m.inst.operands.get(at));
        let op = m.need(&[
            ("add", Rmw::Add),
            ("min", Rmw::Min),
            ("max", Rmw::Max),
            ("and", Rmw::And),
            ("or", Rmw::Or),
            ("xor", Rmw::Xor),
            ("exch", Rmw::Exch),
            ("cas", Rmw::Cas),
            ("inc", Rmw::Inc),
            ("dec", Rmw::Dec),
        ])?;
        if ty.float() {
            return Err(PtxError::inexact(m.inst.line, &m.inst.opcode, "the order of float atomics is not defined"));
        }
        if !ty.integer() || ty.bits < 32 || !matches!(space, Space::Global | Space::Shared | Space::Generic) {
            return Err(m.unsupported("the form"));
        }
        let count = at + 2 + usize::from(op == Rmw::Cas);
        m.operands(count..=count)?;
        let operands = &m.inst.operands;
        let d = if with_result { self.target(&operands[0], ty.bits, m.inst)? } else { self.sink };
        let addr = self.address(&operands[at], m.inst)?;
        let a = self.source(&operands[at + 1], ty, m.inst)?;
        let b = if op == Rmw::Cas { self.source(&operands[at + 2], ty, m.inst)? } else { a };
        Ok(Op::Atom { space, op, ty, d, addr, a, b })
    }

    fn copy(&mut self, m: &mut Mods) -> Result<Op, PtxError> {
        m.must("async")?;
        let operands = &m.inst.operands;
        if m.take("commit_group") {
            m.operands(0..=0)?;
            return Ok(Op::CpCommit);
        }
        if m.take("wait_all") {
            m.operands(0..=0)?;
            return Ok(Op::CpWait { pending: None });
        }
        if m.take("wait_group") {
            return match operands[..] {
                [Operand::Int(pending)] => Ok(Op::CpWait { pending: Some(pending.min(1 << 20) as u32) }),
                _ => Err(m.unsupported("the count")),
            };
        }
        let whole_lines = m.need(&[("ca", false), ("cg", true)])?;
        if !m.take("shared") {
            m.must("shared::cta")?;
        }
        m.must("global")?;
        Self::hints(m);
        m.operands(3..=4)?;
        let bytes = match operands[2] {
            Operand::Int(16) => 16,
            Operand::Int(bytes @ (4 | 8)) if !whole_lines => bytes as u32,
            _ => return Err(m.unsupported("this many bytes")),
        };
        let to = self.address(&operands[0], m.inst)?;
        let from = self.address(&operands[1], m.inst)?;
        let source_bytes = match operands.get(3) {
            Some(operand) => Some(self.source(operand, Ty::U32, m.inst)?),
            None => None,
        };
        Ok(Op::CpAsync { to, from, bytes, source_bytes })
    }

    fn ldmatrix(&mut self, m: &mut Mods) -> Result<Op, PtxError> {
        m.must("sync")?;
        m.must("aligned")?;
        m.must("m8n8")?;
        let count = m.need(&[("x1", 1), ("x2", 2), ("x4", 4)])?;
        let transposed = m.take("trans");
        if !m.take("shared") {
            m.must("shared::cta")?;
        }
        m.must("b16")?;
        m.operands(2..=2)?;
        let d = self.vector_targets(&m.inst.operands[0], count, 32, m)?;
        let addr = self.address(&m.inst.operands[1], m.inst)?;
        Ok(Op::Ldmatrix { d, count: count as u32, transposed, addr })
    }

    /// Fetching ahead has no result, and may reach outside of every allocation.
    fn prefetch(&mut self, m: &mut Mods) -> Result<Op, PtxError> {
        m.take("global");
        m.need(&[("L1", ()), ("L2", ()), ("L2::evict_last", ()), ("L2::evict_normal", ())])?;
        m.operands(1..=1)?;
        self.address(&m.inst.operands[0], m.inst)?;
        Ok(Op::Nop)
    }
}

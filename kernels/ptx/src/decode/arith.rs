//! Integer and floating-point instructions, and comparisons.

use super::{Decoder, Mods};
use crate::PtxError;
use crate::ast::Operand;
use crate::inst::{Bool, Carry, Cmp, Float1, Float2, Int1, Int2, Int3, Op, Permute, R};
use crate::types::{Kind, Ty};

impl Decoder<'_> {
    pub fn arithmetic(&mut self, first: &str, m: &mut Mods) -> Result<Op, PtxError> {
        m.exact()?;
        match first {
            "add" | "sub" | "mul" | "div" | "min" | "max" if m.float() => self.float2(first, m),
            "neg" | "abs" | "sqrt" | "rcp" if m.float() => self.float1(first, m),
            "fma" | "mad" if m.float() => self.fma(first, m),
            "copysign" => self.float2(first, m),
            "add" | "sub" | "addc" | "subc" | "mad" | "madc" => self.carried(first, m),
            "mul" | "div" | "rem" | "min" | "max" | "and" | "or" | "xor" | "shl" | "shr" | "bmsk" | "szext" => {
                self.int2(first, m)
            }
            "not" | "neg" | "abs" | "cnot" | "popc" | "clz" | "brev" | "bfind" => self.int1(first, m),
            "sad" | "bfe" | "shf" | "prmt" | "lop3" | "dp4a" => self.int3(first, m),
            "bfi" => self.bfi(m),
            "setp" => self.setp(m),
            _ => Err(m.unsupported("the opcode")),
        }
    }

    fn sources<const N: usize>(&mut self, m: &Mods, ty: Ty) -> Result<[R; N], PtxError> {
        m.operands(N + 1..=N + 1)?;
        let mut sources = [0; N];
        for (source, operand) in sources.iter_mut().zip(&m.inst.operands[1..]) {
            *source = self.source(operand, ty, m.inst)?;
        }
        Ok(sources)
    }

    fn result(&mut self, m: &Mods, bits: u32) -> Result<R, PtxError> {
        match m.inst.operands.first() {
            Some(operand) => self.target(operand, bits, m.inst),
            None => Err(m.unsupported("no operands")),
        }
    }

    fn int1(&mut self, first: &str, m: &mut Mods) -> Result<Op, PtxError> {
        let shift = m.take("shiftamt");
        let ty = m.ty()?;
        let op = match first {
            "not" => Int1::Not,
            "neg" => Int1::Neg,
            "abs" => Int1::Abs,
            "cnot" => Int1::Cnot,
            "popc" => Int1::Popc,
            "clz" => Int1::Clz,
            "brev" => Int1::Brev,
            _ => Int1::Bfind { shift },
        };
        let counts = matches!(op, Int1::Popc | Int1::Clz | Int1::Bfind { .. });
        if shift && first != "bfind" || ty.float() || ty.bits < 16 && (ty, op) != (Ty::PRED, Int1::Not) {
            return Err(m.unsupported("the form"));
        }
        let [a] = self.sources(m, ty)?;
        Ok(Op::Int1 { op, ty, d: self.result(m, if counts { 32 } else { ty.bits })?, a })
    }

    fn int2(&mut self, first: &str, m: &mut Mods) -> Result<Op, PtxError> {
        let ty = m.ty()?;
        let op = match first {
            "mul" => m.need(&[("lo", Int2::MulLo), ("hi", Int2::MulHi), ("wide", Int2::MulWide)])?,
            "div" => Int2::Div,
            "rem" => Int2::Rem,
            "min" => Int2::Min,
            "max" => Int2::Max,
            "and" => Int2::And,
            "or" => Int2::Or,
            "xor" => Int2::Xor,
            "shl" => Int2::Shl,
            "shr" => Int2::Shr,
            "bmsk" => m.need(&[("clamp", Int2::BmskClamp), ("wrap", Int2::BmskWrap)])?,
            _ => m.need(&[("clamp", Int2::SzextClamp), ("wrap", Int2::SzextWrap)])?,
        };
        let logic = matches!(op, Int2::And | Int2::Or | Int2::Xor);
        if ty.float() || ty.bits < 16 && !(ty == Ty::PRED && logic) {
            return Err(m.unsupported("the type"));
        }
        m.operands(3..=3)?;
        let a = self.source(&m.inst.operands[1], ty, m.inst)?;
        let shift = matches!(op, Int2::Shl | Int2::Shr);
        let b = self.source(&m.inst.operands[2], if shift { Ty::U32 } else { ty }, m.inst)?;
        Ok(Op::Int2 { op, ty, d: self.result(m, if op == Int2::MulWide { 2 * ty.bits } else { ty.bits })?, a, b })
    }

    /// `add`, `sub` and `mad` of integers, with or without the carry flag.
    fn carried(&mut self, first: &str, m: &mut Mods) -> Result<Op, PtxError> {
        let ty = m.integer()?;
        let (takes, sets) = (first.ends_with('c'), m.take("cc"));
        let wide = first == "mad" && m.take("wide");
        let high = first.starts_with("mad") && !wide && m.need(&[("lo", false), ("hi", true)])?;
        if first.starts_with("mad") {
            return self.mad(ty, wide, high, (takes, sets), m);
        }
        let [a, b] = self.sources(m, ty)?;
        let d = self.result(m, ty.bits)?;
        let subtract = first.starts_with("sub");
        if takes || sets {
            let op = if subtract { Carry::Sub } else { Carry::Add };
            return Ok(Op::Carry { op, ty, d, a, b, c: a, cc: self.carry, takes, sets });
        }
        let op = match (subtract, m.take("sat")) {
            (false, false) => Int2::Add,
            (false, true) => Int2::AddSat,
            (true, false) => Int2::Sub,
            (true, true) => Int2::SubSat,
        };
        if matches!(op, Int2::AddSat | Int2::SubSat) && (ty.bits != 32 || !ty.signed()) {
            return Err(m.unsupported("saturation of other types than s32"));
        }
        Ok(Op::Int2 { op, ty, d, a, b })
    }

    fn mad(&mut self, ty: Ty, wide: bool, high: bool, carry: (bool, bool), m: &mut Mods) -> Result<Op, PtxError> {
        m.operands(4..=4)?;
        let operands = &m.inst.operands;
        let a = self.source(&operands[1], ty, m.inst)?;
        let b = self.source(&operands[2], ty, m.inst)?;
        let bits = if wide { 2 * ty.bits } else { ty.bits };
        let c = self.source(&operands[3], Ty { bits, ..ty }, m.inst)?;
        let d = self.result(m, bits)?;
        let (takes, sets) = carry;
        if takes || sets {
            let op = if high { Carry::MadHi } else { Carry::MadLo };
            return Ok(Op::Carry { op, ty, d, a, b, c, cc: self.carry, takes, sets });
        }
        let op = if wide {
            Int3::MadWide
        } else if high {
            Int3::MadHi
        } else {
            Int3::MadLo
        };
        Ok(Op::Int3 { op, ty, d, a, b, c })
    }

    fn int3(&mut self, first: &str, m: &mut Mods) -> Result<Op, PtxError> {
        if first == "lop3" {
            return self.lop3(m);
        }
        if first == "dp4a" {
            let b_signed = m.ty()?.signed();
            let a_signed = m.ty()?.signed();
            let [a, b, c] = self.sources(m, Ty::U32)?;
            let op = Int3::Dp4a { a_signed, b_signed };
            return Ok(Op::Int3 { op, ty: Ty::U32, d: self.result(m, 32)?, a, b, c });
        }
        let mut permute = Permute::Index;
        if first == "prmt" {
            // Modes stand behind the type.
            let modes = [
                ("f4e", Permute::F4e),
                ("b4e", Permute::B4e),
                ("rc8", Permute::Rc8),
                ("ecl", Permute::Ecl),
                ("ecr", Permute::Ecr),
                ("rc16", Permute::Rc16),
            ];
            permute = m.choose(&modes).unwrap_or(Permute::Index);
        }
        let ty = m.integer()?;
        let op = match first {
            "sad" => Int3::Sad,
            "bfe" => Int3::Bfe,
            "prmt" => Int3::Prmt(permute),
            _ => {
                let left = m.need(&[("l", true), ("r", false)])?;
                let clamp = m.need(&[("clamp", true), ("wrap", false)])?;
                if left { Int3::ShfL { clamp } } else { Int3::ShfR { clamp } }
            }
        };
        let needs_32 = matches!(op, Int3::Prmt(_) | Int3::ShfL { .. } | Int3::ShfR { .. });
        if needs_32 && ty.bits != 32 || op == Int3::Bfe && ty.bits < 32 {
            return Err(m.unsupported("the type"));
        }
        m.operands(4..=4)?;
        let operands = &m.inst.operands;
        let a = self.source(&operands[1], ty, m.inst)?;
        let b = self.source(&operands[2], if op == Int3::Bfe { Ty::U32 } else { ty }, m.inst)?;
        let c = self.source(&operands[3], if op == Int3::Bfe { Ty::U32 } else { ty }, m.inst)?;
        Ok(Op::Int3 { op, ty, d: self.result(m, ty.bits)?, a, b, c })
    }

    fn lop3(&mut self, m: &mut Mods) -> Result<Op, PtxError> {
        let ty = m.integer()?;
        m.operands(5..=5)?;
        let operands = &m.inst.operands;
        let Operand::Int(table @ 0..=255) = operands[4] else { return Err(m.unsupported("the table")) };
        let a = self.source(&operands[1], ty, m.inst)?;
        let b = self.source(&operands[2], ty, m.inst)?;
        let c = self.source(&operands[3], ty, m.inst)?;
        if ty.bits != 32 {
            return Err(m.unsupported("the type"));
        }
        Ok(Op::Int3 { op: Int3::Lop3(table as u8), ty, d: self.result(m, 32)?, a, b, c })
    }

    fn bfi(&mut self, m: &mut Mods) -> Result<Op, PtxError> {
        let ty = m.integer()?;
        m.operands(5..=5)?;
        let operands = &m.inst.operands;
        let a = self.source(&operands[1], ty, m.inst)?;
        let b = self.source(&operands[2], ty, m.inst)?;
        let start = self.source(&operands[3], Ty::U32, m.inst)?;
        let length = self.source(&operands[4], Ty::U32, m.inst)?;
        if ty.bits < 32 {
            return Err(m.unsupported("the type"));
        }
        Ok(Op::Bfi { bits: ty.bits, d: self.result(m, ty.bits)?, a, b, start, length })
    }

    /// f32 or f64, never f16.
    fn float_type(&mut self, m: &mut Mods) -> Result<Ty, PtxError> {
        let ty = m.ty()?;
        if ty.float() && ty.bits >= 32 { Ok(ty) } else { Err(m.unsupported("the type")) }
    }

    fn float1(&mut self, first: &str, m: &mut Mods) -> Result<Op, PtxError> {
        let ty = self.float_type(m)?;
        let op = match first {
            "neg" => Float1::Neg,
            "abs" => Float1::Abs,
            _ => {
                m.must("rn")?;
                if first == "sqrt" { Float1::Sqrt } else { Float1::Rcp }
            }
        };
        let [a] = self.sources(m, ty)?;
        Ok(Op::Float1 { op, double: ty.bits == 64, d: self.result(m, ty.bits)?, a })
    }

    fn float2(&mut self, first: &str, m: &mut Mods) -> Result<Op, PtxError> {
        let ty = self.float_type(m)?;
        let op = match first {
            "min" => Float2::Min { nan: m.take("NaN") },
            "max" => Float2::Max { nan: m.take("NaN") },
            "copysign" => Float2::CopySign,
            _ => {
                // Without .rn, the assembler may contract a product and a sum to one fma.
                if !m.take("rn") {
                    let why = "without .rn it may be contracted, or it rounds otherwise";
                    return Err(PtxError::inexact(m.inst.line, &m.inst.opcode, why));
                }
                match first {
                    "add" => Float2::Add,
                    "sub" => Float2::Sub,
                    "mul" => Float2::Mul,
                    _ => Float2::Div,
                }
            }
        };
        let [a, b] = self.sources(m, ty)?;
        Ok(Op::Float2 { op, double: ty.bits == 64, d: self.result(m, ty.bits)?, a, b })
    }

    fn fma(&mut self, first: &str, m: &mut Mods) -> Result<Op, PtxError> {
        let ty = self.float_type(m)?;
        if first == "mad" {
            return Err(m.unsupported("mad of floats"));
        }
        m.must("rn")?;
        let [a, b, c] = self.sources(m, ty)?;
        Ok(Op::Fma { double: ty.bits == 64, d: self.result(m, ty.bits)?, a, b, c })
    }

    fn setp(&mut self, m: &mut Mods) -> Result<Op, PtxError> {
        let ty = m.ty()?;
        if matches!(ty.kind, Kind::Pred | Kind::Bf16) || ty.bits < 16 || ty.float() && ty.bits < 32 {
            return Err(m.unsupported("the type"));
        }
        let (cmp, unordered) = m.need(&[
            ("eq", (Cmp::Eq, false)),
            ("ne", (Cmp::Ne, false)),
            ("lt", (Cmp::Lt, false)),
            ("le", (Cmp::Le, false)),
            ("gt", (Cmp::Gt, false)),
            ("ge", (Cmp::Ge, false)),
            ("lo", (Cmp::Lt, false)),
            ("ls", (Cmp::Le, false)),
            ("hi", (Cmp::Gt, false)),
            ("hs", (Cmp::Ge, false)),
            ("equ", (Cmp::Eq, true)),
            ("neu", (Cmp::Ne, true)),
            ("ltu", (Cmp::Lt, true)),
            ("leu", (Cmp::Le, true)),
            ("gtu", (Cmp::Gt, true)),
            ("geu", (Cmp::Ge, true)),
            ("num", (Cmp::Num, false)),
            ("nan", (Cmp::Nan, false)),
        ])?;
        if (unordered || matches!(cmp, Cmp::Num | Cmp::Nan)) && !ty.float() {
            return Err(m.unsupported("a float's comparison"));
        }
        let with = m.choose(&[("and", Bool::And), ("or", Bool::Or), ("xor", Bool::Xor)]);
        let count = 3 + usize::from(with.is_some());
        m.operands(count..=count)?;
        let operands = &m.inst.operands;
        let (d, q) = match &operands[0] {
            Operand::Pair(d, q) => {
                let (d, q) = (Operand::Name(d.clone()), Operand::Name(q.clone()));
                (self.target(&d, 1, m.inst)?, self.target(&q, 1, m.inst)?)
            }
            d => (self.target(d, 1, m.inst)?, self.sink),
        };
        let a = self.source(&operands[1], ty, m.inst)?;
        let b = self.source(&operands[2], ty, m.inst)?;
        let with = match with {
            Some(with) => Some((with, self.source(&operands[3], Ty::PRED, m.inst)?)),
            None => None,
        };
        Ok(Op::Setp { cmp, unordered, ty, d, q, a, b, with })
    }
}

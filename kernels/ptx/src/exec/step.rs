//! One instruction of one warp.

use super::{Machine, Outcome, alu, float};
use crate::exec::columns::lanes;
use crate::finding::{Check, Trouble};
use crate::inst::{Inst, Int2, Op, R, Space};
use crate::memory::{LOCAL_WINDOW, PARAM_WINDOW, SHARED_WINDOW};
use crate::types::{Ty, mask as bit_mask};

impl Machine<'_> {
    pub fn step(&mut self, w: usize) -> Outcome {
        let kernel = self.kernel;
        let (pc, mask) = self.warps[w].select();
        let inst = &kernel.code[pc as usize];
        self.at = (pc, w);
        let active = match inst.guard {
            None => mask,
            Some((p, negated)) => {
                let set = self.warps[w].columns.predicate(mask, p);
                if negated { mask & !set } else { set }
            }
        };
        let count = &mut self.counts[pc as usize];
        count.issued += 1;
        count.threads += u64::from(active.count_ones());
        self.issued += 1;
        if self.issued > self.options.limit {
            return Err(Trouble::new(Check::Endless, 0, format!("more than {} instructions", self.options.limit)));
        }
        match &inst.op {
            Op::Branch { target } => {
                let warp = &mut self.warps[w];
                warp.go(mask & !active, pc + 1);
                // Where lanes part, those left behind have been moved: the others still stand at this instruction.
                warp.go(active, *target);
                Ok(())
            }
            Op::BranchTable { index, targets } => self.branch_table(w, pc, mask, active, (*index, targets)),
            Op::Exit => self.exit(w, pc, mask, active),
            Op::Shfl { .. }
            | Op::Vote { .. }
            | Op::Match { .. }
            | Op::Redux { .. }
            | Op::WarpSync { .. }
            | Op::Ldmatrix { .. }
            | Op::Mma(_)
            | Op::MmaTf32(_)
            | Op::Barrier { .. } => self.meet(w, pc, mask, active),
            _ => {
                if active != 0 {
                    self.plain(w, active, inst)?;
                }
                self.warps[w].go(mask, pc + 1);
                Ok(())
            }
        }
    }

    fn branch_table(&mut self, w: usize, pc: u32, mask: u32, active: u32, table: (R, &[u32])) -> Outcome {
        let column = *self.warps[w].columns.get(table.0);
        self.warps[w].go(mask & !active, pc + 1);
        for lane in lanes(active) {
            let Some(target) = table.1.get(column[lane] as usize) else {
                return Err(Trouble::new(
                    Check::Bounds,
                    lane,
                    format!("entry {} of a table of {}", column[lane], table.1.len()),
                ));
            };
            self.warps[w].go(1 << lane, *target);
        }
        Ok(())
    }

    fn exit(&mut self, w: usize, pc: u32, mask: u32, active: u32) -> Outcome {
        let warp = &mut self.warps[w];
        if let Some(copy) = warp.copies.iter().find(|copy| active >> copy.lane & 1 != 0) {
            return Err(Trouble::new(
                Check::CopyInFlight,
                copy.lane,
                "the thread ends with a cp.async in flight".into(),
            ));
        }
        warp.go(mask & !active, pc + 1);
        if active != 0 {
            warp.end(active);
        }
        Ok(())
    }

    /// Instructions that lanes run by themselves.
    fn plain(&mut self, w: usize, mask: u32, inst: &Inst) -> Outcome {
        let c = &mut self.warps[w].columns;
        match &inst.op {
            Op::Move { d, a } => c.map1(mask, *d, *a, |x| x),
            Op::Pack { d, parts, count, bits } => self.pack(w, mask, *d, &parts[..*count as usize], *bits),
            Op::Unpack { d, count, bits, a } => {
                for (i, d) in d.iter().enumerate().take(*count as usize) {
                    let (shift, keep) = (*bits * i as u32, bit_mask(*bits));
                    c.map1(mask, *d, *a, |x| x >> shift & keep);
                }
            }
            Op::Int1 { op, ty, d, a } => alu::int1(c, mask, *op, *ty, *d, *a),
            Op::Int2 { op, ty, d, a, b } => {
                if matches!(op, Int2::Div | Int2::Rem) {
                    no_zero(c.get(*b), *ty, mask)?;
                }
                alu::int2(c, mask, *op, *ty, *d, [*a, *b]);
            }
            Op::Int3 { op, ty, d, a, b, c: third } => alu::int3(c, mask, *op, *ty, *d, [*a, *b, *third]),
            Op::Bfi { bits, d, a, b, start, length } => alu::insert(c, mask, *bits, *d, [*a, *b, *start, *length]),
            Op::Carry { op, ty, d, a, b, c: third, cc, takes, sets } => {
                let chain = alu::CarryChain { op: *op, ty: *ty, cc: *cc, takes: *takes, sets: *sets };
                alu::carry(c, mask, &chain, *d, [*a, *b, *third]);
            }
            Op::Float1 { op, double, d, a } => float::float1(c, mask, *op, *double, *d, *a),
            Op::Float2 { op, double, d, a, b } => float::float2(c, mask, *op, *double, *d, [*a, *b]),
            Op::Fma { double, d, a, b, c: third } => float::fma(c, mask, *double, *d, [*a, *b, *third]),
            Op::Setp { cmp, unordered, ty, d, q, a, b, with } => {
                float::setp(c, mask, (*cmp, *unordered), *ty, [*d, *q], [*a, *b], *with);
            }
            Op::Selp { d, a, b, p } => c.map3(mask, *d, [*a, *b, *p], |a, b, p| if p & 1 != 0 { a } else { b }),
            Op::Convert { cast, to, from, d, d_bits, a } => {
                float::convert(c, mask, *cast, *to, *from, (*d, *d_bits), *a)
            }
            Op::Cvta { space, to_generic, d, a } => {
                let window = match space {
                    Space::Shared => SHARED_WINDOW,
                    Space::Local => LOCAL_WINDOW,
                    Space::Param => PARAM_WINDOW,
                    Space::Global | Space::Generic => 0,
                };
                let offset = if *to_generic { window } else { window.wrapping_neg() };
                c.map1(mask, *d, *a, |x| x.wrapping_add(offset));
            }
            Op::ActiveMask { d } => c.map1(mask, *d, *d, |_| u64::from(mask)),
            Op::Load { .. } | Op::Store { .. } | Op::Atom { .. } => return self.memory(w, mask, inst),
            Op::CpAsync { to, from, bytes, source_bytes } => {
                return self.start_copies(w, mask, (*to, *from), *bytes as usize, *source_bytes);
            }
            Op::CpCommit => lanes(mask).for_each(|lane| self.warps[w].groups[lane] += 1),
            Op::CpWait { pending } => return self.finish_copies(w, mask, *pending),
            Op::Trap => return Err(Trouble::new(Check::Trap, mask.trailing_zeros() as usize, "trap".into())),
            // Fences order nothing here that is not in order already: blocks run one by one.
            _ => {}
        }
        Ok(())
    }

    fn pack(&mut self, w: usize, mask: u32, d: R, parts: &[R], bits: u32) {
        let c = &mut self.warps[w].columns;
        let mut out = [0; 32];
        for (i, part) in parts.iter().enumerate() {
            for (out, part) in out.iter_mut().zip(c.get(*part)) {
                *out |= (part & bit_mask(bits)) << (bits * i as u32);
            }
        }
        c.write(mask, d, &out);
    }
}

fn no_zero(column: &[u64; 32], ty: Ty, mask: u32) -> Outcome {
    match lanes(mask).find(|lane| column[*lane] & ty.mask() == 0) {
        Some(lane) => Err(Trouble::new(Check::DivisionByZero, lane, "the divisor is 0".into())),
        None => Ok(()),
    }
}

//! What lanes do together: a collective runs once all lanes that it names stand at it, a barrier once all warps do.

use super::columns::{Column, LANES, lanes};
use super::{Machine, Outcome};
use crate::finding::{Check, Trouble};
use crate::inst::{Inst, Op, R, Reduce, Rmw, Shuffle, Vote};
use crate::mma;
use crate::types::{Ty, mask as bit_mask};

impl Machine<'_> {
    /// Lanes come to a collective or a barrier.
    pub fn meet(&mut self, w: usize, pc: u32, mask: u32, active: u32) -> Outcome {
        let kernel = self.kernel;
        let inst = &kernel.code[pc as usize];
        if active == 0 {
            self.warps[w].go(mask, pc + 1);
            return Ok(());
        }
        if let Op::Barrier { .. } = inst.op {
            let warp = &mut self.warps[w];
            warp.go(mask & !active, pc + 1);
            warp.wait(active);
            return Ok(());
        }
        let named = self.named(w, inst);
        if let Some(lane) = lanes(active).find(|lane| named[*lane] >> lane & 1 == 0) {
            return Err(Trouble::new(
                Check::MissingLanes,
                lane,
                format!("the mask {:#010x} leaves the lane out", named[lane]),
            ));
        }
        if lanes(active).all(|lane| named[lane] as u32 == active) {
            self.together(w, active, inst)?;
            self.warps[w].go(mask, pc + 1);
            return Ok(());
        }
        let warp = &mut self.warps[w];
        warp.go(mask & !active, pc + 1);
        warp.wait(active);
        self.complete(w, pc, inst)
    }

    /// The lanes that each lane says take part.
    fn named(&self, w: usize, inst: &Inst) -> Column {
        let c = &self.warps[w].columns;
        match &inst.op {
            Op::Shfl { mask, .. }
            | Op::Vote { mask, .. }
            | Op::Match { mask, .. }
            | Op::Redux { mask, .. }
            | Op::WarpSync { mask } => *c.get(*mask),
            _ => [0xffff_ffff; LANES],
        }
    }

    /// Runs those of the waiting groups that are whole. Lanes may come to `bar.warp.sync` from different places.
    fn complete(&mut self, w: usize, pc: u32, inst: &Inst) -> Outcome {
        let kernel = self.kernel;
        let syncs = |at: u32| matches!(kernel.code[at as usize].op, Op::WarpSync { .. });
        let warp = &self.warps[w];
        let here = if syncs(pc) {
            lanes(warp.waiting()).filter(|lane| syncs(warp.place(*lane))).fold(0, |mask, lane| mask | 1 << lane)
        } else {
            warp.waiting_at(pc)
        };
        let mut masks = [0u32; LANES];
        for lane in lanes(here) {
            masks[lane] = self.named(w, &kernel.code[warp.place(lane) as usize])[lane] as u32;
        }
        let mut left = here;
        while left != 0 {
            let lane = left.trailing_zeros() as usize;
            let group = masks[lane];
            left &= !group & !(1 << lane);
            if group & !here == 0 && lanes(group).all(|other| masks[other] == group) {
                self.together(w, group, inst)?;
                self.warps[w].release(group);
            }
        }
        Ok(())
    }

    /// No lane of a warp can go on by itself: it has ended, or all of it waits at one barrier, or it never will.
    pub fn stalled(&mut self, w: usize) -> Outcome {
        let kernel = self.kernel;
        let warp = &mut self.warps[w];
        if warp.live == 0 {
            return Ok(());
        }
        let first = warp.live.trailing_zeros() as usize;
        let pc = warp.place(first);
        let barrier = matches!(kernel.code[pc as usize].op, Op::Barrier { .. });
        if barrier && warp.waiting_at(pc) == warp.live {
            warp.barrier = Some(pc);
            return Ok(());
        }
        self.at = (pc, w);
        let mut places: Vec<(u32, u32)> = Vec::new();
        for lane in lanes(warp.live) {
            let place = warp.place(lane);
            match places.iter_mut().find(|(at, _)| *at == place) {
                Some((_, mask)) => *mask |= 1 << lane,
                None => places.push((place, 1 << lane)),
            }
        }
        let text: Vec<String> = places
            .iter()
            .map(|(at, mask)| format!("lanes {mask:#010x} at PTX line {}", kernel.code[*at as usize].line))
            .collect();
        let any_barrier = places.iter().any(|(at, _)| matches!(kernel.code[*at as usize].op, Op::Barrier { .. }));
        let check = if any_barrier { Check::BarrierDivergence } else { Check::MissingLanes };
        let detail = format!("the warp's lanes wait for each other: {}; ended {:#010x}", text.join(", "), !warp.live);
        Err(Trouble::new(check, first, detail))
    }

    /// Every warp has ended or waits at a barrier.
    pub fn release_barriers(&mut self) -> Outcome {
        let kernel = self.kernel;
        let waiting: Vec<usize> = (0..self.warps.len()).filter(|w| self.warps[*w].barrier.is_some()).collect();
        let mut groups: Vec<(u64, Option<u64>, u32, Vec<usize>)> = Vec::new();
        for &w in &waiting {
            let warp = &self.warps[w];
            let (Some(pc), lane) = (warp.barrier, warp.live.trailing_zeros() as usize) else { continue };
            let Op::Barrier { id, count, .. } = &kernel.code[pc as usize].op else { continue };
            let id = warp.columns.get(*id)[lane];
            let count = count.map(|r| warp.columns.get(r)[lane]);
            match groups.iter_mut().find(|(i, c, _, _)| *i == id && *c == count) {
                Some(group) => group.3.push(w),
                None => groups.push((id, count, pc, vec![w])),
            }
        }
        let mut released = false;
        for (id, count, pc, members) in &groups {
            let arrived: u64 = members.iter().map(|w| u64::from(self.warps[*w].live.count_ones())).sum();
            let expected = count.unwrap_or(self.threads as u64);
            self.at = (*pc, members[0]);
            let same_place = members.iter().all(|w| self.warps[*w].barrier == Some(*pc));
            if arrived != expected || !same_place && count.is_none() {
                continue;
            }
            if *id >= 16 {
                return Err(Trouble::new(Check::BarrierDivergence, 0, format!("barrier {id} of 16")));
            }
            self.pass(members);
            released = true;
        }
        if released { Ok(()) } else { Err(self.stuck(&groups)) }
    }

    fn stuck(&self, groups: &[(u64, Option<u64>, u32, Vec<usize>)]) -> Box<Trouble> {
        let mut text = Vec::new();
        for (id, count, _, members) in groups {
            for w in members {
                let warp = &self.warps[*w];
                let line = warp.barrier.map_or(0, |pc| self.kernel.code[pc as usize].line);
                let (lanes, expected) = (warp.live.count_ones(), count.unwrap_or(self.threads as u64));
                text.push(format!("{lanes} threads of warp {w} at barrier {id} for {expected}, PTX line {line}"));
            }
        }
        let ended = self.threads as u32 - self.warps.iter().map(|warp| warp.live.count_ones()).sum::<u32>();
        text.push(format!("{ended} threads have ended"));
        let lane = self.warps[self.at.1].live.trailing_zeros() as usize;
        Trouble::new(Check::BarrierDivergence, lane, text.join("; "))
    }

    /// The members go on behind their barrier.
    fn pass(&mut self, members: &[usize]) {
        let kernel = self.kernel;
        self.clocks.sync_warps(members);
        let (mut holding, mut all) = (0u64, 0u64);
        for &w in members {
            let warp = &self.warps[w];
            all += u64::from(warp.live.count_ones());
            if let Some(Op::Barrier { reduce: Some((_, _, p)), .. }) =
                warp.barrier.map(|pc| &kernel.code[pc as usize].op)
            {
                holding += u64::from(warp.columns.predicate(warp.live, *p).count_ones());
            }
        }
        for &w in members {
            let warp = &mut self.warps[w];
            let Some(pc) = warp.barrier.take() else { continue };
            if let Op::Barrier { reduce: Some((op, d, _)), .. } = &kernel.code[pc as usize].op {
                let value = match op {
                    Reduce::And => u64::from(holding == all),
                    Reduce::Or => u64::from(holding > 0),
                    Reduce::Popc => holding,
                };
                warp.columns.map1(warp.live, *d, *d, |_| value);
            }
            warp.release(warp.live);
        }
    }

    /// A collective of these lanes, all of which stand at it.
    fn together(&mut self, w: usize, mask: u32, inst: &Inst) -> Outcome {
        let c = &mut self.warps[w].columns;
        match &inst.op {
            Op::Shfl { mode, d, p, a, b, c: clamp, .. } => self.shuffle(w, mask, *mode, [*d, *p], [*a, *b, *clamp])?,
            Op::Vote { op, d, a, .. } => {
                let set = c.predicate(mask, *a);
                let value = match op {
                    Vote::All => u64::from(set == mask),
                    Vote::Any => u64::from(set != 0),
                    Vote::Uni => u64::from(set == mask || set == 0),
                    Vote::Ballot => u64::from(set),
                };
                c.map1(mask, *d, *d, |_| value);
            }
            Op::Match { all, bits, d, p, a, .. } => {
                let (column, keep) = (*c.get(*a), bit_mask(*bits));
                for lane in lanes(mask) {
                    let equal = lanes(mask).filter(|other| (column[*other] ^ column[lane]) & keep == 0);
                    let equal = equal.fold(0u32, |set, other| set | 1 << other);
                    let value = if *all && equal != mask { 0 } else { equal };
                    c.put(*d, lane, u64::from(value));
                    c.put(*p, lane, u64::from(equal == mask));
                }
            }
            Op::Redux { op, ty, d, a, .. } => {
                let column = *c.get(*a);
                let value = lanes(mask).map(|lane| column[lane]).reduce(|x, y| combine(*op, *ty, x, y)).unwrap_or(0);
                c.map1(mask, *d, *d, |_| value);
            }
            Op::WarpSync { .. } => self.clocks.sync_lanes(w, mask),
            Op::Ldmatrix { d, count, transposed, addr } => {
                self.load_matrices(w, (*d, *count as usize), *transposed, *addr)?;
            }
            Op::Mma(op) => mma::execute(c, op),
            Op::MmaTf32(op) => mma::execute_tf32(c, op)?,
            _ => {}
        }
        Ok(())
    }

    /// The segment's bounds come from the clamp operand: bits 0 to 4 the last lane, bits 8 to 12 the segment mask.
    fn shuffle(&mut self, w: usize, mask: u32, mode: Shuffle, to: [R; 2], from: [R; 3]) -> Outcome {
        let c = &mut self.warps[w].columns;
        let [a, b, clamp] = from.map(|r| *c.get(r));
        let mut values = [(0, 0); LANES];
        for lane in lanes(mask) {
            let (b, clamp) = (b[lane] as usize & 31, clamp[lane] as usize);
            let segment = clamp >> 8 & 31;
            let low = lane & segment;
            let last = low | clamp & 31 & !segment;
            let (source, inside) = match mode {
                Shuffle::Up => (lane.wrapping_sub(b), lane as isize - b as isize >= last as isize),
                Shuffle::Down => (lane + b, lane + b <= last),
                Shuffle::Bfly => (lane ^ b, lane ^ b <= last),
                Shuffle::Idx => (low | b & !segment, low | b & !segment <= last),
            };
            let source = if inside { source } else { lane };
            if mask >> source & 1 == 0 {
                return Err(Trouble::new(
                    Check::MissingLanes,
                    lane,
                    format!("reads lane {source}, which takes no part"),
                ));
            }
            values[lane] = (a[source], u64::from(inside));
        }
        for lane in lanes(mask) {
            c.put(to[1], lane, values[lane].1);
            c.put(to[0], lane, values[lane].0);
        }
        Ok(())
    }
}

/// An order-free integer operation on two values of a type.
pub(crate) fn combine(op: Rmw, ty: Ty, x: u64, y: u64) -> u64 {
    let signed = |v| ty.extend(v) as i64;
    match op {
        Rmw::Add => x.wrapping_add(y) & ty.mask(),
        Rmw::Min if ty.signed() => {
            if signed(x) < signed(y) {
                x
            } else {
                y
            }
        }
        Rmw::Min => x.min(y),
        Rmw::Max if ty.signed() => {
            if signed(x) > signed(y) {
                x
            } else {
                y
            }
        }
        Rmw::Max => x.max(y),
        Rmw::And => x & y,
        Rmw::Or => x | y,
        Rmw::Xor => x ^ y,
        Rmw::Exch | Rmw::Cas => y,
        Rmw::Inc => {
            if x >= y {
                0
            } else {
                x + 1
            }
        }
        Rmw::Dec => {
            if x == 0 || x > y {
                y
            } else {
                x - 1
            }
        }
    }
}

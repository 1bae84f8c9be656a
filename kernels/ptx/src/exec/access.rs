//! Loads, stores and atomics, with the checks every access goes through.

use super::collective::combine;
use super::columns::{Column, lanes};
use super::{Machine, Outcome};
use crate::finding::{Check, Trouble};
use crate::inst::{Addr, Inst, Op, R, Rmw, Space};
use crate::memory::{LOCAL_WINDOW, PARAM_WINDOW, SHARED_WINDOW, WINDOW};
use crate::race::Access;
use crate::types::{Ty, mask as bit_mask};

/// One lane's access: where and how.
#[derive(Clone, Copy)]
struct Lane {
    w: usize,
    lane: usize,
    space: Space,
    address: u64,
    bytes: usize,
    strong: bool,
}

impl Machine<'_> {
    pub fn addresses(&self, w: usize, addr: Addr) -> Column {
        let keep = if addr.narrow { 0xffff_ffff } else { u64::MAX };
        self.warps[w].columns.get(addr.base).map(|base| base.wrapping_add(addr.offset) & keep)
    }

    pub fn memory(&mut self, w: usize, mask: u32, inst: &Inst) -> Outcome {
        let (space, addr, bytes, write) = match &inst.op {
            Op::Load { space, addr, ty, count, .. } => (*space, *addr, ty.bytes() * u64::from(*count), false),
            Op::Store { space, addr, ty, count, .. } => (*space, *addr, ty.bytes() * u64::from(*count), true),
            Op::Atom { space, addr, ty, .. } => (*space, *addr, ty.bytes(), true),
            _ => return Ok(()),
        };
        let addresses = self.addresses(w, addr);
        if space != Space::Generic {
            return self.access(w, mask, inst, space, &addresses, (bytes, write));
        }
        for (space, window) in [
            (Space::Shared, SHARED_WINDOW),
            (Space::Local, LOCAL_WINDOW),
            (Space::Param, PARAM_WINDOW),
            (Space::Global, 0),
        ] {
            let inside = |address: u64| match window {
                0 => !(SHARED_WINDOW..PARAM_WINDOW + WINDOW).contains(&address),
                _ => (window..window + WINDOW).contains(&address),
            };
            let members = lanes(mask).filter(|lane| inside(addresses[*lane])).fold(0, |set, lane| set | 1 << lane);
            if members != 0 {
                let own = addresses.map(|address| address.wrapping_sub(window));
                self.access(w, members, inst, space, &own, (bytes, write))?;
            }
        }
        Ok(())
    }

    fn access(
        &mut self,
        w: usize,
        mask: u32,
        inst: &Inst,
        space: Space,
        addresses: &Column,
        (bytes, write): (u64, bool),
    ) -> Outcome {
        for lane in lanes(mask) {
            let at = Lane { w, lane, space, address: addresses[lane], bytes: bytes as usize, strong: false };
            match &inst.op {
                Op::Load { ty, strong, coherent, d, count, d_bits, .. } => {
                    if !coherent && space == Space::Global {
                        self.check_read_only(at)?;
                    }
                    self.load(Lane { strong: *strong, ..at }, *ty, &d[..*count as usize], *d_bits)?;
                }
                Op::Store { ty, strong, s, count, .. } => {
                    self.store(Lane { strong: *strong, ..at }, *ty, &s[..*count as usize])?
                }
                Op::Atom { op, ty, d, a, b, .. } => self.atomic(at, *op, *ty, *d, [*a, *b])?,
                _ => {}
            }
        }
        match space {
            Space::Global | Space::Generic => self.count_global(mask, addresses, bytes, write),
            Space::Shared => self.count_shared(mask, addresses, bytes),
            Space::Local | Space::Param => {}
        }
        Ok(())
    }

    fn load(&mut self, at: Lane, ty: Ty, d: &[R], d_bits: u32) -> Outcome {
        let mut data = [0; 32];
        let Lane { w, lane, address, bytes, .. } = at;
        match at.space {
            Space::Global | Space::Generic => {
                self.read_global(w, lane, address, bytes as u64, bytes, at.strong, &mut data)?;
            }
            Space::Shared => {
                let from = self.shared_at(lane, address, bytes as u64)?;
                self.check_written(lane, from, bytes)?;
                self.touch_shared_as(lane, self.access_by(at, false), from, bytes)?;
                data[..bytes].copy_from_slice(&self.shared.data[from..from + bytes]);
            }
            Space::Param => {
                let from = self.offset(at, self.params.len(), "the parameters")?;
                data[..bytes].copy_from_slice(&self.params[from..from + bytes]);
            }
            Space::Local => {
                let from = self.local_at(at)?;
                if !self.warps[w].local_written[from..from + bytes].iter().all(|w| *w) {
                    return Err(Trouble::at(Check::Uninitialised, lane, address, "local memory nobody wrote".into()));
                }
                data[..bytes].copy_from_slice(&self.warps[w].local[from..from + bytes]);
            }
        }
        let step = ty.bytes() as usize;
        for (d, part) in d.iter().zip(data.chunks_exact(step)) {
            let mut raw = [0; 8];
            raw[..step].copy_from_slice(part);
            self.warps[w].columns.put(*d, lane, ty.extend(u64::from_le_bytes(raw)) & bit_mask(d_bits));
        }
        Ok(())
    }

    fn store(&mut self, at: Lane, ty: Ty, s: &[R]) -> Outcome {
        let mut data = [0; 32];
        let Lane { w, lane, address, bytes, .. } = at;
        let step = ty.bytes() as usize;
        for (s, part) in s.iter().zip(data.chunks_exact_mut(step)) {
            part.copy_from_slice(&self.warps[w].columns.get(*s)[lane].to_le_bytes()[..step]);
        }
        match at.space {
            Space::Global | Space::Generic => self.write_global(at, &data[..bytes])?,
            Space::Shared => {
                let to = self.shared_at(lane, address, bytes as u64)?;
                self.touch_shared_as(lane, self.access_by(at, true), to, bytes)?;
                self.shared.data[to..to + bytes].copy_from_slice(&data[..bytes]);
                self.shared.written[to..to + bytes].fill(true);
            }
            Space::Local => {
                let to = self.local_at(at)?;
                let warp = &mut self.warps[w];
                warp.local[to..to + bytes].copy_from_slice(&data[..bytes]);
                warp.local_written[to..to + bytes].fill(true);
            }
            Space::Param => {
                return Err(Trouble::at(Check::ReadOnly, lane, address, "a store to the parameters".into()));
            }
        }
        Ok(())
    }

    fn atomic(&mut self, at: Lane, op: Rmw, ty: Ty, d: R, [a, b]: [R; 2]) -> Outcome {
        let Lane { w, lane, address, bytes, space, .. } = at;
        let c = &self.warps[w].columns;
        let (a, b) = (c.get(a)[lane], c.get(b)[lane]);
        let mut raw = [0; 8];
        let shared = match space {
            Space::Shared => {
                let from = self.shared_at(lane, address, bytes as u64)?;
                self.check_written(lane, from, bytes)?;
                let access = Access { thread: self.thread(w, lane), write: true, atomic: true };
                self.touch_shared_as(lane, access, from, bytes)?;
                raw[..bytes].copy_from_slice(&self.shared.data[from..from + bytes]);
                Some(from)
            }
            Space::Global | Space::Generic => {
                let mut data = [0; 32];
                self.read_global(w, lane, address, bytes as u64, bytes, true, &mut data)?;
                raw[..bytes].copy_from_slice(&data[..bytes]);
                None
            }
            _ => return Err(Trouble::at(Check::Bounds, lane, address, "an atomic neither global nor shared".into())),
        };
        let old = u64::from_le_bytes(raw);
        let new = match op {
            Rmw::Cas if old == a => b,
            Rmw::Cas => old,
            _ => combine(op, ty, old, a),
        };
        let new = new.to_le_bytes();
        match shared {
            Some(to) => self.shared.data[to..to + bytes].copy_from_slice(&new[..bytes]),
            None => self.write_global(Lane { strong: true, ..at }, &new[..bytes])?,
        }
        self.warps[w].columns.put(d, lane, old);
        Ok(())
    }

    fn access_by(&self, at: Lane, write: bool) -> Access {
        Access { thread: self.thread(at.w, at.lane), write, atomic: at.strong }
    }

    /// Reads `wanted` of the `bytes` that the address must be aligned to and that must lie in its allocation.
    #[allow(clippy::too_many_arguments)]
    pub fn read_global(
        &mut self,
        w: usize,
        lane: usize,
        address: u64,
        bytes: u64,
        wanted: usize,
        strong: bool,
        data: &mut [u8],
    ) -> Outcome {
        let (index, at) = self.device.locate(lane, address, bytes)?;
        let allocation = &self.device.allocations[index];
        if let Some(gap) = allocation.written[at..at + wanted].iter().position(|w| !w) {
            let detail = format!("byte {} of {} was never written", at + gap, allocation.name);
            return Err(Trouble::at(Check::Uninitialised, lane, address, detail));
        }
        data[..wanted].copy_from_slice(&allocation.data[at..at + wanted]);
        let access = Access { thread: self.thread(w, lane), write: false, atomic: strong };
        self.touch_global(lane, index, access, (at, wanted))
    }

    /// What `ld.global.nc` reads must not be written in the launch.
    fn check_read_only(&self, place: Lane) -> Outcome {
        let Lane { lane, address, bytes, .. } = place;
        let (index, at) = self.device.locate(lane, address, bytes as u64)?;
        let allocation = &self.device.allocations[index];
        match allocation.shadow.is_written(at, bytes) {
            false => Ok(()),
            true => {
                let detail =
                    format!("byte {at} of {}, which this launch writes, by the read-only path", allocation.name);
                Err(Trouble::at(Check::NonCoherent, lane, address, detail))
            }
        }
    }

    fn write_global(&mut self, place: Lane, data: &[u8]) -> Outcome {
        let Lane { lane, address, bytes, .. } = place;
        let (index, at) = self.device.locate(lane, address, bytes as u64)?;
        if self.device.allocations[index].read_only {
            return Err(Trouble::at(Check::ReadOnly, lane, address, self.device.allocations[index].name.clone()));
        }
        self.touch_global(lane, index, self.access_by(place, true), (at, bytes))?;
        let allocation = &mut self.device.allocations[index];
        allocation.data[at..at + bytes].copy_from_slice(data);
        allocation.written[at..at + bytes].fill(true);
        Ok(())
    }

    fn touch_global(&mut self, lane: usize, index: usize, access: Access, range: (usize, usize)) -> Outcome {
        let allocation = &mut self.device.allocations[index];
        let size = allocation.data.len();
        let Err(conflict) = allocation.shadow.touch(&self.clocks, self.block_index, access, range, size) else {
            return Ok(());
        };
        if !self.options.races {
            return Ok(());
        }
        let address = allocation.base + range.0 as u64;
        let did = if conflict.wrote { "wrote" } else { "read" };
        let does = if access.write { "write" } else { "read" };
        let here = format!("byte {} of {}", range.0, allocation.name);
        let (check, detail) = match conflict.thread {
            Some(thread) if conflict.block == self.block_index => (
                Check::Race,
                format!("{does} of {here}, which thread {thread} of the block {did}, with no barrier between"),
            ),
            Some(thread) => {
                let other = conflict.block;
                (
                    Check::BlockRace,
                    format!("{does} of {here}, which thread {thread} of block {other} {did} in the same launch"),
                )
            }
            None => (Check::BlockRace, format!("{does} of {here}, which other blocks {did} in the same launch")),
        };
        Err(Trouble::at(check, lane, address, detail))
    }

    pub fn shared_at(&self, lane: usize, address: u64, bytes: u64) -> Outcome<usize> {
        let size = self.shared.data.len() as u64;
        let inside = address < size && address + bytes <= size;
        if !inside || !self.shared.mapped[address as usize..(address + bytes) as usize].iter().all(|mapped| *mapped) {
            let detail = format!("{bytes} bytes at {address} of shared memory, in no variable");
            return Err(Trouble::at(Check::Bounds, lane, address, detail));
        }
        if !address.is_multiple_of(bytes) {
            return Err(Trouble::at(
                Check::Alignment,
                lane,
                address,
                format!("{bytes} bytes at {address} of shared memory"),
            ));
        }
        Ok(address as usize)
    }

    fn check_written(&self, lane: usize, at: usize, bytes: usize) -> Outcome {
        if self.shared.flying > 0 {
            self.check_in_flight(lane, at, bytes)?;
        }
        match self.shared.written[at..at + bytes].iter().position(|w| !w) {
            None => Ok(()),
            Some(gap) => {
                let detail = format!("byte {} of shared memory was never written", at + gap);
                Err(Trouble::at(Check::Uninitialised, lane, at as u64, detail))
            }
        }
    }

    fn check_in_flight(&self, lane: usize, at: usize, bytes: usize) -> Outcome {
        match self.shared.in_flight[at..at + bytes].iter().position(|thread| *thread != 0) {
            None => Ok(()),
            Some(gap) => {
                let (byte, thread) = (at + gap, self.shared.in_flight[at + gap] - 1);
                let detail =
                    format!("byte {byte} of shared memory, into which thread {thread}'s cp.async is in flight");
                Err(Trouble::at(Check::CopyInFlight, lane, byte as u64, detail))
            }
        }
    }

    pub fn read_shared(&mut self, w: usize, lane: usize, at: usize, data: &mut [u8]) -> Outcome {
        self.check_written(lane, at, data.len())?;
        self.touch_shared(w, lane, at, data.len(), false)?;
        data.copy_from_slice(&self.shared.data[at..at + data.len()]);
        Ok(())
    }

    pub fn touch_shared_as(&mut self, lane: usize, access: Access, at: usize, bytes: usize) -> Outcome {
        if self.shared.flying > 0 {
            self.check_in_flight(lane, at, bytes)?;
        }
        if !self.options.races {
            return Ok(());
        }
        for byte in at..at + bytes {
            if let Err(conflict) = self.shared.shadow.touch(&self.clocks, access, byte) {
                let (does, did) =
                    (if access.write { "write" } else { "read" }, if conflict.wrote { "wrote" } else { "read" });
                let detail = format!(
                    "{does} of byte {byte} of shared memory, which thread {} {did}, with no barrier between",
                    conflict.thread
                );
                return Err(Trouble::at(Check::Race, lane, byte as u64, detail));
            }
        }
        Ok(())
    }

    fn offset(&self, at: Lane, size: usize, what: &str) -> Outcome<usize> {
        let Lane { lane, address, bytes, .. } = at;
        if address >= size as u64 || address as usize + bytes > size {
            return Err(Trouble::at(
                Check::Bounds,
                lane,
                address,
                format!("{bytes} bytes at {address} of {size} of {what}"),
            ));
        }
        if !(address as usize).is_multiple_of(bytes) {
            return Err(Trouble::at(Check::Alignment, lane, address, format!("{bytes} bytes at {address} of {what}")));
        }
        Ok(address as usize)
    }

    fn local_at(&self, at: Lane) -> Outcome<usize> {
        let size = self.kernel.local_bytes as usize;
        Ok(at.lane * size + self.offset(at, size, "local memory")?)
    }
}

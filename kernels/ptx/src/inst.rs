//! Decoded instructions: operands are columns of the register file, immediates and special registers among them.

use crate::ast::Location;
use crate::counters::Class;
pub(crate) use crate::ops::*;
use crate::types::Ty;

/// A column of the register file: one 64-bit value per lane, zero extended from the register's width.
pub(crate) type R = u32;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Addr {
    pub base: R,
    pub offset: u64,
    /// Addresses made in 32-bit registers wrap there.
    pub narrow: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Space {
    Global,
    Shared,
    Local,
    Param,
    Generic,
}

#[derive(Clone, Debug)]
pub(crate) struct Mma {
    /// 16 or 32.
    pub k: usize,
    pub a_signed: bool,
    pub b_signed: bool,
    pub d: [R; 4],
    pub a: [R; 4],
    pub b: [R; 2],
    pub c: [R; 4],
}

/// m16n8k4 of tf32.
#[derive(Clone, Debug)]
pub(crate) struct MmaTf32 {
    pub d: [R; 4],
    pub a: [R; 2],
    pub b: R,
    pub c: [R; 4],
}

#[derive(Clone, Debug)]
pub(crate) enum Op {
    Move {
        d: R,
        a: R,
    },
    Pack {
        d: R,
        parts: [R; 4],
        count: u32,
        bits: u32,
    },
    Unpack {
        d: [R; 4],
        count: u32,
        bits: u32,
        a: R,
    },
    Int1 {
        op: Int1,
        ty: Ty,
        d: R,
        a: R,
    },
    Int2 {
        op: Int2,
        ty: Ty,
        d: R,
        a: R,
        b: R,
    },
    Int3 {
        op: Int3,
        ty: Ty,
        d: R,
        a: R,
        b: R,
        c: R,
    },
    Bfi {
        bits: u32,
        d: R,
        a: R,
        b: R,
        start: R,
        length: R,
    },
    Carry {
        op: Carry,
        ty: Ty,
        d: R,
        a: R,
        b: R,
        c: R,
        cc: R,
        takes: bool,
        sets: bool,
    },
    Float1 {
        op: Float1,
        double: bool,
        d: R,
        a: R,
    },
    Float2 {
        op: Float2,
        double: bool,
        d: R,
        a: R,
        b: R,
    },
    Fma {
        double: bool,
        d: R,
        a: R,
        b: R,
        c: R,
    },
    Setp {
        cmp: Cmp,
        unordered: bool,
        ty: Ty,
        d: R,
        q: R,
        a: R,
        b: R,
        with: Option<(Bool, R)>,
    },
    Selp {
        d: R,
        a: R,
        b: R,
        p: R,
    },
    Convert {
        cast: Cast,
        to: Ty,
        from: Ty,
        d: R,
        d_bits: u32,
        a: R,
    },
    /// Between a state space's own addresses and generic ones.
    Cvta {
        space: Space,
        to_generic: bool,
        d: R,
        a: R,
    },
    Load {
        space: Space,
        ty: Ty,
        strong: bool,
        /// Not `.nc`: sees what the launch writes.
        coherent: bool,
        d: [R; 4],
        count: u32,
        d_bits: u32,
        addr: Addr,
    },
    Store {
        space: Space,
        ty: Ty,
        strong: bool,
        s: [R; 4],
        count: u32,
        addr: Addr,
    },
    Atom {
        space: Space,
        op: Rmw,
        ty: Ty,
        d: R,
        addr: Addr,
        a: R,
        b: R,
    },
    CpAsync {
        to: Addr,
        from: Addr,
        bytes: u32,
        source_bytes: Option<R>,
    },
    CpCommit,
    /// Waits until at most this many groups are pending; `None`: for every copy, committed or not.
    CpWait {
        pending: Option<u32>,
    },
    Shfl {
        mode: Shuffle,
        d: R,
        p: R,
        a: R,
        b: R,
        c: R,
        mask: R,
    },
    Vote {
        op: Vote,
        d: R,
        a: R,
        mask: R,
    },
    Match {
        all: bool,
        bits: u32,
        d: R,
        p: R,
        a: R,
        mask: R,
    },
    Redux {
        op: Rmw,
        ty: Ty,
        d: R,
        a: R,
        mask: R,
    },
    ActiveMask {
        d: R,
    },
    WarpSync {
        mask: R,
    },
    Barrier {
        id: R,
        count: Option<R>,
        reduce: Option<(Reduce, R, R)>,
    },
    Ldmatrix {
        d: [R; 4],
        count: u32,
        transposed: bool,
        addr: Addr,
    },
    Mma(Box<Mma>),
    MmaTf32(Box<MmaTf32>),
    Fence,
    Nop,
    Branch {
        target: u32,
    },
    BranchTable {
        index: R,
        targets: Box<[u32]>,
    },
    Exit,
    Trap,
}

#[derive(Clone, Debug)]
pub(crate) struct Inst {
    pub op: Op,
    /// Runs in lanes where the predicate differs from the flag.
    pub guard: Option<(R, bool)>,
    /// Line of the PTX text.
    pub line: u32,
    pub location: Location,
}

impl Op {
    pub fn class(&self) -> Class {
        match self {
            Self::Move { .. } | Self::Pack { .. } | Self::Unpack { .. } | Self::Cvta { .. } => Class::Move,
            Self::Int1 { .. } | Self::Int2 { .. } | Self::Int3 { .. } | Self::Bfi { .. } | Self::Carry { .. } => {
                Class::Int
            }
            Self::Selp { .. } | Self::Setp { .. } => Class::Compare,
            Self::Float1 { double: true, .. } | Self::Float2 { double: true, .. } | Self::Fma { double: true, .. } => {
                Class::Double
            }
            Self::Float1 { op: Float1::Sqrt | Float1::Rcp, .. } | Self::Float2 { op: Float2::Div, .. } => Class::Divide,
            Self::Float1 { .. } | Self::Float2 { .. } => Class::Float,
            Self::Fma { .. } => Class::Fma,
            Self::Convert { .. } => Class::Convert,
            Self::Load { space: Space::Global | Space::Generic, .. } => Class::LoadGlobal,
            Self::Load { space: Space::Shared, .. } => Class::LoadShared,
            Self::Load { space: Space::Param, .. } => Class::Param,
            Self::Store { space: Space::Global | Space::Generic, .. } => Class::StoreGlobal,
            Self::Store { space: Space::Shared, .. } => Class::StoreShared,
            Self::Load { .. } | Self::Store { .. } => Class::Local,
            Self::Atom { .. } => Class::Atomic,
            Self::CpAsync { .. } => Class::CopyAsync,
            Self::Ldmatrix { .. } => Class::LoadMatrix,
            Self::Mma(_) => Class::Imma,
            Self::MmaTf32(_) => Class::Hmma,
            Self::Shfl { .. } | Self::Vote { .. } | Self::Match { .. } | Self::Redux { .. } => Class::Collective,
            Self::WarpSync { .. } | Self::Barrier { .. } | Self::Fence => Class::Barrier,
            Self::CpCommit | Self::CpWait { .. } => Class::Barrier,
            Self::ActiveMask { .. } | Self::Nop | Self::Branch { .. } | Self::BranchTable { .. } => Class::Control,
            Self::Exit | Self::Trap => Class::Control,
        }
    }
}

//! The scalar types of instructions and registers.

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Pred,
    Bits,
    Unsigned,
    Signed,
    Float,
    Bf16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Ty {
    pub kind: Kind,
    pub bits: u32,
}

impl Ty {
    pub const PRED: Self = Self { kind: Kind::Pred, bits: 1 };
    pub const U32: Self = Self { kind: Kind::Unsigned, bits: 32 };

    /// The type of a suffix without its dot; packed and narrow float types are not among them.
    pub fn parse(suffix: &str) -> Option<Self> {
        let kind = match suffix {
            "pred" => return Some(Self::PRED),
            "bf16" => return Some(Self { kind: Kind::Bf16, bits: 16 }),
            _ => match suffix.as_bytes().first()? {
                b'b' => Kind::Bits,
                b'u' => Kind::Unsigned,
                b's' => Kind::Signed,
                b'f' => Kind::Float,
                _ => return None,
            },
        };
        let bits = match &suffix[1..] {
            "8" if kind != Kind::Float => 8,
            "16" => 16,
            "32" => 32,
            "64" => 64,
            _ => return None,
        };
        Some(Self { kind, bits })
    }

    pub fn bytes(self) -> u64 {
        u64::from(self.bits / 8)
    }

    pub fn mask(self) -> u64 {
        mask(self.bits)
    }

    pub fn signed(self) -> bool {
        self.kind == Kind::Signed
    }

    pub fn float(self) -> bool {
        self.kind == Kind::Float
    }

    pub fn integer(self) -> bool {
        matches!(self.kind, Kind::Bits | Kind::Unsigned | Kind::Signed)
    }

    /// `value`'s low bits as a 64-bit number, sign extended where the type is signed.
    pub fn extend(self, value: u64) -> u64 {
        if self.signed() { sign_extend(value, self.bits) } else { value & self.mask() }
    }
}

pub(crate) fn mask(bits: u32) -> u64 {
    if bits >= 64 { u64::MAX } else { (1 << bits) - 1 }
}

pub(crate) fn sign_extend(value: u64, bits: u32) -> u64 {
    let shift = 64 - bits;
    (((value << shift) as i64) >> shift) as u64
}

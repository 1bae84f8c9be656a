//! What an account publishes: up to three fields of `Data`.

use parity_scale_codec::{Compact, Decode, Encode, Error, Input, Output};

/// Fields that one commitment may have.
pub const MAX_FIELDS: usize = 3;

const MAX_RAW_BYTES: usize = 128;
const MAX_BIG_RAW_BYTES: usize = 512;
const MAX_TIMELOCK_BYTES: usize = 1024;

const NONE: u8 = 0;
const RAW_0: u8 = 1;
const RAW_128: u8 = RAW_0 + MAX_RAW_BYTES as u8;
const FIRST_HASH: u8 = RAW_128 + 1;
const LAST_HASH: u8 = FIRST_HASH + 3;
const TIMELOCK: u8 = 134;
const RESET_BONDS: u8 = 135;
const BIG_RAW: u8 = 136;

/// Bytes of which there are never more than `MOST`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Bounded<const MOST: usize>(Vec<u8>);

impl<const MOST: usize> Bounded<MOST> {
    /// The bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }
}

impl<const MOST: usize> TryFrom<Vec<u8>> for Bounded<MOST> {
    type Error = Error;

    fn try_from(bytes: Vec<u8>) -> Result<Self, Error> {
        if bytes.len() > MOST { Err("more bytes than the field may hold".into()) } else { Ok(Self(bytes)) }
    }
}

impl<const MOST: usize> Encode for Bounded<MOST> {
    fn encode_to<T: Output + ?Sized>(&self, output: &mut T) {
        self.0.encode_to(output);
    }
}

impl<const MOST: usize> Decode for Bounded<MOST> {
    fn decode<I: Input>(input: &mut I) -> Result<Self, Error> {
        let length = Compact::<u32>::decode(input)?.0 as usize;
        if length > MOST {
            return Err("more bytes than the field may hold".into());
        }
        read_bytes(input, length).map(Self)
    }
}

fn read_bytes<I: Input>(input: &mut I, length: usize) -> Result<Vec<u8>, Error> {
    let mut bytes = vec![0; length];
    input.read(&mut bytes)?;
    Ok(bytes)
}

/// One field. `Raw` is the pallet's `Raw0` to `Raw128`: the variant holds the length, no prefix follows.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Data {
    /// Nothing.
    None,
    /// Up to 128 bytes.
    Raw(Bounded<MAX_RAW_BYTES>),
    /// A hash of something kept elsewhere; the index says by which function.
    Hash(u8, [u8; 32]),
    /// Bytes that a later beacon round opens. This chain stores them and never opens them.
    TimelockEncrypted(Bounded<MAX_TIMELOCK_BYTES>, u64),
    /// Asks for a reset of bonds, of which this chain has none.
    ResetBondsFlag,
    /// Up to 512 bytes.
    BigRaw(Bounded<MAX_BIG_RAW_BYTES>),
}

impl Data {
    /// Bytes counted against the space of an epoch.
    #[must_use]
    pub fn space(&self) -> u64 {
        match self {
            Self::None | Self::ResetBondsFlag => 0,
            Self::Raw(bytes) => bytes.0.len() as u64,
            Self::Hash(..) => 32,
            Self::TimelockEncrypted(bytes, _) => bytes.0.len() as u64,
            Self::BigRaw(bytes) => bytes.0.len() as u64,
        }
    }
}

impl Encode for Data {
    fn encode_to<T: Output + ?Sized>(&self, output: &mut T) {
        match self {
            Self::None => output.push_byte(NONE),
            Self::Raw(bytes) => {
                output.push_byte(RAW_0 + bytes.0.len() as u8);
                output.write(&bytes.0);
            }
            Self::Hash(index, hash) => {
                output.push_byte(*index);
                output.write(hash);
            }
            Self::TimelockEncrypted(bytes, round) => {
                output.push_byte(TIMELOCK);
                bytes.0.encode_to(output);
                round.encode_to(output);
            }
            Self::ResetBondsFlag => output.push_byte(RESET_BONDS),
            Self::BigRaw(bytes) => {
                output.push_byte(BIG_RAW);
                bytes.0.encode_to(output);
            }
        }
    }
}

impl Decode for Data {
    fn decode<I: Input>(input: &mut I) -> Result<Self, Error> {
        Ok(match input.read_byte()? {
            NONE => Self::None,
            index @ RAW_0..=RAW_128 => Self::Raw(Bounded(read_bytes(input, usize::from(index - RAW_0))?)),
            index @ FIRST_HASH..=LAST_HASH => Self::Hash(index, Decode::decode(input)?),
            TIMELOCK => Self::TimelockEncrypted(Decode::decode(input)?, Decode::decode(input)?),
            RESET_BONDS => Self::ResetBondsFlag,
            BIG_RAW => Self::BigRaw(Decode::decode(input)?),
            _ => return Err("no variant of Data has this index".into()),
        })
    }
}

/// Everything that one account publishes on one subnet.
#[derive(Clone, Debug, Encode, Eq, PartialEq)]
pub struct CommitmentInfo {
    fields: Vec<Data>,
}

impl CommitmentInfo {
    /// The fields, at most three.
    #[must_use]
    pub fn fields(&self) -> &[Data] {
        &self.fields
    }
}

impl Decode for CommitmentInfo {
    fn decode<I: Input>(input: &mut I) -> Result<Self, Error> {
        let count = Compact::<u32>::decode(input)?.0 as usize;
        if count > MAX_FIELDS {
            return Err("more fields than a commitment may have".into());
        }
        let fields = (0..count).map(|_| Data::decode(input)).collect::<Result<_, _>>()?;
        Ok(Self { fields })
    }
}

/// What the chain stores of a commitment.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
pub struct Registration {
    /// Always zero: the pallet asks no deposit.
    pub deposit: u64,
    /// Block of the commitment.
    pub block: u32,
    /// What was published.
    pub info: CommitmentInfo,
}

/// Space used by an account in an epoch.
#[derive(Clone, Copy, Debug, Decode, Default, Encode, Eq, PartialEq)]
pub struct UsageTracker {
    /// Number of the epoch.
    pub last_epoch: u64,
    /// Bytes used in it.
    pub used_space: u64,
}

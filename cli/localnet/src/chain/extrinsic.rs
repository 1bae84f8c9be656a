//! Extrinsics of version 4: their bytes, and what their signatures cover.

use grail_protocol::{AccountId, Hash};
use parity_scale_codec::{Compact, Decode, Encode, Error, Input};

use super::call::Call;
use super::version::Runtime;

const SIGNED: u8 = 0x84;
const BARE: u8 = 0x04;

/// A payload longer than this is signed by its hash.
const LONGEST_PLAIN_PAYLOAD: usize = 256;

/// How long an extrinsic may wait to be included.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Era {
    /// For ever.
    Immortal,
    /// For `period` blocks from each block that is `phase` modulo `period`.
    Mortal {
        /// A power of two from 4 to 65536.
        period: u64,
        /// Below `period`.
        phase: u64,
    },
}

impl Era {
    /// The block whose hash the signature covers, for an extrinsic that would enter block `current`.
    #[must_use]
    pub fn birth(self, current: u64) -> u64 {
        match self {
            Self::Immortal => 0,
            Self::Mortal { period, phase } => (current.max(phase) - phase) / period * period + phase,
        }
    }

    /// The first block that an extrinsic may no longer enter, `u64::MAX` for an immortal one.
    #[must_use]
    pub fn death(self, current: u64) -> u64 {
        match self {
            Self::Immortal => u64::MAX,
            Self::Mortal { period, .. } => self.birth(current) + period,
        }
    }
}

/// Phases of periods over 4096 blocks are rounded to this many parts.
const PHASE_PARTS: u64 = 4096;

impl Encode for Era {
    fn encode(&self) -> Vec<u8> {
        match self {
            Self::Immortal => vec![0],
            Self::Mortal { period, phase } => {
                let factor = (period / PHASE_PARTS).max(1);
                let low = period.trailing_zeros().saturating_sub(1).clamp(1, 15) as u16;
                (low | ((phase / factor) << 4) as u16).encode()
            }
        }
    }
}

impl Decode for Era {
    fn decode<I: Input>(input: &mut I) -> Result<Self, Error> {
        let first = input.read_byte()?;
        if first == 0 {
            return Ok(Self::Immortal);
        }
        let encoded = u64::from(first) | u64::from(input.read_byte()?) << 8;
        let period = 2 << (encoded % 16);
        let phase = (encoded >> 4) * (period / PHASE_PARTS).max(1);
        if period < 4 || phase >= period {
            return Err("no era has this period and phase".into());
        }
        Ok(Self::Mortal { period, phase })
    }
}

/// A signed extrinsic, taken apart.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Signed {
    /// Who signed it; `None`: an address that is not an account's id.
    pub signer: Option<AccountId>,
    /// The signature; `None`: of a scheme other than sr25519.
    pub signature: Option<[u8; 64]>,
    /// How long it may wait.
    pub era: Era,
    /// Its number among the signer's extrinsics.
    pub nonce: u32,
    /// Paid for nothing here; in rao.
    pub tip: u64,
    /// Whether the signature covers a hash of the metadata.
    pub metadata_hash: bool,
    /// What to do.
    pub call: Call,
    /// Whose it was decoded as.
    runtime: Runtime,
    /// Call and extensions as they were encoded: the signature is over these bytes.
    signed_part: Vec<u8>,
}

impl Signed {
    /// The message under the signature, given the hash of the era's first block.
    #[must_use]
    pub fn payload(&self, genesis: &Hash, birth_hash: &Hash) -> Vec<u8> {
        let mut payload = self.signed_part.clone();
        let versions = (self.runtime.spec_version(), self.runtime.transaction_version());
        (versions, genesis, birth_hash, None::<Hash>).encode_to(&mut payload);
        if payload.len() > LONGEST_PLAIN_PAYLOAD {
            payload = sp_crypto_hashing::blake2_256(&payload).to_vec();
        }
        payload
    }
}

/// An extrinsic.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Extrinsic {
    /// Signed by an account.
    Signed(Signed),
    /// Put there by the block's author.
    Bare(Call),
}

impl Extrinsic {
    /// Takes an extrinsic apart, its length prefix included, as one of a runtime.
    ///
    /// # Errors
    /// Anything but one whole extrinsic of version 4 with a call of this chain and nothing after it.
    pub fn decode(bytes: &[u8], runtime: Runtime) -> Result<Self, Error> {
        let mut input = bytes;
        let length = Compact::<u32>::decode(&mut input)?.0 as usize;
        if length != input.len() {
            return Err("the length prefix is not the extrinsic's length".into());
        }
        let extrinsic = match input.read_byte()? {
            SIGNED => Self::Signed(decode_signed(&mut input, runtime)?),
            BARE => Self::Bare(decode_call(&mut input, runtime)?),
            _ => return Err("not an extrinsic of version 4".into()),
        };
        if input.is_empty() { Ok(extrinsic) } else { Err("bytes after the call".into()) }
    }
}

/// The bytes of an extrinsic that the block's author puts into a block.
pub(crate) fn encode_bare(call: &Call) -> Vec<u8> {
    prefixed((BARE, call).encode())
}

fn prefixed(bytes: Vec<u8>) -> Vec<u8> {
    // A byte vector is its length and its bytes: the same form.
    bytes.encode()
}

/// A call, wherever the runtime has its pallet.
fn decode_call(input: &mut &[u8], runtime: Runtime) -> Result<Call, Error> {
    let (place, rest) = input.split_first().ok_or("no call")?;
    let first = runtime.first_place(*place).ok_or("no pallet has this index")?;
    let moved = [&[first], rest].concat();
    let mut left = moved.as_slice();
    let call = Call::decode(&mut left)?;
    *input = &input[input.len() - left.len()..];
    Ok(call)
}

fn decode_signed(input: &mut &[u8], runtime: Runtime) -> Result<Signed, Error> {
    let signer = decode_address(input)?;
    let signature = decode_signature(input)?;
    let extra = *input;
    let era = Era::decode(input)?;
    let nonce = Compact::<u32>::decode(input)?.0;
    let tip = Compact::<u64>::decode(input)?.0;
    let metadata_hash = bool::decode(input)?;
    let extra = &extra[..extra.len() - input.len()];
    let encoded_call = *input;
    let call = decode_call(input, runtime)?;
    let encoded_call = &encoded_call[..encoded_call.len() - input.len()];
    let signed_part = [encoded_call, extra].concat();
    Ok(Signed { signer, signature, era, nonce, tip, metadata_hash, call, runtime, signed_part })
}

fn decode_address(input: &mut &[u8]) -> Result<Option<AccountId>, Error> {
    match input.read_byte()? {
        0 => AccountId::decode(input).map(Some),
        // The index type is (), whose compact form has no bytes.
        1 => Ok(None),
        2 => Vec::<u8>::decode(input).map(|_| None),
        3 => <[u8; 32]>::decode(input).map(|_| None),
        4 => <[u8; 20]>::decode(input).map(|_| None),
        _ => Err("no kind of address has this index".into()),
    }
}

fn decode_signature(input: &mut &[u8]) -> Result<Option<[u8; 64]>, Error> {
    match input.read_byte()? {
        0 => <[u8; 64]>::decode(input).map(|_| None),
        1 => <[u8; 64]>::decode(input).map(Some),
        2 => <[u8; 65]>::decode(input).map(|_| None),
        _ => Err("no kind of signature has this index".into()),
    }
}

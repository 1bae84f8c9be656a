//! Extrinsics that wait for the next block.
//!
//! In order of arrival. An account's extrinsics must come in the order of their nonces: one whose nonce is
//! further ahead is refused instead of being kept until the gap closes, so that a client's mistake shows at once.

use std::collections::{BTreeSet, VecDeque};

use grail_protocol::{AccountId, Hash};
use sp_crypto_hashing::blake2_256;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::extrinsic::{Extrinsic, Signed};
use super::runtime::{Context, Invalid, Unknown, Validity, check};
use super::state::Read;
use super::version::Runtime;

/// Largest extrinsic taken; a block's extrinsics together are larger than one such.
pub(crate) const MOST_EXTRINSIC_BYTES: usize = 1 << 20;

const MOST_WAITING: usize = 4096;
const MOST_WAITING_BYTES: usize = 16 << 20;
const MOST_BANNED: usize = 1024;

/// Why an extrinsic was not taken.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// No length prefix that fits.
    #[error("Extrinsic has invalid format: {0}")]
    BadFormat(String),
    /// It cannot be read: another version, an unknown call, bytes left over.
    #[error("Verification Error: {0}")]
    Verification(String),
    /// It may not enter the next block.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// It cannot be said whether it may.
    #[error(transparent)]
    Unknown(#[from] Unknown),
    /// It was dropped as invalid a while ago.
    #[error("Transaction is temporarily banned")]
    Banned,
    /// It waits already.
    #[error("Transaction Already Imported")]
    AlreadyImported,
    /// Another extrinsic of this account with this nonce waits.
    #[error("Priority is too low")]
    TooLowPriority,
    /// Too many wait.
    #[error("Immediately Dropped")]
    ImmediatelyDropped,
}

impl From<Validity> for SubmitError {
    fn from(validity: Validity) -> Self {
        match validity {
            Validity::Invalid(invalid) => invalid.into(),
            Validity::Unknown(unknown) => unknown.into(),
        }
    }
}

/// What becomes of an extrinsic.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fate {
    /// It is in this block.
    InBlock {
        /// The block's number.
        number: u32,
        /// Its hash.
        hash: Hash,
    },
    /// It became invalid while it waited.
    Invalid,
}

/// One extrinsic that waits.
#[derive(Debug)]
pub(crate) struct Pending {
    pub hash: Hash,
    pub bytes: Vec<u8>,
    signer: AccountId,
    nonce: u32,
    watchers: Vec<UnboundedSender<Fate>>,
}

#[derive(Debug, Default)]
pub(crate) struct Pool {
    waiting: VecDeque<Pending>,
    banned: VecDeque<Hash>,
}

impl Pool {
    /// Takes an extrinsic; the receiver hears once what becomes of it.
    pub fn submit(
        &mut self,
        bytes: Vec<u8>,
        state: &impl Read,
        context: &Context,
    ) -> Result<(Hash, UnboundedReceiver<Fate>), SubmitError> {
        let hash = blake2_256(&bytes);
        if self.banned.contains(&hash) {
            return Err(SubmitError::Banned);
        }
        if self.waiting.iter().any(|pending| pending.hash == hash) {
            return Err(SubmitError::AlreadyImported);
        }
        let signed = decode(&bytes, context.runtime)?;
        let waiting = self.waiting_of(&signed);
        let signer = check(&signed, state, context, waiting)?;
        if self.waiting.iter().any(|pending| pending.signer == signer && pending.nonce == signed.nonce) {
            return Err(SubmitError::TooLowPriority);
        }
        let held = self.waiting.iter().map(|pending| pending.bytes.len()).sum::<usize>();
        if self.waiting.len() >= MOST_WAITING || held + bytes.len() > MOST_WAITING_BYTES {
            return Err(SubmitError::ImmediatelyDropped);
        }
        let (sender, receiver) = unbounded_channel();
        self.waiting.push_back(Pending { hash, bytes, signer, nonce: signed.nonce, watchers: vec![sender] });
        Ok((hash, receiver))
    }

    /// Whether an extrinsic could be taken.
    pub fn validate(&self, bytes: &[u8], state: &impl Read, context: &Context) -> Result<Signed, SubmitError> {
        let signed = decode(bytes, context.runtime)?;
        check(&signed, state, context, self.waiting_of(&signed))?;
        Ok(signed)
    }

    /// Extrinsics that wait, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Pending> {
        self.waiting.iter()
    }

    /// How many extrinsics of an account wait.
    pub fn count(&self, account: &AccountId) -> u32 {
        self.waiting.iter().filter(|pending| &pending.signer == account).count() as u32
    }

    /// Tells the watchers of these extrinsics what became of them, and forgets them.
    pub fn settle(&mut self, settled: &[(Hash, Fate)]) {
        let decided = settled.iter().map(|(hash, _)| *hash).collect::<BTreeSet<_>>();
        for (hash, fate) in settled {
            if let Some(pending) = self.waiting.iter().find(|pending| pending.hash == *hash) {
                for watcher in &pending.watchers {
                    // A watcher that went away needs no answer.
                    let _ = watcher.send(*fate);
                }
            }
            if *fate == Fate::Invalid {
                self.banned.push_back(*hash);
            }
        }
        self.waiting.retain(|pending| !decided.contains(&pending.hash));
        while self.banned.len() > MOST_BANNED {
            self.banned.pop_front();
        }
    }

    fn waiting_of(&self, signed: &Signed) -> u32 {
        signed.signer.map_or(0, |signer| self.count(&signer))
    }
}

fn decode(bytes: &[u8], runtime: Runtime) -> Result<Signed, SubmitError> {
    if bytes.len() > MOST_EXTRINSIC_BYTES {
        return Err(Invalid::ExhaustsResources.into());
    }
    prefix_fits(bytes)?;
    match Extrinsic::decode(bytes, runtime) {
        Ok(Extrinsic::Signed(signed)) => Ok(signed),
        Ok(Extrinsic::Bare(_)) => Err(Unknown::NoUnsignedValidator.into()),
        Err(error) => Err(SubmitError::Verification(error.to_string())),
    }
}

/// The node itself reads the length prefix; all else is the runtime's to read, hence two kinds of error.
fn prefix_fits(bytes: &[u8]) -> Result<(), SubmitError> {
    use parity_scale_codec::{Compact, Decode};
    let mut rest = bytes;
    let length = Compact::<u32>::decode(&mut rest).map_err(|error| SubmitError::BadFormat(error.to_string()))?;
    if length.0 as usize == rest.len() {
        Ok(())
    } else {
        Err(SubmitError::BadFormat(format!("{} bytes after a length prefix of {}", rest.len(), length.0)))
    }
}

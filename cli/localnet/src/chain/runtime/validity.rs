//! Whether an extrinsic may enter a block: era, signature, nonce, payment, in the order of Substrate's checks.

use grail_protocol::{AccountId, Hash, signature};
use parity_scale_codec::Encode;

use crate::chain::extrinsic::{Era, Signed};
use crate::chain::slots;
use crate::chain::state::Read;
use crate::chain::version::{Runtime, ZERO_ACCOUNT};

/// Why an extrinsic may not enter, with the indices and texts of `InvalidTransaction`.
#[derive(Clone, Copy, Debug, Encode, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Invalid {
    /// Nobody may send such a call.
    #[codec(index = 0)]
    #[error("Transaction call is not expected")]
    Call,
    /// The signer cannot pay.
    #[codec(index = 1)]
    #[error("Inability to pay some fees (e.g. account balance too low)")]
    Payment,
    /// Its nonce is above the account's next.
    #[codec(index = 2)]
    #[error("Transaction will be valid in the future")]
    Future,
    /// Its nonce was used.
    #[codec(index = 3)]
    #[error("Transaction is outdated")]
    Stale,
    /// The signature is not over this extrinsic on this chain by this account.
    #[codec(index = 4)]
    #[error("Transaction has a bad signature")]
    BadProof,
    /// The chain does not know the block in which its era began.
    #[codec(index = 5)]
    #[error("Transaction has an ancient birth block")]
    AncientBirthBlock,
    /// Larger than a block may be.
    #[codec(index = 6)]
    #[error("Transaction would exhaust the block limits")]
    ExhaustsResources,
    /// The account without a key.
    #[codec(index = 10)]
    #[error("Transaction signer is invalid")]
    BadSigner,
}

/// Why it cannot be said, with the indices and texts of `UnknownTransaction`.
#[derive(Clone, Copy, Debug, Encode, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Unknown {
    /// An address that is no account's id, or a hash of metadata that the chain does not keep.
    #[codec(index = 0)]
    #[error("Could not lookup information required to validate the transaction")]
    CannotLookup,
    /// A call without a signature that is nobody's to send.
    #[codec(index = 1)]
    #[error("Could not find an unsigned validator for the unsigned transaction")]
    NoUnsignedValidator,
}

/// `TransactionValidityError`.
#[derive(Clone, Copy, Debug, Encode, Eq, PartialEq, thiserror::Error)]
pub enum Validity {
    /// Refused.
    #[codec(index = 0)]
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// Not decided.
    #[codec(index = 1)]
    #[error(transparent)]
    Unknown(#[from] Unknown),
}

/// The block that an extrinsic would enter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context {
    pub genesis_hash: Hash,
    /// Number of that block.
    pub number: u32,
    /// Hash of the block before it, which the state does not hold yet while the block is not begun.
    pub parent_hash: Hash,
    /// Who makes it.
    pub runtime: Runtime,
}

/// Checks a signed extrinsic and gives its signer. `waiting`: extrinsics of the same account that come first.
///
/// # Errors
/// The first check that fails.
pub(crate) fn check(
    signed: &Signed,
    state: &impl Read,
    context: &Context,
    waiting: u32,
) -> Result<AccountId, Validity> {
    let signer = signed.signer.ok_or(Unknown::CannotLookup)?;
    if signed.metadata_hash {
        return Err(Unknown::CannotLookup.into());
    }
    let birth_hash = birth_hash(signed.era, state, context).ok_or(Invalid::AncientBirthBlock)?;
    let payload = signed.payload(&context.genesis_hash, &birth_hash);
    let verified = signed.signature.is_some_and(|bytes| signature::verify(&signer, &payload, &bytes));
    if !verified {
        return Err(Invalid::BadProof.into());
    }
    if signer == ZERO_ACCOUNT {
        return Err(Invalid::BadSigner.into());
    }
    let account = state.value(&slots::account(&signer));
    let next = u64::from(account.nonce) + u64::from(waiting);
    match u64::from(signed.nonce) {
        nonce if nonce < u64::from(account.nonce) => Err(Invalid::Stale.into()),
        nonce if nonce > next => Err(Invalid::Future.into()),
        _ if signed.nonce == u32::MAX => Err(Invalid::Stale.into()),
        _ if account.free < signed.tip => Err(Invalid::Payment.into()),
        _ => Ok(signer),
    }
}

/// The hash that the signature covers; none if the era began before the blocks that the state knows, or has
/// not begun.
fn birth_hash(era: Era, state: &impl Read, context: &Context) -> Option<Hash> {
    let birth = match era {
        Era::Immortal => return Some(context.genesis_hash),
        Era::Mortal { .. } => u32::try_from(era.birth(u64::from(context.number))).ok()?,
    };
    if birth + 1 == context.number {
        return Some(context.parent_hash);
    }
    state.get(&slots::block_hash(birth))
}

//! `state_call`: the runtime APIs that the metadata lists.

use parity_scale_codec::{Decode, DecodeAll, Encode};

use super::error::ChainError;
use super::extrinsic::Signed;
use super::metagraph;
use super::node::Chain;
use super::pool::SubmitError;
use super::runtime::{Invalid, Validity};
use super::slots;
use super::version::runtime_version_scale;

/// Why a runtime call gave nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    #[error("Exported method {0} is not found")]
    NoSuchMethod(String),
    #[error("arguments of {method}: {problem}")]
    Arguments { method: String, problem: parity_scale_codec::Error },
    #[error(transparent)]
    Chain(#[from] ChainError),
}

/// Calls a method of the runtime with SCALE arguments, on the state after a block. Gives SCALE.
pub(crate) fn call(chain: &Chain, method: &str, input: &[u8], at: u32) -> Result<Vec<u8>, CallError> {
    let arguments = |problem| CallError::Arguments { method: method.to_owned(), problem };
    Ok(match method {
        "Core_version" => {
            <()>::decode_all(&mut &*input).map_err(arguments)?;
            runtime_version_scale(chain.runtime(at)?)
        }
        "Metadata_metadata" => chain.metadata(14, at)?.unwrap_or_default().encode(),
        "Metadata_metadata_versions" => vec![14u32, 15].encode(),
        "Metadata_metadata_at_version" => {
            let version = u32::decode_all(&mut &*input).map_err(arguments)?;
            chain.metadata(version, at)?.encode()
        }
        "AccountNonceApi_account_nonce" => {
            let account = <[u8; 32]>::decode_all(&mut &*input).map_err(arguments)?;
            let info = chain.storage(slots::account(&account).key(), at)?;
            let nonce = info.map_or(Ok(0), |info| u32::decode(&mut info.as_slice())).map_err(arguments)?;
            nonce.encode()
        }
        "TaggedTransactionQueue_validate_transaction" => {
            let extrinsic = transaction(input).map_err(arguments)?;
            validity(chain, &extrinsic).map_err(arguments)?
        }
        "SubnetInfoRuntimeApi_get_metagraph" => {
            let netuid = u16::decode_all(&mut &*input).map_err(arguments)?;
            metagraph::encoded(&chain.state(at)?, netuid)
        }
        _ => return Err(CallError::NoSuchMethod(method.to_owned())),
    })
}

/// Takes the extrinsic, with its length prefix, out of source, extrinsic and block hash.
fn transaction(input: &[u8]) -> Result<Vec<u8>, parity_scale_codec::Error> {
    const LAST_SOURCE: u8 = 2;
    let (source, bytes, _block) = <(u8, Vec<u8>, [u8; 32])>::decode_all(&mut &*input)?;
    if source > LAST_SOURCE { Err("no such source".into()) } else { Ok(bytes.encode()) }
}

/// `ValidTransaction`.
#[derive(Encode)]
struct Valid {
    priority: u64,
    requires: Vec<Vec<u8>>,
    provides: Vec<Vec<u8>>,
    longevity: u64,
    propagate: bool,
}

/// `Result<ValidTransaction, TransactionValidityError>`, always against the next block.
fn validity(chain: &Chain, extrinsic: &[u8]) -> Result<Vec<u8>, parity_scale_codec::Error> {
    let refused = match chain.validate(extrinsic) {
        Ok(signed) => return Ok(Ok::<_, Validity>(valid(chain, &signed)).encode()),
        Err(SubmitError::Invalid(invalid)) => Validity::Invalid(invalid),
        Err(SubmitError::Unknown(unknown)) => Validity::Unknown(unknown),
        Err(SubmitError::BadFormat(_) | SubmitError::Verification(_)) => {
            return Err("the transaction cannot be decoded".into());
        }
        Err(_) => Validity::Invalid(Invalid::Call),
    };
    Ok(Err::<Valid, _>(refused).encode())
}

fn valid(chain: &Chain, signed: &Signed) -> Valid {
    let tag = |nonce: u32| (signed.signer, nonce).encode();
    let next = u64::from(chain.heads().best) + 1;
    let nonce = signed.nonce;
    let first = signed.signer.is_none_or(|signer| chain.next_nonce(&signer) == nonce);
    Valid {
        priority: 0,
        requires: if first { vec![] } else { nonce.checked_sub(1).map(tag).into_iter().collect() },
        provides: vec![tag(nonce)],
        longevity: signed.era.death(next).saturating_sub(next),
        propagate: true,
    }
}

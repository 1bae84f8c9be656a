//! What hotkeys publish on chain: read credentials and window roots.
//!
//! A commitment replaces the one before it, all fields at once. The chain counts the bytes that a hotkey writes per
//! epoch; who writes too many waits for the next.

use std::collections::BTreeMap;

use grail_protocol::AccountId;
use grail_protocol::signature::Signer;
use subxt::ext::scale_decode::DecodeAsType;
use subxt::ext::scale_value::{Composite, Primitive, Value, ValueDef};
use subxt::transactions::DynamicPayload;

use crate::{Block, Chain, CommitmentError, Included, StateError, Wait};

const PALLET: &str = "Commitments";

/// Fields of one commitment.
pub const MOST_FIELDS: usize = 3;

/// Bytes of one raw field.
pub const MOST_FIELD_BYTES: usize = 128;

/// What a hotkey has committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commitment {
    /// The block it was made in.
    pub block: u64,
    /// In the order given.
    pub fields: Vec<Field>,
}

/// A field of a commitment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Field {
    /// Bytes as they were given: at most [`MOST_FIELD_BYTES`].
    Raw(Vec<u8>),
    /// One of the kinds that this client has no use for: none, a hash, a time-locked text, ...
    Opaque {
        /// The chain's name of the kind.
        kind: String,
    },
}

impl Commitment {
    /// The bytes of a raw field; `None` when it is missing or of another kind.
    #[must_use]
    pub fn raw(&self, index: usize) -> Option<&[u8]> {
        match self.fields.get(index)? {
            Field::Raw(bytes) => Some(bytes),
            Field::Opaque { .. } => None,
        }
    }
}

/// The stored value, as far as it is needed.
#[derive(DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
pub(crate) struct Registration {
    block: u64,
    info: Info,
}

#[derive(DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
struct Info {
    fields: Vec<Value>,
}

impl From<Registration> for Commitment {
    fn from(stored: Registration) -> Self {
        Self { block: stored.block, fields: stored.info.fields.into_iter().map(field).collect() }
    }
}

/// `Raw0` to `Raw128` hold as many bytes as their name says; whatever else is there is kept by name.
fn field(value: Value) -> Field {
    let ValueDef::Variant(variant) = value.value else {
        return Field::Opaque { kind: "not an enum".to_owned() };
    };
    let length = variant.name.strip_prefix("Raw").and_then(|digits| digits.parse::<usize>().ok());
    let bytes = length.filter(|l| *l <= MOST_FIELD_BYTES).and_then(|length| {
        let bytes = match variant.values.values().next() {
            Some(value) => bytes_of(value)?,
            None => Vec::new(),
        };
        (bytes.len() == length).then_some(bytes)
    });
    match bytes {
        Some(bytes) => Field::Raw(bytes),
        None => Field::Opaque { kind: variant.name },
    }
}

fn bytes_of(value: &Value) -> Option<Vec<u8>> {
    let ValueDef::Composite(bytes) = &value.value else {
        return None;
    };
    let byte = |value: &Value| match value.value {
        ValueDef::Primitive(Primitive::U128(byte)) => u8::try_from(byte).ok(),
        _ => None,
    };
    bytes.values().map(byte).collect()
}

/// The call that sets one.
pub(crate) fn set_commitment_call(netuid: u16, fields: &[Vec<u8>]) -> DynamicPayload<Composite<()>> {
    let raw = |bytes: &Vec<u8>| Value::unnamed_variant(format!("Raw{}", bytes.len()), [Value::from_bytes(bytes)]);
    let info = Value::named_composite([("fields", Value::unnamed_composite(fields.iter().map(raw)))]);
    let arguments = Composite::named([("netuid", Value::u128(netuid.into())), ("info", info)]);
    subxt::dynamic::tx(PALLET, "set_commitment", arguments)
}

impl Chain {
    /// Every hotkey's commitment at a block.
    ///
    /// # Errors
    /// [`StateError`].
    pub async fn commitments(&self, block: &Block) -> Result<BTreeMap<AccountId, Commitment>, StateError> {
        let netuid = self.settings().netuid;
        let found = self
            .read("the commitments", block, |state| async move {
                state.entries::<(u16, AccountId), Registration, _>(PALLET, "CommitmentOf", (netuid,)).await
            })
            .await?;
        Ok(found.into_iter().map(|((_, account), stored)| (account, stored.into())).collect())
    }

    /// A hotkey's commitment at a block.
    ///
    /// # Errors
    /// [`StateError`].
    pub async fn commitment(&self, block: &Block, account: &AccountId) -> Result<Option<Commitment>, StateError> {
        let key = (self.settings().netuid, *account);
        let found: Option<Registration> = self
            .read("the commitment", block, |state| async move { state.optional(PALLET, "CommitmentOf", key).await })
            .await?;
        Ok(found.map(Into::into))
    }

    /// Replaces a hotkey's commitment by 1 to [`MOST_FIELDS`] raw fields of at most [`MOST_FIELD_BYTES`] bytes.
    ///
    /// What is committed is public for ever. That a field holds no secret is the caller's to see to.
    ///
    /// # Errors
    /// [`CommitmentError`].
    pub async fn set_commitment(
        &self,
        signer: &Signer,
        fields: &[Vec<u8>],
        wait: Wait,
    ) -> Result<Included, CommitmentError> {
        if fields.is_empty() || fields.len() > MOST_FIELDS {
            return Err(CommitmentError::FieldCount { found: fields.len() });
        }
        if let Some((index, field)) = fields.iter().enumerate().find(|(_, f)| f.len() > MOST_FIELD_BYTES) {
            return Err(CommitmentError::FieldTooLong { index, found: field.len() });
        }
        let call = set_commitment_call(self.settings().netuid, fields);
        Ok(self.submit(signer, &call, wait).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_raw_variants_of_their_own_length_are_raw() {
        let raw = |name: &str, bytes: &[u8]| field(Value::unnamed_variant(name, [Value::from_bytes(bytes)]));
        assert_eq!(raw("Raw3", b"abc"), Field::Raw(b"abc".to_vec()));
        assert_eq!(raw("Raw0", b""), Field::Raw(Vec::new()));
        assert_eq!(field(Value::unnamed_variant("Raw0", [])), Field::Raw(Vec::new()));
        for (name, bytes) in [("Raw3", &b"abcd"[..]), ("Raw129", &[0; 129]), ("BigRaw", b"abc"), ("Sha256", &[0; 32])] {
            assert_eq!(raw(name, bytes), Field::Opaque { kind: name.to_owned() });
        }
        assert!(matches!(field(Value::u128(1)), Field::Opaque { .. }));
    }

    #[test]
    fn a_field_of_another_kind_has_no_bytes() {
        let fields = vec![Field::Opaque { kind: "None".to_owned() }, Field::Raw(vec![1])];
        let commitment = Commitment { block: 1, fields };
        assert_eq!((commitment.raw(0), commitment.raw(1), commitment.raw(2)), (None, Some(&[1][..]), None));
    }
}

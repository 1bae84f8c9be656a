//! State as an ordered map from storage keys to SCALE values, and a layer of changes over it.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use grail_protocol::Hash;
use parity_scale_codec::{Decode, Encode};
use sp_crypto_hashing::{blake2_128, blake2_256, twox_64, twox_128};

/// The whole state after a block.
pub type State = BTreeMap<Vec<u8>, Vec<u8>>;

/// What a block changes; `None` removes the key.
pub type Changes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// The hash that stands for a state in its block's header: blake2-256 over the SCALE list of its pairs in order.
#[must_use]
pub fn root(state: &State) -> Hash {
    blake2_256(&state.encode())
}

/// Where one value of type `T` is kept.
#[derive(Clone, Debug)]
pub struct Slot<T> {
    key: Vec<u8>,
    default: Option<T>,
    value: PhantomData<T>,
}

impl<T> Slot<T> {
    /// The entry of a pallet, before its keys.
    #[must_use]
    pub fn new(pallet: &str, entry: &str) -> Self {
        let key = [twox_128(pallet.as_bytes()), twox_128(entry.as_bytes())].concat();
        Self { key, default: None, value: PhantomData }
    }

    /// What an absent value stands for.
    #[must_use]
    pub fn or(mut self, default: T) -> Self {
        self.default = Some(default);
        self
    }

    /// A key that stands as it is.
    #[must_use]
    pub fn identity(mut self, key: impl Encode) -> Self {
        key.encode_to(&mut self.key);
        self
    }

    /// A key after eight bytes of its xxHash.
    #[must_use]
    pub fn twox_64_concat(mut self, key: impl Encode) -> Self {
        let key = key.encode();
        self.key.extend(twox_64(&key));
        self.key.extend(key);
        self
    }

    /// A key after sixteen bytes of its blake2 hash.
    #[must_use]
    pub fn blake2_128_concat(mut self, key: impl Encode) -> Self {
        let key = key.encode();
        self.key.extend(blake2_128(&key));
        self.key.extend(key);
        self
    }

    /// The storage key.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        &self.key
    }
}

/// Reading of typed values.
pub trait Read {
    /// The bytes under a key.
    fn raw(&self, key: &[u8]) -> Option<&[u8]>;

    /// The value of a slot, if there is one.
    fn get<T: Decode>(&self, slot: &Slot<T>) -> Option<T> {
        let mut bytes = self.raw(&slot.key)?;
        // Values come from the encoders of this crate, and a stored state is compared with its root when it
        // is opened.
        Some(T::decode(&mut bytes).expect("state holds what this chain's own encoders wrote"))
    }

    /// The value of a slot or its default.
    fn value<T: Clone + Decode + Default>(&self, slot: &Slot<T>) -> T {
        self.get(slot).or_else(|| slot.default.clone()).unwrap_or_default()
    }

    /// Whether the slot holds a value.
    fn holds<T>(&self, slot: &Slot<T>) -> bool {
        self.raw(&slot.key).is_some()
    }
}

impl Read for State {
    fn raw(&self, key: &[u8]) -> Option<&[u8]> {
        self.get(key).map(Vec::as_slice)
    }
}

/// A state with changes that are not yet part of it, in two layers: those of the block, and those of the call
/// being dispatched, which vanish if it fails.
#[derive(Debug)]
pub struct Overlay<'a> {
    base: &'a State,
    block: Changes,
    call: Option<Changes>,
}

impl<'a> Overlay<'a> {
    /// Nothing changed yet.
    #[must_use]
    pub fn new(base: &'a State) -> Self {
        Self { base, block: Changes::new(), call: None }
    }

    /// Runs `call`; what it changed stays only if it succeeds.
    pub fn transaction<T, E>(&mut self, call: impl FnOnce(&mut Self) -> Result<T, E>) -> Result<T, E> {
        self.call = Some(Changes::new());
        let result = call(self);
        let changes = self.call.take().unwrap_or_default();
        if result.is_ok() {
            self.block.extend(changes);
        }
        result
    }

    /// Stores a value.
    pub fn put<T: Encode>(&mut self, slot: &Slot<T>, value: &T) {
        self.change(slot.key.clone(), Some(value.encode()));
    }

    /// Stores bytes under a key that no pallet has.
    pub fn put_raw(&mut self, key: &[u8], value: Vec<u8>) {
        self.change(key.to_vec(), Some(value));
    }

    /// Removes a value.
    pub fn remove<T>(&mut self, slot: &Slot<T>) {
        self.change(slot.key.clone(), None);
    }

    /// Reads, changes and stores a value.
    pub fn update<T: Clone + Decode + Default + Encode>(&mut self, slot: &Slot<T>, change: impl FnOnce(&mut T)) {
        let mut value = self.value(slot);
        change(&mut value);
        self.put(slot, &value);
    }

    /// Everything that changed.
    #[must_use]
    pub fn into_changes(self) -> Changes {
        self.block
    }

    fn change(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) {
        self.call.as_mut().unwrap_or(&mut self.block).insert(key, value);
    }
}

impl Read for Overlay<'_> {
    fn raw(&self, key: &[u8]) -> Option<&[u8]> {
        let changed = self.call.as_ref().and_then(|call| call.get(key)).or_else(|| self.block.get(key));
        match changed {
            Some(value) => value.as_deref(),
            None => self.base.raw(key),
        }
    }
}

/// The state after changes.
pub(crate) fn apply(state: &mut State, changes: &Changes) {
    for (key, value) in changes {
        match value {
            Some(value) => state.insert(key.clone(), value.clone()),
            None => state.remove(key),
        };
    }
}

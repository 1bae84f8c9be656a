//! What a block does to the state: the pallets' rules for the calls offered.
//!
//! The rules, their order and their errors are Subtensor's; what no subnet client of ours can observe (emission,
//! consensus, staking, pruning of neurons, fees) is not there. A block either becomes part of the chain whole or
//! leaves no trace.

mod axon;
mod commit;
mod commitments;
mod register;
mod upscale;
mod validity;
mod weights;

use grail_beacon::LocalBeacon;
use grail_protocol::{AccountId, Hash};
use parity_scale_codec::Encode;

use super::call::{Call, CommitmentsCall, SubtensorCall, TimestampCall};
use super::event::{DispatchError, DispatchInfo, Event, Phase, SystemEvent};
use super::extrinsic::{Extrinsic, Signed, encode_bare};
use super::slots::{self, EncodedRecord};
use super::state::{Changes, Overlay, Read, State};
use super::version::{BLOCK_HASH_COUNT, CODE, Runtime, last_runtime_upgrade};

pub(crate) use register::append_neuron;
pub use upscale::max_upscale;
pub(crate) use validity::{Context, check};
pub use validity::{Invalid, Unknown, Validity};

/// Constant `MaxFields` of Commitments.
pub(crate) const MAX_COMMITMENT_FIELDS: u32 = super::commitment::MAX_FIELDS as u32;

/// The block being built.
pub(crate) struct Execution<'a> {
    state: Overlay<'a>,
    number: u32,
    netuid: u16,
    runtime: Runtime,
    records: Vec<EncodedRecord>,
    extrinsics: Vec<Vec<u8>>,
}

/// What is known before a block is built.
pub(crate) struct Start<'a> {
    pub number: u32,
    pub parent_hash: Hash,
    pub timestamp_ms: u64,
    /// The one subnet.
    pub netuid: u16,
    /// The beacon whose rounds reach the chain by themselves; `None`: no committed weight is ever revealed.
    pub beacon: Option<&'a LocalBeacon>,
}

impl<'a> Execution<'a> {
    /// Starts a block: its environment, the subnet's counters, and the inherent that states its time.
    pub fn start(state: &'a State, start: &Start<'_>) -> Self {
        let mut execution = Self {
            state: Overlay::new(state),
            number: start.number,
            netuid: start.netuid,
            runtime: Runtime::of(state.raw(CODE)),
            records: vec![],
            extrinsics: vec![],
        };
        let upgraded = last_runtime_upgrade(execution.runtime);
        if execution.state.get(&slots::last_runtime_upgrade()).as_ref() != Some(&upgraded) {
            execution.state.put(&slots::last_runtime_upgrade(), &upgraded);
        }
        execution.state.put(&slots::number(), &start.number);
        execution.state.put(&slots::parent_hash(), &start.parent_hash);
        execution.state.put(&slots::block_hash(start.number - 1), &start.parent_hash);
        if let Some(oldest) = start.number.checked_sub(BLOCK_HASH_COUNT + 1) {
            execution.state.remove(&slots::block_hash(oldest));
        }
        execution.count_block();
        execution.state.put(&slots::now(), &start.timestamp_ms);
        if let Some(beacon) = start.beacon {
            execution.reveal_weights(beacon, start.timestamp_ms);
        }
        let set = Call::Timestamp(TimestampCall::Set { now: start.timestamp_ms });
        execution.push(encode_bare(&set), Ok(()), DispatchInfo::INHERENT);
        execution
    }

    /// Checks an extrinsic against the block so far and dispatches its call.
    ///
    /// # Errors
    /// The extrinsic may not be in this block; nothing changed.
    pub fn apply(&mut self, encoded: &[u8], context: &Context) -> Result<(), Validity> {
        let signed = match Extrinsic::decode(encoded, context.runtime) {
            Ok(Extrinsic::Signed(signed)) => signed,
            Ok(Extrinsic::Bare(_)) | Err(_) => return Err(Invalid::Call.into()),
        };
        let signer = check(&signed, &self.state, context, 0)?;
        self.state.update(&slots::account(&signer), |account| {
            account.nonce += 1;
            account.free = account.free.saturating_sub(signed.tip);
        });
        let result = self.dispatch(signer, signed);
        self.push(encoded.to_vec(), result, DispatchInfo::SIGNED);
        Ok(())
    }

    /// From the next block on another runtime makes them.
    pub fn upgrade(&mut self) {
        self.state.put_raw(CODE, self.runtime.next().code());
    }

    /// Ends the block: its extrinsics and what it changed.
    pub fn finish(mut self) -> (Vec<Vec<u8>>, Changes) {
        let count = self.records.len() as u32;
        self.state.put(&slots::events(), &self.records);
        self.state.put(&slots::event_count(), &count);
        (self.extrinsics, self.state.into_changes())
    }

    /// Bytes of the extrinsics so far.
    pub fn length(&self) -> usize {
        self.extrinsics.iter().map(Vec::len).sum()
    }

    fn dispatch(&mut self, signer: AccountId, signed: Signed) -> Result<(), DispatchError> {
        let block = self.number;
        let events = self.state.transaction(|state| {
            let mut call = Dispatch { state, signer, block, events: vec![] };
            call.run(signed.call).map(|()| call.events)
        })?;
        for event in events {
            self.record(event);
        }
        Ok(())
    }

    /// Adds an extrinsic with its outcome.
    fn push(&mut self, encoded: Vec<u8>, result: Result<(), DispatchError>, info: DispatchInfo) {
        self.record(Event::System(match result {
            Ok(()) => SystemEvent::ExtrinsicSuccess(info),
            Err(error) => SystemEvent::ExtrinsicFailed(error.placed(self.runtime), info),
        }));
        self.extrinsics.push(encoded);
    }

    fn record(&mut self, event: Event) {
        self.record_in(Phase::ApplyExtrinsic(self.extrinsics.len() as u32), event);
    }

    fn record_in(&mut self, phase: Phase, event: Event) {
        let topics: [Hash; 0] = [];
        let no_topics = parity_scale_codec::Compact(topics.len() as u32);
        let mut event = event.encode();
        event[0] = self.runtime.pallet(event[0]);
        self.records.push(EncodedRecord([phase.encode(), event, no_topics.encode()].concat()));
    }

    /// Counters of the subnet that move with every block.
    fn count_block(&mut self) {
        let (netuid, number) = (self.netuid, self.number);
        self.state.remove(&slots::registrations_this_block(netuid));
        let interval = u64::from(self.state.value(&slots::adjustment_interval(netuid)));
        let last = self.state.value(&slots::last_adjustment_block(netuid));
        if u64::from(number).saturating_sub(last) >= interval {
            self.state.put(&slots::last_adjustment_block(netuid), &u64::from(number));
            self.state.remove(&slots::registrations_this_interval(netuid));
        }
        let tempo = self.state.value(&slots::tempo(netuid));
        let epochs = |number: u32| epoch_index(netuid, tempo, number);
        if tempo != 0 && epochs(number) != epochs(number - 1) {
            self.state.put(&slots::blocks_since_last_step(netuid), &0);
            self.state.put(&slots::last_step_block(netuid), &u64::from(number));
        } else {
            self.state.update(&slots::blocks_since_last_step(netuid), |blocks| *blocks += 1);
        }
    }
}

/// Which of the subnet's epochs a block is in; epochs of different subnets begin at different blocks.
pub(crate) fn epoch_index(netuid: u16, tempo: u16, block: u32) -> u64 {
    (u64::from(block) + u64::from(netuid) + 1) / (u64::from(tempo) + 1)
}

/// A call being dispatched.
struct Dispatch<'a, 'b> {
    state: &'a mut Overlay<'b>,
    signer: AccountId,
    block: u32,
    events: Vec<Event>,
}

impl Dispatch<'_, '_> {
    fn run(&mut self, call: Call) -> Result<(), DispatchError> {
        match call {
            Call::System(_) => Ok(()),
            Call::Timestamp(_) => Err(DispatchError::BadOrigin),
            Call::Subtensor(SubtensorCall::SetWeights { netuid, dests, weights, version_key }) => {
                self.set_weights(netuid, &dests, &weights, version_key)
            }
            Call::Subtensor(SubtensorCall::CommitTimelockedWeights {
                netuid,
                commit,
                reveal_round,
                commit_reveal_version,
            }) => self.commit_timelocked_weights(netuid, commit, reveal_round, commit_reveal_version),
            Call::Subtensor(SubtensorCall::ServeAxon(axon)) => self.serve_axon(&axon),
            Call::Subtensor(SubtensorCall::BurnedRegister { netuid, hotkey }) => self.burned_register(netuid, hotkey),
            Call::Commitments(CommitmentsCall::SetCommitment { netuid, info }) => self.set_commitment(netuid, info),
        }
    }
}

/// Fails with the error unless the rule holds.
fn ensure<E: Into<DispatchError>>(rule: bool, error: E) -> Result<(), DispatchError> {
    if rule { Ok(()) } else { Err(error.into()) }
}

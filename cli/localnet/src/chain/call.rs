//! Calls as they stand in an extrinsic.
//!
//! Decoding is bounded by the bytes at hand: a length prefix that promises more than there is fails before
//! anything is reserved for it.

use grail_protocol::AccountId;
use parity_scale_codec::{Decode, Encode};

use super::commitment::{Bounded, CommitmentInfo};
use super::slots::MAX_COMMIT_BYTES;

/// A call of one of the pallets offered.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
pub enum Call {
    /// System, pallet 0.
    #[codec(index = 0)]
    System(SystemCall),
    /// Timestamp, pallet 2.
    #[codec(index = 2)]
    Timestamp(TimestampCall),
    /// SubtensorModule, pallet 7.
    #[codec(index = 7)]
    Subtensor(SubtensorCall),
    /// Commitments, pallet 18.
    #[codec(index = 18)]
    Commitments(CommitmentsCall),
}

/// Calls of System.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
pub enum SystemCall {
    /// Puts bytes into the block, without effect.
    #[codec(index = 0)]
    Remark {
        /// Any bytes.
        remark: Vec<u8>,
    },
}

/// Calls of Timestamp.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
pub enum TimestampCall {
    /// The inherent that states the block's time.
    #[codec(index = 0)]
    Set {
        /// Milliseconds since the Unix epoch.
        #[codec(compact)]
        now: u64,
    },
}

/// Calls of SubtensorModule.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
pub enum SubtensorCall {
    /// A neuron's weights over others.
    #[codec(index = 0)]
    SetWeights {
        /// Subnet.
        netuid: u16,
        /// Uids weighed.
        dests: Vec<u16>,
        /// Their weights; the chain scales the largest to 65535.
        weights: Vec<u16>,
        /// Version of the validator's rules.
        version_key: u64,
    },
    /// Publishes where a neuron's server listens.
    #[codec(index = 4)]
    ServeAxon(ServeAxon),
    /// Buys a uid for a hotkey, signed by its coldkey.
    #[codec(index = 7)]
    BurnedRegister {
        /// Subnet.
        netuid: u16,
        /// The account that gets the uid.
        hotkey: AccountId,
    },
    /// Weights that a round of the beacon opens.
    #[codec(index = 113)]
    CommitTimelockedWeights {
        /// Subnet.
        netuid: u16,
        /// The encrypted weights.
        commit: Bounded<MAX_COMMIT_BYTES>,
        /// The round.
        reveal_round: u64,
        /// Version of the format.
        commit_reveal_version: u16,
    },
}

/// Arguments of `serve_axon`.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
pub struct ServeAxon {
    /// Subnet.
    pub netuid: u16,
    /// Version of the server.
    pub version: u32,
    /// Address as a number, IPv4 or IPv6.
    pub ip: u128,
    /// Port.
    pub port: u16,
    /// 4 or 6.
    pub ip_type: u8,
    /// Number of the protocol.
    pub protocol: u8,
    /// Unused.
    pub placeholder1: u8,
    /// Unused.
    pub placeholder2: u8,
}

/// Calls of Commitments.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
pub enum CommitmentsCall {
    /// Replaces what an account has published on a subnet.
    #[codec(index = 0)]
    SetCommitment {
        /// Subnet.
        netuid: u16,
        /// Up to three fields.
        info: CommitmentInfo,
    },
}

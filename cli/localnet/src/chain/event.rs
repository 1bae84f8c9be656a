//! Events and dispatch errors, with the indices of the real pallets.

use grail_protocol::{AccountId, Hash};
use parity_scale_codec::{Compact, Encode};

use super::version::Runtime;

/// Something that happened in a block.
#[derive(Clone, Debug, Encode, Eq, PartialEq)]
pub enum Event {
    /// System, pallet 0.
    #[codec(index = 0)]
    System(SystemEvent),
    /// SubtensorModule, pallet 7.
    #[codec(index = 7)]
    Subtensor(SubtensorEvent),
    /// Commitments, pallet 18.
    #[codec(index = 18)]
    Commitments(CommitmentsEvent),
}

/// Events of System.
#[derive(Clone, Debug, Encode, Eq, PartialEq)]
pub enum SystemEvent {
    /// The extrinsic's call succeeded.
    #[codec(index = 0)]
    ExtrinsicSuccess(DispatchInfo),
    /// The extrinsic's call failed and changed nothing.
    #[codec(index = 1)]
    ExtrinsicFailed(DispatchError, DispatchInfo),
}

/// Events of SubtensorModule.
#[derive(Clone, Debug, Encode, Eq, PartialEq)]
pub enum SubtensorEvent {
    /// Subnet, uid.
    #[codec(index = 5)]
    WeightsSet(u16, u16),
    /// Subnet, uid, hotkey.
    #[codec(index = 6)]
    NeuronRegistered(u16, u16, AccountId),
    /// Subnet, hotkey.
    #[codec(index = 28)]
    AxonServed(u16, AccountId),
    /// Hotkey, subnet, hash of the commitment, round that opens it.
    #[codec(index = 101)]
    TimelockedWeightsCommitted(AccountId, u16, Hash, u64),
    /// Subnet, hotkey.
    #[codec(index = 102)]
    TimelockedWeightsRevealed(u16, AccountId),
}

/// Events of Commitments.
#[derive(Clone, Debug, Encode, Eq, PartialEq)]
pub enum CommitmentsEvent {
    /// Subnet, account.
    #[codec(index = 0)]
    Commitment(u16, AccountId),
    /// Subnet, account, round that opens it.
    #[codec(index = 1)]
    TimelockCommitment(u16, AccountId, u64),
}

/// When an event happened.
#[derive(Clone, Copy, Debug, Encode, Eq, PartialEq)]
pub enum Phase {
    /// While the extrinsic of this position was applied.
    #[codec(index = 0)]
    ApplyExtrinsic(u32),
    /// Before the first extrinsic.
    #[codec(index = 2)]
    Initialization,
}

/// Cost and class of a call. This chain meters nothing, so the weight is zero.
#[derive(Clone, Copy, Debug, Encode, Eq, PartialEq)]
pub struct DispatchInfo {
    ref_time: Compact<u64>,
    proof_size: Compact<u64>,
    class: u8,
    pays_no_fee: bool,
}

impl DispatchInfo {
    const NORMAL: u8 = 0;
    const MANDATORY: u8 = 2;

    /// Of a signed call; none pays a fee.
    pub const SIGNED: Self =
        Self { ref_time: Compact(0), proof_size: Compact(0), class: Self::NORMAL, pays_no_fee: true };

    /// Of an inherent.
    pub const INHERENT: Self =
        Self { ref_time: Compact(0), proof_size: Compact(0), class: Self::MANDATORY, pays_no_fee: true };
}

/// Why a call failed.
#[derive(Clone, Copy, Debug, Encode, Eq, PartialEq)]
pub enum DispatchError {
    /// The call is not for signers.
    #[codec(index = 2)]
    BadOrigin,
    /// A pallet's own error: pallet index and four bytes, of which the first is the error's index.
    #[codec(index = 3)]
    Module {
        /// Pallet.
        index: u8,
        /// Error.
        error: [u8; 4],
    },
}

impl DispatchError {
    /// The same, with the pallet where a runtime has it.
    pub(crate) fn placed(self, runtime: Runtime) -> Self {
        match self {
            Self::Module { index, error } => Self::Module { index: runtime.pallet(index), error },
            Self::BadOrigin => self,
        }
    }
}

impl From<SubtensorError> for DispatchError {
    fn from(error: SubtensorError) -> Self {
        Self::Module { index: 7, error: [error as u8, 0, 0, 0] }
    }
}

impl From<CommitmentsError> for DispatchError {
    fn from(error: CommitmentsError) -> Self {
        Self::Module { index: 18, error: [error as u8, 0, 0, 0] }
    }
}

/// Errors of SubtensorModule that the calls offered can give.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
#[non_exhaustive]
pub enum SubtensorError {
    /// Neither 4 nor 6.
    InvalidIpType = 1,
    /// No server can listen there.
    InvalidIpAddress = 2,
    /// Port 0.
    InvalidPort = 3,
    /// The signer has no uid on this subnet.
    HotKeyNotRegisteredInSubNet = 4,
    /// The signer has no uid on any subnet.
    HotKeyNotRegisteredInNetwork = 6,
    /// The hotkey belongs to another coldkey.
    NonAssociatedColdKey = 7,
    /// Less stake than the threshold.
    NotEnoughStakeToSetWeights = 10,
    /// The coldkey cannot pay for the registration.
    NotEnoughBalanceToStake = 12,
    /// Weights over others need a permit.
    NeuronNoValidatorPermit = 15,
    /// As many weights as uids.
    WeightVecNotEqualSize = 16,
    /// A uid twice.
    DuplicateUids = 17,
    /// A uid that nobody has.
    UidVecContainInvalidOne = 18,
    /// Fewer weights than the subnet asks.
    WeightVecLengthIsLow = 19,
    /// Enough registrations for one block.
    TooManyRegistrationsThisBlock = 20,
    /// The hotkey has a uid already.
    HotKeyAlreadyRegisteredInSubNet = 21,
    /// A weight's share above the limit.
    MaxWeightExceeded = 26,
    /// Before the rate limit has passed.
    SettingWeightsTooFast = 28,
    /// A version older than the subnet's.
    IncorrectWeightVersionKey = 29,
    /// Before the rate limit has passed.
    ServingRateLimitExceeded = 30,
    /// More uids than neurons.
    UidsLengthExceedUidsInSubNet = 31,
    /// The subnet takes nobody.
    SubNetRegistrationDisabled = 36,
    /// Enough registrations for one interval.
    TooManyRegistrationsThisInterval = 37,
    /// Subnet 0 has no such registration.
    RegistrationNotPermittedOnRootSubnet = 41,
    /// Every uid is taken.
    NoNeuronIdAvailable = 47,
    /// Weights must be committed first and revealed later.
    CommitRevealEnabled = 52,
    /// Weights are set, not committed.
    CommitRevealDisabled = 53,
    /// No such subnet.
    MechanismDoesNotExist = 71,
    /// No such subnet.
    SubnetNotExists = 73,
    /// Enough commitments in one epoch.
    TooManyUnrevealedCommits = 74,
    /// Before the rate limit has passed.
    CommittingWeightsTooFast = 78,
    /// Another version than the chain's.
    IncorrectCommitRevealVersion = 109,
}

/// Errors of Commitments that can occur. Too many fields are refused when the call is decoded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
#[non_exhaustive]
pub enum CommitmentsError {
    /// The account has no uid on the subnet.
    AccountNotAllowedCommit = 1,
    /// No space left in this epoch.
    SpaceLimitExceeded = 2,
}

//! Which calls, entries, events, errors and constants each pallet offers.

use frame_metadata::v15::StorageHasher::{self, Blake2_128Concat, Identity, Twox64Concat};

use super::registry::VariantText;
use super::subtensor;
use crate::chain::version::Runtime;

/// A pallet as the metadata describes it.
pub(super) struct Pallet {
    pub name: &'static str,
    pub index: u8,
    /// Path of the pallet's module in the real runtime, above `Call`, `Event` and `Error`.
    pub module: &'static str,
    pub calls: &'static [VariantText<'static>],
    pub storage: &'static [Entry],
    pub events: &'static [VariantText<'static>],
    /// Names in order; the position is the index.
    pub errors: &'static [&'static str],
    pub constants: &'static [Constant],
}

pub(super) struct Entry {
    pub name: &'static str,
    pub keys: &'static [(StorageHasher, &'static str)],
    pub value: &'static str,
    /// SCALE in hex; `None`: the entry is optional.
    pub default: Option<&'static str>,
}

pub(super) struct Constant {
    pub name: &'static str,
    pub ty: &'static str,
    /// In a runtime.
    pub value: fn(Runtime) -> Vec<u8>,
}

const NETUID: (StorageHasher, &str) = (Identity, "u16");
const UID: (StorageHasher, &str) = (Identity, "u16");
const HOTKEY: (StorageHasher, &str) = (Blake2_128Concat, "AccountId32");
const COMMITTER: (StorageHasher, &str) = (Twox64Concat, "AccountId32");

const fn value(
    name: &'static str,
    keys: &'static [(StorageHasher, &'static str)],
    value: &'static str,
    default: &'static str,
) -> Entry {
    Entry { name, keys, value, default: Some(default) }
}

const fn optional(name: &'static str, keys: &'static [(StorageHasher, &'static str)], value: &'static str) -> Entry {
    Entry { name, keys, value, default: None }
}

const ZERO_ACCOUNT: &str = "0000000000000000000000000000000000000000000000000000000000000000";
const ZERO_U64: &str = "0000000000000000";

pub(super) static PALLETS: &[Pallet] = &[
    Pallet {
        name: "System",
        index: 0,
        module: "frame_system::pallet",
        calls: &[(0, "remark", &["remark: Vec<u8>"])],
        storage: &[
            value(
                "Account",
                &[HOTKEY],
                "AccountInfo<u32, AccountData<u64>>",
                "0000000000000000000000000000000000000000000000000000000000000000\
                 000000000000000000000000000000000000000000000080",
            ),
            value("BlockHash", &[(Twox64Concat, "u32")], "H256", ZERO_ACCOUNT),
            value("Number", &[], "u32", "00000000"),
            value("ParentHash", &[], "H256", ZERO_ACCOUNT),
            value("Events", &[], "Vec<EventRecord<RuntimeEvent, H256>>", "00"),
            value("EventCount", &[], "u32", "00000000"),
            optional("LastRuntimeUpgrade", &[], "LastRuntimeUpgradeInfo"),
        ],
        events: &[
            (0, "ExtrinsicSuccess", &["dispatch_info: DispatchEventInfo"]),
            (1, "ExtrinsicFailed", &["dispatch_error: DispatchError", "dispatch_info: DispatchEventInfo"]),
        ],
        errors: &[
            "InvalidSpecName",
            "SpecVersionNeedsToIncrease",
            "FailedToExtractRuntimeVersion",
            "NonDefaultComposite",
            "NonZeroRefCount",
            "CallFiltered",
            "MultiBlockMigrationsOngoing",
            "NothingAuthorized",
            "Unauthorized",
        ],
        constants: &[
            Constant { name: "BlockHashCount", ty: "u32", value: block_hash_count },
            Constant { name: "Version", ty: "RuntimeVersion", value: version },
            Constant { name: "SS58Prefix", ty: "u16", value: ss58_prefix },
        ],
    },
    Pallet {
        name: "Timestamp",
        index: 2,
        module: "pallet_timestamp::pallet",
        calls: &[(0, "set", &["now: Compact<u64> as T::Moment"])],
        storage: &[value("Now", &[], "u64", ZERO_U64)],
        events: &[],
        errors: &[],
        // The real MinimumPeriod is 6 s, half a block; block times of this chain are free, so it offers none.
        constants: &[],
    },
    Pallet {
        name: "SubtensorModule",
        index: 7,
        module: "pallet_subtensor::pallet",
        calls: SUBTENSOR_CALLS,
        storage: SUBTENSOR_STORAGE,
        events: &[
            (5, "WeightsSet", &["u16 as NetUidStorageIndex", "u16"]),
            (6, "NeuronRegistered", &["u16 as NetUid", "u16", "AccountId32 as T::AccountId"]),
            (28, "AxonServed", &["u16 as NetUid", "AccountId32 as T::AccountId"]),
            (
                101,
                "TimelockedWeightsCommitted",
                &["AccountId32 as T::AccountId", "u16 as NetUidStorageIndex", "H256", "u64"],
            ),
            (102, "TimelockedWeightsRevealed", &["u16 as NetUidStorageIndex", "AccountId32 as T::AccountId"]),
        ],
        errors: subtensor::ERRORS,
        constants: &[],
    },
    Pallet {
        name: "Commitments",
        index: 18,
        module: "pallet_commitments::pallet",
        calls: &[(
            0,
            "set_commitment",
            &["netuid: u16 as NetUid", "info: CommitmentInfo as Box<CommitmentInfo<T::MaxFields>>"],
        )],
        storage: &[
            optional("CommitmentOf", &[NETUID, COMMITTER], "Registration<u64, u32>"),
            optional("LastCommitment", &[NETUID, COMMITTER], "u32"),
            optional("UsedSpaceOf", &[NETUID, COMMITTER], "UsageTracker"),
            value("MaxSpace", &[], "u32", "1c0c0000"),
        ],
        events: &[
            (0, "Commitment", &["netuid: u16 as NetUid", "who: AccountId32 as T::AccountId"]),
            (
                1,
                "TimelockCommitment",
                &["netuid: u16 as NetUid", "who: AccountId32 as T::AccountId", "reveal_round: u64"],
            ),
        ],
        errors: &[
            "TooManyFieldsInCommitmentInfo",
            "AccountNotAllowedCommit",
            "SpaceLimitExceeded",
            "UnexpectedUnreserveLeftover",
        ],
        constants: &[
            Constant { name: "MaxFields", ty: "u32", value: max_fields },
            Constant { name: "InitialDeposit", ty: "u64", value: no_deposit },
            Constant { name: "FieldDeposit", ty: "u64", value: no_deposit },
        ],
    },
];

const SUBTENSOR_CALLS: &[VariantText] = &[
    (0, "set_weights", &["netuid: u16 as NetUid", "dests: Vec<u16>", "weights: Vec<u16>", "version_key: u64"]),
    (
        4,
        "serve_axon",
        &[
            "netuid: u16 as NetUid",
            "version: u32",
            "ip: u128",
            "port: u16",
            "ip_type: u8",
            "protocol: u8",
            "placeholder1: u8",
            "placeholder2: u8",
        ],
    ),
    (7, "burned_register", &["netuid: u16 as NetUid", "hotkey: AccountId32 as T::AccountId"]),
    (
        113,
        "commit_timelocked_weights",
        &[
            "netuid: u16 as NetUid",
            "commit: BoundedVec<u8> as BoundedVec<u8, ConstU32<MAX_CRV3_COMMIT_SIZE_BYTES>>",
            "reveal_round: u64",
            "commit_reveal_version: u16",
        ],
    ),
];

const SUBTENSOR_STORAGE: &[Entry] = &[
    value("Owner", &[HOTKEY], "AccountId32", ZERO_ACCOUNT),
    value("TotalHotkeyAlpha", &[HOTKEY, NETUID], "u64", ZERO_U64),
    value("Tempo", &[NETUID], "u16", "6801"),
    value("SubnetworkN", &[NETUID], "u16", "0000"),
    value("NetworksAdded", &[NETUID], "bool", "00"),
    value("IsNetworkMember", &[HOTKEY, NETUID], "bool", "00"),
    value("BlocksSinceLastStep", &[NETUID], "u64", ZERO_U64),
    value("MaxAllowedUids", &[NETUID], "u16", "0010"),
    value("ImmunityPeriod", &[NETUID], "u16", "0010"),
    value("MaxWeightsLimit", &[NETUID], "u16", "ffff"),
    value("WeightsVersionKey", &[NETUID], "u64", ZERO_U64),
    value("MinAllowedWeights", &[NETUID], "u16", "0004"),
    value("WeightsSetRateLimit", &[NETUID], "u64", "6400000000000000"),
    value("CommitRevealWeightsEnabled", &[NETUID], "bool", "01"),
    value("Burn", &[NETUID], "u64", "00e1f50500000000"),
    optional("Uids", &[NETUID, HOTKEY], "u16"),
    value("Keys", &[NETUID, UID], "AccountId32", ZERO_ACCOUNT),
    value("Active", &[NETUID], "Vec<bool>", "00"),
    value("LastUpdate", &[NETUID], "Vec<u64>", "00"),
    value("ValidatorPermit", &[NETUID], "Vec<bool>", "00"),
    value("Weights", &[NETUID, UID], "Vec<(u16, u16)>", "00"),
    value("BlockAtRegistration", &[NETUID, UID], "u64", ZERO_U64),
    optional("Axons", &[NETUID, HOTKEY], "AxonInfo"),
    value("StakeThreshold", &[], "u64", ZERO_U64),
    value(
        "TimelockedWeightCommits",
        &[(Twox64Concat, "u16"), (Twox64Concat, "u64")],
        "Vec<(AccountId32, u64, BoundedVec<u8>, u64)>",
        "00",
    ),
    value("RevealPeriodEpochs", &[(Twox64Concat, "u16")], "u64", "0100000000000000"),
    value("CommitRevealWeightsVersion", &[], "u16", "0400"),
    value("MechanismCountCurrent", &[(Twox64Concat, "u16")], "u8", "01"),
];

/// Transaction extensions in order: identifier, type inside the extrinsic, type added to the signed payload.
pub(super) static EXTENSIONS: &[(&str, &str, &str)] = &[
    ("CheckNonZeroSender", "CheckNonZeroSender", "()"),
    ("CheckSpecVersion", "CheckSpecVersion", "u32"),
    ("CheckTxVersion", "CheckTxVersion", "u32"),
    ("CheckGenesis", "CheckGenesis", "H256"),
    ("CheckMortality", "CheckMortality", "H256"),
    ("CheckNonce", "CheckNonce", "()"),
    ("CheckWeight", "CheckWeight", "()"),
    ("ChargeTransactionPayment", "ChargeTransactionPayment", "()"),
    ("SudoTransactionExtension", "SudoTransactionExtension<Runtime>", "()"),
    ("SubtensorTransactionExtension", "SubtensorTransactionExtension<Runtime>", "()"),
    ("DrandPriority", "DrandPriority<Runtime>", "()"),
    ("CheckMetadataHash", "CheckMetadataHash", "Option<[u8; 32]>"),
];

/// One runtime API: name, methods (name, arguments as `name: Type`, result).
pub(super) type RuntimeApi = (&'static str, &'static [(&'static str, &'static [&'static str], &'static str)]);

/// What `state_call` answers.
pub(super) static RUNTIME_APIS: &[RuntimeApi] = &[
    ("Core", &[("version", &[], "RuntimeVersion")]),
    (
        "Metadata",
        &[
            ("metadata", &[], "OpaqueMetadata"),
            ("metadata_at_version", &["version: u32"], "Option<OpaqueMetadata>"),
            ("metadata_versions", &[], "Vec<u32>"),
        ],
    ),
    (
        "TaggedTransactionQueue",
        &[(
            "validate_transaction",
            &["source: TransactionSource", "tx: UncheckedExtrinsic", "block_hash: H256"],
            "Result<ValidTransaction, TransactionValidityError>",
        )],
    ),
    ("AccountNonceApi", &[("account_nonce", &["account: AccountId32"], "u32")]),
    ("SubnetInfoRuntimeApi", &[("get_metagraph", &["netuid: u16"], "Option<Metagraph<AccountId32>>")]),
];

/// Versions of the runtime APIs, which RuntimeVersion lists by the hash of their names.
pub(crate) static API_VERSIONS: &[(&str, u32)] =
    &[("Core", 5), ("Metadata", 2), ("TaggedTransactionQueue", 3), ("AccountNonceApi", 1), ("SubnetInfoRuntimeApi", 1)];

fn block_hash_count(_: Runtime) -> Vec<u8> {
    crate::chain::version::BLOCK_HASH_COUNT.to_le_bytes().to_vec()
}

fn version(runtime: Runtime) -> Vec<u8> {
    crate::chain::version::runtime_version_scale(runtime)
}

fn ss58_prefix(_: Runtime) -> Vec<u8> {
    crate::chain::version::SS58_PREFIX.to_le_bytes().to_vec()
}

fn max_fields(_: Runtime) -> Vec<u8> {
    crate::chain::runtime::MAX_COMMITMENT_FIELDS.to_le_bytes().to_vec()
}

fn no_deposit(_: Runtime) -> Vec<u8> {
    0u64.to_le_bytes().to_vec()
}

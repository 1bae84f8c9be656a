//! Structs and enums that the tables name, as the real runtime's metadata has them.

use super::registry::VariantText;

/// A variant that is made: index, name, fields as text.
pub(super) type MadeVariant = (u8, String, Vec<String>);

/// What a named type consists of.
pub(super) enum Shape {
    /// Fields as text.
    Struct(&'static [&'static str]),
    /// Variants as text.
    Enum(&'static [VariantText<'static>]),
    /// Variants that are too many to write down.
    Made(fn() -> Vec<MadeVariant>),
}

pub(super) struct Definition {
    /// The text by which other texts name it.
    pub name: &'static str,
    pub path: &'static str,
    pub params: &'static [(&'static str, Option<&'static str>)],
    pub shape: Shape,
}

const fn made(
    name: &'static str,
    path: &'static str,
    params: &'static [(&'static str, Option<&'static str>)],
    shape: Shape,
) -> Definition {
    Definition { name, path, params, shape }
}

const fn of(name: &'static str, path: &'static str, shape: Shape) -> Definition {
    made(name, path, &[], shape)
}

pub(super) fn find(name: &str) -> Option<&'static Definition> {
    DEFINITIONS.iter().find(|definition| definition.name == name)
}

use Shape::{Enum, Made, Struct};

const RUNTIME: &[(&str, Option<&str>)] = &[("T", Some("Runtime"))];
const NONE: &[(&str, Option<&str>)] = &[("T", None)];

static DEFINITIONS: &[Definition] = &[
    of("AccountId32", "sp_core::crypto::AccountId32", Struct(&["[u8; 32]"])),
    of("H256", "primitive_types::H256", Struct(&["[u8; 32]"])),
    of("Runtime", "node_subtensor_runtime::Runtime", Struct(&[])),
    made(
        "MultiAddress<AccountId32, ()>",
        "sp_runtime::multiaddress::MultiAddress",
        &[("AccountId", Some("AccountId32")), ("AccountIndex", Some("()"))],
        Enum(&[
            (0, "Id", &["AccountId32 as AccountId"]),
            (1, "Index", &["Compact<()> as AccountIndex"]),
            (2, "Raw", &["Vec<u8>"]),
            (3, "Address32", &["[u8; 32]"]),
            (4, "Address20", &["[u8; 20]"]),
        ]),
    ),
    of(
        "MultiSignature",
        "sp_runtime::MultiSignature",
        Enum(&[
            (0, "Ed25519", &["[u8; 64] as ed25519::Signature"]),
            (1, "Sr25519", &["[u8; 64] as sr25519::Signature"]),
            (2, "Ecdsa", &["[u8; 65] as ecdsa::Signature"]),
        ]),
    ),
    of("Era", "sp_runtime::generic::era::Era", Made(era)),
    made(
        "AccountInfo<u32, AccountData<u64>>",
        "frame_system::AccountInfo",
        &[("Nonce", Some("u32")), ("AccountData", Some("AccountData<u64>"))],
        Struct(&[
            "nonce: u32 as Nonce",
            "consumers: u32 as RefCount",
            "providers: u32 as RefCount",
            "sufficients: u32 as RefCount",
            "data: AccountData<u64> as AccountData",
        ]),
    ),
    made(
        "AccountData<u64>",
        "pallet_balances::types::AccountData",
        &[("Balance", Some("u64"))],
        Struct(&["free: u64 as Balance", "reserved: u64 as Balance", "frozen: u64 as Balance", "flags: ExtraFlags"]),
    ),
    of("ExtraFlags", "pallet_balances::types::ExtraFlags", Struct(&["u128"])),
    made(
        "EventRecord<RuntimeEvent, H256>",
        "frame_system::EventRecord",
        &[("E", Some("RuntimeEvent")), ("T", Some("H256"))],
        Struct(&["phase: Phase", "event: RuntimeEvent as E", "topics: Vec<H256> as Vec<T>"]),
    ),
    of(
        "Phase",
        "frame_system::Phase",
        Enum(&[(0, "ApplyExtrinsic", &["u32"]), (1, "Finalization", &[]), (2, "Initialization", &[])]),
    ),
    of(
        "DispatchEventInfo",
        "frame_system::DispatchEventInfo",
        Struct(&["weight: Weight", "class: DispatchClass", "pays_fee: Pays"]),
    ),
    of(
        "Weight",
        "sp_weights::weight_v2::Weight",
        Struct(&["ref_time: Compact<u64> as u64", "proof_size: Compact<u64> as u64"]),
    ),
    of(
        "DispatchClass",
        "frame_support::dispatch::DispatchClass",
        Enum(&[(0, "Normal", &[]), (1, "Operational", &[]), (2, "Mandatory", &[])]),
    ),
    of("Pays", "frame_support::dispatch::Pays", Enum(&[(0, "Yes", &[]), (1, "No", &[])])),
    of(
        "LastRuntimeUpgradeInfo",
        "frame_system::LastRuntimeUpgradeInfo",
        Struct(&["spec_version: Compact<u32> as codec::Compact<u32>", "spec_name: Cow<str> as Cow<'static, str>"]),
    ),
    of(
        "RuntimeVersion",
        "sp_version::RuntimeVersion",
        Struct(&[
            "spec_name: Cow<str> as Cow<'static, str>",
            "impl_name: Cow<str> as Cow<'static, str>",
            "authoring_version: u32",
            "spec_version: u32",
            "impl_version: u32",
            "apis: Cow<Vec<([u8; 8], u32)>> as ApisVec",
            "transaction_version: u32",
            "system_version: u8",
        ]),
    ),
    of("OpaqueMetadata", "sp_core::OpaqueMetadata", Struct(&["Vec<u8>"])),
    // Errors.
    of(
        "DispatchError",
        "sp_runtime::DispatchError",
        Enum(&[
            (0, "Other", &[]),
            (1, "CannotLookup", &[]),
            (2, "BadOrigin", &[]),
            (3, "Module", &["ModuleError"]),
            (4, "ConsumerRemaining", &[]),
            (5, "NoProviders", &[]),
            (6, "TooManyConsumers", &[]),
            (7, "Token", &["TokenError"]),
            (8, "Arithmetic", &["ArithmeticError"]),
            (9, "Transactional", &["TransactionalError"]),
            (10, "Exhausted", &[]),
            (11, "Corruption", &[]),
            (12, "Unavailable", &[]),
            (13, "RootNotAllowed", &[]),
            (14, "Trie", &["TrieError"]),
        ]),
    ),
    of(
        "ModuleError",
        "sp_runtime::ModuleError",
        Struct(&["index: u8", "error: [u8; 4] as [u8; MAX_MODULE_ERROR_ENCODED_SIZE]"]),
    ),
    of(
        "TokenError",
        "sp_runtime::TokenError",
        Enum(&[
            (0, "FundsUnavailable", &[]),
            (1, "OnlyProvider", &[]),
            (2, "BelowMinimum", &[]),
            (3, "CannotCreate", &[]),
            (4, "UnknownAsset", &[]),
            (5, "Frozen", &[]),
            (6, "Unsupported", &[]),
            (7, "CannotCreateHold", &[]),
            (8, "NotExpendable", &[]),
            (9, "Blocked", &[]),
        ]),
    ),
    of(
        "ArithmeticError",
        "sp_arithmetic::ArithmeticError",
        Enum(&[(0, "Underflow", &[]), (1, "Overflow", &[]), (2, "DivisionByZero", &[])]),
    ),
    of("TransactionalError", "sp_runtime::TransactionalError", Enum(&[(0, "LimitReached", &[]), (1, "NoLayer", &[])])),
    of(
        "TrieError",
        "sp_runtime::proving_trie::TrieError",
        Enum(&[
            (0, "InvalidStateRoot", &[]),
            (1, "IncompleteDatabase", &[]),
            (2, "ValueAtIncompleteKey", &[]),
            (3, "DecoderError", &[]),
            (4, "InvalidHash", &[]),
            (5, "DuplicateKey", &[]),
            (6, "ExtraneousNode", &[]),
            (7, "ExtraneousValue", &[]),
            (8, "ExtraneousHashReference", &[]),
            (9, "InvalidChildReference", &[]),
            (10, "ValueMismatch", &[]),
            (11, "IncompleteProof", &[]),
            (12, "RootMismatch", &[]),
            (13, "DecodeError", &[]),
        ]),
    ),
    // Validity of transactions.
    of(
        "TransactionSource",
        "sp_runtime::transaction_validity::TransactionSource",
        Enum(&[(0, "InBlock", &[]), (1, "Local", &[]), (2, "External", &[])]),
    ),
    made(
        "Result<ValidTransaction, TransactionValidityError>",
        "Result",
        &[("T", Some("ValidTransaction")), ("E", Some("TransactionValidityError"))],
        Enum(&[(0, "Ok", &["ValidTransaction as T"]), (1, "Err", &["TransactionValidityError as E"])]),
    ),
    of(
        "ValidTransaction",
        "sp_runtime::transaction_validity::ValidTransaction",
        Struct(&[
            "priority: u64 as TransactionPriority",
            "requires: Vec<Vec<u8>> as Vec<TransactionTag>",
            "provides: Vec<Vec<u8>> as Vec<TransactionTag>",
            "longevity: u64 as TransactionLongevity",
            "propagate: bool",
        ]),
    ),
    of(
        "TransactionValidityError",
        "sp_runtime::transaction_validity::TransactionValidityError",
        Enum(&[(0, "Invalid", &["InvalidTransaction"]), (1, "Unknown", &["UnknownTransaction"])]),
    ),
    of(
        "InvalidTransaction",
        "sp_runtime::transaction_validity::InvalidTransaction",
        Enum(&[
            (0, "Call", &[]),
            (1, "Payment", &[]),
            (2, "Future", &[]),
            (3, "Stale", &[]),
            (4, "BadProof", &[]),
            (5, "AncientBirthBlock", &[]),
            (6, "ExhaustsResources", &[]),
            (7, "Custom", &["u8"]),
            (8, "BadMandatory", &[]),
            (9, "MandatoryValidation", &[]),
            (10, "BadSigner", &[]),
            (11, "IndeterminateImplicit", &[]),
            (12, "UnknownOrigin", &[]),
        ]),
    ),
    of(
        "UnknownTransaction",
        "sp_runtime::transaction_validity::UnknownTransaction",
        Enum(&[(0, "CannotLookup", &[]), (1, "NoUnsignedValidator", &[]), (2, "Custom", &["u8"])]),
    ),
    // What the transaction extensions put into an extrinsic.
    made(
        "CheckNonZeroSender",
        "frame_system::extensions::check_non_zero_sender::CheckNonZeroSender",
        NONE,
        Struct(&[]),
    ),
    made("CheckSpecVersion", "frame_system::extensions::check_spec_version::CheckSpecVersion", NONE, Struct(&[])),
    made("CheckTxVersion", "frame_system::extensions::check_tx_version::CheckTxVersion", NONE, Struct(&[])),
    made("CheckGenesis", "frame_system::extensions::check_genesis::CheckGenesis", NONE, Struct(&[])),
    made("CheckMortality", "frame_system::extensions::check_mortality::CheckMortality", NONE, Struct(&["Era"])),
    made(
        "CheckNonce",
        "frame_system::extensions::check_nonce::CheckNonce",
        NONE,
        Struct(&["Compact<u32> as T::Nonce"]),
    ),
    made("CheckWeight", "frame_system::extensions::check_weight::CheckWeight", NONE, Struct(&[])),
    made(
        "ChargeTransactionPayment",
        "pallet_transaction_payment::ChargeTransactionPayment",
        NONE,
        Struct(&["Compact<u64> as BalanceOf<T>"]),
    ),
    made(
        "ChargeTransactionPaymentWrapper",
        "node_subtensor_runtime::transaction_payment_wrapper::ChargeTransactionPaymentWrapper",
        NONE,
        Struct(&["charge_transaction_payment: ChargeTransactionPayment as ChargeTransactionPayment<T>"]),
    ),
    made(
        "SudoTransactionExtension<Runtime>",
        "node_subtensor_runtime::sudo_wrapper::SudoTransactionExtension",
        RUNTIME,
        Struct(&[]),
    ),
    made(
        "SubtensorTransactionExtension<Runtime>",
        "pallet_subtensor::transaction_extension::SubtensorTransactionExtension",
        RUNTIME,
        Struct(&[]),
    ),
    made("DrandPriority<Runtime>", "pallet_drand::drand_priority::DrandPriority", RUNTIME, Struct(&[])),
    of("CheckMetadataHash", "frame_metadata_hash_extension::CheckMetadataHash", Struct(&["mode: Mode"])),
    of("Mode", "frame_metadata_hash_extension::Mode", Enum(&[(0, "Disabled", &[]), (1, "Enabled", &[])])),
    // Commitments.
    of(
        "CommitmentInfo",
        "pallet_commitments::types::CommitmentInfo",
        Struct(&["fields: BoundedVec<Data> as BoundedVec<Data, FieldLimit>"]),
    ),
    of("Data", "pallet_commitments::types::Data", Made(data)),
    made(
        "Registration<u64, u32>",
        "pallet_commitments::types::Registration",
        &[("Balance", Some("u64")), ("MaxFields", None), ("BlockNumber", Some("u32"))],
        Struct(&[
            "deposit: u64 as Balance",
            "block: u32 as BlockNumber",
            "info: CommitmentInfo as CommitmentInfo<MaxFields>",
        ]),
    ),
    of("UsageTracker", "pallet_commitments::types::UsageTracker", Struct(&["last_epoch: u64", "used_space: u64"])),
    // The metagraph.
    of("AxonInfo", "pallet_subtensor::pallet::AxonInfo", Struct(super::subtensor::AXON_FIELDS)),
    of("SubnetIdentityV3", "pallet_subtensor::pallet::SubnetIdentityV3", Struct(super::subtensor::SUBNET_IDENTITY)),
    of("ChainIdentityV2", "pallet_subtensor::pallet::ChainIdentityV2", Struct(super::subtensor::CHAIN_IDENTITY)),
    made("FixedI128<U32>", "substrate_fixed::FixedI128", &[("Frac", Some("U32"))], Struct(&["bits: i128"])),
    of("U32", "substrate_fixed::types::extra::U32", Struct(&[])),
    made(
        "Metagraph<AccountId32>",
        "pallet_subtensor::rpc_info::metagraph::Metagraph",
        &[("AccountId", Some("AccountId32"))],
        Struct(super::subtensor::METAGRAPH_FIELDS),
    ),
];

/// `Immortal`, then `Mortal1` to `Mortal255`, whose number is the first byte of the two.
fn era() -> Vec<MadeVariant> {
    let mortal = (1..=255).map(|first: u8| (first, format!("Mortal{first}"), vec!["u8".to_owned()]));
    std::iter::once((0, "Immortal".to_owned(), vec![])).chain(mortal).collect()
}

/// `Raw0` to `Raw128` hold their length in the variant, so that short texts need no length prefix.
fn data() -> Vec<MadeVariant> {
    let raw = (0..=128u8).map(|length| (length + 1, format!("Raw{length}"), vec![format!("[u8; {length}]")]));
    let hashes = ["BlakeTwo256", "Sha256", "Keccak256", "ShaThree256"];
    let hashes = (130u8..).zip(hashes).map(|(index, name)| (index, name.to_owned(), vec!["[u8; 32]".to_owned()]));
    let timelock = vec![
        "encrypted: BoundedVec<u8> as BoundedVec<u8, ConstU32<MAX_TIMELOCK_COMMITMENT_SIZE_BYTES>>".to_owned(),
        "reveal_round: u64".to_owned(),
    ];
    let big = vec!["BoundedVec<u8> as BoundedVec<u8, ConstU32<MAX_BIGRAW_COMMITMENT_SIZE_BYTES>>".to_owned()];
    let rest = [
        (134, "TimelockEncrypted".to_owned(), timelock),
        (135, "ResetBondsFlag".to_owned(), vec![]),
        (136, "BigRaw".to_owned(), big),
    ];
    std::iter::once((0, "None".to_owned(), vec![])).chain(raw).chain(hashes).chain(rest).collect()
}

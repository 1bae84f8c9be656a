//! From the tables to encoded metadata.

use frame_metadata::{RuntimeMetadataPrefixed, v14, v15};
use parity_scale_codec::Encode;
use scale_info::form::PortableForm;

use super::pallets::{EXTENSIONS, Entry, PALLETS, Pallet, RUNTIME_APIS};
use super::registry::{Id, Registry, VariantText};
use crate::chain::version::Runtime;

const CALL: &str = "RuntimeCall";
const EVENT: &str = "RuntimeEvent";
const ERROR: &str = "RuntimeError";
const ADDRESS: &str = "MultiAddress<AccountId32, ()>";
const SIGNATURE: &str = "MultiSignature";

/// Version of the extrinsic format that this chain reads and writes.
const EXTRINSIC_VERSION: u8 = 4;

/// Metadata V14 of a runtime, encoded with its magic number and version, as `state_getMetadata` gives it.
pub fn v14(runtime: Runtime) -> Vec<u8> {
    let mut registry = Registry::default();
    outer_enums(&mut registry, runtime);
    let pallets = PALLETS
        .iter()
        .map(|pallet| v14::PalletMetadata {
            name: pallet.name.to_owned(),
            storage: storage(&mut registry, pallet),
            calls: calls(&mut registry, pallet).map(|ty| v14::PalletCallMetadata { ty }),
            event: events(&mut registry, pallet).map(|ty| v14::PalletEventMetadata { ty }),
            constants: constants(&mut registry, pallet, runtime),
            error: errors(&mut registry, pallet).map(|ty| v14::PalletErrorMetadata { ty }),
            index: runtime.pallet(pallet.index),
        })
        .collect();
    let signed_extensions = EXTENSIONS
        .iter()
        .map(|(identifier, ty, additional)| v14::SignedExtensionMetadata {
            identifier: (*identifier).to_owned(),
            ty: registry.id(ty),
            additional_signed: registry.id(additional),
        })
        .collect();
    let ty = registry.id("UncheckedExtrinsic");
    let extrinsic = v14::ExtrinsicMetadata { ty, version: EXTRINSIC_VERSION, signed_extensions };
    let ty = registry.id("Runtime");
    let metadata = v14::RuntimeMetadataV14 { types: registry.finish(), pallets, extrinsic, ty };
    RuntimeMetadataPrefixed::from(metadata).encode()
}

/// Metadata V15 of a runtime, encoded with its magic number and version.
pub fn v15(runtime: Runtime) -> Vec<u8> {
    let mut registry = Registry::default();
    outer_enums(&mut registry, runtime);
    let pallets = PALLETS
        .iter()
        .map(|pallet| v15::PalletMetadata {
            name: pallet.name.to_owned(),
            storage: storage(&mut registry, pallet),
            calls: calls(&mut registry, pallet).map(|ty| v15::PalletCallMetadata { ty }),
            event: events(&mut registry, pallet).map(|ty| v15::PalletEventMetadata { ty }),
            constants: constants(&mut registry, pallet, runtime),
            error: errors(&mut registry, pallet).map(|ty| v15::PalletErrorMetadata { ty }),
            index: runtime.pallet(pallet.index),
            docs: vec![],
        })
        .collect();
    let signed_extensions = EXTENSIONS
        .iter()
        .map(|(identifier, ty, additional)| v15::SignedExtensionMetadata {
            identifier: (*identifier).to_owned(),
            ty: registry.id(ty),
            additional_signed: registry.id(additional),
        })
        .collect();
    let extrinsic = v15::ExtrinsicMetadata {
        version: EXTRINSIC_VERSION,
        address_ty: registry.id(ADDRESS),
        call_ty: registry.id(CALL),
        signature_ty: registry.id(SIGNATURE),
        extra_ty: registry.id(&extra()),
        signed_extensions,
    };
    let apis = runtime_apis(&mut registry);
    let outer_enums = v15::OuterEnums {
        call_enum_ty: registry.id(CALL),
        event_enum_ty: registry.id(EVENT),
        error_enum_ty: registry.id(ERROR),
    };
    let ty = registry.id("Runtime");
    let custom = v15::CustomMetadata { map: Default::default() };
    let types = registry.finish();
    let metadata = v15::RuntimeMetadataV15 { types, pallets, extrinsic, ty, apis, outer_enums, custom };
    RuntimeMetadataPrefixed::from(metadata).encode()
}

/// Registers the enums over all pallets and the extrinsic, which the tables then use by name.
fn outer_enums(registry: &mut Registry, runtime: Runtime) {
    type Inner = fn(&mut Registry, &Pallet) -> Option<Id>;
    let enums: [(&str, &str, Inner); 3] = [(CALL, "Call", calls), (EVENT, "Event", events), (ERROR, "Error", errors)];
    for (outer, kind, inner) in enums {
        let mut variants = vec![];
        for pallet in PALLETS {
            if inner(registry, pallet).is_some() {
                let name = inner_name(pallet, kind);
                variants.push((runtime.pallet(pallet.index), pallet.name, [format!("{name} as {name}")]));
            }
        }
        let texts = variants.iter().map(|(index, name, [field])| (*index, *name, [field.as_str()])).collect::<Vec<_>>();
        let texts = texts.iter().map(|(index, name, field)| (*index, *name, field.as_slice())).collect::<Vec<_>>();
        registry.variant_type(outer, &format!("node_subtensor_runtime::{outer}"), &[], &texts);
    }
    let extra = extra();
    let params = [
        ("Address", Some(ADDRESS)),
        ("Call", Some(CALL)),
        ("Signature", Some(SIGNATURE)),
        ("Extra", Some(extra.as_str())),
    ];
    let path = "sp_runtime::generic::unchecked_extrinsic::UncheckedExtrinsic";
    registry.struct_type("UncheckedExtrinsic", path, &params, &["Vec<u8>"]);
}

/// The tuple of everything that extensions put into an extrinsic.
fn extra() -> String {
    let wrapped = |ty: &'static str| match ty {
        "ChargeTransactionPayment" => "ChargeTransactionPaymentWrapper",
        ty => ty,
    };
    let types = EXTENSIONS.iter().map(|(_, ty, _)| wrapped(ty)).collect::<Vec<_>>();
    format!("({})", types.join(", "))
}

/// The name under which a pallet's own enum is registered.
fn inner_name(pallet: &Pallet, kind: &str) -> String {
    format!("{}::{kind}", pallet.name)
}

fn inner_enum(registry: &mut Registry, pallet: &Pallet, kind: &str, variants: &[VariantText]) -> Option<Id> {
    let path = format!("{}::{kind}", pallet.module);
    (!variants.is_empty()).then(|| registry.variant_type(&inner_name(pallet, kind), &path, &[("T", None)], variants))
}

fn calls(registry: &mut Registry, pallet: &Pallet) -> Option<Id> {
    inner_enum(registry, pallet, "Call", pallet.calls)
}

fn events(registry: &mut Registry, pallet: &Pallet) -> Option<Id> {
    inner_enum(registry, pallet, "Event", pallet.events)
}

fn errors(registry: &mut Registry, pallet: &Pallet) -> Option<Id> {
    let variants = (0u8..).zip(pallet.errors).map(|(index, name)| (index, *name, &[] as &[&str])).collect::<Vec<_>>();
    inner_enum(registry, pallet, "Error", &variants)
}

fn storage(registry: &mut Registry, pallet: &Pallet) -> Option<v14::PalletStorageMetadata<PortableForm>> {
    let entries = pallet.storage.iter().map(|entry| storage_entry(registry, entry)).collect::<Vec<_>>();
    (!entries.is_empty()).then(|| v14::PalletStorageMetadata { prefix: pallet.name.to_owned(), entries })
}

fn storage_entry(registry: &mut Registry, entry: &Entry) -> v14::StorageEntryMetadata<PortableForm> {
    let value = registry.id(entry.value);
    let ty = match entry.keys {
        [] => v14::StorageEntryType::Plain(value),
        keys => {
            let types = keys.iter().map(|(_, ty)| *ty).collect::<Vec<_>>();
            let key = match types.as_slice() {
                [one] => registry.id(one),
                several => registry.id(&format!("({})", several.join(", "))),
            };
            let hashers = keys.iter().map(|(hasher, _)| hasher.clone()).collect();
            v14::StorageEntryType::Map { hashers, key, value }
        }
    };
    let (modifier, default) = match entry.default {
        Some(text) => (v14::StorageEntryModifier::Default, text),
        None => (v14::StorageEntryModifier::Optional, "00"),
    };
    let default = hex::decode(default).expect("defaults of the tables are hex");
    v14::StorageEntryMetadata { name: entry.name.to_owned(), modifier, ty, default, docs: vec![] }
}

fn constants(
    registry: &mut Registry,
    pallet: &Pallet,
    runtime: Runtime,
) -> Vec<v14::PalletConstantMetadata<PortableForm>> {
    pallet
        .constants
        .iter()
        .map(|constant| v14::PalletConstantMetadata {
            name: constant.name.to_owned(),
            ty: registry.id(constant.ty),
            value: (constant.value)(runtime),
            docs: vec![],
        })
        .collect()
}

fn runtime_apis(registry: &mut Registry) -> Vec<v15::RuntimeApiMetadata<PortableForm>> {
    let argument = |registry: &mut Registry, text: &str| {
        let (name, ty) = text.split_once(": ").expect("arguments of the tables have names");
        v15::RuntimeApiMethodParamMetadata { name: name.to_owned(), ty: registry.id(ty) }
    };
    RUNTIME_APIS
        .iter()
        .map(|(name, methods)| v15::RuntimeApiMetadata {
            name: (*name).to_owned(),
            methods: methods
                .iter()
                .map(|(name, inputs, output)| v15::RuntimeApiMethodMetadata {
                    name: (*name).to_owned(),
                    inputs: inputs.iter().map(|text| argument(registry, text)).collect(),
                    output: registry.id(output),
                    docs: vec![],
                })
                .collect(),
            docs: vec![],
        })
        .collect()
}

//! Every entry that the metadata offers agrees with the real chain's (`tests/vectors/network`).

mod support;

use std::collections::BTreeMap;

use frame_metadata::v14::{StorageEntryModifier, StorageEntryType};
use frame_metadata::v15::RuntimeMetadataV15;
use frame_metadata::{RuntimeMetadata, RuntimeMetadataPrefixed};
use grail_localnet::chain::metadata;
use grail_localnet::chain::version::Runtime;
use parity_scale_codec::Decode;
use scale_info::form::PortableForm;
use scale_info::{Field, PortableRegistry, TypeDef, Variant};
use serde_json::{Value, json};

use support::vectors;

fn decode(bytes: &[u8]) -> RuntimeMetadata {
    let mut input = bytes;
    let metadata = RuntimeMetadataPrefixed::decode(&mut input).expect("metadata decodes").1;
    assert!(input.is_empty(), "bytes after the metadata");
    metadata
}

fn v15() -> RuntimeMetadataV15 {
    match decode(&metadata::v15(Runtime::FIRST)) {
        RuntimeMetadata::V15(metadata) => metadata,
        _ => panic!("not V15"),
    }
}

/// A type in the notation of the vectors: the last part of its path, with parameters.
fn name(types: &PortableRegistry, id: u32) -> String {
    let ty = types.resolve(id).expect("a type");
    let list = |ids: Vec<u32>| ids.into_iter().map(|id| name(types, id)).collect::<Vec<_>>().join(", ");
    if let Some(last) = ty.path.segments.last() {
        let params = ty.type_params.iter().filter_map(|param| param.ty).map(|ty| ty.id).collect::<Vec<_>>();
        return if params.is_empty() { last.clone() } else { format!("{last}<{}>", list(params)) };
    }
    match &ty.type_def {
        TypeDef::Sequence(sequence) => format!("Vec<{}>", name(types, sequence.type_param.id)),
        TypeDef::Array(array) => format!("[{}; {}]", name(types, array.type_param.id), array.len),
        TypeDef::Tuple(tuple) => format!("({})", list(tuple.fields.iter().map(|ty| ty.id).collect())),
        TypeDef::Compact(compact) => format!("Compact<{}>", name(types, compact.type_param.id)),
        TypeDef::Primitive(primitive) => format!("{primitive:?}").to_lowercase(),
        other => panic!("a type without a path: {other:?}"),
    }
}

fn fields(types: &PortableRegistry, fields: &[Field<PortableForm>]) -> Value {
    fields
        .iter()
        .map(|field| json!({ "name": field.name, "type": name(types, field.ty.id), "type_name": field.type_name }))
        .collect()
}

fn variants(types: &PortableRegistry, id: u32) -> &[Variant<PortableForm>] {
    match &types.resolve(id).expect("a type").type_def {
        TypeDef::Variant(variant) => &variant.variants,
        other => panic!("not an enum: {other:?}"),
    }
}

/// Everything offered, as the vectors write it, under a path that names it.
fn offered(metadata: &RuntimeMetadataV15) -> BTreeMap<String, Value> {
    let types = &metadata.types;
    let mut all = BTreeMap::new();
    for pallet in &metadata.pallets {
        let at = |kind: &str, name: &str| format!("{}.{kind}.{name}", pallet.name);
        all.insert(format!("{}.index", pallet.name), json!(pallet.index));
        let called = pallet.calls.iter().map(|calls| ("calls", calls.ty.id));
        let happened = pallet.event.iter().map(|event| ("events", event.ty.id));
        for (kind, id) in called.chain(happened) {
            for variant in variants(types, id) {
                let value =
                    json!({ "index": variant.index, "name": variant.name, "args": fields(types, &variant.fields) });
                all.insert(at(kind, &variant.name), value);
            }
        }
        for variant in pallet.error.iter().flat_map(|error| variants(types, error.ty.id)) {
            all.insert(at("errors", &variant.name), json!({ "index": variant.index, "name": variant.name }));
        }
        for constant in &pallet.constants {
            // The list of runtime APIs is part of the version, and ours is shorter.
            let value = (constant.name != "Version").then(|| hex::encode(&constant.value));
            let value = json!({ "name": constant.name, "type": name(types, constant.ty.id), "value_hex": value });
            all.insert(at("constants", &constant.name), value);
        }
        let Some(storage) = &pallet.storage else { continue };
        all.insert(format!("{}.storage_prefix", pallet.name), json!(storage.prefix));
        for entry in &storage.entries {
            all.insert(at("storage", &entry.name), storage_entry(types, entry));
        }
    }
    for api in &metadata.apis {
        for method in &api.methods {
            let inputs = method.inputs.iter();
            let inputs = inputs.map(|input| json!({ "name": input.name, "type": name(types, input.ty.id) }));
            let value = json!({
                "name": method.name,
                "inputs": inputs.collect::<Value>(),
                "output": name(types, method.output.id),
            });
            all.insert(format!("api.{}.{}", api.name, method.name), value);
        }
    }
    for (position, extension) in metadata.extrinsic.signed_extensions.iter().enumerate() {
        let value = json!({
            "identifier": extension.identifier,
            "in_extrinsic": name(types, extension.ty.id),
            "in_payload": name(types, extension.additional_signed.id),
        });
        all.insert(format!("extension.{position}"), value);
    }
    all
}

fn storage_entry(types: &PortableRegistry, entry: &frame_metadata::v14::StorageEntryMetadata<PortableForm>) -> Value {
    let (keys, value) = match &entry.ty {
        StorageEntryType::Plain(value) => (vec![], value.id),
        StorageEntryType::Map { hashers, key, value } => {
            let parts = match &types.resolve(key.id).expect("a type").type_def {
                TypeDef::Tuple(tuple) if hashers.len() > 1 => tuple.fields.iter().map(|ty| ty.id).collect(),
                _ => vec![key.id],
            };
            assert_eq!(parts.len(), hashers.len());
            let keys = hashers.iter().zip(parts);
            let keys = keys.map(|(hasher, id)| json!({ "hasher": format!("{hasher:?}"), "type": name(types, id) }));
            (keys.collect(), value.id)
        }
    };
    let value_fields = match &types.resolve(value).expect("a type").type_def {
        TypeDef::Composite(composite) if composite.fields.iter().all(|field| field.name.is_some()) => {
            fields(types, &composite.fields)
        }
        _ => Value::Null,
    };
    let modifier = match entry.modifier {
        StorageEntryModifier::Optional => "Optional",
        StorageEntryModifier::Default => "Default",
    };
    json!({
        "name": entry.name,
        "modifier": modifier,
        "keys": keys,
        "value_type": name(types, value),
        "value_fields": value_fields,
        "default_hex": hex::encode(&entry.default),
    })
}

/// The vectors under the same paths.
fn real() -> BTreeMap<String, Value> {
    let file = vectors("metadata_subset.json");
    let items = |value: &Value| value.as_array().expect("a list").clone();
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let mut all = BTreeMap::new();
    for pallet in items(&file["pallets"]) {
        let pallet_name = text(&pallet["name"]);
        all.insert(format!("{pallet_name}.index"), pallet["index"].clone());
        all.insert(format!("{pallet_name}.storage_prefix"), pallet["storage_prefix"].clone());
        for kind in ["calls", "events", "errors", "storage", "constants"] {
            for mut item in items(&pallet[kind]) {
                if item["name"] == "Version" {
                    item["value_hex"] = Value::Null;
                }
                all.insert(format!("{pallet_name}.{kind}.{}", text(&item["name"])), item);
            }
        }
    }
    for api in items(&file["runtime_apis"]) {
        for method in items(&api["methods"]) {
            all.insert(format!("api.{}.{}", text(&api["name"]), text(&method["name"])), method);
        }
    }
    for (position, extension) in items(&file["transaction_extensions"]).into_iter().enumerate() {
        all.insert(format!("extension.{position}"), extension);
    }
    all
}

/// What of the offer differs from the real chain.
fn differences(offered: &BTreeMap<String, Value>, real: &BTreeMap<String, Value>) -> Vec<String> {
    // The vectors write the address without its parameters in this one place and with them elsewhere.
    let as_written = |value: &Value| value.to_string().replace("<MultiAddress<AccountId32, ()>,", "<MultiAddress,");
    let same = |key: &str, value: &Value| real.get(key).is_some_and(|real| as_written(real) == as_written(value));
    let different = offered.iter().filter(|(key, value)| !same(key, value));
    different.map(|(key, value)| format!("{key}: {value}, really {:?}", real.get(key))).collect()
}

#[test]
fn every_entry_offered_agrees_with_the_real_chain() {
    let (offered, real) = (offered(&v15()), real());
    assert!(offered.len() > 200, "only {} entries", offered.len());
    let differences = differences(&offered, &real);
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn a_changed_entry_would_be_noticed() {
    let (offered, real) = (offered(&v15()), real());
    for key in offered.keys() {
        let mut changed = offered.clone();
        let value = changed.get_mut(key).expect("it is there");
        *value = match value.take() {
            Value::Object(mut object) => {
                let field = object.keys().next_back().expect("a field").clone();
                object.insert(field, json!("changed"));
                Value::Object(object)
            }
            _ => json!("changed"),
        };
        assert_eq!(differences(&changed, &real).len(), 1, "{key}");
    }
}

#[test]
fn structs_and_dispatch_errors_agree_with_the_real_chain() {
    let metadata = v15();
    let file = vectors("metadata_subset.json");
    let by_path = |path: &str| {
        let parts = path.split("::").collect::<Vec<_>>();
        metadata.types.types.iter().find(|ty| ty.ty.path.segments == parts).map(|ty| &ty.ty.type_def)
    };
    let mut compared = 0;
    for real in file["structs"].as_array().expect("a list") {
        let path = real["path"].as_str().expect("text");
        let Some(TypeDef::Composite(ours)) = by_path(path) else { panic!("{path} is missing") };
        assert_eq!(fields(&metadata.types, &ours.fields), real["fields"], "{path}");
        compared += 1;
    }
    for real in file["dispatch_errors"].as_array().expect("a list") {
        let path = real["path"].as_str().expect("text");
        let Some(TypeDef::Variant(ours)) = by_path(path) else { panic!("{path} is missing") };
        let ours = ours.variants.iter();
        let ours =
            ours.map(|v| json!({ "index": v.index, "name": v.name, "args": fields(&metadata.types, &v.fields) }));
        assert_eq!(ours.collect::<Value>(), real["variants"], "{path}");
        compared += 1;
    }
    assert!(compared > 10, "{compared}");
}

#[test]
fn the_metagraph_has_the_real_fields_in_order() {
    let metadata = v15();
    let file = vectors("chain_storage.json");
    let named = |wanted: &str| {
        let found = metadata.types.types.iter().find(|ty| ty.ty.path.segments.last().is_some_and(|l| l == wanted));
        match found.map(|ty| &ty.ty.type_def) {
            Some(TypeDef::Composite(composite)) => composite.fields.clone(),
            _ => panic!("{wanted} is missing"),
        }
    };
    let pairs = |wanted: &str| {
        let fields = named(wanted);
        let fields = fields.iter();
        fields.map(|f| json!({ "name": f.name, "type": name(&metadata.types, f.ty.id) })).collect::<Vec<_>>()
    };
    let graph = &file["get_metagraph"];
    assert_eq!(json!(pairs("Metagraph")), graph["fields"]);
    for (struct_name, fields) in graph["nested"].as_object().expect("structs") {
        let mut fields = fields.clone();
        for field in fields.as_array_mut().expect("fields") {
            field.as_object_mut().expect("a field").remove("type_name");
        }
        assert_eq!(json!(pairs(struct_name)), fields, "{struct_name}");
    }
}

#[test]
fn v14_says_the_same_as_v15() {
    let RuntimeMetadata::V14(old) = decode(&metadata::v14(Runtime::FIRST)) else { panic!("not V14") };
    let new = v15();
    assert_eq!(old.pallets.len(), new.pallets.len());
    for (a, b) in old.pallets.iter().zip(&new.pallets) {
        assert_eq!((&a.name, a.index), (&b.name, b.index));
        let entries = |storage: &Option<frame_metadata::v14::PalletStorageMetadata<PortableForm>>, types| {
            let entries = storage.iter().flat_map(|storage| &storage.entries);
            entries.map(|entry| storage_entry(types, entry)).collect::<Vec<_>>()
        };
        assert_eq!(entries(&a.storage, &old.types), entries(&b.storage, &new.types));
        assert_eq!(a.calls.is_some(), b.calls.is_some());
    }
    assert_eq!(old.extrinsic.version, new.extrinsic.version);
    assert_eq!(old.extrinsic.signed_extensions.len(), new.extrinsic.signed_extensions.len());
}

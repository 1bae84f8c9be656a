//! Between the values of the vectors and those of the client library.

use serde_json::Value as Json;
use subxt::ext::scale_value::{Composite, Primitive, Value, ValueDef, Variant};

/// A value of a given type, for encoding.
pub fn to_value(ty: &str, json: &Json) -> Result<Value, String> {
    let wrong = || format!("{json} is no {ty}");
    match ty {
        "u8" | "u16" | "u32" | "u64" | "u128" => Ok(Value::u128(number(json).ok_or_else(wrong)?)),
        "Vec<u16>" => {
            let items = json.as_array().ok_or_else(wrong)?.iter().map(|item| to_value("u16", item));
            Ok(Value::unnamed_composite(items.collect::<Result<Vec<_>, _>>()?))
        }
        "AccountId32" => Ok(Value::from_bytes(bytes(&json["account_hex"])?)),
        "H256" | "BoundedVec<u8>" | "Vec<u8>" => Ok(Value::from_bytes(bytes(json)?)),
        "CommitmentInfo" => {
            let fields = json["fields"].as_array().ok_or_else(wrong)?.iter().map(data);
            let fields = Value::unnamed_composite(fields.collect::<Result<Vec<_>, _>>()?);
            Ok(Value::named_composite([("fields", fields)]))
        }
        other => Err(format!("type {other} is unknown")),
    }
}

/// A field of a commitment.
fn data(json: &Json) -> Result<Value, String> {
    let variant = json["variant"].as_str().ok_or("a field without a variant")?;
    if let Some(encrypted) = json.get("encrypted") {
        let round = number(&json["reveal_round"]).ok_or("no reveal_round")?;
        let values = [("encrypted", Value::from_bytes(bytes(encrypted)?)), ("reveal_round", Value::u128(round))];
        return Ok(Value::named_variant(variant, values));
    }
    match json.get("bytes") {
        Some(hex) => Ok(Value::unnamed_variant(variant, [Value::from_bytes(bytes(hex)?)])),
        None => Ok(Value::unnamed_variant(variant, [])),
    }
}

pub fn bytes(json: &Json) -> Result<Vec<u8>, String> {
    let text = json.as_str().ok_or_else(|| format!("{json} is no text"))?;
    hex::decode(text).map_err(|e| format!("{text}: {e}"))
}

/// A number, or one written as decimal text because it may need 128 bits.
pub fn number(json: &Json) -> Option<u128> {
    json.as_u64().map(u128::from).or_else(|| json.as_str()?.parse().ok())
}

/// Whether a decoded value is what the vectors say.
pub fn agrees(value: &Value, json: &Json) -> bool {
    match &value.value {
        ValueDef::Primitive(Primitive::Bool(found)) => json.as_bool() == Some(*found),
        ValueDef::Primitive(Primitive::U128(found)) => number(json) == Some(*found),
        ValueDef::Variant(variant) => variant_agrees(variant, json),
        ValueDef::Composite(Composite::Named(fields)) if json.is_object() => {
            let object = json.as_object().map_or(0, serde_json::Map::len);
            object == fields.len() && fields.iter().all(|(name, value)| agrees(value, &json[name]))
        }
        ValueDef::Composite(composite) => {
            let values: Vec<&Value> = composite.values().collect();
            let list = json.as_array().is_some_and(|items| {
                items.len() == values.len() && values.iter().zip(items).all(|(v, item)| agrees(v, item))
            });
            let hex = json.get("account_hex").unwrap_or(json);
            let same_bytes = || bytes(hex).is_ok_and(|expected| bytes_of(value).is_some_and(|found| found == expected));
            list || (hex.is_string() && same_bytes()) || (values.len() == 1 && agrees(values[0], json))
        }
        _ => false,
    }
}

fn variant_agrees(variant: &Variant<()>, json: &Json) -> bool {
    let values: Vec<&Value> = variant.values.values().collect();
    if json["variant"].as_str() != Some(&variant.name) {
        return false;
    }
    match values.as_slice() {
        [] => json.get("bytes").is_none_or(|b| b == ""),
        [one] => agrees(one, &json["bytes"]),
        [encrypted, round] => agrees(encrypted, &json["encrypted"]) && agrees(round, &json["reveal_round"]),
        _ => false,
    }
}

/// The bytes of a list of u8, through any wrappers of one field.
fn bytes_of(value: &Value) -> Option<Vec<u8>> {
    let ValueDef::Composite(composite) = &value.value else {
        return None;
    };
    let values: Vec<&Value> = composite.values().collect();
    let byte = |value: &&Value| match value.value {
        ValueDef::Primitive(Primitive::U128(byte)) => u8::try_from(byte).ok(),
        _ => None,
    };
    match values.as_slice() {
        [one] if matches!(one.value, ValueDef::Composite(_)) => bytes_of(one),
        _ => values.iter().map(byte).collect(),
    }
}

//! The settings that are refused, because NUMERICS does not define what they would compute.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Config, config_error, shown};
use crate::Result;

type Fields = BTreeMap<String, Value>;

/// Switches that must be absent, null or false.
const MUST_BE_OFF: [&str; 7] = [
    "attention_bias",
    "mlp_bias",
    "use_sliding_window",
    "is_encoder_decoder",
    "add_cross_attention",
    "is_moe",
    "output_router_logits",
];

/// Objects, lists and counts that must be absent, null, 0 or empty.
const MUST_BE_EMPTY: [&str; 16] = [
    "quantization_config",
    "compression_config",
    "auto_map",
    "pruned_heads",
    "num_experts",
    "num_local_experts",
    "num_experts_per_tok",
    "n_routed_experts",
    "n_shared_experts",
    "moe_intermediate_size",
    "shared_expert_intermediate_size",
    "num_nextn_predict_layers",
    "attn_logit_softcapping",
    "final_logit_softcapping",
    "text_config",
    "vision_config",
];

/// Refuses other architectures first: their other fields would only confuse.
pub(super) fn check_architecture(fields: &Fields) -> Result<()> {
    match fields.get("model_type") {
        Some(Value::String(model)) if model == "qwen3" => {}
        Some(other) => {
            let problem = format!("{} is not supported, only \"qwen3\" is", shown(other));
            return Err(config_error("model_type", problem));
        }
        None => return Err(config_error("model_type", "is missing, \"qwen3\" expected")),
    }
    match fields.get("architectures") {
        None | Some(Value::Null) => Ok(()),
        Some(Value::Array(names)) if names.len() == 1 && names[0] == "Qwen3ForCausalLM" => Ok(()),
        Some(other) => Err(config_error(
            "architectures",
            format!("{} is not supported, only [\"Qwen3ForCausalLM\"] is", shown(other)),
        )),
    }
}

/// Refuses whatever would change the forward pass.
pub(super) fn check_settings(fields: &Fields, config: &Config) -> Result<()> {
    for name in MUST_BE_OFF {
        match fields.get(name) {
            None | Some(Value::Null | Value::Bool(false)) => {}
            Some(other) => return Err(unsupported(name, other, "absent or false")),
        }
    }
    for name in MUST_BE_EMPTY {
        if let Some(value) = fields.get(name)
            && !is_empty(value)
        {
            return Err(unsupported(name, value, "absent or null"));
        }
    }
    match fields.get("hidden_act") {
        None | Some(Value::Null) => {}
        Some(Value::String(name)) if name == "silu" => {}
        Some(other) => return Err(unsupported("hidden_act", other, "\"silu\"")),
    }
    check_factor(fields.get("partial_rotary_factor"), "partial_rotary_factor")?;
    check_layer_types(fields.get("layer_types"), config.num_hidden_layers)?;
    check_rope(fields, "rope_scaling")?;
    check_rope(fields, "rope_parameters")
}

fn unsupported(name: &str, value: &Value, expected: &str) -> crate::Error {
    let problem = format!("{} is not supported, expected {expected}", shown(value));
    config_error(name, problem)
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(n) => n.as_f64() == Some(0.0),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

fn check_factor(value: Option<&Value>, name: &str) -> Result<()> {
    match value {
        None | Some(Value::Null) => Ok(()),
        Some(value) if value.as_f64() == Some(1.0) => Ok(()),
        Some(other) => Err(unsupported(name, other, "absent or 1")),
    }
}

fn check_layer_types(value: Option<&Value>, layers: usize) -> Result<()> {
    let list = match value {
        None | Some(Value::Null) => return Ok(()),
        Some(Value::Array(list)) => list,
        Some(other) => return Err(unsupported("layer_types", other, "a list")),
    };
    for (index, kind) in list.iter().enumerate() {
        if kind != "full_attention" {
            let name = format!("layer_types[{index}]");
            return Err(unsupported(&name, kind, "\"full_attention\""));
        }
    }
    if list.len() != layers {
        let problem = format!("{} entries for {layers} layers", list.len());
        return Err(config_error("layer_types", problem));
    }
    Ok(())
}

/// `rope_scaling` and its successor `rope_parameters` may only say that nothing is scaled.
fn check_rope(fields: &Fields, name: &str) -> Result<()> {
    let map = match fields.get(name) {
        None | Some(Value::Null) => return Ok(()),
        Some(Value::Object(map)) => map,
        Some(other) => return Err(unsupported(name, other, "absent or null")),
    };
    for (key, value) in map {
        let path = format!("{name}.{key}");
        match key.as_str() {
            "rope_type" | "type" if value == "default" => {}
            "rope_type" | "type" => return Err(unsupported(&path, value, "\"default\"")),
            "rope_theta" if name == "rope_parameters" => {}
            "partial_rotary_factor" => check_factor(Some(value), &path)?,
            _ if value.is_null() => {}
            _ => return Err(unsupported(&path, value, "absent or null")),
        }
    }
    Ok(())
}

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn base() -> Value {
    json!({
        "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "attention_bias": false,
        "attention_dropout": 0.0, "head_dim": 128, "hidden_act": "silu", "hidden_size": 1024,
        "initializer_range": 0.02, "intermediate_size": 3072, "max_position_embeddings": 40960,
        "max_window_layers": 28, "num_attention_heads": 16, "num_hidden_layers": 3,
        "num_key_value_heads": 8, "rms_norm_eps": 1e-06, "rope_scaling": null,
        "rope_theta": 1000000, "sliding_window": null, "tie_word_embeddings": true,
        "torch_dtype": "bfloat16", "use_cache": true, "use_sliding_window": false,
        "vocab_size": 151936, "eos_token_id": 151645,
    })
}

fn parse(value: &Value) -> Result<Config> {
    Config::parse(value.to_string().as_bytes())
}

/// The base with one field replaced, or removed where the value is absent.
fn with(name: &str, value: Option<Value>) -> Value {
    let mut config = base();
    match value {
        Some(value) => config[name] = value,
        None => drop(config.as_object_mut().unwrap().remove(name)),
    }
    config
}

fn refused_field(config: &Value) -> String {
    match parse(config) {
        Err(Error::Config { field, .. }) => field,
        other => panic!("expected a config error, got {other:?}"),
    }
}

#[test]
fn the_eleven_fields_are_read() {
    let config = parse(&base()).unwrap();
    assert_eq!(config.hidden_size, 1024);
    assert_eq!(config.intermediate_size, 3072);
    assert_eq!(config.num_hidden_layers, 3);
    assert_eq!(config.num_attention_heads, 16);
    assert_eq!(config.num_key_value_heads, 8);
    assert_eq!(config.head_dim, 128);
    assert_eq!(config.vocab_size, 151936);
    assert_eq!(config.max_position_embeddings, 40960);
    assert_eq!(config.rms_norm_eps.to_bits(), 1e-6f64.to_bits());
    assert_eq!(config.rope_theta, 1e6);
    assert!(config.tie_word_embeddings);
    assert_eq!((config.query_width(), config.key_value_width()), (2048, 1024));
}

#[test]
fn every_field_the_engine_reads_is_required_and_named() {
    for name in [
        "model_type",
        "head_dim",
        "hidden_size",
        "intermediate_size",
        "max_position_embeddings",
        "num_attention_heads",
        "num_hidden_layers",
        "num_key_value_heads",
        "rms_norm_eps",
        "rope_theta",
        "tie_word_embeddings",
        "vocab_size",
    ] {
        assert_eq!(refused_field(&with(name, None)), name);
        for wrong in [json!("8"), json!(null), json!([8]), json!(-8), json!({})] {
            assert_eq!(refused_field(&with(name, Some(wrong))), name);
        }
    }
}

#[test]
fn sizes_are_positive_integers_within_limits() {
    for name in [
        "head_dim",
        "hidden_size",
        "intermediate_size",
        "max_position_embeddings",
        "num_attention_heads",
        "num_hidden_layers",
        "num_key_value_heads",
        "vocab_size",
    ] {
        for wrong in [json!(0), json!(8.0), json!(1u64 << 40), json!(u64::MAX), json!(true)] {
            assert_eq!(refused_field(&with(name, Some(wrong))), name);
        }
    }
}

#[test]
fn reals_have_ranges() {
    for wrong in [json!(0), json!(2), json!(1e-40), json!(-1e-6)] {
        assert_eq!(refused_field(&with("rms_norm_eps", Some(wrong))), "rms_norm_eps");
    }
    for wrong in [json!(0), json!(0.5), json!(1e300)] {
        assert_eq!(refused_field(&with("rope_theta", Some(wrong))), "rope_theta");
    }
}

#[test]
fn every_unsupported_setting_is_refused_by_name() {
    let cases = [
        ("model_type", json!("qwen3_moe")),
        ("model_type", json!("llama")),
        ("architectures", json!(["Qwen3ForSequenceClassification"])),
        ("architectures", json!([])),
        ("attention_bias", json!(true)),
        ("mlp_bias", json!(true)),
        ("use_sliding_window", json!(true)),
        ("hidden_act", json!("gelu")),
        ("quantization_config", json!({"quant_method": "fp8"})),
        ("auto_map", json!({"AutoModel": "x.Y"})),
        ("num_experts", json!(128)),
        ("moe_intermediate_size", json!(768)),
        ("partial_rotary_factor", json!(0.5)),
        ("rope_scaling", json!(2.0)),
    ];
    for (name, value) in cases {
        assert_eq!(refused_field(&with(name, Some(value))), name);
    }
    let nested = [
        ("rope_scaling", json!({"rope_type": "yarn", "factor": 4.0}), "rope_scaling.factor"),
        ("rope_scaling", json!({"type": "linear"}), "rope_scaling.type"),
        ("rope_parameters", json!({"rope_type": "yarn"}), "rope_parameters.rope_type"),
        ("rope_parameters", json!({"full_attention": {}}), "rope_parameters.full_attention"),
        ("layer_types", json!(["full_attention", "sliding_attention"]), "layer_types[1]"),
        ("layer_types", json!(["full_attention"]), "layer_types"),
        ("rope_theta", json!("x"), "rope_theta"),
    ];
    for (name, value, field) in nested {
        assert_eq!(refused_field(&with(name, Some(value))), field);
    }
}

#[test]
fn settings_that_change_nothing_are_accepted() {
    let expected = parse(&base()).unwrap();
    let cases = [
        ("architectures", None),
        ("sliding_window", Some(json!(4096))),
        ("rope_scaling", Some(json!({"rope_type": "default"}))),
        ("rope_parameters", Some(json!({"rope_type": "default", "rope_theta": 1000000.0}))),
        ("layer_types", Some(json!(["full_attention", "full_attention", "full_attention"]))),
        ("quantization_config", Some(json!(null))),
        ("num_experts", Some(json!(0))),
        ("rope_theta", Some(json!(1e6))),
        ("something_new", Some(json!({"a": [1, 2]}))),
    ];
    for (name, value) in cases {
        assert_eq!(parse(&with(name, value)).unwrap(), expected, "{name}");
    }
}

#[test]
fn rope_theta_may_stand_under_rope_parameters() {
    let nested = json!({"rope_type": "default", "rope_theta": 5000000});
    let mut config = with("rope_theta", None);
    config["rope_parameters"] = nested.clone();
    assert_eq!(parse(&config).unwrap().rope_theta, 5e6);
    // Negative control: two places that disagree.
    assert_eq!(refused_field(&with("rope_parameters", Some(nested))), "rope_theta");
}

#[test]
fn heads_and_head_dim_fit_each_other() {
    assert_eq!(refused_field(&with("num_key_value_heads", Some(json!(5)))), "num_key_value_heads");
    assert_eq!(refused_field(&with("num_key_value_heads", Some(json!(32)))), "num_key_value_heads");
    assert_eq!(refused_field(&with("head_dim", Some(json!(127)))), "head_dim");
}

#[test]
fn repeated_keys_and_text_that_is_no_object_are_refused() {
    let twice = base().to_string().replacen('{', "{\"vocab_size\":7,", 1);
    let cases = [twice.as_bytes(), b"", b"[]", b"{", b"{} {}", b"\xff", b"null"];
    for bytes in cases {
        let error = Config::parse(bytes).unwrap_err();
        assert!(matches!(&error, Error::Config { field, .. } if field == "(file)"), "{error}");
    }
    let error = Config::parse(&vec![b' '; CONFIG_LIMIT_BYTES + 1]).unwrap_err();
    assert!(error.to_string().contains("at most"), "{error}");
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (0u64..300).prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map(".{0,8}", inner, 0..3).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_bytes_give_a_config_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Config::parse(&bytes).is_err());
    }

    #[test]
    fn any_value_in_any_field_gives_a_checked_config_or_names_a_field(
        index in 0usize..24, value in any_json()
    ) {
        let mut config = base();
        let name = config.as_object().unwrap().keys().nth(index % 24).unwrap().clone();
        config[&name] = value;
        match parse(&config) {
            Ok(config) => prop_assert!(config.check().is_ok()),
            Err(Error::Config { field, .. }) => prop_assert!(!field.is_empty()),
            Err(other) => prop_assert!(false, "{}", other),
        }
    }

    #[test]
    fn a_mutated_file_never_panics(position in 0usize..600, byte in any::<u8>(), cut in 0usize..900) {
        let mut text = base().to_string().into_bytes();
        let place = position % text.len();
        text[place] = byte;
        text.truncate(cut.max(1));
        let _ = Config::parse(&text);
    }
}

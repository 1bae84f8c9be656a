use std::path::Path;
use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::checkpoint::synthetic::{Shape, random_checkpoint, tokenizer_json};

static SAT: LazyLock<Tokenizer> =
    LazyLock::new(|| Tokenizer::from_checkpoint(&Checkpoint::sat_tiny().unwrap()).unwrap());
static TINY: LazyLock<Tokenizer> = LazyLock::new(|| vector_model("tied-2l"));

fn vectors(path: &str) -> std::path::PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join("../tests/vectors/tiny-qwen3").join(path)
}

fn vector_model(name: &str) -> Tokenizer {
    Tokenizer::from_checkpoint(&Checkpoint::open(vectors(name)).unwrap()).unwrap()
}

fn streamed(tokenizer: &Tokenizer, ids: &[u32], skip_special: bool) -> String {
    let mut decoder = tokenizer.stream(skip_special);
    let mut text: String = ids.iter().map(|&id| decoder.push(id)).collect();
    text += &decoder.finish();
    text
}

#[test]
fn the_vector_cases_encode_and_decode_exactly() {
    let file = std::fs::read(vectors("tokenizer-cases.json")).unwrap();
    let file: Value = serde_json::from_slice(&file).unwrap();
    let cases = file["cases"].as_array().unwrap();
    assert!(cases.len() >= 6);
    for model in ["tied-2l", "untied-4l"] {
        let tokenizer = vector_model(model);
        assert_eq!(tokenizer.eos_token(), file["eos_token"].as_str());
        assert_eq!(tokenizer.eos_id(), Some(2));
        for case in cases {
            let ids: Vec<u32> = serde_json::from_value(case["ids"].clone()).unwrap();
            assert_eq!(tokenizer.encode(case["text"].as_str().unwrap()).unwrap(), ids);
            for (skip, field) in [(false, "decoded"), (true, "decoded_skip_special")] {
                let expected = case[field].as_str().unwrap();
                assert_eq!(tokenizer.decode(&ids, skip), expected);
                assert_eq!(streamed(&tokenizer, &ids, skip), expected);
            }
        }
    }
}

#[test]
fn sat_tinys_overlapping_added_tokens_round_trip() {
    let text = "<start_working_out>  (x2 OR NOT x3 OR NOT x1): x2\n  (NOT x4 OR NOT x2 OR x10): NOT x4\n \
                x1=0 x2=1 x10=1 x11=0\n<end_working_out><SOLUTION>0 1 1 0</SOLUTION><|im_end|>";
    let ids = SAT.encode(text).unwrap();
    assert_eq!(SAT.decode(&ids, false), text);
    assert_eq!(SAT.decode(&ids, true), text.replace("<|im_end|>", ""));
    assert_eq!((ids.last(), SAT.eos_id()), (Some(&661), Some(661)));
    assert_eq!(SAT.eos_token(), Some("<|im_end|>"));
    // A clause is three tokens: leftmost and longest first, before the split pattern.
    let clause = SAT.encode("  (NOT x3 OR NOT x10 OR x2)").unwrap();
    assert_eq!(clause.len(), 3, "{clause:?}");
    let added: Vec<String> = (659..768).map(|id| SAT.decode(&[id], false)).collect();
    for (a, id) in added.iter().zip(659u32..) {
        assert_eq!(SAT.encode(a).unwrap(), [id], "{a:?}");
        for b in &added {
            let both = format!("{a}{b}");
            assert_eq!(SAT.decode(&SAT.encode(&both).unwrap(), false), both);
        }
    }
}

#[test]
fn the_synthetic_tokenizer_is_byte_level() {
    let checkpoint = random_checkpoint(1, &Shape::tiny()).unwrap();
    let tokenizer = Tokenizer::from_checkpoint(&checkpoint).unwrap();
    let ids = tokenizer.encode("a é😀<|im_end|>").unwrap();
    assert_eq!(ids[..4], [b'a'.into(), b' '.into(), 0xc3, 0xa9]);
    assert_eq!(ids.len(), 9);
    assert_eq!(tokenizer.decode(&ids, true), "a é😀");
    // Ids without a token decode to nothing.
    assert_eq!(tokenizer.decode(&[300, 319, u32::MAX], false), "");
}

#[test]
fn a_tokenizer_larger_than_the_model_is_refused() {
    assert!(Tokenizer::new(&tokenizer_json(259), None, 259).is_ok());
    let error = Tokenizer::new(&tokenizer_json(259), None, 258).unwrap_err();
    assert!(error.to_string().contains("<|im_end|> has id 258"), "{error}");
    let error = Tokenizer::new(&tokenizer_json(100), None, 100).unwrap_err();
    assert!(error.to_string().contains("is missing"), "{error}");
}

/// The error after one change to the synthetic tokenizer.
fn refusal(change: impl FnOnce(&mut Value)) -> String {
    let mut file: Value = serde_json::from_slice(&tokenizer_json(259)).unwrap();
    change(&mut file);
    let outcome = Tokenizer::new(file.to_string().as_bytes(), None, 512);
    outcome.expect_err("a changed tokenizer was accepted").to_string()
}

#[test]
fn unsupported_components_are_refused_by_name() {
    let cases: [(&str, Value, &str); 13] = [
        ("/truncation", json!({"max_length": 5}), "truncation"),
        ("/padding", json!({"strategy": "BatchLongest"}), "padding"),
        ("/normalizer", json!({"type": "Lowercase"}), "normalizer: type Lowercase"),
        ("/pre_tokenizer", json!({"type": "Metaspace"}), "pre_tokenizer: type Metaspace"),
        ("/pre_tokenizer", json!({"type": "Digits"}), "does not end with ByteLevel"),
        ("/pre_tokenizer", Value::Null, "pre_tokenizer: null"),
        ("/post_processor", json!({"type": "BertProcessing"}), "post_processor"),
        ("/decoder", json!({"type": "WordPiece"}), "decoder: type WordPiece"),
        ("/model/type", json!("Unigram"), "model.type: Unigram"),
        ("/model/dropout", json!(0.1), "model.dropout"),
        ("/model/byte_fallback", json!(true), "model.byte_fallback"),
        ("/model/continuing_subword_prefix", json!("##"), "continuing_subword_prefix"),
        ("/model/end_of_word_suffix", json!("</w>"), "end_of_word_suffix"),
    ];
    for (place, value, expected) in cases {
        let error = refusal(|file| *file.pointer_mut(place).unwrap() = value);
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn contradictory_tokens_are_refused_by_name() {
    let error = refusal(|file| file["added_tokens"][0]["id"] = json!(300));
    assert!(error.contains("<|endoftext|> has id 300"), "{error}");
    let error = refusal(|file| file["added_tokens"][0]["id"] = json!(7));
    assert!(error.contains("both have id 7"), "{error}");
    let error = refusal(|file| file["added_tokens"][1]["content"] = json!("<|im_end|>"));
    assert!(error.contains("there twice"), "{error}");
    let error = refusal(|file| file["model"]["vocab"]["a"] = json!(5));
    assert!(error.contains("both have id 5"), "{error}");
    let error = refusal(|file| file["model"]["merges"] = json!([["a", "b"]]));
    assert!(error.contains("out of vocabulary"), "{error}");
    let error = refusal(|file| file["model"]["vocab"]["zz"] = json!(4_000_000_000u32));
    assert!(error.contains("zz has id 4000000000"), "{error}");
}

#[test]
fn a_pattern_cannot_expand_without_bound() {
    let split = |pattern: &str| {
        json!({"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false},
            {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false},
        ]})
    };
    let error = refusal(|file| file["pre_tokenizer"] = split("(((?=a){1000}){1000}){1000}"));
    assert!(error.contains("counted repetitions"), "{error}");
    let error = refusal(|file| file["pre_tokenizer"] = split("(unclosed"));
    assert!(error.starts_with("tokenizer.json: "), "{error}");
    // Negative control: the patterns of real tokenizers pass.
    let mut file: Value = serde_json::from_slice(&tokenizer_json(259)).unwrap();
    file["pre_tokenizer"] = split(r"\p{N}{1,3}|\s+(?!\S)|\s+");
    assert!(Tokenizer::new(file.to_string().as_bytes(), None, 259).is_ok());
}

#[test]
fn the_eos_token_is_a_string_or_an_object() {
    let file = tokenizer_json(259);
    let eos = |config: &str| Tokenizer::new(&file, Some(config.as_bytes()), 259);
    assert_eq!(eos(r#"{"eos_token":"<|im_end|>"}"#).unwrap().eos_id(), Some(258));
    let object = r#"{"eos_token":{"content":"<|endoftext|>","special":true}}"#;
    assert_eq!(eos(object).unwrap().eos_id(), Some(256));
    assert_eq!(eos("{}").unwrap().eos_id(), None);
    assert_eq!(eos(r#"{"eos_token":null}"#).unwrap().eos_token(), None);
    for wrong in [
        r#"{"eos_token":"</s>"}"#,
        r#"{"eos_token":5}"#,
        r#"{"eos_token":{}}"#,
        "[]",
        "{",
        r#"{"clean_up_tokenization_spaces":true}"#,
    ] {
        let error = eos(wrong).unwrap_err().to_string();
        assert!(error.starts_with("tokenizer_config.json: "), "{error}");
    }
}

#[test]
fn very_long_texts_are_refused_and_long_ones_encoded() {
    let tokenizer = &*TINY;
    assert!(tokenizer.encode(&"a".repeat(TEXT_LIMIT_BYTES + 1)).is_err());
    let text = "ab \n".repeat(5_000);
    assert_eq!(tokenizer.decode(&tokenizer.encode(&text).unwrap(), false), text);
}

#[test]
fn the_guard_turns_a_panic_into_an_error() {
    assert_eq!(guarded(|| 5), Ok(5));
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let outcome = guarded(|| panic!("on purpose"));
    std::panic::set_hook(hook);
    assert!(outcome.unwrap_err().contains("panicked"));
}

/// A changed file gives an error, or a tokenizer that works.
fn loads_or_refuses(bytes: &[u8], vocab_size: usize) {
    if let Ok(tokenizer) = Tokenizer::new(bytes, None, vocab_size) {
        let ids = tokenizer.encode("ab  (x2 OR NOT é\n<|im_end|>").unwrap_or_default();
        assert!(ids.iter().all(|&id| (id as usize) < vocab_size));
        tokenizer.decode(&ids, true);
    }
}

/// Every place in a JSON value, as a pointer.
fn places(value: &Value, path: String, found: &mut Vec<String>) {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(map) => map.iter().map(|(k, v)| (k.clone(), v)).collect(),
        Value::Array(list) => (0..).map(|i: usize| i.to_string()).zip(list).collect(),
        _ => Vec::new(),
    };
    for (key, child) in children {
        let path = format!("{path}/{}", key.replace('~', "~0").replace('/', "~1"));
        places(child, path.clone(), found);
        found.push(path);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_text_round_trips(text in any::<String>(), tail in "( x[0-9]=[01]|  \\(x[0-9]| OR NOT x1|<SOLUTION>| 0){0,6}") {
        let text = text + &tail;
        for tokenizer in [&*SAT, &*TINY] {
            let ids = tokenizer.encode(&text).unwrap();
            prop_assert_eq!(tokenizer.decode(&ids, false), text.as_str());
        }
    }

    #[test]
    fn decoding_equals_the_librarys_and_the_streams(
        ids in prop::collection::vec(0u32..800, 0..40), skip in any::<bool>()
    ) {
        for tokenizer in [&*SAT, &*TINY] {
            let text = tokenizer.decode(&ids, skip);
            prop_assert_eq!(&tokenizer.library.decode(&ids, skip).unwrap(), &text);
            prop_assert_eq!(&streamed(tokenizer, &ids, skip), &text);
        }
    }

    #[test]
    fn a_file_with_one_value_replaced_never_panics(
        place in any::<prop::sample::Index>(), top in any::<bool>(), kind in 0usize..8, text in "[a-z<Ġ{}()*+?|0-9]{0,6}"
    ) {
        let mut file: Value = serde_json::from_slice(&tokenizer_json(259)).unwrap();
        file["model"]["merges"] = json!([]);
        let mut all = Vec::new();
        places(&file, String::new(), &mut all);
        // Half of the cases spare the vocabulary, which is most of the file.
        all.retain(|path| !top || !path.starts_with("/model/vocab/"));
        let value = [
            Value::Null, json!(true), json!(-1), json!(7), json!(u64::MAX), json!(text), json!([text]),
            json!({"type": text}),
        ][kind].clone();
        *file.pointer_mut(&all[place.index(all.len())]).unwrap() = value;
        loads_or_refuses(file.to_string().as_bytes(), 512);
    }

    #[test]
    fn any_merges_and_added_tokens_never_panic(
        merges in prop::collection::vec(("[ab]{0,2}", "[ab]{0,2}"), 0..4),
        added in prop::collection::vec(("[ abĠé]{0,3}", 256u32..264, any::<[bool; 4]>()), 0..4),
        words in prop::collection::btree_map("[abĠ]{2,3}", 256u32..264, 0..4),
    ) {
        let mut file: Value = serde_json::from_slice(&tokenizer_json(259)).unwrap();
        file["model"]["merges"] = json!(merges);
        for (word, id) in words {
            file["model"]["vocab"][word] = json!(id);
        }
        let added: Vec<Value> = added.into_iter().map(|(content, id, flags)| json!({
            "id": id, "content": content, "single_word": flags[0], "lstrip": flags[1],
            "rstrip": flags[2], "normalized": false, "special": flags[3],
        })).collect();
        file["added_tokens"] = json!(added);
        loads_or_refuses(file.to_string().as_bytes(), 512);
    }

    #[test]
    fn a_mutated_file_never_panics(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..3), cut in prop::option::of(any::<prop::sample::Index>())
    ) {
        let checkpoint = Checkpoint::sat_tiny().unwrap();
        let mut bytes = checkpoint.tokenizer_json().to_vec();
        for (place, byte) in edits {
            let length = bytes.len();
            bytes[place.index(length)] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        loads_or_refuses(&bytes, 768);
    }
}

//! Damaged and hostile files.

use super::*;

#[test]
fn damaged_files_are_refused_in_words() {
    const NORM: &str = "model.norm.weight";
    let cases: [(String, &[&str]); 6] = [
        (error_after(|_, data| data.truncate(data.len() - 1)), &["truncated"]),
        (error_after(|_, data| data.push(0)), &["longer than its header says"]),
        (error_after(|h, _| h[NORM]["shape"] = json!([127])), &[NORM, "do not fit shape"]),
        (error_after(|h, _| h[NORM]["shape"] = json!([u64::MAX, u64::MAX])), &[NORM, "do not fit shape"]),
        (error_after(|h, _| h[NORM]["data_offsets"] = json!([0, 256])), &["data_offsets"]),
        (error_after(|h, _| h[NORM]["dtype"] = json!("X9")), &["unknown variant `X9`"]),
    ];
    for (error, parts) in cases {
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    }
    let raw = |bytes: &[u8]| open_bytes(&Shape::tiny(), vec![bytes.to_vec()]).unwrap_err().to_string();
    assert!(raw(b"").contains("0 bytes are too few"));
    assert!(raw(&u64::MAX.to_le_bytes()).contains("at most"));
    assert!(raw(&100u64.to_le_bytes()).contains("truncated"));
    let twice =
        br#"{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}"#;
    let bytes = [&(twice.len() as u64).to_le_bytes()[..], twice].concat();
    assert!(raw(&bytes).contains("key a is there twice"));
}

#[test]
fn an_index_that_contradicts_the_files_is_refused() {
    let (_root, dir) = folder(30_000);
    let path = dir.join("model.safetensors.index.json");
    let index: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let norm = "model.norm.weight";
    let error = |change: &dyn Fn(&mut Value)| {
        let mut changed = index.clone();
        change(&mut changed["weight_map"]);
        fs::write(&path, changed.to_string()).unwrap();
        Checkpoint::open(&dir).expect_err("a changed index was accepted").to_string()
    };
    assert!(error(&|map| map[norm] = json!("../x.safetensors")).contains("not the plain name"));
    assert!(error(&|map| map[norm] = json!("/etc/x.safetensors")).contains("not the plain name"));
    assert!(error(&|map| map[norm] = json!("weights.bin")).contains("not the plain name"));
    assert!(error(&|map| map[norm] = json!(7)).contains("no file name"));
    assert!(error(&|map| map[norm] = json!("gone.safetensors")).contains("gone.safetensors"));
    let other = index["weight_map"]["model.layers.1.mlp.up_proj.weight"].clone();
    assert_ne!(other, index["weight_map"][norm]);
    assert!(error(&|map| map[norm] = other.clone()).contains("but the index says"));
    let gone = error(&|map| drop(map.as_object_mut().unwrap().remove(norm)));
    assert!(gone.contains(norm) && gone.contains("not in the index"), "{gone}");
    assert!(error(&|map| map["extra"] = other.clone()).contains("extra"));
    assert!(error(&|map| *map = json!([])).contains("weight_map"));
    assert!(error(&|map| *map = json!({})).contains("0 files"));
    fs::write(&path, index.to_string()).unwrap();
    Checkpoint::open(&dir).unwrap();
    let shape = Shape::tiny();
    let bytes = safetensors_bytes(1, &shape).unwrap();
    let error = open_bytes(&shape, vec![bytes.clone(), bytes]).unwrap_err().to_string();
    assert!(error.contains("is in shard 0 and in shard 1"), "{error}");
}

#[test]
fn missing_and_oversized_files_are_named() {
    let (root, dir) = folder(u64::MAX);
    let refused = |dir: &Path| Checkpoint::open(dir).unwrap_err().to_string();
    assert!(refused(&root.path().join("nowhere")).contains("no such folder"));
    assert!(refused(root.path()).starts_with("config.json: is missing in"));
    for name in ["tokenizer.json", "model.safetensors"] {
        let kept = fs::read(dir.join(name)).unwrap();
        fs::remove_file(dir.join(name)).unwrap();
        assert!(refused(&dir).starts_with(name), "{}", refused(&dir));
        fs::create_dir(dir.join(name)).unwrap();
        assert!(refused(&dir).contains("not a regular file"));
        fs::remove_dir(dir.join(name)).unwrap();
        fs::write(dir.join(name), kept).unwrap();
    }
    fs::write(dir.join("config.json"), vec![b' '; CONFIG_LIMIT_BYTES + 1]).unwrap();
    assert!(refused(&dir).contains("is larger than"));
}

/// Opening gives a checkpoint whose every view is in bounds, or an error.
fn opens_or_refuses(shape: &Shape, bytes: Vec<u8>) {
    if let Ok(checkpoint) = open_bytes(shape, vec![bytes]) {
        for view in checkpoint.tensors() {
            let expected = view.rows() * view.columns() * view.dtype().size_bytes();
            assert_eq!(view.bytes().len(), expected);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_mutated_header_never_panics(
        edits in prop::collection::vec((0usize..4000, any::<u8>()), 1..4), cut in prop::option::of(0usize..5000)
    ) {
        let shape = Shape { layers: 1, hidden: 16, intermediate: 8, vocab: 8, ..Shape::tiny() };
        let mut bytes = safetensors_bytes(1, &shape).unwrap();
        for (place, byte) in edits {
            let place = place % bytes.len();
            bytes[place] = byte;
        }
        bytes.truncate(cut.unwrap_or(usize::MAX));
        opens_or_refuses(&shape, bytes);
    }

    #[test]
    fn hostile_shapes_and_offsets_never_panic(
        tensor in 0usize..13,
        shape in prop::collection::vec(prop_oneof![0u64..40, any::<u64>()], 0..4),
        offsets in (prop_oneof![0u64..5000, any::<u64>()], prop_oneof![0u64..5000, any::<u64>()]),
        dtype in prop::sample::select(vec!["BF16", "F32", "F64", "U8", "F4", "BOOL", "?"]),
    ) {
        let small = Shape { layers: 1, hidden: 16, intermediate: 8, vocab: 8, ..Shape::tiny() };
        let (mut header, data) = taken_apart(&safetensors_bytes(1, &small).unwrap());
        let names: Vec<String> = header.as_object().unwrap().keys().cloned().collect();
        header[&names[tensor % names.len()]] =
            json!({"dtype": dtype, "shape": shape, "data_offsets": [offsets.0, offsets.1]});
        opens_or_refuses(&small, put_together(&header, &data));
    }

    #[test]
    fn any_bytes_are_no_checkpoint(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(open_bytes(&Shape::tiny(), vec![bytes]).is_err());
    }

    #[test]
    fn any_bytes_as_index_never_leave_the_folder(text in r#"\{"weight_map":\{"a":"[./a-z]{0,12}(\.safetensors)?"\}\}"#) {
        if let Ok(map) = files::parse_index(text.as_bytes()) {
            prop_assert!(map.values().all(|f| Path::new(f).components().count() == 1 && !f.starts_with('.')));
        }
    }
}

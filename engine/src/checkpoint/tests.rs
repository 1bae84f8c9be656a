mod hostile;

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::synthetic::{Shape, random_checkpoint, safetensors_bytes, tokenizer_json, write_sharded};
use super::*;

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn tiny_model(name: &str) -> PathBuf {
    repository("tests/vectors/tiny-qwen3").join(name)
}

/// The header and the data of a safetensors file.
fn taken_apart(bytes: &[u8]) -> (Value, Vec<u8>) {
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    (header, bytes[8 + length..].to_vec())
}

fn put_together(header: &Value, data: &[u8]) -> Vec<u8> {
    let header = header.to_string().into_bytes();
    let length = (header.len() as u64).to_le_bytes();
    [&length, &header[..], data].concat()
}

fn open_bytes(shape: &Shape, shards: Vec<Vec<u8>>) -> Result<Checkpoint> {
    Checkpoint::from_bytes(&shape.config_json(), tokenizer_json(shape.vocab), shards)
}

/// Opens the tiny shape after a change to its header, and returns the error.
fn error_after(change: impl FnOnce(&mut Value, &mut Vec<u8>)) -> String {
    let shape = Shape::tiny();
    let (mut header, mut data) = taken_apart(&safetensors_bytes(1, &shape).unwrap());
    change(&mut header, &mut data);
    let outcome = open_bytes(&shape, vec![put_together(&header, &data)]);
    outcome.expect_err("a changed file was accepted").to_string()
}

fn folder(shard_bytes: u64) -> (tempfile::TempDir, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("model");
    write_sharded(&Shape::tiny(), 1, &dir, shard_bytes).unwrap();
    (root, dir)
}

#[test]
fn the_repositorys_checkpoints_open() {
    let tiny = Checkpoint::open(repository("models/sat-tiny")).unwrap();
    let inside = Checkpoint::sat_tiny().unwrap();
    assert_eq!(tiny.config(), inside.config());
    assert_eq!(tiny.tokenizer_json(), inside.tokenizer_json());
    assert_eq!(tiny.tokenizer_config(), inside.tokenizer_config());
    assert_eq!((tiny.eos_ids(), tiny.config().rope_theta), (&[661][..], 1e4));
    assert_eq!(tiny.tensors().len(), 2 + 4 * 11);
    for (a, b) in tiny.tensors().zip(inside.tensors()) {
        assert_eq!((a.name(), a.dtype(), a.shape()), (b.name(), b.dtype(), b.shape()));
        assert!(a.bytes() == b.bytes(), "{}", a.name());
        a.check_finite(0..a.rows()).unwrap();
    }
    let tied = Checkpoint::open(tiny_model("tied-2l")).unwrap();
    assert_eq!((tied.tensors().len(), tied.eos_ids()), (2 + 2 * 11, &[2][..]));
    assert!(tied.tensor("lm_head.weight").is_err());
    let untied = Checkpoint::open(tiny_model("untied-4l")).unwrap();
    assert_eq!(untied.tensors().len(), 3 + 4 * 11);
    assert_eq!(untied.tensor("lm_head.weight").unwrap().shape(), [512, 64]);
}

#[test]
fn tensors_come_in_ascending_order_of_names() {
    // With more than ten layers, byte order is not layer order.
    let shape = Shape { layers: 12, ..Shape::tiny() };
    let checkpoint = random_checkpoint(1, &shape).unwrap();
    let names: Vec<_> = checkpoint.tensors().map(|t| t.name().to_owned()).collect();
    assert!(names.windows(2).all(|pair| pair[0].as_bytes() < pair[1].as_bytes()));
    let place = |name: &str| names.iter().position(|n| n == name).unwrap();
    assert!(place("model.layers.10.mlp.up_proj.weight") < place("model.layers.2.mlp.up_proj.weight"));
}

#[test]
fn sharding_does_not_change_the_tensors() {
    let (_one_root, one) = folder(u64::MAX);
    let (_many_root, many) = folder(30_000);
    assert!(one.join("model.safetensors").exists() && !many.join("model.safetensors").exists());
    let files = fs::read_dir(&many).unwrap().count();
    assert!(files > 8, "{files} files are no test of sharding");
    let (one, many) = (Checkpoint::open(one).unwrap(), Checkpoint::open(many).unwrap());
    let memory = random_checkpoint(1, &Shape::tiny()).unwrap();
    assert_eq!(one.tensors().len(), 24);
    for ((a, b), c) in one.tensors().zip(many.tensors()).zip(memory.tensors()) {
        assert_eq!((a.name(), a.shape()), (b.name(), b.shape()));
        assert!(a.bytes() == b.bytes() && a.bytes() == c.bytes(), "{}", a.name());
    }
    let other = random_checkpoint(2, &Shape::tiny()).unwrap();
    assert!(other.embedding().bytes() != memory.embedding().bytes());
}

#[test]
fn synthetic_weights_have_the_stated_statistics() {
    let checkpoint = random_checkpoint(7, &Shape { dtype: Dtype::F32, ..Shape::tiny() }).unwrap();
    let moments = |name: &str| {
        let x = checkpoint.tensor(name).unwrap().to_f32_vec();
        let mean = x.iter().sum::<f32>() / x.len() as f32;
        let variance = x.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / x.len() as f32;
        (mean, variance.sqrt())
    };
    let (mean, std) = moments("model.embed_tokens.weight");
    assert!(mean.abs() < 5e-4 && (std - 0.02).abs() < 5e-4, "{mean} {std}");
    let (_, std) = moments("model.layers.1.mlp.down_proj.weight");
    assert!((std - 0.01).abs() < 5e-4, "{std}");
    let (mean, std) = moments("model.norm.weight");
    assert!((mean - 1.0).abs() < 0.02 && (std - 0.05).abs() < 0.02, "{mean} {std}");
}

#[test]
fn a_tied_checkpoint_may_hold_a_head_that_is_not_read() {
    let shape = Shape { tied: false, ..Shape::tiny() };
    let bytes = safetensors_bytes(1, &shape).unwrap();
    let tied = open_bytes(&Shape::tiny(), vec![bytes.clone()]).unwrap();
    assert!(tied.tensor("lm_head.weight").is_err());
    assert!(tied.tensors().all(|t| t.name() != "lm_head.weight"));
    // Negative control: untied, the head is read, and required.
    assert!(open_bytes(&shape, vec![bytes]).unwrap().tensor("lm_head.weight").is_ok());
    let without = safetensors_bytes(1, &Shape::tiny()).unwrap();
    let error = open_bytes(&shape, vec![without]).unwrap_err().to_string();
    assert_eq!(error, "tensor lm_head.weight: is missing");
}

#[test]
fn missing_misshaped_and_unexpected_tensors_are_named() {
    const NORM: &str = "model.layers.1.self_attn.q_norm.weight";
    let error = error_after(|header, _| {
        let info = header.as_object_mut().unwrap().remove(NORM).unwrap();
        header["model.layers.1.self_attn.q_proj.bias"] = info;
    });
    assert_eq!(error, format!("tensor {NORM}: is missing"));
    let error = error_after(|header, data| {
        let end = data.len();
        data.extend([0; 96]);
        header["model.layers.1.self_attn.q_proj.bias"] =
            json!({"dtype": "BF16", "shape": [48], "data_offsets": [end, end + 96]});
    });
    assert!(error.starts_with("tensor model.layers.1.self_attn.q_proj.bias: is not part of"));
    let error = error_after(|header, _| header[NORM]["shape"] = json!([6, 8]));
    assert_eq!(error, format!("tensor {NORM}: has shape [6, 8], and the config implies [48]"));
    let error = error_after(|header, _| header[NORM]["dtype"] = json!("I16"));
    assert!(error.contains(NORM) && error.contains("type I16"), "{error}");
}

#[test]
fn nan_inf_and_huge_weights_are_named_by_row_and_column() {
    for (dtype, size) in [(Dtype::Bf16, 2), (Dtype::F16, 2), (Dtype::F32, 4)] {
        let shape = Shape { dtype, ..Shape::tiny() };
        let (header, data) = taken_apart(&safetensors_bytes(3, &shape).unwrap());
        let name = "model.layers.0.mlp.down_proj.weight";
        let start = header[name]["data_offsets"][0].as_u64().unwrap() as usize;
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 2f32.powi(60), -2f32.powi(61)] {
            let mut data = data.clone();
            let at = start + (5 * shape.intermediate + 7) * size;
            let bytes = match dtype {
                Dtype::Bf16 => half::bf16::from_f32(value).to_le_bytes().to_vec(),
                Dtype::F16 => half::f16::from_f32(value).to_le_bytes().to_vec(),
                Dtype::F32 => value.to_le_bytes().to_vec(),
            };
            data[at..at + size].copy_from_slice(&bytes);
            let checkpoint = open_bytes(&shape, vec![put_together(&header, &data)]).unwrap();
            let view = checkpoint.tensor(name).unwrap();
            let error = view.check_finite(0..view.rows()).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains("row 5, column 7"), "{error}");
            view.check_finite(0..5).unwrap();
            view.check_finite(6..view.rows()).unwrap();
        }
        // Negative control: just below the limit is a weight.
        if dtype == Dtype::F32 {
            let mut data = data.clone();
            data[start..start + 4].copy_from_slice(&(2f32.powi(60).next_down()).to_le_bytes());
            let checkpoint = open_bytes(&shape, vec![put_together(&header, &data)]).unwrap();
            checkpoint.tensor(name).unwrap().check_finite(0..1).unwrap();
        }
    }
}

#[test]
fn rows_are_widened_exactly_for_every_bit_pattern() {
    let patterns: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
    let shape = [256, 256];
    for dtype in [Dtype::Bf16, Dtype::F16] {
        let view = TensorView::new("x", dtype, &shape, &patterns);
        let all = view.to_f32_vec();
        let mut row = [0.0; 256];
        for (bits, &x) in (0..=u16::MAX).zip(&all) {
            let expected = match dtype {
                Dtype::Bf16 => half::bf16::from_bits(bits).to_f64(),
                _ => half::f16::from_bits(bits).to_f64(),
            };
            assert!(f64::from(x) == expected || (x.is_nan() && expected.is_nan()), "{bits:04x}");
            assert!(x.is_nan() || x.is_sign_negative() == expected.is_sign_negative());
        }
        for r in 0..256 {
            view.row_to_f32(r, &mut row);
            let same = row.iter().zip(&all[r * 256..]).all(|(a, b)| a.to_bits() == b.to_bits());
            assert!(same, "row {r}");
        }
    }
    let floats: Vec<u8> = [1.5f32, -0.0, f32::MIN_POSITIVE / 4.0].iter().flat_map(|x| x.to_le_bytes()).collect();
    let view = TensorView::new("x", Dtype::F32, &[3], &floats);
    assert_eq!((view.rows(), view.columns()), (1, 3));
    assert_eq!(view.to_f32_vec().map_bits(), [0x3fc00000, 0x80000000, 0x00200000]);
}

trait MapBits {
    fn map_bits(&self) -> Vec<u32>;
}

impl MapBits for Vec<f32> {
    fn map_bits(&self) -> Vec<u32> {
        self.iter().map(|x| x.to_bits()).collect()
    }
}

#[test]
fn released_pages_come_back_with_the_same_bytes() {
    let (_root, dir) = folder(30_000);
    let checkpoint = Checkpoint::open(dir).unwrap();
    let before: Vec<Vec<u8>> = checkpoint.tensors().map(|t| t.bytes().to_vec()).collect();
    checkpoint.release_all_but_embedding();
    checkpoint.release_pages("model.embed_tokens.weight");
    checkpoint.release_pages("no such tensor");
    for (view, bytes) in checkpoint.tensors().zip(before) {
        assert!(view.bytes() == bytes, "{}", view.name());
    }
    Checkpoint::sat_tiny().unwrap().release_all_but_embedding();
}

#[test]
fn eos_ids_come_from_the_generation_config_first() {
    let (_root, dir) = folder(u64::MAX);
    let path = dir.join("generation_config.json");
    for (text, expected) in [
        (r#"{"eos_token_id":[5,3]}"#, vec![5, 3]),
        (r#"{"eos_token_id":7}"#, vec![7]),
        (r#"{"eos_token_id":null}"#, vec![258]),
        ("{}", vec![258]),
    ] {
        fs::write(&path, text).unwrap();
        assert_eq!(Checkpoint::open(&dir).unwrap().eos_ids(), expected);
    }
    for wrong in [r#"{"eos_token_id":320}"#, r#"{"eos_token_id":["a"]}"#, r#"{"eos_token_id":-1}"#] {
        fs::write(&path, wrong).unwrap();
        let error = Checkpoint::open(&dir).unwrap_err().to_string();
        assert!(error.starts_with("generation_config.json: eos_token_id"), "{error}");
    }
}

#[test]
fn synthetic_folders_are_checked_before_they_are_written() {
    let root = tempfile::tempdir().unwrap();
    let shape = Shape { vocab: 258, ..Shape::tiny() };
    assert!(synthetic::write(&shape, 1, root.path()).unwrap_err().to_string().contains("vocab"));
    let shape = Shape { head_dim: 3, ..Shape::tiny() };
    assert!(synthetic::write(&shape, 1, root.path()).unwrap_err().to_string().contains("head_dim"));
    fs::write(root.path().join("x"), "").unwrap();
    let error = synthetic::write(&Shape::tiny(), 1, root.path()).unwrap_err().to_string();
    assert!(error.contains("not empty"), "{error}");
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
}

#[test]
fn the_same_weights_are_rounded_to_each_type() {
    let of = |dtype| random_checkpoint(5, &Shape { dtype, ..Shape::tiny() }).unwrap();
    let (bf16, f16, f32) = (of(Dtype::Bf16), of(Dtype::F16), of(Dtype::F32));
    for ((a, b), c) in bf16.tensors().zip(f16.tensors()).zip(f32.tensors()) {
        for ((a, b), c) in a.to_f32_vec().iter().zip(b.to_f32_vec()).zip(c.to_f32_vec()) {
            assert_eq!(*a, half::bf16::from_f32(c).to_f32());
            assert_eq!(b, half::f16::from_f32(c).to_f32());
        }
    }
}

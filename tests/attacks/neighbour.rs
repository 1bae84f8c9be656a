//! Models next to `models/sat-tiny`, made of its bytes.

use std::path::{Path, PathBuf};

use grail_engine::checkpoint::Checkpoint;

/// One matrix of a checkpoint: rows, columns, and its bf16 elements.
struct Matrix<'a> {
    name: String,
    columns: usize,
    bytes: &'a mut [u8],
}

impl Matrix<'_> {
    fn get(&self, i: usize) -> u16 {
        u16::from_le_bytes([self.bytes[2 * i], self.bytes[2 * i + 1]])
    }

    fn set(&mut self, i: usize, bits: u16) {
        self.bytes[2 * i..2 * i + 2].copy_from_slice(&bits.to_le_bytes());
    }

    fn len(&self) -> usize {
        self.bytes.len() / 2
    }
}

/// The greatest weight of one matrix, one step of bf16 farther from zero.
pub fn one_weight_one_step() -> Checkpoint {
    let mut changed = 0;
    let checkpoint = altered(|mut matrix| {
        if matrix.name == "model.layers.2.mlp.down_proj.weight" {
            let greatest = (0..matrix.len()).max_by_key(|&i| matrix.get(i) & 0x7fff).expect("weights");
            matrix.set(greatest, matrix.get(greatest) + 1);
            changed += 1;
        }
    });
    assert_eq!(changed, 1);
    checkpoint
}

/// Every row of every matrix as int8 with one scale, back in bf16.
pub fn rounded_to_int8() -> Checkpoint {
    altered(|mut matrix| {
        for row in 0..matrix.len() / matrix.columns {
            let row = row * matrix.columns..(row + 1) * matrix.columns;
            let most = row.clone().map(|i| to_f32(matrix.get(i)).abs()).fold(0.0, f32::max);
            let scale = most / 127.0;
            for i in row.filter(|_| scale > 0.0) {
                let q = (to_f32(matrix.get(i)) / scale).round_ties_even();
                matrix.set(i, to_bf16(q * scale));
            }
        }
    })
}

fn to_f32(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// To the nearest, ties to even.
fn to_bf16(x: f32) -> u16 {
    let bits = x.to_bits();
    ((bits + 0x7fff + (bits >> 16 & 1)) >> 16) as u16
}

fn altered(mut change: impl FnMut(Matrix<'_>)) -> Checkpoint {
    let read = |name: &str| std::fs::read(folder().join(name)).expect("a file of the model");
    let mut weights = read("model.safetensors");
    let before = weights.clone();
    let header = u64::from_le_bytes(weights[..8].try_into().expect("8 bytes")) as usize;
    let tensors: serde_json::Value = serde_json::from_slice(&weights[8..8 + header]).expect("a header");
    let data = &mut weights[8 + header..];
    for (name, tensor) in tensors.as_object().expect("an object") {
        let numbers = |key: &str| -> Vec<usize> {
            let list = tensor[key].as_array().map(Vec::as_slice).unwrap_or_default();
            list.iter().map(|n| n.as_u64().expect("a size") as usize).collect()
        };
        if let (&[_, columns], &[start, end]) = (&*numbers("shape"), &*numbers("data_offsets")) {
            change(Matrix { name: name.clone(), columns, bytes: &mut data[start..end] });
        }
    }
    assert_ne!(weights, before, "another model");
    Checkpoint::from_bytes(&read("config.json"), read("tokenizer.json"), vec![weights]).expect("a checkpoint")
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models/sat-tiny")
}

//! sketch.json, the exact fields (PROTOCOL 3.3, NUMERICS 10).

use std::path::Path;

use grail_protocol::encoding::randomness_bytes;
use grail_protocol::randomness::random_vector;
use grail_protocol::sketch::{project, residue, round_scaled};
use serde::Deserialize;

use super::support::{each, load, same, text};

#[derive(Deserialize)]
struct File {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    rand_hex: String,
    d_model: usize,
    hidden_f32: Vec<f32>,
    scaled_rounded: Vec<f64>,
    r_vec_as_f32: Vec<f64>,
    exact_dot_rvec_int: String,
    exact_dot_rvec_f32_rounded: String,
    sketch_exact_int: u32,
}

pub fn run(dir: &Path) -> Result<usize, String> {
    let file: File = load(dir, "sketch.json")?;
    each("cases", &file.cases, run_case)
}

fn run_case(case: &Case) -> Result<(), String> {
    let randomness = randomness_bytes("randomness", &case.rand_hex).map_err(text)?;
    let r = random_vector(&randomness, case.d_model).map_err(text)?;
    let rounded: Result<Vec<i64>, _> = case.hidden_f32.iter().map(|&h| round_scaled(h)).collect();
    let rounded = rounded.map_err(text)?;
    let expected: Vec<i64> = case.scaled_rounded.iter().map(|&v| v as i64).collect();
    same("rounded", &rounded, &expected)?;
    let as_f32: Vec<f64> = r.iter().map(|&x| f64::from(x as f32)).collect();
    same("r as f32", &as_f32, &case.r_vec_as_f32)?;
    let dot = |r: &dyn Fn(usize) -> i128| -> i128 { (0..rounded.len()).map(|i| i128::from(rounded[i]) * r(i)).sum() };
    let exact = dot(&|i| i128::from(r[i]));
    same("exact dot", exact.to_string(), case.exact_dot_rvec_int.clone())?;
    let narrow = dot(&|i| r[i] as f32 as i128);
    same("f32 dot", narrow.to_string(), case.exact_dot_rvec_f32_rounded.clone())?;
    same("residue", residue(exact), case.sketch_exact_int)?;
    let sketch = project(&case.hidden_f32, &r).map_err(text)?;
    same("sketch", sketch, case.sketch_exact_int)
}

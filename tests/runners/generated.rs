//! Generated inputs of the exact vectors: SplitMix64, exactly as tests/vectors/exact/README.md writes them.

use serde_json::Value;
use sha2::{Digest, Sha256};

pub type Outcome<T = ()> = Result<T, String>;

pub struct SplitMix64(pub u64);

impl SplitMix64 {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = self.0;
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

pub fn field<'a>(case: &'a Value, name: &str) -> Outcome<&'a Value> {
    case.get(name).ok_or_else(|| format!("field {name} is missing"))
}

pub fn list<'a>(case: &'a Value, name: &str) -> Outcome<&'a Vec<Value>> {
    field(case, name)?.as_array().ok_or_else(|| format!("{name} is not a list"))
}

pub fn text<'a>(case: &'a Value, name: &str) -> Outcome<&'a str> {
    field(case, name)?.as_str().ok_or_else(|| format!("{name} is not a text"))
}

pub fn int(case: &Value, name: &str) -> Outcome<i64> {
    field(case, name)?.as_i64().ok_or_else(|| format!("{name} is not an integer"))
}

pub fn size(case: &Value, name: &str) -> Outcome<usize> {
    usize::try_from(int(case, name)?).map_err(|e| format!("{name}: {e}"))
}

pub fn real(case: &Value, name: &str) -> Outcome<f64> {
    field(case, name)?.as_f64().ok_or_else(|| format!("{name} is not a number"))
}

/// A list of integers that each fit T.
pub fn ints<T: TryFrom<i64>>(case: &Value, name: &str) -> Outcome<Vec<T>> {
    let one =
        |v: &Value| v.as_i64().and_then(|v| T::try_from(v).ok()).ok_or_else(|| format!("{name}: {v} does not fit"));
    list(case, name)?.iter().map(one).collect()
}

pub fn word(text: &str) -> Outcome<u32> {
    u32::from_str_radix(text, 16).map_err(|e| format!("{text:?} is not 8 hex digits: {e}"))
}

/// *bits*: 8 hex digits an element.
pub fn bits(text: &str) -> Outcome<Vec<f32>> {
    if !text.is_ascii() || !text.len().is_multiple_of(8) {
        return Err("a bits text is 8 hex digits an element".into());
    }
    (0..text.len() / 8).map(|i| Ok(f32::from_bits(word(&text[8 * i..8 * i + 8])?))).collect()
}

pub fn to_bits(x: &[f32]) -> String {
    x.iter().map(|x| format!("{:08x}", x.to_bits())).collect()
}

pub fn sha256_f32(x: &[f32]) -> String {
    sha256(x.iter().flat_map(|x| x.to_le_bytes()))
}

pub fn sha256(bytes: impl Iterator<Item = u8>) -> String {
    hex::encode(Sha256::digest(bytes.collect::<Vec<u8>>()))
}

/// A vector: bits or a generator.
pub fn vector(case: &Value, name: &str) -> Outcome<Vec<f32>> {
    let v = field(case, name)?;
    match v.as_str() {
        Some("zeros") => return Ok(vec![0.0; size(case, "n")?]),
        Some("ones") => return Ok(vec![1.0; size(case, "n")?]),
        Some(text) => return bits(text),
        None => {}
    }
    let n = size(v, "n")?;
    let kind = text(v, "kind")?;
    let optional = |name| v.get(name).and_then(Value::as_i64);
    let mut g = SplitMix64(v.get("seed").and_then(Value::as_u64).unwrap_or(0));
    let mut out = Vec::with_capacity(n);
    for i in 0..n {
        let mut x = match kind {
            "unif" => ((g.next() >> 40) as i64 - 8_388_608) as f32 * 2f32.powi(-23),
            "bell" => {
                let z = g.next();
                let sum: i64 = (0..4).map(|f| (z >> (16 * f) & 0xffff) as i64).sum();
                (sum - 131_070) as f32 * 2f32.powi(-15)
            }
            "wide" => {
                let (z, lo, hi) = (g.next(), int(v, "lo")? as u64, int(v, "hi")? as u64);
                let exponent = lo + ((z >> 32) & 0x7fff) % (hi - lo + 1);
                f32::from_bits(((z >> 63) << 31 | exponent << 23 | z & 0x7f_ffff) as u32)
            }
            "constant" => f32::from_bits(word(text(v, "bits")?)?),
            other => return Err(format!("unknown kind {other}")),
        };
        let scale = |x: f32, e: i64| (f64::from(x) * 2f64.powi(e as i32)) as f32;
        x = scale(x, optional("exp").unwrap_or(0));
        if let Some(every) = optional("every")
            && i as i64 % every == optional("offset").unwrap_or(0)
        {
            x = scale(x, int(v, "boost")?);
        }
        if v.get("bf16") == Some(&Value::Bool(true)) {
            x = f32::from_bits(x.to_bits() & 0xffff_0000);
        }
        out.push(x);
    }
    Ok(out)
}

/// Fails with what differs.
pub fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: T, expected: T) -> Outcome {
    if found == expected { Ok(()) } else { Err(format!("{what}: found {found:?}, expected {expected:?}")) }
}

/// Runs every case of a list of `file` and holds their number against `counts`.
pub fn each(file: &Value, name: &str, mut run: impl FnMut(&Value) -> Outcome) -> Outcome<usize> {
    let cases = list(file, name)?;
    let counted = size(field(file, "counts")?, name)?;
    same(&format!("{name}: number of cases"), cases.len(), counted)?;
    for (i, case) in cases.iter().enumerate() {
        let label = case.get("name").and_then(Value::as_str).unwrap_or("");
        run(case).map_err(|e| format!("{name}[{i}] {label}: {e}"))?;
    }
    Ok(cases.len())
}

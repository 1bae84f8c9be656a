//! Network parameters and their hash, the network id (DESIGN 4.1).
//!
//! Everything that all parties must agree on stands here. A [`Network`] exists only with parameters that
//! passed every check; the checks that need the model (context length, ids in the vocabulary) are the engine's.

use crate::encoding::{hash_from_text, sha256};
use crate::json::{Members, Style, Value, f64_text, read_f64};
use crate::{Error, Hash, NUMERICS, Result};

/// The environment where a network does not say otherwise.
pub const ENVIRONMENT: &str = "sat";

/// Blocks per window where a network does not say otherwise.
pub const DEFAULT_WINDOW_LENGTH: u64 = 50;

/// What all parties of a network agree on.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameters {
    /// Hash of the chain's first block.
    pub genesis_hash: Hash,
    /// Number of the subnet.
    pub netuid: u16,
    /// Blocks per window.
    pub window_length: u64,
    /// Hash that names the beacon's chain.
    pub beacon_chain_hash: Hash,
    /// Milliseconds from a block's time to the earliest time of its beacon.
    pub beacon_delay_ms: u64,
    /// The model's name, never a path.
    pub model_name: String,
    /// Identity of the model's contents.
    pub weights_digest: Hash,
    /// The family of problems.
    pub environment: String,
    /// Rollouts of a group.
    pub rollouts_per_problem: u32,
    /// Most tokens of a completion.
    pub max_new_tokens: u32,
    /// Ids that end a completion, ascending.
    pub eos_ids: Vec<u32>,
    /// Temperature; 0 is greedy.
    pub temperature: f64,
    /// Tokens kept by rank; 0 keeps all.
    pub top_k: u32,
    /// Mass kept; 1 keeps all.
    pub top_p: f64,
    /// Divisor of the logits of tokens already present; 1 leaves them.
    pub repetition_penalty: f64,
    /// Most groups of a window file.
    pub max_groups: u32,
}

impl Parameters {
    /// The canonical JSON whose hash is the network id; reals are strings.
    #[must_use]
    pub fn canonical(&self) -> String {
        self.to_value().to_text(Style::Canonical)
    }

    /// The object that is hashed.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let hash = |hash: &Hash| Value::Text(hex::encode(hash));
        let integer = |value: u64| Value::Integer(value.into());
        let real = |value: f64| Value::Text(f64_text(value));
        let eos_ids = self.eos_ids.iter().map(|&id| integer(id.into())).collect();
        let members = [
            ("beacon_chain_hash", hash(&self.beacon_chain_hash)),
            ("beacon_delay_ms", integer(self.beacon_delay_ms)),
            ("environment", self.environment.as_str().into()),
            ("eos_ids", Value::List(eos_ids)),
            ("genesis_hash", hash(&self.genesis_hash)),
            ("max_groups", integer(self.max_groups.into())),
            ("max_new_tokens", integer(self.max_new_tokens.into())),
            ("model_name", self.model_name.as_str().into()),
            ("netuid", integer(self.netuid.into())),
            ("numerics", NUMERICS.into()),
            ("repetition_penalty", real(self.repetition_penalty)),
            ("rollouts_per_problem", integer(self.rollouts_per_problem.into())),
            ("temperature", real(self.temperature)),
            ("top_k", integer(self.top_k.into())),
            ("top_p", real(self.top_p)),
            ("weights_digest", hash(&self.weights_digest)),
            ("window_length", integer(self.window_length)),
        ];
        Value::Object(members.map(|(k, v)| (k.to_owned(), v)).into())
    }

    /// Reads the object back. Ranges are left to [`Network::new`].
    ///
    /// # Errors
    /// [`Error::Json`] names a member that is missing, unknown or of another type, [`Error::Parameter`] one whose
    /// value is not the canonical text, or whose numerics are not ours.
    pub fn from_value(value: &Value) -> Result<Self> {
        let mut members = Members::of("parameters", value)?;
        literal(&mut members, "numerics", NUMERICS)?;
        let parameters = Self {
            genesis_hash: hash_member(&mut members, "genesis_hash")?,
            netuid: members.integer("netuid")?,
            window_length: members.integer("window_length")?,
            beacon_chain_hash: hash_member(&mut members, "beacon_chain_hash")?,
            beacon_delay_ms: members.integer("beacon_delay_ms")?,
            model_name: members.text("model_name")?.to_owned(),
            weights_digest: hash_member(&mut members, "weights_digest")?,
            environment: members.text("environment")?.to_owned(),
            rollouts_per_problem: members.integer("rollouts_per_problem")?,
            max_new_tokens: members.integer("max_new_tokens")?,
            eos_ids: members.integers("eos_ids")?,
            temperature: real_member(&mut members, "temperature")?,
            top_k: members.integer("top_k")?,
            top_p: real_member(&mut members, "top_p")?,
            repetition_penalty: real_member(&mut members, "repetition_penalty")?,
            max_groups: members.integer("max_groups")?,
        };
        members.end()?;
        Ok(parameters)
    }

    fn check(&self) -> Result<()> {
        positive("window_length", self.window_length)?;
        positive("rollouts_per_problem", self.rollouts_per_problem.into())?;
        positive("max_new_tokens", self.max_new_tokens.into())?;
        positive("max_groups", self.max_groups.into())?;
        if self.model_name.is_empty() {
            return Err(refused("model_name", "empty".into()));
        }
        if self.environment.is_empty() {
            return Err(refused("environment", "empty".into()));
        }
        if self.eos_ids.is_empty() || self.eos_ids.windows(2).any(|w| w[0] >= w[1]) {
            let problem = format!("{:?} is not a non-empty ascending list", self.eos_ids);
            return Err(refused("eos_ids", problem));
        }
        real("temperature", self.temperature, |t| t >= 0.0, "at least 0")?;
        real("top_p", self.top_p, |p| (0.0..=1.0).contains(&p), "in 0..=1")?;
        // The engine uses the penalty as an f32, which must not vanish or overflow.
        let is_penalty = |p: f64| p as f32 > 0.0 && (p as f32).is_finite();
        real("repetition_penalty", self.repetition_penalty, is_penalty, "above 0 as an f32")
    }
}

/// A network whose parameters have been checked, with their hash.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    parameters: Parameters,
    id: Hash,
}

impl Network {
    /// Checks the parameters and hashes them.
    ///
    /// # Errors
    /// [`Error::Parameter`] names the first parameter that is out of range.
    pub fn new(parameters: Parameters) -> Result<Self> {
        parameters.check()?;
        let id = sha256(parameters.canonical().as_bytes());
        Ok(Self { parameters, id })
    }

    /// What the parties agree on.
    #[must_use]
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The network id.
    #[must_use]
    pub fn id(&self) -> &Hash {
        &self.id
    }

    /// First block of the window that holds a block.
    #[must_use]
    pub fn window_start(&self, block: u64) -> u64 {
        block - block % self.parameters.window_length
    }
}

fn positive(field: &'static str, value: u64) -> Result<()> {
    if value == 0 {
        return Err(refused(field, "0, at least 1 is needed".into()));
    }
    Ok(())
}

fn real(field: &'static str, value: f64, holds: impl Fn(f64) -> bool, rule: &str) -> Result<()> {
    // -0.0 would be a second text of the same number, hence a second network id.
    if value.is_finite() && !value.is_sign_negative() && holds(value) {
        return Ok(());
    }
    Err(refused(field, format!("{value:?} is not a number {rule}")))
}

fn literal(members: &mut Members<'_>, field: &'static str, ours: &str) -> Result<()> {
    match members.text(field)? {
        text if text == ours => Ok(()),
        other => Err(refused(field, format!("{other:?}, this version knows {ours:?}"))),
    }
}

fn hash_member(members: &mut Members<'_>, field: &'static str) -> Result<Hash> {
    hash_from_text(field, members.text(field)?).map_err(|e| match e {
        Error::Hex { field, problem } => refused(field, problem),
        other => other,
    })
}

/// A real as the one text that is hashed for it.
fn real_member(members: &mut Members<'_>, field: &'static str) -> Result<f64> {
    let text = members.text(field)?;
    let value = read_f64(text).filter(|&x| f64_text(x) == text);
    value.ok_or_else(|| refused(field, format!("{text:?} is not the canonical text of a real")))
}

fn refused(field: &'static str, problem: String) -> Error {
    Error::Parameter { field, problem }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn base() -> Parameters {
        Parameters {
            genesis_hash: [1; 32],
            netuid: 81,
            window_length: 50,
            beacon_chain_hash: [2; 32],
            beacon_delay_ms: 12_000,
            model_name: "m".into(),
            weights_digest: [3; 32],
            environment: ENVIRONMENT.into(),
            rollouts_per_problem: 4,
            max_new_tokens: 1024,
            eos_ids: vec![1, 2],
            temperature: 0.7,
            top_k: 50,
            top_p: 0.95,
            repetition_penalty: 1.1,
            max_groups: 512,
        }
    }

    fn refused_field(parameters: Parameters) -> &'static str {
        match Network::new(parameters) {
            Err(Error::Parameter { field, .. }) => field,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn parameters_out_of_range_are_refused_by_name() {
        assert!(Network::new(base()).is_ok());
        let cases = [
            (Parameters { window_length: 0, ..base() }, "window_length"),
            (Parameters { rollouts_per_problem: 0, ..base() }, "rollouts_per_problem"),
            (Parameters { max_new_tokens: 0, ..base() }, "max_new_tokens"),
            (Parameters { max_groups: 0, ..base() }, "max_groups"),
            (Parameters { model_name: String::new(), ..base() }, "model_name"),
            (Parameters { environment: String::new(), ..base() }, "environment"),
            (Parameters { eos_ids: vec![], ..base() }, "eos_ids"),
            (Parameters { eos_ids: vec![2, 1], ..base() }, "eos_ids"),
            (Parameters { eos_ids: vec![1, 1], ..base() }, "eos_ids"),
            (Parameters { temperature: -0.0, ..base() }, "temperature"),
            (Parameters { temperature: f64::INFINITY, ..base() }, "temperature"),
            (Parameters { top_p: 1.5, ..base() }, "top_p"),
            (Parameters { top_p: f64::NAN, ..base() }, "top_p"),
            (Parameters { repetition_penalty: 0.0, ..base() }, "repetition_penalty"),
            (Parameters { repetition_penalty: 1e300, ..base() }, "repetition_penalty"),
        ];
        for (parameters, field) in cases {
            assert_eq!(refused_field(parameters), field);
        }
    }

    #[test]
    fn every_parameter_moves_the_network_id() {
        let altered = [
            Parameters { genesis_hash: [0; 32], ..base() },
            Parameters { netuid: 0, ..base() },
            Parameters { window_length: 51, ..base() },
            Parameters { beacon_chain_hash: [0; 32], ..base() },
            Parameters { beacon_delay_ms: 0, ..base() },
            Parameters { model_name: "n".into(), ..base() },
            Parameters { weights_digest: [0; 32], ..base() },
            Parameters { environment: "other".into(), ..base() },
            Parameters { rollouts_per_problem: 5, ..base() },
            Parameters { max_new_tokens: 1, ..base() },
            Parameters { eos_ids: vec![1], ..base() },
            Parameters { temperature: 0.0, ..base() },
            Parameters { top_k: 0, ..base() },
            Parameters { top_p: 1.0, ..base() },
            Parameters { repetition_penalty: 1.0, ..base() },
            Parameters { max_groups: 1, ..base() },
        ];
        let id = |p: Parameters| *Network::new(p).unwrap().id();
        let ids: std::collections::BTreeSet<Hash> = altered.into_iter().map(id).collect();
        assert_eq!(ids.len(), 16);
        assert!(!ids.contains(&id(base())));
    }

    #[test]
    fn a_window_starts_at_a_multiple_of_its_length() {
        let network = Network::new(base()).unwrap();
        for (block, start) in [(0, 0), (49, 0), (50, 50), (101, 100)] {
            assert_eq!(network.window_start(block), start);
        }
    }

    /// The base's object with one member replaced, removed (`None`) or added.
    fn altered(key: &str, value: Option<Value>) -> Value {
        let Value::Object(mut members) = base().to_value() else { panic!("no object") };
        members.retain(|(k, _)| k != key);
        members.extend(value.map(|v| (key.to_owned(), v)));
        Value::Object(members)
    }

    fn field_of(value: &Value) -> String {
        match Parameters::from_value(value) {
            Err(Error::Parameter { field, .. }) => field.to_owned(),
            Err(Error::Json { field, .. }) => field,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_member_is_needed_and_no_other_is_known() {
        let Value::Object(members) = base().to_value() else { panic!("no object") };
        assert_eq!(members.len(), 17);
        for (key, value) in &members {
            assert_eq!(Parameters::from_value(&altered(key, Some(value.clone()))), Ok(base()));
            assert_eq!(field_of(&altered(key, None)), format!("parameters.{key}"));
            assert_eq!(field_of(&altered(key, Some(Value::Null))), format!("parameters.{key}"));
        }
        assert_eq!(field_of(&altered("seed", Some(Value::Integer(1)))), "parameters.seed");
    }

    #[test]
    fn a_value_in_another_spelling_is_refused_by_name() {
        let text = |t: &str| Value::from(t);
        let cases = [
            ("numerics", text("grail-exact-2")),
            ("genesis_hash", text(&"AB".repeat(32))),
            ("weights_digest", text(&format!("0x{}", "ab".repeat(32)))),
            ("beacon_chain_hash", text("ab")),
            ("temperature", text("0.70")),
            ("top_p", text("1")),
            ("top_p", text("9.5e-1")),
            ("repetition_penalty", text("NaN")),
            ("repetition_penalty", text("+1.1")),
        ];
        for (field, value) in cases {
            assert_eq!(field_of(&altered(field, Some(value))), field);
        }
        for (field, value) in [("temperature", Value::Real(0.7)), ("netuid", Value::Integer(65_536))] {
            assert_eq!(field_of(&altered(field, Some(value))), format!("parameters.{field}"));
        }
    }

    prop_compose! {
        fn any_parameters()(
            hashes: [Hash; 3], netuid: u16, longs: (u64, u64), model_name: String, counts: [u32; 4],
            eos_ids: Vec<u32>, reals in [prop::num::f64::NORMAL, prop::num::f64::ANY, prop::num::f64::POSITIVE],
        ) -> Parameters {
            let real = |i: usize| if reals[i].is_finite() { reals[i] } else { 1.0 };
            let [genesis_hash, beacon_chain_hash, weights_digest] = hashes;
            let [rollouts_per_problem, max_new_tokens, top_k, max_groups] = counts;
            Parameters {
                environment: ENVIRONMENT.into(),
                genesis_hash, netuid, window_length: longs.0, beacon_chain_hash, beacon_delay_ms: longs.1, model_name,
                weights_digest, rollouts_per_problem, max_new_tokens, eos_ids, temperature: real(0), top_k,
                top_p: real(1), repetition_penalty: real(2), max_groups,
            }
        }
    }

    proptest! {
        #[test]
        fn canonical_text_reads_back_and_is_written_again(parameters in any_parameters()) {
            let text = parameters.canonical();
            let read = Parameters::from_value(&Value::read("parameters", &text).unwrap()).unwrap();
            prop_assert_eq!(read.canonical(), text);
            prop_assert_eq!(read, parameters);
        }
    }
}

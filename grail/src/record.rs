//! A verdict as it is published: signed by its validator, and derivable again by anyone who has the file (DESIGN 4.14).

use crate::encoding::{bytes_from_text, sha256};
use crate::json::{Members, Style, Value};
use crate::signature::{SIGNATURE_BYTES, Signer, verify};
use crate::verify::{Outcome, Reason, ReasonKind, Verdict};
use crate::window_root::{WINDOW_ROOT_BYTES, WindowRoot};
use crate::{AccountId, Error, Hash, Result, ss58};

const TAG: &[u8] = b"grail-verdict-v1";

/// Who says something, and about what.
#[derive(Debug, Clone, PartialEq)]
pub struct Subject {
    /// The network.
    pub network_id: Hash,
    /// First block of the window.
    pub window_start: u64,
    /// The miner.
    pub hotkey: AccountId,
    /// The validator.
    pub validator: AccountId,
    /// The root that was on chain, if any.
    pub root: Option<WindowRoot>,
}

/// What a validator says of one miner's window.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Who says it, and about what.
    pub subject: Subject,
    /// What becomes of the window.
    pub outcome: Outcome,
    /// Why, unless it is valid.
    pub reason: Option<Reason>,
    /// Groups in the file.
    pub groups: u64,
    /// Groups checked in full.
    pub checked: u64,
    /// Checked rollouts that solved their problem.
    pub successful: u64,
    /// Those distinct by index and answer.
    pub distinct: u64,
    /// Version of the program.
    pub version: String,
}

impl Record {
    /// The record of a verdict.
    #[must_use]
    pub fn new(subject: Subject, verdict: &Verdict, version: &str) -> Self {
        Self {
            subject,
            outcome: verdict.outcome,
            reason: verdict.reason.clone(),
            groups: verdict.groups as u64,
            checked: verdict.checked.len() as u64,
            successful: verdict.successful as u64,
            distinct: verdict.distinct as u64,
            version: version.to_owned(),
        }
    }

    fn members(&self) -> Vec<(String, Value)> {
        let number = |n: u64| Value::Integer(n.into());
        let subject = &self.subject;
        let root = subject.root.map_or(Value::Null, |root| Value::Text(hex::encode(root.to_bytes())));
        let members = [
            ("checked", number(self.checked)),
            ("distinct", number(self.distinct)),
            ("groups", number(self.groups)),
            ("hotkey", Value::Text(ss58::encode(&subject.hotkey))),
            ("network_id", Value::Text(hex::encode(subject.network_id))),
            ("outcome", self.outcome.name().into()),
            ("reason", self.reason.as_ref().map_or(Value::Null, reason_value)),
            ("root", root),
            ("successful", number(self.successful)),
            ("validator", Value::Text(ss58::encode(&subject.validator))),
            ("version", self.version.as_str().into()),
            ("window_start", number(subject.window_start)),
        ];
        members.map(|(key, value)| (key.to_owned(), value)).into()
    }

    /// What is signed.
    #[must_use]
    pub fn digest(&self) -> Hash {
        let text = Value::Object(self.members()).to_text(Style::Canonical);
        sha256(&[TAG, text.as_bytes()].concat())
    }

    /// The record as canonical JSON with its validator's signature.
    ///
    /// # Errors
    /// [`Error::Key`] for a key that is not the validator's.
    pub fn sign(&self, signer: &Signer) -> Result<String> {
        if signer.account() != self.subject.validator {
            let (has, needs) = (ss58::encode(&signer.account()), ss58::encode(&self.subject.validator));
            return Err(Error::Key { field: "validator", problem: format!("{has}, the record is {needs}'s") });
        }
        let mut members = self.members();
        members.push(("signature".to_owned(), Value::Text(hex::encode(signer.sign(&self.digest())))));
        Ok(Value::Object(members).to_text(Style::Canonical))
    }

    /// Reads a record and verifies its signature.
    ///
    /// # Errors
    /// [`Error::Json`] and others that name the field; [`Error::Key`] for a signature that is not the validator's.
    pub fn read(text: &str) -> Result<Self> {
        let document = Value::read("record", text)?;
        let mut members = Members::of("", &document)?;
        let root = match members.take("root")? {
            Value::Null => None,
            other => Some(root(other)?),
        };
        let reason = match members.take("reason")? {
            Value::Null => None,
            other => Some(reason(other)?),
        };
        let subject = Subject {
            network_id: fixed("network_id", members.text("network_id")?)?,
            window_start: members.integer("window_start")?,
            hotkey: ss58::decode(members.text("hotkey")?)?,
            validator: ss58::decode(members.text("validator")?)?,
            root,
        };
        let record = Self {
            subject,
            outcome: outcome(members.text("outcome")?)?,
            reason,
            groups: members.integer("groups")?,
            checked: members.integer("checked")?,
            successful: members.integer("successful")?,
            distinct: members.integer("distinct")?,
            version: members.text("version")?.to_owned(),
        };
        let signature: [u8; SIGNATURE_BYTES] = fixed("signature", members.text("signature")?)?;
        members.end()?;
        if !verify(&record.subject.validator, &record.digest(), &signature) {
            return Err(Error::Key { field: "signature", problem: "not the validator's over this record".into() });
        }
        Ok(record)
    }
}

fn reason_value(reason: &Reason) -> Value {
    let place = |n: Option<usize>| n.map_or(Value::Null, |n| Value::Integer(n as i128));
    let members = [
        ("expected", reason.expected.as_str().into()),
        ("field", reason.field.as_str().into()),
        ("found", reason.found.as_str().into()),
        ("position", place(reason.position)),
        ("rollout", place(reason.rollout)),
        ("rule", Value::Text(reason.kind.to_string())),
    ];
    Value::Object(members.map(|(key, value)| (key.to_owned(), value)).into())
}

fn reason(value: &Value) -> Result<Reason> {
    let mut members = Members::of("reason", value)?;
    let name = members.text("rule")?;
    let kind = ReasonKind::ALL.into_iter().find(|kind| kind.to_string() == name);
    let kind = kind.ok_or_else(|| refused("reason.rule", format!("{name:?} is no rule")))?;
    let mut place = |key: &str| match members.take(key)? {
        Value::Null => Ok(None),
        Value::Integer(n) => {
            let place = usize::try_from(*n).map_err(|_| refused(&format!("reason.{key}"), format!("{n}")))?;
            Ok(Some(place))
        }
        other => Err(refused(&format!("reason.{key}"), format!("{other:?} is no place"))),
    };
    let (rollout, position) = (place("rollout")?, place("position")?);
    let mut text = |key: &str| members.text(key).map(str::to_owned);
    let (field, expected, found) = (text("field")?, text("expected")?, text("found")?);
    members.end()?;
    Ok(Reason { kind, rollout, position, field, expected, found })
}

fn outcome(name: &str) -> Result<Outcome> {
    let all = [Outcome::Valid, Outcome::Void, Outcome::Fraud, Outcome::NoVerdict];
    let found = all.into_iter().find(|outcome| outcome.name() == name);
    found.ok_or_else(|| refused("outcome", format!("{name:?} is none")))
}

fn root(value: &Value) -> Result<WindowRoot> {
    let Value::Text(text) = value else {
        return Err(refused("root", "neither null nor a text".into()));
    };
    let bytes: [u8; WINDOW_ROOT_BYTES] = fixed("root", text)?;
    WindowRoot::from_bytes(&bytes).ok_or_else(|| refused("root", "48 bytes that are no window root".into()))
}

fn fixed<const N: usize>(field: &'static str, text: &str) -> Result<[u8; N]> {
    let bytes = bytes_from_text(field, text)?;
    let found = bytes.len();
    bytes.try_into().map_err(|_| refused(field, format!("{found} bytes, expected {N}")))
}

fn refused(field: &str, problem: String) -> Error {
    Error::Json { field: field.to_owned(), problem }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn signer() -> Signer {
        Signer::from_seed(&[5; 32])
    }

    fn record() -> Record {
        let reason = Reason::of_file(ReasonKind::SketchMismatch, "commit.s_vals", 17, 4).at(3, Some(99));
        let subject = Subject {
            network_id: [1; 32],
            window_start: 6000,
            hotkey: Signer::from_seed(&[6; 32]).account(),
            validator: signer().account(),
            root: Some(WindowRoot { window_start: 6000, file_hash: [2; 32] }),
        };
        Record {
            subject,
            outcome: Outcome::Fraud,
            reason: Some(reason),
            groups: 40,
            checked: 8,
            successful: 0,
            distinct: 0,
            version: "0.1.0".into(),
        }
    }

    #[test]
    fn a_signed_record_reads_back() {
        let subject = Subject { root: None, ..record().subject };
        let plain = Record { subject, reason: None, outcome: Outcome::Valid, ..record() };
        for record in [record(), plain] {
            assert_eq!(Record::read(&record.sign(&signer()).unwrap()), Ok(record));
        }
    }

    #[test]
    fn any_changed_value_breaks_the_signature() {
        let text = record().sign(&signer()).unwrap();
        for (from, to) in [
            ("\"fraud\"", "\"valid\""),
            ("\"checked\":8", "\"checked\":9"),
            ("\"position\":99", "\"position\":null"),
            ("SketchMismatch", "SketchInexact"),
            ("\"window_start\":6000", "\"window_start\":6050"),
            ("\"version\":\"0.1.0\"", "\"version\":\"0.1.1\""),
        ] {
            let changed = text.replacen(from, to, 1);
            assert_ne!(changed, text, "{from}");
            assert!(matches!(Record::read(&changed), Err(Error::Key { field: "signature", .. })), "{from}");
        }
        let other = Signer::from_seed(&[7; 32]);
        assert!(matches!(record().sign(&other), Err(Error::Key { field: "validator", .. })));
        // Signed well, but not by the one it names.
        let subject = Subject { validator: other.account(), ..record().subject };
        let foreign = Record { subject, ..record() }.sign(&other).unwrap();
        let named = foreign.replace(&ss58::encode(&other.account()), &ss58::encode(&signer().account()));
        assert!(Record::read(&named).is_err());
    }

    #[test]
    fn what_is_no_record_is_refused_by_name() {
        let text = record().sign(&signer()).unwrap();
        for (from, to, field) in [
            ("{", "{\"more\":1,", "more"),
            ("\"fraud\"", "\"guilty\"", "outcome"),
            ("SketchMismatch", "Sketchy", "reason.rule"),
            ("\"rollout\":3", "\"rollout\":-3", "reason.rollout"),
            ("\"groups\":40", "\"groups\":4.5", "groups"),
            ("\"root\":\"67", "\"root\":\"66", "root"),
        ] {
            let error = Record::read(&text.replacen(from, to, 1)).unwrap_err().to_string();
            assert!(error.contains(field), "{field}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_record_or_an_error(text: String) {
            prop_assert!(Record::read(&text).is_err());
        }
    }
}

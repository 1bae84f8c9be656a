//! Names as the hub has them. They become parts of paths, so nothing else passes.

use std::fmt;
use std::str::FromStr;

/// A text that is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}, found {found:?}")]
pub struct NameError {
    expected: &'static str,
    found: String,
}

/// `owner/name` of a data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatasetId(String);

impl DatasetId {
    /// Whose it is: a user or an organisation.
    #[must_use]
    pub fn owner(&self) -> &str {
        self.0.split('/').next().unwrap_or_default()
    }

    /// Its name there.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.split('/').next_back().unwrap_or_default()
    }
}

impl FromStr for DatasetId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let plain = |part: &str| {
            (1..=96).contains(&part.len())
                && part.starts_with(|c: char| c.is_ascii_alphanumeric())
                && part.ends_with(|c: char| c.is_ascii_alphanumeric())
                && !part.contains("--")
                && !part.contains("..")
                && part.bytes().all(is_plain)
        };
        match text.split_once('/') {
            Some((owner, name)) if plain(owner) && plain(name) => Ok(Self(text.to_owned())),
            _ => Err(NameError { expected: "OWNER/NAME of a data set", found: text.to_owned() }),
        }
    }
}

impl fmt::Display for DatasetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A branch of a data set. No commit: nothing can be added to one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Branch(String);

impl Branch {
    /// As one component of a path.
    pub(crate) fn in_path(&self) -> String {
        self.0.replace('/', "%2F")
    }
}

impl FromStr for Branch {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let plain = |part: &str| {
            part.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
                && part.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-')
                && !part.contains("..")
                && part.bytes().all(is_plain)
        };
        match text.len() <= 200 && text.split('/').all(plain) && !is_commit(text) {
            true => Ok(Self(text.to_owned())),
            false => Err(NameError { expected: "the name of a branch", found: text.to_owned() }),
        }
    }
}

impl fmt::Display for Branch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')
}

/// Whether a text is a commit's hash.
pub(crate) fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_has_an_owner_and_nothing_that_leads_elsewhere() {
        let id: DatasetId = "some-org/sat_rollouts.v2".parse().unwrap();
        assert_eq!(
            (id.owner(), id.name(), id.to_string().as_str()),
            ("some-org", "sat_rollouts.v2", "some-org/sat_rollouts.v2")
        );
        for wrong in
            ["", "a", "a/", "/a", "a/b/c", "a/..", "../a", "a/b?x", "a b/c", "-a/b", "a/b.", "a--b/c", "a/b@main"]
        {
            let told = wrong.parse::<DatasetId>().unwrap_err().to_string();
            assert_eq!(told, format!("expected OWNER/NAME of a data set, found {wrong:?}"));
        }
    }

    #[test]
    fn a_branch_is_one_component_of_a_path_and_no_commit() {
        assert_eq!("refs/pr/1".parse::<Branch>().unwrap().in_path(), "refs%2Fpr%2F1");
        assert_eq!("main".parse::<Branch>().unwrap().to_string(), "main");
        let commit = "0123456789abcdef0123456789abcdef01234567";
        for wrong in ["", "/", "a//b", "../a", "a/.b", "a b", "a?b", "a%2Fb", commit] {
            assert!(wrong.parse::<Branch>().is_err(), "{wrong}");
        }
        assert!(commit[1..].parse::<Branch>().is_ok());
    }

    proptest! {
        #[test]
        fn what_passes_needs_no_quoting(text: String) {
            let plain = |text: &str| text.bytes().all(|b| is_plain(b) || b == b'/');
            if let Ok(id) = text.parse::<DatasetId>() {
                prop_assert!(plain(&text) && id.to_string() == text);
            }
            if text.parse::<Branch>().is_ok() {
                prop_assert!(plain(&text));
            }
        }

        #[test]
        fn names_of_the_hubs_alphabet_pass(owner in "[a-zA-Z0-9]{1,20}", name in "[a-z0-9][a-z0-9_.]{0,5}[a-z0-9]") {
            prop_assume!(!name.contains(".."));
            let id: DatasetId = format!("{owner}/{name}").parse().unwrap();
            prop_assert_eq!((id.owner(), id.name()), (owner.as_str(), name.as_str()));
        }
    }
}

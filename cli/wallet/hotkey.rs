//! A hotkey with what its file keeps of it, and that file's JSON.
//!
//! Reading is tolerant of what is missing and strict about what is there: any of the secrets is enough, but all of
//! them and all public fields must be of one key. A file whose parts disagree is damaged or forged, and signing
//! with one half of it would be a guess.

use std::fmt;

use grail_protocol::signature::{SECRET_BYTES, Signer};
use grail_protocol::{AccountId, ss58};
use zeroize::Zeroizing;

use super::fields::{ACCOUNT, ADDRESS, CRYPTO, Fields, PHRASE, PRIVATE, PUBLIC, SEED};
use super::{Error, Phrase, Result, SEED_BYTES, from_hex, seed_from_hex, to_hex};

/// sr25519, as wallets number the kinds of keys.
const SR25519: u64 = 1;

/// A hotkey: the key that signs, and the seed and phrase it came from where they are known.
#[derive(Clone)]
pub struct Hotkey {
    signer: Signer,
    seed: Option<Zeroizing<[u8; SEED_BYTES]>>,
    phrase: Option<Phrase>,
}

impl fmt::Debug for Hotkey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hotkey({})", ss58::encode(&self.account()))
    }
}

impl Hotkey {
    /// A hotkey of which nothing but the key is known.
    #[must_use]
    pub fn from_signer(signer: Signer) -> Self {
        Self { signer, seed: None, phrase: None }
    }

    /// The hotkey of a seed.
    #[must_use]
    pub fn from_seed(seed: Zeroizing<[u8; SEED_BYTES]>) -> Self {
        Self { signer: Signer::from_seed(&seed), seed: Some(seed), phrase: None }
    }

    /// The hotkey of a phrase without a password.
    #[must_use]
    pub fn from_phrase(phrase: Phrase) -> Self {
        Self { phrase: Some(phrase.clone()), ..Self::from_seed(phrase.seed("")) }
    }

    /// The hotkey of a plain file.
    ///
    /// # Errors
    /// [`Error::Json`], [`Error::Field`] and [`Error::NoSecret`], which quote nothing of the file.
    pub fn read(bytes: &[u8]) -> Result<Self> {
        let fields = Fields::read(bytes)?;
        let public = public_fields(&fields)?;
        let phrase = fields.text(PHRASE)?.map(Phrase::parse).transpose()?;
        let seed = fields.text(SEED)?.map(stored_seed).transpose()?;
        let private = fields.text(PRIVATE)?.map(stored_secret).transpose()?;
        let secrets = [
            private.map(|signer| (PRIVATE, signer)),
            seed.as_ref().map(|seed| (SEED, Signer::from_seed(seed))),
            phrase.as_ref().map(|phrase| (PHRASE, Signer::from_seed(&phrase.seed("")))),
        ];
        let mut secrets = secrets.into_iter().flatten();
        let (first, signer) = secrets.next().ok_or(Error::NoSecret)?;
        let account = signer.account();
        if let Some((field, _)) = secrets.find(|(_, other)| other.account() != account) {
            return Err(Error::field(field, format!("is of another key than {first}")));
        }
        if let Some((field, _)) = public.iter().find(|(_, other)| *other != account) {
            return Err(Error::field(field, format!("is not the public key of {first}")));
        }
        Ok(Self { signer, seed, phrase })
    }

    /// The file's JSON, with the fields that bittensor-wallet writes.
    #[must_use]
    pub fn to_json(&self) -> Zeroizing<String> {
        // Enough for the longest, so that no copy of a secret stays behind in memory that grew.
        let mut json = Zeroizing::new(String::with_capacity(1024));
        let mut field = |name: &str, value: &str| {
            for part in ["\"", name, "\":\"", value, "\","] {
                json.push_str(part);
            }
        };
        let account = to_hex(&self.account());
        field(ACCOUNT, &account);
        field(PUBLIC, &account);
        field(PRIVATE, &self.private_key());
        if let Some(phrase) = self.phrase() {
            field(PHRASE, &phrase);
        }
        if let Some(seed) = self.seed() {
            field(SEED, &seed);
        }
        field(ADDRESS, &ss58::encode(&self.account()));
        let mut whole = Zeroizing::new(String::with_capacity(json.len() + 32));
        for part in ["{", &json, "\"", CRYPTO, "\":1}"] {
            whole.push_str(part);
        }
        whole
    }

    /// JSON of the file beside it that holds no secret.
    #[must_use]
    pub fn to_public_json(&self) -> String {
        let (account, address) = (to_hex(&self.account()), ss58::encode(&self.account()));
        let account = account.as_str();
        serde_json::json!({ACCOUNT: account, PUBLIC: account, ADDRESS: address, CRYPTO: SR25519}).to_string()
    }

    /// The public key.
    #[must_use]
    pub fn account(&self) -> AccountId {
        self.signer.account()
    }

    /// The key that signs.
    #[must_use]
    pub fn signer(&self) -> &Signer {
        &self.signer
    }

    /// The key that signs, without what it came from.
    #[must_use]
    pub fn into_signer(self) -> Signer {
        self.signer
    }

    /// The secret phrase, if it is known.
    #[must_use]
    pub fn phrase(&self) -> Option<Zeroizing<String>> {
        self.phrase.as_ref().map(Phrase::text)
    }

    /// The secret seed as `0x` and 64 digits, if it is known.
    #[must_use]
    pub fn seed(&self) -> Option<Zeroizing<String>> {
        self.seed.as_ref().map(|seed| to_hex(&**seed))
    }

    /// The private key as `0x` and 128 digits.
    #[must_use]
    pub fn private_key(&self) -> Zeroizing<String> {
        to_hex(&*self.signer.secret())
    }
}

/// The account that a file without secrets is about.
///
/// # Errors
/// [`Error::Json`] and [`Error::Field`].
pub fn public_account(bytes: &[u8]) -> Result<AccountId> {
    let accounts = public_fields(&Fields::read(bytes)?)?;
    let Some(&(first, account)) = accounts.first() else {
        return Err(Error::field(PUBLIC, "is missing, and so are accountId and ss58Address"));
    };
    match accounts.iter().find(|(_, other)| *other != account) {
        Some((field, _)) => Err(Error::field(field, format!("is of another key than {first}"))),
        None => Ok(account),
    }
}

fn public_fields(fields: &Fields) -> Result<Vec<(&'static str, AccountId)>> {
    if let Some(kind) = fields.number(CRYPTO)?.filter(|&kind| kind != SR25519) {
        return Err(Error::field(CRYPTO, format!("is {kind}, expected {SR25519}, which is sr25519")));
    }
    let mut accounts = Vec::new();
    for field in [PUBLIC, ACCOUNT] {
        if let Some(text) = fields.text(field)? {
            accounts.push((field, *from_hex(field, text)?));
        }
    }
    if let Some(text) = fields.text(ADDRESS)? {
        accounts.push((ADDRESS, ss58::decode(text).map_err(|e| Error::field(ADDRESS, e.to_string()))?));
    }
    Ok(accounts)
}

/// A seed as digits, or as the text that bittensor-wallet writes for a seed whose 32 bytes happen to be UTF-8 and
/// then cannot read itself. The length tells them apart: no 32 letters are 64 digits.
fn stored_seed(text: &str) -> Result<Zeroizing<[u8; SEED_BYTES]>> {
    let raw = text.strip_prefix("0x").map(str::as_bytes).and_then(|raw| <[u8; SEED_BYTES]>::try_from(raw).ok());
    match raw {
        Some(raw) => Ok(Zeroizing::new(raw)),
        None => seed_from_hex(SEED, text),
    }
}

fn stored_secret(text: &str) -> Result<Signer> {
    let secret = from_hex::<SECRET_BYTES>(PRIVATE, text)?;
    Signer::from_secret(&secret).map_err(|e| Error::field(PRIVATE, e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::super::{Words, uri};
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn complete() -> Value {
        serde_json::from_str(&uri::parse(uri::DEVELOPMENT_PHRASE).unwrap().to_json()).unwrap()
    }

    fn read(file: &Value) -> Result<AccountId> {
        Hotkey::read(file.to_string().as_bytes()).map(|hotkey| hotkey.account())
    }

    #[test]
    fn what_is_written_reads_back_complete() {
        for words in [Words::Twelve, Words::TwentyFour] {
            let hotkey = Hotkey::from_phrase(Phrase::generate(words).unwrap());
            let read = Hotkey::read(hotkey.to_json().as_bytes()).unwrap();
            assert_eq!(read.account(), hotkey.account());
            assert_eq!(*read.private_key(), *hotkey.private_key());
            assert_eq!(read.phrase(), hotkey.phrase());
            assert_eq!(read.seed(), hotkey.seed());
            assert!(read.phrase().is_some() && read.seed().is_some());
            assert_eq!(public_account(hotkey.to_public_json().as_bytes()).unwrap(), hotkey.account());
        }
    }

    #[test]
    fn any_secret_is_enough_and_none_is_not() {
        let whole = complete();
        let expected = read(&whole).unwrap();
        for kept in [PHRASE, SEED, PRIVATE] {
            assert_eq!(read(&json!({kept: whole[kept]})).unwrap(), expected, "{kept}");
            assert_eq!(read(&json!({kept: whole[kept], "more": [1], PUBLIC: null})).unwrap(), expected, "{kept}");
        }
        let public = json!({PUBLIC: whole[PUBLIC], ACCOUNT: whole[ACCOUNT], ADDRESS: whole[ADDRESS], CRYPTO: 1});
        assert!(matches!(read(&public), Err(Error::NoSecret)));
        assert!(matches!(read(&json!({})), Err(Error::NoSecret)));
    }

    #[test]
    fn a_field_of_another_key_is_named() {
        let other: Value =
            serde_json::from_str(&Hotkey::from_phrase(Phrase::generate(Words::Twelve).unwrap()).to_json()).unwrap();
        for changed in [PHRASE, SEED, PUBLIC, ACCOUNT, ADDRESS] {
            let mut file = complete();
            file[changed] = other[changed].clone();
            let problem = read(&file).unwrap_err().to_string();
            assert!(problem.starts_with(&format!("{changed}: is ")) && problem.ends_with(PRIVATE), "{problem}");
        }
        let mut file = complete();
        file[PRIVATE] = other[PRIVATE].clone();
        assert_eq!(read(&file).unwrap_err().to_string(), "secretSeed: is of another key than privateKey");
    }

    #[test]
    fn a_malformed_field_is_named_and_not_quoted() {
        for changed in [PHRASE, SEED, PRIVATE, PUBLIC, ACCOUNT, ADDRESS, CRYPTO] {
            for value in
                [json!("hush"), json!("0x68757368"), json!(["hush"]), json!({"hush": 1}), json!(-1), json!(true)]
            {
                let mut file = complete();
                file[changed] = value;
                let problem = read(&file).unwrap_err().to_string();
                assert!(problem.starts_with(&format!("{changed}: ")) && !problem.contains("hush"), "{problem}");
            }
        }
        for text in ["", "hush", "\"hush\"", "[\"hush\"]", "{\"secretPhrase\":hush}", "{} hush"] {
            let problem = Hotkey::read(text.as_bytes()).unwrap_err().to_string();
            assert!(problem.starts_with("not the JSON of a hotkey (line ") && !problem.contains("hush"), "{problem}");
        }
        let twice = r#"{"secretSeed":null,"secretSeed":null}"#;
        assert_eq!(Hotkey::read(twice.as_bytes()).unwrap_err().to_string(), "secretSeed: stands there twice");
        let mut file = complete();
        file[CRYPTO] = json!(0);
        assert_eq!(read(&file).unwrap_err().to_string(), "cryptoType: is 0, expected 1, which is sr25519");
    }

    #[test]
    fn a_seed_written_as_text_is_its_bytes() {
        let text = "sixteen letters and sixteen more";
        let read = Hotkey::read(json!({SEED: format!("0x{text}")}).to_string().as_bytes()).unwrap();
        assert_eq!(read.account(), Signer::from_seed(text.as_bytes().try_into().unwrap()).account());
        assert!(Hotkey::read(json!({SEED: text}).to_string().as_bytes()).is_err(), "only after 0x");
    }

    #[test]
    fn debug_shows_the_address_alone() {
        let hotkey = uri::parse("//Alice").unwrap();
        assert_eq!(format!("{hotkey:?}"), "Hotkey(5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY)");
    }

    fn any_field() -> impl Strategy<Value = (String, Value)> {
        let names = prop::sample::select(vec![ACCOUNT, ADDRESS, CRYPTO, PHRASE, PRIVATE, PUBLIC, SEED, "other"]);
        let values = prop_oneof![
            "\\PC{0,70}".prop_map(Value::from),
            "0x[0-9a-f]{60,68}".prop_map(Value::from),
            prop::collection::vec(any::<u8>(), 64).prop_map(|b| Value::from(hex::encode(b))),
            any::<u64>().prop_map(Value::from),
            Just(Value::Null),
            Just(json!([[]])),
        ];
        (names.prop_map(str::to_owned), values)
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_key_or_an_error(bytes: Vec<u8>) {
            prop_assert!(Hotkey::read(&bytes).is_err());
            prop_assert!(public_account(&bytes).is_err());
        }

        #[test]
        fn any_object_is_a_key_or_an_error(fields in prop::collection::vec(any_field(), 0..5)) {
            let object: serde_json::Map<String, Value> = fields.into_iter().collect();
            let text = Value::from(object).to_string();
            let _ = public_account(text.as_bytes());
            if let Ok(hotkey) = Hotkey::read(text.as_bytes()) {
                prop_assert_eq!(Hotkey::read(hotkey.to_json().as_bytes()).unwrap().account(), hotkey.account());
            }
        }
    }
}

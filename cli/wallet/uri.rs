//! Substrate's secret URIs: `//Alice`, `phrase//hard/soft///password`, `0xseed//hard`.
//!
//! Without a phrase or seed they mean the development phrase that everybody knows. Two texts that Substrate takes
//! are refused: the empty one, which an unset variable of a script would turn into that public key, and a password
//! after a seed, which Substrate ignores.

use blake2::digest::consts::U32;
use blake2::{Blake2b, Digest};
use grail_protocol::signature::Signer;

use super::{Error, Hotkey, Phrase, Result, seed_from_hex};

/// The development phrase: worthless, for tests and local chains.
pub const DEVELOPMENT_PHRASE: &str = "bottom drive obey lake curtain smoke basket hold race lonely fit walk";

/// Longer texts are refused before anything is computed.
const MOST_BYTES: usize = 4096;

/// The hotkey of a secret URI. It keeps phrase and seed only where they alone give the key again, that is, without
/// junctions, and for the phrase without a password.
///
/// # Errors
/// [`Error::Uri`], and [`Error::Field`] for a bad phrase or seed; neither quotes the text.
pub fn parse(text: &str) -> Result<Hotkey> {
    let refused = |problem: &str| Error::Uri { problem: problem.to_owned() };
    if text.is_empty() || text.len() > MOST_BYTES {
        return Err(refused(&format!("{} bytes, expected 1 to {MOST_BYTES}", text.len())));
    }
    if text.contains(char::is_control) {
        return Err(refused("control characters"));
    }
    let (origin, rest) = text.split_at(text.find('/').unwrap_or(text.len()));
    let (junctions, password) = split(rest)?;
    let hotkey = match origin.strip_prefix("0x") {
        Some(_) if password.is_some() => return Err(refused("a seed takes no password")),
        Some(digits) => Hotkey::from_seed(seed_from_hex("seed", digits)?),
        None => {
            let phrase = Phrase::parse(if origin.is_empty() { DEVELOPMENT_PHRASE } else { origin })?;
            match password.filter(|p| !p.is_empty()) {
                None => Hotkey::from_phrase(phrase),
                Some(password) => Hotkey::from_seed(phrase.seed(password)),
            }
        }
    };
    if junctions.is_empty() {
        return Ok(hotkey);
    }
    let derived = junctions.iter().fold(hotkey.into_signer(), |parent, junction| junction.derive(&parent));
    Ok(Hotkey::from_signer(derived))
}

struct Junction<'a> {
    hard: bool,
    name: &'a str,
}

/// The junctions, and the password after three slashes.
fn split(mut rest: &str) -> Result<(Vec<Junction<'_>>, Option<&str>)> {
    let mut junctions = Vec::new();
    while !rest.is_empty() {
        if let Some(password) = rest.strip_prefix("///") {
            return Ok((junctions, Some(password)));
        }
        let (hard, named) = match rest.strip_prefix("//") {
            Some(named) => (true, named),
            None => (false, &rest[1..]),
        };
        let end = named.find('/').unwrap_or(named.len());
        if end == 0 {
            return Err(Error::Uri { problem: "a junction without a name".to_owned() });
        }
        junctions.push(Junction { hard, name: &named[..end] });
        rest = &named[end..];
    }
    Ok((junctions, None))
}

impl Junction<'_> {
    fn derive(&self, parent: &Signer) -> Signer {
        let code = self.chain_code();
        if self.hard { parent.derive_hard(code) } else { parent.derive_soft(code) }
    }

    /// SCALE of the name, a number where it reads as one, filled up with zeros or hashed down to 32 bytes.
    fn chain_code(&self) -> [u8; 32] {
        let scale = match self.name.parse::<u64>() {
            Ok(number) => number.to_le_bytes().to_vec(),
            Err(_) => [&compact(self.name.len()), self.name.as_bytes()].concat(),
        };
        let mut code = [0; 32];
        match code.get_mut(..scale.len()) {
            Some(start) => start.copy_from_slice(&scale),
            None => code.copy_from_slice(&Blake2b::<U32>::digest(&scale)),
        }
        code
    }
}

/// SCALE's compact form of a length below 2^14, as names are under [`MOST_BYTES`].
fn compact(length: usize) -> Vec<u8> {
    match length {
        0..64 => vec![(length << 2) as u8],
        _ => ((length << 2 | 1) as u16).to_le_bytes().to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(text: &str) -> String {
        parse(text).map_or_else(|e| e.to_string(), |hotkey| hex::encode(hotkey.account()))
    }

    const SEED: &str = "0x5ac35ac35ac35ac35ac35ac35ac35ac35ac35ac35ac35ac35ac35ac35ac35ac3";

    /// Public keys as bittensor-wallet 4.1.1 gives them (`Keypair.create_from_uri`).
    #[test]
    fn keys_are_those_of_bittensor_wallet() {
        let (x31, x32, x63, x64) = ("x".repeat(31), "x".repeat(32), "x".repeat(63), "x".repeat(64));
        for (text, public) in [
            ("//Alice", "d43593c715fdd31c61141abd04a99fd6822c8558854ccde39a5684e7a56da27d"),
            ("/Alice", "d6c71059dbbe9ad2b0ed3f289738b800836eb425544ce694825285b958ca755e"),
            ("//Alice/soft", "02cfd83074aefc9955af4034d19b3780d47a52e158ababec8ec012b2295f1c5b"),
            ("//a/b//c", "609b86381aa351d20c336a97eeaa027e07bec7f27419adc9fa5b9c831c505701"),
            ("//a b", "dc61112ae76d12151497e227e3ae40b865019f38fcc9955a52304ef931b2a348"),
            ("//1", "b606fc73f57f03cdb4c932d475ab426043e429cecc2ffff0d2672b0df8398c48"),
            ("/1", "328b984202c3c1c834b9c5973a0e8955c4f60c6e3c100503c77d4ad3b9328639"),
            ("//5", "60c57f0008067cc01c5ff9eb2e2f9b3a94299a915a91198bd1021a6c55596f57"),
            ("//+5", "60c57f0008067cc01c5ff9eb2e2f9b3a94299a915a91198bd1021a6c55596f57"),
            ("//18446744073709551615", "a4ca284d5222ef916e2e181430785972ed22cb51ef91a0c6cdbbd390ee74bc77"),
            ("//18446744073709551616", "7a3a2cd9e94ed6f8956cbd929b84d4cf6267b2c8a371a4ba8737ff4ac5252f0c"),
            (&format!("//{x31}"), "d08d581c9755746d091ef753234388455eb5f847ae6061ceae8c77b38fcb030f"),
            (&format!("//{x32}"), "9644ab5b228ce544dfff7f8f021e06120d26f2c0a856096cbbce37abc1541a5c"),
            (&format!("//{x63}"), "76dab0a15bee6bc691c04d2b7ee92b7e89596040e6565d75a17ec1da6c0eab1c"),
            (&format!("//{x64}"), "4e7a9573fa04dafa01aa9d0eeda5dd5f6685879a2bfd024a75c17c231b488556"),
            ("//éééééééééééééééééééé", "c43bcf898ce0e94615af82ba1297f246488473d01cce7f1a49929918b83bdb71"),
            ("///pw", "f059637e84952f13fb7cdc6a646b09692f9bc23cc17eea2055b62ecc478f0e13"),
            ("////x", "fad3c116d4af1c1c21c6959e3e6eb823983c20fd79f211b2b6cae00d4278190c"),
            ("//a////b", "44081a5b67f533bc54522abdaf2e4b60e49987639924f0eb9196396de7af8f78"),
            (DEVELOPMENT_PHRASE, "46ebddef8cd9bb167dc30878d7113b7e168e6f0646beffd77d69d39bad76b47a"),
            (
                &format!("{DEVELOPMENT_PHRASE}//hard/soft///password"),
                "f424e177905e9f149c8560374f69fb7fc8cfd535f53f78046cea7071f379260d",
            ),
            (
                &format!("{DEVELOPMENT_PHRASE}///p//a///b"),
                "eccaa7de07a29b7b21f77e5bb26ff96a6bd312e22a4844b4d39c5b8ad3f03c38",
            ),
            (SEED, "4c018fe7bb5f4c9326625de395d17b528d8b75114bc373e322a7260e8baaf458"),
            (&format!("{SEED}//hard/7"), "7e1783861f437a7f4d44222bb749f53a1da2d19b611125b327a8e8aaa2fead11"),
        ] {
            assert_eq!(key(text), public, "{text}");
        }
    }

    #[test]
    fn what_means_nothing_is_refused_without_quoting_it() {
        for (text, says) in [
            ("", "secret URI: 0 bytes"),
            ("/", "secret URI: a junction without a name"),
            ("//", "secret URI: a junction without a name"),
            ("//a//", "secret URI: a junction without a name"),
            ("//a\n", "secret URI: control characters"),
            (" //Alice", "secretPhrase: has 0 words"),
            ("hush//Alice", "secretPhrase: has 1 words"),
            ("0x1234//a", "seed: expected 64 hex digits"),
            (&format!("{SEED}///pw"), "secret URI: a seed takes no password"),
            (&"/a".repeat(2049), "secret URI: 4098 bytes"),
        ] {
            let problem = parse(text).map(|h| h.account()).unwrap_err().to_string();
            assert!(problem.starts_with(says), "{problem}");
            assert!(!problem.contains("hush") && !problem.contains("1234"), "{problem}");
        }
    }

    #[test]
    fn only_what_gives_the_key_again_is_kept() {
        let kept = |text: &str| parse(text).map(|h| (h.phrase().is_some(), h.seed().is_some())).unwrap();
        assert_eq!(kept(DEVELOPMENT_PHRASE), (true, true));
        assert_eq!(kept("///"), (true, true));
        assert_eq!(kept("///pw"), (false, true));
        assert_eq!(kept(SEED), (false, true));
        assert_eq!(kept("//Alice"), (false, false));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_text_is_a_key_or_an_error(text in "\\PC{0,40}|(/{0,4}[a0-9+]{0,3}){0,5}") {
            if let Ok(hotkey) = parse(&text) {
                prop_assert_eq!(Hotkey::read(hotkey.to_json().as_bytes()).unwrap().account(), hotkey.account());
            }
        }
    }
}

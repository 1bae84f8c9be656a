//! sr25519 signatures of hotkeys (PROTOCOL 3.5), always over the message as it is.
//!
//! The form wrapped in `<Bytes>`, which wallets use for text from web pages, and hex text in place of bytes
//! are not accepted: in `grail-exact-1` a message has one form.

use schnorrkel::{ExpansionMode, Keypair, MiniSecretKey, PublicKey, SecretKey};

use crate::{AccountId, Error, Result};

/// Bytes of a signature.
pub const SIGNATURE_BYTES: usize = 64;

const CONTEXT: &[u8] = b"substrate";

/// A hotkey that can sign. Its secret is wiped when it is dropped, and never printed.
#[derive(Clone)]
pub struct Signer {
    keypair: Keypair,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signer({})", crate::ss58::encode(&self.account()))
    }
}

impl Signer {
    /// The key of a 32-byte seed, expanded as Substrate does.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let mini = MiniSecretKey::from_bytes(seed).expect("a mini secret key is any 32 bytes");
        Self { keypair: mini.expand_to_keypair(ExpansionMode::Ed25519) }
    }

    /// The key of a 64-byte secret: scalar in Ed25519's form, then nonce, as wallets store it.
    ///
    /// # Errors
    /// [`Error::Key`] when the bytes hold no scalar.
    pub fn from_secret(secret: &[u8; 64]) -> Result<Self> {
        let secret = SecretKey::from_ed25519_bytes(secret)
            .map_err(|e| Error::Key { field: "secret key", problem: e.to_string() })?;
        Ok(Self { keypair: secret.to_keypair() })
    }

    /// The public key.
    #[must_use]
    pub fn account(&self) -> AccountId {
        self.keypair.public.to_bytes()
    }

    /// A signature, randomised: two over the same message differ.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_BYTES] {
        self.keypair.sign_simple(CONTEXT, message).to_bytes()
    }
}

/// Whether a signature over a message is an account's. Bytes that are no key or no signature verify nothing.
#[must_use]
pub fn verify(account: &AccountId, message: &[u8], signature: &[u8]) -> bool {
    let Ok(public) = PublicKey::from_bytes(account) else {
        return false;
    };
    let Ok(signature) = schnorrkel::Signature::from_bytes(signature) else {
        return false;
    };
    public.verify_simple(CONTEXT, message, &signature).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_signature_is_of_one_key_over_one_message() {
        let (signer, other) = (Signer::from_seed(&[1; 32]), Signer::from_seed(&[2; 32]));
        let signature = signer.sign(b"message");
        assert!(verify(&signer.account(), b"message", &signature));
        assert!(!verify(&other.account(), b"message", &signature));
        assert!(!verify(&signer.account(), b"messagf", &signature));
        assert!(!verify(&signer.account(), b"<Bytes>message</Bytes>", &signature));
        let wrapped = signer.sign(b"<Bytes>message</Bytes>");
        assert!(!verify(&signer.account(), b"message", &wrapped));
    }

    #[test]
    fn every_changed_bit_of_a_signature_is_refused() {
        let signer = Signer::from_seed(&[3; 32]);
        let signature = signer.sign(b"m");
        for bit in 0..8 * SIGNATURE_BYTES {
            let mut changed = signature;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(!verify(&signer.account(), b"m", &changed), "bit {bit}");
        }
        assert!(!verify(&signer.account(), b"m", &signature[..63]));
        assert!(!verify(&signer.account(), b"m", &[&signature[..], &[0]].concat()));
    }

    #[test]
    fn a_secret_is_never_printed() {
        let signer = Signer::from_seed(&[4; 32]);
        let printed = format!("{signer:?}");
        assert_eq!(printed, format!("Signer({})", crate::ss58::encode(&signer.account())));
    }

    #[test]
    fn a_stored_secret_gives_the_same_key() {
        let signer = Signer::from_seed(&[5; 32]);
        let stored = signer.keypair.secret.to_ed25519_bytes();
        let read = Signer::from_secret(&stored).unwrap();
        assert_eq!(read.account(), signer.account());
        assert!(verify(&signer.account(), b"m", &read.sign(b"m")));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn any_bytes_verify_or_not_without_a_panic(account: AccountId, message: Vec<u8>, signature in prop::collection::vec(any::<u8>(), 0..80)) {
            prop_assert!(!verify(&account, &message, &signature));
        }

        #[test]
        fn any_secret_is_taken_or_refused_without_a_panic(low: [u8; 32], high: [u8; 32]) {
            let mut secret = [0; 64];
            secret[..32].copy_from_slice(&low);
            secret[32..].copy_from_slice(&high);
            if let Ok(signer) = Signer::from_secret(&secret) {
                let _ = signer.sign(b"m");
            }
        }
    }
}

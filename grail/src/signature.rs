//! sr25519 signatures of hotkeys (PROTOCOL 3.5), always over the message as it is.
//!
//! The form wrapped in `<Bytes>`, which wallets use for text from web pages, and hex text in place of bytes
//! are not accepted: in `grail-exact-1` a message has one form.

use schnorrkel::derive::{ChainCode, Derivation};
use schnorrkel::{ExpansionMode, Keypair, MiniSecretKey, PublicKey, SecretKey};
use zeroize::Zeroizing;

use crate::{AccountId, Error, Result};

/// Bytes of a secret key: scalar and nonce.
pub const SECRET_BYTES: usize = 64;

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

    /// The key of a 64-byte secret in schnorrkel's own form: the scalar, little-endian and below the group's order, then
    /// the nonce. This is what wallets store as `privateKey`. Ed25519's form, in which the scalar is multiplied by
    /// eight, looks the same, would give another key, and is taken nowhere.
    ///
    /// # Errors
    /// [`Error::Key`] when the scalar is not below the order, or zero.
    pub fn from_secret(secret: &[u8; SECRET_BYTES]) -> Result<Self> {
        let refused = |problem: String| Error::Key { field: "secret key", problem };
        if secret[..32] == [0; 32] {
            return Err(refused("the scalar is zero".to_owned()));
        }
        let secret = SecretKey::from_bytes(secret).map_err(|e| refused(e.to_string()))?;
        Ok(Self { keypair: secret.to_keypair() })
    }

    /// The secret as [`Signer::from_secret`] reads it, for those who store it.
    #[must_use]
    pub fn secret(&self) -> Zeroizing<[u8; SECRET_BYTES]> {
        Zeroizing::new(self.keypair.secret.to_bytes())
    }

    /// The child key of a hard junction (`//name`): neither key leads to the other without this secret.
    #[must_use]
    pub fn derive_hard(&self, junction: [u8; 32]) -> Self {
        let (mini, _) = self.keypair.hard_derive_mini_secret_key(Some(ChainCode(junction)), b"");
        Self { keypair: mini.expand_to_keypair(ExpansionMode::Ed25519) }
    }

    /// The child key of a soft junction (`/name`): its public key follows from this public key. The nonce of the
    /// child's secret is drawn anew each time, so two derivations give one scalar and two secrets.
    #[must_use]
    pub fn derive_soft(&self, junction: [u8; 32]) -> Self {
        let (keypair, _) = self.keypair.derived_key_simple(ChainCode(junction), b"");
        Self { keypair }
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
        let read = Signer::from_secret(&signer.secret()).unwrap();
        assert_eq!(read.account(), signer.account());
        assert_eq!(*read.secret(), *signer.secret());
        assert!(verify(&signer.account(), b"m", &read.sign(b"m")));
    }

    #[test]
    fn the_form_of_ed25519_does_not_give_the_key() {
        let signer = Signer::from_seed(&[5; 32]);
        let other_form = signer.keypair.secret.to_ed25519_bytes();
        assert_ne!(other_form, *signer.secret());
        assert_ne!(Signer::from_secret(&other_form).map(|s| s.account()), Ok(signer.account()));
    }

    #[test]
    fn a_scalar_of_zero_or_beyond_the_order_is_no_key() {
        let secret = |low: [u8; 32]| Signer::from_secret(&[low, [1; 32]].concat().try_into().unwrap()).map(|_| ());
        assert!(matches!(secret([0; 32]), Err(Error::Key { field: "secret key", .. })));
        assert!(matches!(secret([0xff; 32]), Err(Error::Key { field: "secret key", .. })));
    }

    #[test]
    fn a_child_is_another_key_that_signs() {
        let parent = Signer::from_seed(&[6; 32]);
        let children = [parent.derive_hard([1; 32]), parent.derive_hard([2; 32]), parent.derive_soft([1; 32])];
        for (i, child) in children.iter().enumerate() {
            assert!(verify(&child.account(), b"m", &child.sign(b"m")));
            assert_ne!(child.account(), parent.account());
            assert!(children[..i].iter().all(|other| other.account() != child.account()));
        }
        assert_eq!(parent.derive_soft([1; 32]).account(), children[2].account());
        let public = parent.keypair.public.derived_key_simple(ChainCode([1; 32]), b"").0;
        assert_eq!(public.to_bytes(), children[2].account());
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

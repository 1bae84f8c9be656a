//! Decryption of hotkey files that bittensor-wallet encrypted with a password.
//!
//! `$NACL`, a nonce of 24 bytes, then XSalsa20-Poly1305 under a key that Argon2i makes of the password with a salt
//! that is the same for everybody. That takes half a gibibyte of memory and a few seconds. Nothing is encrypted here:
//! the library's form for hotkeys is plain JSON.

use argon2::{Algorithm, Argon2, Block, Params, Version};
use crypto_secretbox::aead::{Aead, KeyInit};
use crypto_secretbox::{Nonce, XSalsa20Poly1305};
use zeroize::Zeroizing;

use super::{Error, Result};

/// What an encrypted file begins with.
pub const PREFIX: &[u8] = b"$NACL";

/// Beginnings of the forms before this one: Ansible's vault and Fernet.
const OLD_PREFIXES: [&[u8]; 2] = [b"$ANSIBLE_VAULT", b"gAAAAA"];

const NONCE_BYTES: usize = 24;
const KEY_BYTES: usize = 32;
const SALT: [u8; 16] = *b"\x13q\x83\xdf\xf1Z\t\xbc\x9c\x90\xb5Q\x879\xe9\xb1";
const MEMORY_KIB: u32 = 512 << 10;
const PASSES: u32 = 8;

/// Whether a file's bytes are encrypted.
///
/// # Errors
/// [`Error::OldEncryption`] for a form that is not read.
pub fn is_encrypted(data: &[u8]) -> Result<bool> {
    if OLD_PREFIXES.iter().any(|old| data.starts_with(old)) {
        return Err(Error::OldEncryption);
    }
    Ok(data.starts_with(PREFIX))
}

/// What an encrypted file holds.
///
/// # Errors
/// [`Error::WrongPassword`], and [`Error::Decryption`] without the memory it takes.
pub fn decrypt(data: &[u8], password: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
    unseal(data, &*key(password)?)
}

fn key(password: &[u8]) -> Result<Zeroizing<[u8; KEY_BYTES]>> {
    let failed = |problem: String| Error::Decryption { problem };
    let params = Params::new(MEMORY_KIB, PASSES, 1, Some(KEY_BYTES)).map_err(|e| failed(e.to_string()))?;
    let mut memory = Vec::new();
    let blocks = params.block_count();
    memory.try_reserve_exact(blocks).map_err(|_| failed("it takes 512 MiB of memory".to_owned()))?;
    memory.resize(blocks, Block::default());
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    let argon2 = Argon2::new(Algorithm::Argon2i, Version::V0x13, params);
    argon2
        .hash_password_into_with_memory(password, &SALT, key.as_mut_slice(), &mut memory)
        .map_err(|e| failed(e.to_string()))?;
    Ok(key)
}

fn unseal(data: &[u8], key: &[u8; KEY_BYTES]) -> Result<Zeroizing<Vec<u8>>> {
    let sealed = data.strip_prefix(PREFIX).ok_or(Error::WrongPassword)?;
    let (nonce, sealed) = sealed.split_at_checked(NONCE_BYTES).ok_or(Error::WrongPassword)?;
    let plain = XSalsa20Poly1305::new(key.into()).decrypt(Nonce::from_slice(nonce), sealed);
    plain.map(Zeroizing::new).map_err(|_| Error::WrongPassword)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_text_opens_with_its_key_and_unchanged_only() {
        let (key, nonce) = ([7; KEY_BYTES], [9; NONCE_BYTES]);
        let sealed = XSalsa20Poly1305::new(&key.into()).encrypt(&nonce.into(), &b"secret"[..]).unwrap();
        let data = [PREFIX, &nonce, &sealed].concat();
        assert_eq!(unseal(&data, &key).unwrap().as_slice(), b"secret");
        assert!(matches!(unseal(&data, &[8; KEY_BYTES]), Err(Error::WrongPassword)));
        for place in 0..data.len() {
            let mut changed = data.clone();
            changed[place] ^= 1;
            assert!(unseal(&changed, &key).is_err(), "byte {place}");
            assert!(unseal(&data[..place], &key).is_err(), "{place} bytes");
        }
    }

    #[test]
    fn forms_are_told_by_their_beginning() {
        assert!(is_encrypted(b"$NACL...").unwrap());
        assert!(!is_encrypted(b"{}").unwrap() && !is_encrypted(b"").unwrap());
        for old in [&b"$ANSIBLE_VAULT;1.1"[..], b"gAAAAABk"] {
            assert!(matches!(is_encrypted(old), Err(Error::OldEncryption)));
        }
    }
}

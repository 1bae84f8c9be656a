//! What shows that the bytes that were meant are those that arrived.
//!
//! On the way to the store every body carries its MD5 in `Content-MD5`, the one checksum that every S3 has always
//! compared; a file's body is not even covered by the request's signature. From writer to reader the SHA-256 of the
//! whole object goes along as metadata, and a reading that ends in another hash is an error. The newer
//! `x-amz-checksum-*` headers are left alone: not every store that matters knows them.

use std::collections::HashMap;

use md5::Md5;
use sha2::{Digest as _, Sha256};

/// Metadata with the SHA-256 of the object, 64 lower-case hex digits.
pub(crate) const SHA256_KEY: &str = "grail-sha256";

/// Checksums of one body.
#[derive(Clone)]
pub(crate) struct Sums {
    md5: Md5,
    sha256: Sha256,
}

impl Sums {
    pub(crate) fn new() -> Self {
        Self { md5: md5::Digest::new(), sha256: Sha256::new() }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        md5::Digest::update(&mut self.md5, bytes);
        self.sha256.update(bytes);
    }

    /// As the header `Content-MD5` has it, and as metadata has it.
    pub(crate) fn finish(self) -> (String, String) {
        let md5 = md5::Digest::finalize(self.md5);
        (base64_simd::STANDARD.encode_to_string(md5), hex::encode(self.sha256.finalize()))
    }
}

/// The hash that the writer stated, if it stated one.
pub(crate) fn stated_sha256(metadata: Option<&HashMap<String, String>>) -> Option<[u8; 32]> {
    hex::decode(metadata?.get(SHA256_KEY)?).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sums_are_those_of_the_standards() {
        // RFC 1321 and FIPS 180-2, of "abc".
        let mut sums = Sums::new();
        sums.update(b"a");
        sums.update(b"bc");
        let (md5, sha256) = sums.finish();
        assert_eq!(md5, "kAFQmDzST7DWlj99KOF/cg==");
        assert_eq!(sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn a_statement_that_is_no_hash_is_none() {
        let of = |text: &str| stated_sha256(Some(&HashMap::from([(SHA256_KEY.to_owned(), text.to_owned())])));
        assert_eq!(of(&"ab".repeat(32)), Some([0xab; 32]));
        for text in ["", "ab", &"ab".repeat(33), &"zz".repeat(32)] {
            assert_eq!(of(text), None, "{text}");
        }
        assert_eq!((stated_sha256(None), stated_sha256(Some(&HashMap::new()))), (None, None));
    }
}

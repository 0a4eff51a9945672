//! Secrets at rest: AES-256-GCM under a key from the configuration.
//!
//! A sealed secret is bound to a context (the id of the row it belongs to): moved to another row it does not open.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// The first byte of what is sealed: names the algorithm, so that a later one can be told apart.
const VERSION: u8 = 1;
const KEY_BYTES: usize = 32;

/// Seals and opens secrets. In a configuration it is 64 hexadecimal digits.
pub struct Cipher {
    key: RandomizedNonceKey,
}

/// Why a secret was not sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CipherError {
    /// The configured key is no key.
    #[error("expected a key of 64 hexadecimal digits")]
    Key,
    /// The bytes were not sealed by this key for this context, or were changed since.
    #[error("the sealed secret does not open with this key and context")]
    Open,
    /// The random generator or the cipher failed.
    #[error("sealing failed")]
    Seal,
}

impl Cipher {
    /// Takes the key as 64 hexadecimal digits.
    pub fn from_hex(key: &str) -> Result<Self, CipherError> {
        let mut bytes = [0; KEY_BYTES];
        hex::decode_to_slice(key, &mut bytes).map_err(|_| CipherError::Key)?;
        let key = RandomizedNonceKey::new(&AES_256_GCM, &bytes).map_err(|_| CipherError::Key)?;
        Ok(Self { key })
    }

    /// Encrypts `plaintext` for `context`: version, nonce, ciphertext, tag.
    pub fn seal(&self, context: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, CipherError> {
        let mut encrypted = plaintext.to_vec();
        let nonce = self
            .key
            .seal_in_place_append_tag(Aad::from(context), &mut encrypted)
            .map_err(|_| CipherError::Seal)?;
        Ok([&[VERSION], nonce.as_ref().as_slice(), &encrypted].concat())
    }

    /// Decrypts what [`Cipher::seal`] made for the same `context`.
    pub fn open(&self, context: &[u8], sealed: &[u8]) -> Result<Vec<u8>, CipherError> {
        let sealed = sealed.strip_prefix(&[VERSION]).ok_or(CipherError::Open)?;
        let (nonce, encrypted) = sealed.split_at_checked(NONCE_LEN).ok_or(CipherError::Open)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| CipherError::Open)?;
        let mut buffer = encrypted.to_vec();
        let plaintext = self
            .key
            .open_in_place(nonce, Aad::from(context), &mut buffer)
            .map_err(|_| CipherError::Open)?;
        Ok(plaintext.to_vec())
    }
}

impl<'de> Deserialize<'de> for Cipher {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_hex(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl fmt::Debug for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cipher([REDACTED])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cipher(digit: char) -> Cipher {
        Cipher::from_hex(&digit.to_string().repeat(64)).unwrap()
    }

    #[test]
    fn a_sealed_secret_opens_with_its_key_and_context_only() {
        let sealed = cipher('a').seal(b"key_1", b"secret").unwrap();
        assert!(!sealed.windows(6).any(|window| window == b"secret"));
        assert_eq!(cipher('a').open(b"key_1", &sealed), Ok(b"secret".to_vec()));
        assert_eq!(
            cipher('a').open(b"key_2", &sealed),
            Err(CipherError::Open),
            "another row"
        );
        assert_eq!(
            cipher('b').open(b"key_1", &sealed),
            Err(CipherError::Open),
            "another key"
        );
    }

    #[test]
    fn the_same_secret_is_never_sealed_twice_alike() {
        let cipher = cipher('a');
        assert_ne!(cipher.seal(b"", b"secret"), cipher.seal(b"", b"secret"));
    }

    #[test]
    fn changed_or_cut_bytes_do_not_open() {
        let cipher = cipher('a');
        let sealed = cipher.seal(b"", b"secret").unwrap();
        for length in 0..sealed.len() {
            assert_eq!(
                cipher.open(b"", &sealed[..length]),
                Err(CipherError::Open),
                "cut to {length}"
            );
            let mut changed = sealed.clone();
            changed[length] ^= 1;
            assert_eq!(
                cipher.open(b"", &changed),
                Err(CipherError::Open),
                "changed at {length}"
            );
        }
    }

    #[test]
    fn a_key_is_64_hexadecimal_digits_and_is_not_printed() {
        for key in ["", "abc", &"a".repeat(63), &"g".repeat(64), &"a".repeat(66)] {
            assert_eq!(Cipher::from_hex(key).err(), Some(CipherError::Key), "{key}");
        }
        assert_eq!(format!("{:?}", cipher('a')), "Cipher([REDACTED])");
    }
}

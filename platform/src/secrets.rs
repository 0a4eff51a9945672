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

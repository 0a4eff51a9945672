//! What the master key protects: secrets and customers' addresses at rest.

use hmac::{Hmac, KeyInit, Mac};
use platform::secrets::{Cipher, CipherError};
use schemas::ids::CustomerRef;
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

use crate::domain::text::{Email, Phone};

/// Seals and opens under the master key.
#[derive(Debug)]
pub struct Secrets {
    /// For whatever is sealed for the id of its row.
    pub cipher: Cipher,
    digest_key: SecretString,
}

impl Secrets {
    /// Takes the master key as 64 hexadecimal digits.
    pub fn new(master_key: SecretString) -> Result<Self, CipherError> {
        Ok(Self {
            cipher: Cipher::from_hex(master_key.expose_secret())?,
            digest_key: master_key,
        })
    }

    /// Under this the same address is found again, without being readable: keyed, since addresses can be guessed.
    ///
    /// # Panics
    /// Never: HMAC takes keys of any length.
    pub fn digest(&self, email: &Email) -> Vec<u8> {
        let key = self.digest_key.expose_secret().as_bytes();
        #[expect(
            clippy::expect_used,
            reason = "HMAC takes keys of any length: its constructor's error cannot happen"
        )]
        let mac = Hmac::<Sha256>::new_from_slice(key).expect("hmac accepts a key of any length");
        mac.chain_update(b"customer email\n")
            .chain_update(email.normalised())
            .finalize()
            .into_bytes()
            .to_vec()
    }

    /// Seals a customer's address.
    pub fn seal_email(&self, customer_ref: CustomerRef, email: &Email) -> Result<Vec<u8>, CipherError> {
        self.cipher
            .seal(&email_context(customer_ref), email.as_str().as_bytes())
    }

    /// Seals a customer's phone number.
    pub fn seal_phone(&self, customer_ref: CustomerRef, phone: &Phone) -> Result<Vec<u8>, CipherError> {
        self.cipher
            .seal(&phone_context(customer_ref), phone.as_str().as_bytes())
    }

    /// Opens a text that was sealed for `context`.
    pub fn open_text(&self, context: &[u8], sealed: &[u8]) -> Result<String, CipherError> {
        open(&self.cipher, context, sealed)
    }

    /// Opens a customer's address.
    pub fn open_email(&self, customer_ref: CustomerRef, sealed: &[u8]) -> Result<String, CipherError> {
        open(&self.cipher, &email_context(customer_ref), sealed)
    }

    /// Opens a customer's phone number.
    pub fn open_phone(&self, customer_ref: CustomerRef, sealed: &[u8]) -> Result<String, CipherError> {
        open(&self.cipher, &phone_context(customer_ref), sealed)
    }
}

fn open(cipher: &Cipher, context: &[u8], sealed: &[u8]) -> Result<String, CipherError> {
    String::from_utf8(cipher.open(context, sealed)?).map_err(|_| CipherError::Open)
}

fn email_context(customer_ref: CustomerRef) -> Vec<u8> {
    format!("{customer_ref} email").into_bytes()
}

fn phone_context(customer_ref: CustomerRef) -> Vec<u8> {
    format!("{customer_ref} phone").into_bytes()
}

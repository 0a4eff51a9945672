//! The ES256 key of the issuer, made at the first start.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::signature;

pub(super) struct SigningKey {
    id: String,
    pkcs8: Vec<u8>,
    x: String,
    y: String,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyError {
    #[error("cannot use the issuer's key file {path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    #[error("the issuer's key is not a PKCS#8 key on P-256; remove the file to get a new one")]
    Rejected,
    #[error("no key could be generated")]
    Generation,
}

impl SigningKey {
    pub(super) fn load_or_generate(state: Option<&Path>) -> Result<Self, KeyError> {
        let Some(dir) = state else {
            return Self::from_pkcs8(generate()?);
        };
        let path = dir.join("issuer-key.pk8");
        let io = |source| KeyError::Io {
            path: path.clone(),
            source,
        };
        if path.exists() {
            return Self::from_pkcs8(fs::read(&path).map_err(io)?);
        }
        let pkcs8 = generate()?;
        fs::create_dir_all(dir).map_err(io)?;
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(io)?;
        file.write_all(&pkcs8).map_err(io)?;
        Self::from_pkcs8(pkcs8)
    }

    fn from_pkcs8(pkcs8: Vec<u8>) -> Result<Self, KeyError> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8)
            .map_err(|_| KeyError::Rejected)?;
        // An uncompressed point: 0x04, then 32 bytes each for x and y.
        let point = pair.public_key().as_ref();
        let (Some(x), Some(y)) = (point.get(1..33), point.get(33..65)) else {
            return Err(KeyError::Rejected);
        };
        let id = signature::sha256_hex(point).chars().take(16).collect();
        Ok(Self {
            id,
            x: URL_SAFE_NO_PAD.encode(x),
            y: URL_SAFE_NO_PAD.encode(y),
            pkcs8,
        })
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    pub(super) fn jwk(&self) -> Value {
        json!({ "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": self.id, "x": self.x, "y": self.y })
    }
}

fn generate() -> Result<Vec<u8>, KeyError> {
    let random = aws_lc_rs::rand::SystemRandom::new();
    let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random)
        .map_err(|_| KeyError::Generation)?;
    Ok(document.as_ref().to_vec())
}

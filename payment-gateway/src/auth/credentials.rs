//! Secrets that we hand out once: random, and kept sealed.

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The system gave no random bytes.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the system's random generator failed")]
pub struct RandomError;

/// A new API secret: 256 random bits as 64 hexadecimal digits. Signatures are keyed with these characters.
pub fn api_secret() -> Result<String, RandomError> {
    random().map(hex::encode)
}

/// A new webhook secret as Standard Webhooks writes it: `whsec_` and 256 random bits in base64.
pub fn webhook_secret() -> Result<String, RandomError> {
    random().map(|bytes| format!("whsec_{}", STANDARD.encode(bytes)))
}

fn random() -> Result<[u8; 32], RandomError> {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes).map_err(|_| RandomError)?;
    Ok(bytes)
}

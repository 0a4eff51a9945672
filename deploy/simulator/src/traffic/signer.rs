//! How a merchant signs a request: `X-Signature: t=<unix seconds>,v1=<hex>`, HMAC-SHA256 with the key's secret over
//! time, method, raw path and query, idempotency key or empty, and the body's hash, one a line.

use crate::{clock, signature};

#[derive(Debug, Clone)]
pub(super) struct Signer {
    pub(super) api_key: String,
    pub(super) api_secret: String,
}

impl Signer {
    pub(super) fn sign(
        &self,
        method: &str,
        path_and_query: &str,
        idempotency_key: &str,
        body: &[u8],
    ) -> String {
        self.sign_at(
            clock::unix_seconds(),
            method,
            path_and_query,
            idempotency_key,
            body,
        )
    }

    fn sign_at(
        &self,
        time: i64,
        method: &str,
        path_and_query: &str,
        idempotency_key: &str,
        body: &[u8],
    ) -> String {
        let text = [
            &time.to_string(),
            method,
            path_and_query,
            idempotency_key,
            &signature::sha256_hex(body),
        ]
        .join("\n");
        format!(
            "t={time},v1={}",
            signature::hmac_hex(&self.api_secret, &[text.as_bytes()])
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_matches_one_made_with_openssl() {
        // body='{"amount":1}'; hash=$(printf %s "$body" | openssl dgst -sha256 -r | cut -d' ' -f1)
        // printf '1700000000\nPOST\n/api/v1/payments?x=1\nkey-1\n%s' "$hash" | openssl dgst -sha256 -hmac secret
        let signer = Signer {
            api_key: "key_1".to_owned(),
            api_secret: "secret".to_owned(),
        };
        let header = signer.sign_at(
            1_700_000_000,
            "POST",
            "/api/v1/payments?x=1",
            "key-1",
            br#"{"amount":1}"#,
        );
        assert_eq!(
            header,
            "t=1700000000,v1=8e65b418c06b8a853a9af057db8dd48d05cc3dfbbf996996e9324199bebda52f"
        );
    }
}

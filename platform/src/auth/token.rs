//! Verifying a Bearer token against the configured issuers.

use std::sync::Arc;

use axum::extract::FromRef;
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use eventing::Clock;
use jiff::Timestamp;
use jsonwebtoken::{DecodingKey, Header, Validation};
use serde::Deserialize;

use super::jwks::{KeySet, KeysUnavailable};
use super::{Principal, StaffMember};
use crate::client::Client;
use crate::config::{PrincipalKind, Trust};
use crate::problem::Problem;

/// How far an issuer's clock may be from ours.
const LEEWAY_SECONDS: i64 = 30;

/// Turns a request's credential into a [`Principal`]. Cheap to clone; belongs into the router's state.
#[derive(Clone)]
pub struct TokenVerifier {
    issuers: Arc<[Issuer]>,
    clock: Clock,
}

struct Issuer {
    trust: Trust,
    keys: KeySet,
}

/// Why a caller is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// No `Authorization: Bearer` header.
    #[error("no bearer token was sent")]
    Missing,
    /// Not a token of a trusted issuer for this audience, or expired.
    #[error("the token is not valid: {0}")]
    Invalid(&'static str),
    /// An internal endpoint was called without the service token.
    #[error("the service token is needed")]
    ServiceToken,
    /// A valid token of the wrong kind of caller.
    #[error("this is not open to this kind of caller")]
    WrongPrincipal,
    /// The person lacks a role.
    #[error("the role {0} is needed")]
    MissingRole(&'static str),
    /// The issuer's keys were never obtained.
    #[error("the issuer's keys cannot be obtained")]
    KeysUnavailable,
}

/// What is read from a token once its issuer is known. Audience and issuer are checked by the decoder.
#[derive(Deserialize)]
struct Claims {
    sub: String,
    exp: i64,
    #[serde(default)]
    nbf: Option<i64>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    roles: Vec<String>,
}

#[derive(Deserialize)]
struct ClaimedIssuer {
    iss: String,
}

impl TokenVerifier {
    /// Trusts these issuers. Keys are fetched when the first token of an issuer comes.
    pub fn new(trust: &[Trust], client: &Client, clock: Clock) -> Self {
        let issuer = |trust: &Trust| Issuer {
            keys: KeySet::new(
                trust.jwks_url.clone(),
                client.for_endpoint(&trust.issuer),
                clock.clone(),
            ),
            trust: trust.clone(),
        };
        let issuers = trust.iter().map(issuer).collect();
        Self { issuers, clock }
    }

    /// The caller named by the request's `Authorization` header.
    pub async fn authenticate(&self, headers: &HeaderMap) -> Result<Principal, AuthError> {
        self.verify(bearer(headers)?).await
    }

    /// The caller named by a token.
    pub async fn verify(&self, token: &str) -> Result<Principal, AuthError> {
        self.verify_until(token).await.map(|(principal, _)| principal)
    }

    /// As [`Self::verify`], and when the token ends: what is opened with it must not last longer.
    pub async fn verify_until(&self, token: &str) -> Result<(Principal, Timestamp), AuthError> {
        const NOT_A_TOKEN: AuthError = AuthError::Invalid("it is not a signed JWT");
        let header = jsonwebtoken::decode_header(token).map_err(|_| NOT_A_TOKEN)?;
        // Unverified: only chooses whose keys must have signed it.
        let claimed: ClaimedIssuer =
            jsonwebtoken::dangerous::insecure_decode_claims(token).map_err(|_| NOT_A_TOKEN)?;
        let issuer = self
            .issuers
            .iter()
            .find(|issuer| issuer.trust.issuer == claimed.iss)
            .ok_or(AuthError::Invalid("its issuer is not trusted"))?;
        if !issuer.trust.algorithms.contains(&header.alg) {
            return Err(AuthError::Invalid(
                "its algorithm is not accepted from this issuer",
            ));
        }
        let key = issuer.keys.find(header.kid.as_deref()).await?;
        let key = key.ok_or(AuthError::Invalid("its key is not known"))?;
        let claims = decode(token, &header, &key, &issuer.trust)?;
        self.check_time(&claims)?;
        let ends_at = Timestamp::from_second(claims.exp).unwrap_or(Timestamp::MAX);
        Ok((principal(issuer.trust.principal, claims)?, ends_at))
    }

    fn check_time(&self, claims: &Claims) -> Result<(), AuthError> {
        let now = self.clock.now().as_second();
        if now > claims.exp.saturating_add(LEEWAY_SECONDS) {
            return Err(AuthError::Invalid("it has expired"));
        }
        if claims
            .nbf
            .is_some_and(|not_before| now < not_before.saturating_sub(LEEWAY_SECONDS))
        {
            return Err(AuthError::Invalid("it is not valid yet"));
        }
        Ok(())
    }
}

fn bearer(headers: &HeaderMap) -> Result<&str, AuthError> {
    let header = headers.get(AUTHORIZATION).ok_or(AuthError::Missing)?;
    let (scheme, token) = header
        .to_str()
        .ok()
        .and_then(|text| text.split_once(' '))
        .ok_or(AuthError::Missing)?;
    if scheme.eq_ignore_ascii_case("bearer") {
        Ok(token.trim())
    } else {
        Err(AuthError::Missing)
    }
}

fn decode(token: &str, header: &Header, key: &DecodingKey, trust: &Trust) -> Result<Claims, AuthError> {
    let mut validation = Validation::new(header.alg);
    validation.set_issuer(&[&trust.issuer]);
    validation.set_audience(&[&trust.audience]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    // Time is checked against our own clock, which tests can move.
    validation.validate_exp = false;
    jsonwebtoken::decode(token, key, &validation)
        .map(|decoded| decoded.claims)
        .map_err(|_| AuthError::Invalid("its signature, audience or claims do not hold"))
}

fn principal(kind: PrincipalKind, claims: Claims) -> Result<Principal, AuthError> {
    match kind {
        PrincipalKind::Merchant => claims
            .sub
            .parse()
            .map(Principal::Merchant)
            .map_err(|_| AuthError::Invalid("its subject is not a merchant")),
        PrincipalKind::Staff => {
            let name = claims.name.unwrap_or_else(|| claims.sub.clone());
            Ok(Principal::Staff(StaffMember {
                subject: claims.sub,
                name,
                roles: claims.roles,
            }))
        }
    }
}

impl From<KeysUnavailable> for AuthError {
    fn from(_: KeysUnavailable) -> Self {
        Self::KeysUnavailable
    }
}

impl From<AuthError> for Problem {
    fn from(refusal: AuthError) -> Self {
        let unauthenticated = || {
            Problem::new(
                StatusCode::UNAUTHORIZED,
                "unauthenticated",
                "A valid token is needed",
            )
            .header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
        };
        let forbidden = || Problem::new(StatusCode::FORBIDDEN, "forbidden", "Not open to this caller");
        match refusal {
            AuthError::Missing | AuthError::Invalid(_) | AuthError::ServiceToken => {
                unauthenticated().detail(refusal.to_string())
            }
            AuthError::WrongPrincipal | AuthError::MissingRole(_) => forbidden().detail(refusal.to_string()),
            AuthError::KeysUnavailable => Problem::unavailable(&refusal),
        }
    }
}

impl IntoResponse for AuthError {
    fn into_response(self) -> Response {
        Problem::from(self).into_response()
    }
}

impl<C> FromRef<crate::Context<C>> for TokenVerifier {
    fn from_ref(context: &crate::Context<C>) -> Self {
        context.tokens()
    }
}

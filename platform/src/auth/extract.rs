//! Extractors: a handler that takes one of these is never entered by anybody else.

use axum::extract::{FromRef, FromRequestParts, OptionalFromRequestParts};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use schemas::ids::MerchantId;

use super::{AuthError, Principal, StaffMember, TokenVerifier};

/// A member of staff; a merchant's token is 403.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Staff(pub StaffMember);

/// A merchant; a staff token is 403.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Merchant(pub MerchantId);

impl<S> FromRequestParts<S> for Principal
where
    TokenVerifier: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = AuthError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, AuthError> {
        TokenVerifier::from_ref(state).authenticate(&parts.headers).await
    }
}

/// `None` when the request has no `Authorization` header; a header that is wrong is still refused.
impl<S> OptionalFromRequestParts<S> for Principal
where
    TokenVerifier: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = AuthError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Option<Self>, AuthError> {
        if !parts.headers.contains_key(AUTHORIZATION) {
            return Ok(None);
        }
        TokenVerifier::from_ref(state)
            .authenticate(&parts.headers)
            .await
            .map(Some)
    }
}

impl<S> FromRequestParts<S> for Staff
where
    TokenVerifier: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = AuthError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, AuthError> {
        match TokenVerifier::from_ref(state)
            .authenticate(&parts.headers)
            .await?
        {
            Principal::Staff(member) => Ok(Self(member)),
            Principal::Merchant(_) => Err(AuthError::WrongPrincipal),
        }
    }
}

impl<S> FromRequestParts<S> for Merchant
where
    TokenVerifier: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = AuthError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, AuthError> {
        match TokenVerifier::from_ref(state)
            .authenticate(&parts.headers)
            .await?
        {
            Principal::Merchant(merchant_id) => Ok(Self(merchant_id)),
            Principal::Staff(_) => Err(AuthError::WrongPrincipal),
        }
    }
}

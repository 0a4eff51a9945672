//! Who a browser is: its cookie, and the origin of the page that calls.
//!
//! A cookie travels with requests that other sites cause, so whatever it opens also asks where the page came from. A
//! Bearer token does not, so scripts that send one need no origin.

use axum::http::HeaderMap;
use axum::http::header::{COOKIE, HOST, ORIGIN};
use sha2::{Digest as _, Sha256};

use crate::config::Dashboard;
use crate::domain::scope::Scope;
use crate::error::Error;
use crate::http::App;
use crate::store;

/// The session cookie's name.
pub(crate) const SESSION: &str = "analytics_session";

/// 256 random bits as text, and the hash under which the database knows them.
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) hash: Vec<u8>,
}

impl Token {
    pub(crate) fn generate() -> Result<Self, Error> {
        let mut bytes = [0_u8; 32];
        rand::TryRng::try_fill_bytes(&mut rand::rngs::SysRng, &mut bytes)
            .map_err(|error| Error::Random(error.to_string()))?;
        let text = hex::encode(bytes);
        Ok(Self {
            hash: hash(&text),
            text,
        })
    }
}

/// What the database keeps of a token: 256 random bits need no slow hash.
pub(crate) fn hash(token: &str) -> Vec<u8> {
    Sha256::digest(token.as_bytes()).to_vec()
}

/// The value of the session cookie.
pub(crate) fn session_token(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|header| header.to_str().ok());
    cookies
        .flat_map(|header| header.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(name, value)| (name == SESSION).then_some(value))
}

/// Whose session the cookie opens; none without a live one.
pub(crate) async fn session(app: &App, headers: &HeaderMap) -> Result<Option<Scope>, Error> {
    match session_token(headers) {
        Some(token) => Ok(store::tokens::session(&app.pool, &hash(token), app.clock.now()).await?),
        None => Ok(None),
    }
}

/// The page that calls is one of ours.
pub(crate) fn check_origin(headers: &HeaderMap, dashboard: &Dashboard) -> Result<(), Error> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let origin = text(ORIGIN).ok_or(Error::Origin)?;
    let own = || {
        let host = origin.split_once("://").map(|(_, host)| host);
        dashboard.allowed_origins.is_empty() && host.is_some() && host == text(HOST)
    };
    if dashboard.allowed_origins.iter().any(|allowed| allowed == origin) || own() {
        Ok(())
    } else {
        Err(Error::Origin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn only_pages_of_ours_pass() {
        let listed = Dashboard {
            allowed_origins: vec!["https://ours.example".into()],
            secure_cookie: true,
        };
        let unlisted = Dashboard {
            allowed_origins: vec![],
            secure_cookie: true,
        };
        let from = |origin| headers(&[("origin", origin), ("host", "127.0.0.1:40009")]);
        assert!(check_origin(&from("https://ours.example"), &listed).is_ok());
        assert!(check_origin(&from("http://127.0.0.1:40009"), &listed).is_err());
        assert!(check_origin(&from("http://127.0.0.1:40009"), &unlisted).is_ok());
        assert!(check_origin(&from("https://evil.example"), &unlisted).is_err());
        assert!(check_origin(&from("null"), &unlisted).is_err());
        assert!(check_origin(&headers(&[("host", "127.0.0.1:40009")]), &unlisted).is_err());
    }

    #[test]
    fn the_session_is_found_among_other_cookies() {
        assert_eq!(
            session_token(&headers(&[("cookie", "a=b; analytics_session=x; c=d")])),
            Some("x")
        );
        assert_eq!(
            session_token(&headers(&[("cookie", "other_analytics_session=x")])),
            None
        );
        assert_eq!(session_token(&headers(&[])), None);
    }
}

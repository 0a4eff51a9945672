//! What the pages seal and sign with, derived from the service token: every replica has the same, and a restart ends nobody's
//! session.

use aws_lc_rs::hmac::{self, HMAC_SHA256};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret as _, SecretString};

use crate::secrets::{Cipher, CipherError};

/// What the sealed token of a session is sealed for.
const SESSION: &[u8] = b"operations session";

/// The keys of one service's pages.
pub(super) struct Keys {
    forms: hmac::Key,
    sessions: Cipher,
}

impl Keys {
    pub(super) fn derive(service: &str, service_token: &SecretString) -> Result<Self, CipherError> {
        let root = hmac::Key::new(HMAC_SHA256, service_token.expose_secret().as_bytes());
        let derived = |purpose: &str| hmac::sign(&root, format!("{service} {purpose}").as_bytes());
        Ok(Self {
            forms: hmac::Key::new(HMAC_SHA256, derived("forms").as_ref()),
            sessions: Cipher::from_hex(&hex::encode(derived("sessions").as_ref()))?,
        })
    }

    /// What a form must carry that was given to this browser and this person.
    pub(super) fn form_token(&self, browser: &str, person: &str) -> String {
        hex::encode(hmac::sign(&self.forms, &given_to(browser, person)).as_ref())
    }

    /// Whether a form was given to this browser and this person.
    pub(super) fn is_form_token(&self, browser: &str, person: &str, sent: &str) -> bool {
        let sent = hex::decode(sent).unwrap_or_default();
        hmac::verify(&self.forms, &given_to(browser, person), &sent).is_ok()
    }

    /// A staff token, as a browser may keep it: readable by nobody but this service. A session is that token and nothing
    /// else, so it ends when the token does, and whoever knows the service token still cannot make one up.
    pub(super) fn seal_session(&self, token: &str) -> Result<String, CipherError> {
        let sealed = self.sessions.seal(SESSION, token.as_bytes())?;
        Ok(BASE64_URL_SAFE_NO_PAD.encode(sealed))
    }

    /// The staff token of a session.
    pub(super) fn open_session(&self, cookie: &str) -> Option<String> {
        let sealed = BASE64_URL_SAFE_NO_PAD.decode(cookie).ok()?;
        String::from_utf8(self.sessions.open(SESSION, &sealed).ok()?).ok()
    }
}

/// No browser's name has a space in it, so two different pairs never read the same.
fn given_to(browser: &str, person: &str) -> Vec<u8> {
    format!("{browser} {person}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(service: &str, token: &str) -> Keys {
        Keys::derive(service, &SecretString::from(token)).unwrap()
    }

    #[test]
    fn a_form_is_for_one_browser_one_person_and_one_service() {
        let own = keys("settlement", "secret");
        let token = own.form_token("b1", "staff_alice");
        assert!(keys("settlement", "secret").is_form_token("b1", "staff_alice", &token));
        assert!(!own.is_form_token("b2", "staff_alice", &token));
        assert!(!own.is_form_token("b1", "staff_bob", &token));
        assert!(!own.is_form_token("b1", "staff_alice", ""));
        assert!(!keys("notifier", "secret").is_form_token("b1", "staff_alice", &token));
        assert!(!keys("settlement", "other").is_form_token("b1", "staff_alice", &token));
    }

    #[test]
    fn a_session_is_opened_by_its_own_service_only_and_shows_no_token() {
        let sealed = keys("settlement", "secret")
            .seal_session("a.staff.token")
            .unwrap();
        assert!(!sealed.contains("staff"));
        let open = |service, token| keys(service, token).open_session(&sealed);
        assert_eq!(open("settlement", "secret").as_deref(), Some("a.staff.token"));
        assert_eq!(open("notifier", "secret"), None);
        assert_eq!(open("settlement", "other"), None);
        assert_eq!(keys("settlement", "secret").open_session("made up"), None);
    }
}

//! The cookies of the operators' pages.
//!
//! Cookies are told apart by host and not by port: every service's have its name in theirs, and none of them is worth
//! anything to another listener of the same host that is sent it too.

use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;

/// Finds the cookie of this name.
pub(super) fn find<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|header| header.to_str().ok())
        .flat_map(|header| header.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(own, value)| (own == name).then_some(value))
}

/// Gives the browser a cookie that only forms and links of our own pages send back, and no script reads. Without an age it
/// lasts until the browser is closed; an age of 0 takes it away.
pub(super) fn set(
    answer: &mut Response,
    name: &str,
    value: &str,
    max_age_seconds: Option<u32>,
    secure: bool,
) {
    let age = max_age_seconds.map_or_else(String::new, |seconds| format!("; Max-Age={seconds}"));
    let secure = if secure { "; Secure" } else { "" };
    let cookie = format!("{name}={value}; Path=/; HttpOnly; SameSite=Strict{age}{secure}");
    // The names and values are of our making, and no control characters.
    if let Ok(cookie) = HeaderValue::try_from(cookie) {
        answer.headers_mut().append(header::SET_COOKIE, cookie);
    }
}

/// Whether the browser talks TLS, whoever ends it: then its cookies need not travel otherwise.
pub(super) fn is_secure(headers: &HeaderMap) -> bool {
    headers
        .get(header::ORIGIN)
        .is_some_and(|origin| origin.as_bytes().starts_with(b"https://"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_found_among_others_and_only_under_its_own_name() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, "a=b; settlement_form=x=y".parse().unwrap());
        headers.append(header::COOKIE, "c=d".parse().unwrap());
        assert_eq!(find(&headers, "settlement_form"), Some("x=y"));
        assert_eq!(find(&headers, "c"), Some("d"));
        assert_eq!(find(&headers, "form"), None);
    }
}

//! Under which names this listener answers.
//!
//! A foreign page can make its own name resolve to this machine, and then its scripts read what listens here (DNS
//! rebinding). Such a request always carries the foreign name, so a name has to be one of ours. An address cannot be rebound.

use std::net::IpAddr;

use axum::http::uri::Authority;
use axum::http::{HeaderMap, header};

/// The names that a request may be addressed to.
pub(super) struct Hosts {
    /// Whether addresses other than loopback ones can be meant.
    beyond_loopback: bool,
    names: Vec<String>,
}

impl Hosts {
    pub(super) fn new(beyond_loopback: bool, names: Vec<String>) -> Self {
        Self {
            beyond_loopback,
            names,
        }
    }

    /// Whether the request is addressed to this listener.
    pub(super) fn admit(&self, headers: &HeaderMap) -> bool {
        host(headers).is_some_and(|authority| self.knows(&authority))
    }

    /// Whether the page that sends this form is one of ours.
    pub(super) fn admit_origin(&self, headers: &HeaderMap) -> bool {
        let origin = headers
            .get(header::ORIGIN)
            .and_then(|origin| origin.to_str().ok())
            .and_then(|origin| origin.split_once("://"))
            .and_then(|(_, authority)| authority.parse::<Authority>().ok());
        // Behind a proxy, the scheme may differ, and a name may come without its port.
        let (Some(origin), Some(host)) = (origin, host(headers)) else {
            return false;
        };
        origin == host || self.is_configured(origin.host())
    }

    fn knows(&self, authority: &Authority) -> bool {
        let name = authority.host();
        let address = name.trim_start_matches('[').trim_end_matches(']');
        match address.parse::<IpAddr>() {
            Ok(address) => self.beyond_loopback || address.to_canonical().is_loopback(),
            Err(_) => name.eq_ignore_ascii_case("localhost") || self.is_configured(name),
        }
    }

    fn is_configured(&self, name: &str) -> bool {
        self.names.iter().any(|own| own.eq_ignore_ascii_case(name))
    }
}

/// The one `Host` of the request; with two of them nobody knows which one another server would have believed.
fn host(headers: &HeaderMap) -> Option<Authority> {
    let mut hosts = headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().ok()?.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    fn hosts(beyond_loopback: bool) -> Hosts {
        Hosts::new(beyond_loopback, vec!["ops.example.org".into()])
    }

    #[test]
    fn a_listener_on_loopback_answers_to_loopback_and_to_its_names() {
        for host in [
            "127.0.0.1:41013",
            "127.0.0.1",
            "LocalHost:41013",
            "[::1]:41013",
            "[::ffff:127.0.0.1]",
            "Ops.Example.org",
        ] {
            assert!(hosts(false).admit(&headers(&[("host", host)])), "{host}");
        }
        for host in [
            "evil.example",
            "127.0.0.1.evil.example:41013",
            "localhost.evil.example",
            "10.0.0.7:41013",
            "",
            "a b",
        ] {
            let sent = headers(&[("host", host)]);
            assert!(!hosts(false).admit(&sent), "{host}");
        }
        assert!(!hosts(false).admit(&HeaderMap::new()));
        let two = headers(&[("host", "localhost"), ("host", "evil.example")]);
        assert!(!hosts(false).admit(&two));
    }

    #[test]
    fn beyond_loopback_any_address_is_meant_and_foreign_names_are_not() {
        assert!(hosts(true).admit(&headers(&[("host", "10.0.0.7:41013")])));
        assert!(!hosts(true).admit(&headers(&[("host", "evil.example")])));
    }

    #[test]
    fn a_form_comes_from_the_listener_it_is_sent_to_or_from_a_name_of_ours() {
        let from = |origin, host| {
            let sent = headers(&[("host", host), ("origin", origin)]);
            hosts(false).admit_origin(&sent)
        };
        assert!(from("http://127.0.0.1:41013", "127.0.0.1:41013"));
        assert!(from("https://ops.example.org", "127.0.0.1:41013"));
        assert!(
            !from("http://127.0.0.1:41008", "127.0.0.1:41013"),
            "another port is another site"
        );
        assert!(!from("http://evil.example", "127.0.0.1:41013"));
        assert!(!from("null", "127.0.0.1:41013"));
        assert!(!hosts(false).admit_origin(&headers(&[("host", "127.0.0.1:41013")])));
    }
}

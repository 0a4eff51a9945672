//! What stays of a recipient once a notice has been delivered: enough to recognise, too little to write to.

use url::Url;

/// `alice@example.com` → `a***@e***.com`.
pub fn mail_address(address: &str) -> String {
    let Some((local, domain)) = address.rsplit_once('@') else {
        return "***".to_owned();
    };
    let (name, suffix) = domain.rsplit_once('.').unwrap_or((domain, ""));
    let dot = if suffix.is_empty() { "" } else { "." };
    format!("{}***@{}***{dot}{suffix}", first(local), first(name))
}

/// `https://shop.example/hooks?token=…` → `https://shop.example/***`: paths and queries often hold secrets.
pub fn endpoint(url: &Url) -> String {
    format!("{}/***", origin(url))
}

/// Scheme, host and port.
pub fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

fn first(text: &str) -> String {
    text.chars().take(1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_keeps_what_is_recognised_and_nothing_more() {
        assert_eq!(mail_address("alice.smith@shop.example.com"), "a***@s***.com");
        assert_eq!(mail_address("bob@localhost"), "b***@l***");
        assert_eq!(mail_address("no address"), "***");
        let url = Url::parse("https://user:secret@shop.example:8443/hooks/12?token=x#y").unwrap();
        assert_eq!(endpoint(&url), "https://shop.example:8443/***");
    }
}

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

/// Hex digits of a fingerprint: short enough to be typed, and 48 bits tell a group's failures apart.
const DIGITS: usize = 12;

/// Names failures that look alike: the same class, and the same message but for numbers and ids.
pub(crate) fn fingerprint(class: &str, message: &str) -> String {
    let digest = Sha256::digest(format!("{class}\n{}", without_values(message)));
    let mut hex = String::with_capacity(DIGITS);
    for byte in digest.iter().take(DIGITS / 2) {
        // Writing into a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

/// The message with each word that holds a digit replaced: amounts, ids, timestamps, offsets.
fn without_values(message: &str) -> String {
    let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
    let mut shape = String::with_capacity(message.len());
    let mut rest = message;
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|c| is_word(c) != is_word(first)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        shape.push_str(if word.contains(|c: char| c.is_ascii_digit()) {
            "#"
        } else {
            word
        });
        rest = after;
    }
    shape
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_that_differ_in_values_only_have_one_fingerprint() {
        let one = fingerprint("fee", "no terms for mer_01h455vb4pex5vsknk084sn02q at 12:30");
        assert_eq!(
            one,
            fingerprint("fee", "no terms for mer_01h455vb4pex5vsknk084sn02r at 9:07")
        );
        assert_ne!(one, fingerprint("fee", "no terms for a merchant"));
        assert_ne!(
            one,
            fingerprint("rate", "no terms for mer_01h455vb4pex5vsknk084sn02q at 12:30")
        );
        assert_eq!(one.len(), DIGITS);
    }
}

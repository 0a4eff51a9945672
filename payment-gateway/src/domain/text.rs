//! Texts that merchants send, parsed once into types that cannot be wrong afterwards.

use std::fmt;

use url::Url;

/// Why a text is not acceptable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// Nothing in it.
    #[error("expected a text, got an empty one")]
    Empty,
    /// More characters than allowed.
    #[error("expected at most {max} characters")]
    TooLong {
        /// The most that is allowed.
        max: usize,
    },
    /// A character that prints nothing.
    #[error("expected no control characters")]
    ControlCharacters,
    /// Not of the form that this field has.
    #[error("expected {0}")]
    Form(&'static str),
}

/// A text of 1 to `max` characters, none of which is a control character.
pub fn bounded(text: &str, max: usize) -> Result<&str, TextError> {
    if text.is_empty() {
        return Err(TextError::Empty);
    }
    if text.chars().nth(max).is_some() {
        return Err(TextError::TooLong { max });
    }
    if text.chars().any(char::is_control) {
        return Err(TextError::ControlCharacters);
    }
    Ok(text)
}

macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $max:literal, $form:literal, $is_form:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        pub struct $name(String);

        impl $name {
            /// The most characters it has.
            pub const MAX_CHARS: usize = $max;

            /// Takes a text that has the form.
            pub fn parse(text: &str) -> Result<Self, TextError> {
                let is_form: fn(&str) -> bool = $is_form;
                let text = bounded(text, Self::MAX_CHARS)?;
                if is_form(text) { Ok(Self(text.to_owned())) } else { Err(TextError::Form($form)) }
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text!(
    /// The merchant's own number of an order: names one payment of that merchant.
    OrderNo,
    64,
    "only letters, digits, '.', '_' and '-'",
    |text| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
);

text!(
    /// A PSP's payment method, e.g. `pm_card_visa`.
    PaymentMethod,
    64,
    "a payment method such as pm_card_visa",
    |text| text.starts_with("pm_")
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
);

text!(
    /// An `Idempotency-Key`.
    IdempotencyKey,
    255,
    "only visible ASCII characters",
    |text| text.bytes().all(|byte| byte.is_ascii_graphic())
);

text!(
    /// A mail address, as far as one can tell without writing to it.
    Email,
    254,
    "a mail address",
    |text| {
        let Some((local, domain)) = text.rsplit_once('@') else { return false };
        let is_plain = text.chars().all(|char| !char.is_whitespace() && !"<>(),;:\"[]\\".contains(char));
        is_plain
            && !local.is_empty()
            && !local.contains('@')
            && !domain.is_empty()
            && domain.split('.').all(|label| !label.is_empty())
    }
);

text!(
    /// A phone number in international form.
    Phone,
    16,
    "a phone number in international form such as +4915112345678",
    |text| text.strip_prefix('+').is_some_and(|digits| {
        digits.len() >= 7 && !digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit())
    })
);

text!(
    /// Where webhooks go. Only the form: where it may lead is decided by the notifier, when it connects.
    NotifyUrl,
    2048,
    "an http or https url without a user",
    |text| Url::parse(text).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https") && url.username().is_empty() && url.password().is_none()
    })
);

impl Email {
    /// The form under which the same address is recognised again.
    pub fn normalised(&self) -> String {
        self.0.to_lowercase()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_number_has_a_small_alphabet_and_64_places() {
        assert!(OrderNo::parse("2026-11_a.7").is_ok());
        assert_eq!(OrderNo::parse(""), Err(TextError::Empty));
        assert_eq!(
            OrderNo::parse(&"a".repeat(65)),
            Err(TextError::TooLong { max: 64 })
        );
        assert_eq!(OrderNo::parse("a\u{0}b"), Err(TextError::ControlCharacters));
        for bad in ["a b", "ä", "a/b", "a'b"] {
            assert!(
                matches!(OrderNo::parse(bad), Err(TextError::Form(_))),
                "{bad:?} was taken"
            );
        }
    }

    #[test]
    fn addresses_that_nobody_can_have_are_refused() {
        for good in [
            "ada@example.com",
            "a.b+c@mail.example.co.uk",
            "x@localhost",
            "ü@exämple.de",
        ] {
            assert!(Email::parse(good).is_ok(), "{good:?} was refused");
        }
        for bad in [
            "ada",
            "@example.com",
            "ada@",
            "a b@example.com",
            "a@b@c",
            "a@.de",
            "a@b.",
            "<a@b.de>",
        ] {
            assert!(Email::parse(bad).is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn phones_are_international() {
        assert!(Phone::parse("+4915112345678").is_ok());
        for bad in [
            "015112345678",
            "+0151123456",
            "+49 151 1234",
            "+123",
            "+12345678901234567",
        ] {
            assert!(Phone::parse(bad).is_err(), "{bad:?} was taken");
        }
    }
}

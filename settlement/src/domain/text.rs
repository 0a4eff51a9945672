//! Texts that people write: short, and without characters that do something.

/// Why a text is not acceptable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
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
}

/// Accepts a text of 1 to `max` characters, none of which is a control character.
pub fn bounded(text: String, max: usize) -> Result<String, TextError> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_bounded_in_characters_and_shows_all_it_has() {
        assert_eq!(bounded("Grüße".to_owned(), 5).unwrap(), "Grüße");
        assert_eq!(
            bounded("Grüße!".to_owned(), 5),
            Err(TextError::TooLong { max: 5 })
        );
        assert_eq!(bounded(String::new(), 5), Err(TextError::Empty));
        assert_eq!(
            bounded("a\u{0}b".to_owned(), 5),
            Err(TextError::ControlCharacters)
        );
        assert_eq!(
            bounded("a\u{1b}[0m".to_owned(), 5),
            Err(TextError::ControlCharacters)
        );
    }
}

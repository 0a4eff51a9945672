//! Stripe's search language, as far as PaymentIntents have fields here:
//! `metadata['payment_no']:'pay_1' AND -status:'canceled' AND amount>100`.

use super::error::StripeError;
use super::payment_intent::PaymentIntent;

/// Stripe allows up to ten clauses.
const MAX_CLAUSES: usize = 10;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Query {
    clauses: Vec<Clause>,
    any: bool,
}

#[derive(Debug, PartialEq, Eq)]
struct Clause {
    negated: bool,
    field: Field,
    test: Test,
}

#[derive(Debug, PartialEq, Eq)]
enum Field {
    Status,
    Currency,
    Amount,
    Created,
    Metadata(String),
}

#[derive(Debug, PartialEq, Eq)]
enum Test {
    /// `:'text'`
    Is(String),
    /// `~'text'`
    Contains(String),
    /// `:null`
    IsAbsent,
    /// `:5`, `>5`, `<=5`
    Compares(&'static str, i64),
}

impl Query {
    pub(super) fn parse(text: &str) -> Result<Self, StripeError> {
        let mut scanner = Scanner { rest: text };
        let mut clauses = Vec::new();
        let mut joint: Option<&str> = None;
        loop {
            clauses.push(scanner.clause()?);
            scanner.skip_spaces();
            if scanner.rest.is_empty() {
                break;
            }
            let word = if scanner.take_word("OR") {
                "OR"
            } else {
                // Clauses beside each other are joined by AND.
                scanner.take_word("AND");
                "AND"
            };
            if joint.is_some_and(|first| first != word) {
                return Err(refused("AND and OR cannot be combined in one query"));
            }
            joint = Some(word);
            if clauses.len() >= MAX_CLAUSES {
                return Err(refused("a query has at most 10 clauses"));
            }
        }
        Ok(Self {
            clauses,
            any: joint == Some("OR"),
        })
    }

    pub(super) fn matches(&self, intent: &PaymentIntent) -> bool {
        if self.any {
            self.clauses.iter().any(|clause| clause.matches(intent))
        } else {
            self.clauses.iter().all(|clause| clause.matches(intent))
        }
    }
}

impl Clause {
    fn matches(&self, intent: &PaymentIntent) -> bool {
        let holds = match &self.field {
            Field::Status => self.test.text(Some(intent.state.status())),
            Field::Currency => self.test.text(Some(&intent.currency)),
            Field::Metadata(key) => self.test.text(intent.metadata.get(key).map(String::as_str)),
            Field::Amount => self.test.number(intent.amount),
            Field::Created => self.test.number(intent.created),
        };
        holds != self.negated
    }
}

impl Test {
    fn text(&self, value: Option<&str>) -> bool {
        match (self, value) {
            (Self::IsAbsent, value) => value.is_none(),
            (Self::Is(wanted), Some(value)) => value.eq_ignore_ascii_case(wanted),
            (Self::Contains(part), Some(value)) => {
                value.to_ascii_lowercase().contains(&part.to_ascii_lowercase())
            }
            (Self::Is(_) | Self::Contains(_), None) | (Self::Compares(..), _) => false,
        }
    }

    fn number(&self, value: i64) -> bool {
        match self {
            Self::Compares(">", bound) => value > *bound,
            Self::Compares("<", bound) => value < *bound,
            Self::Compares(">=", bound) => value >= *bound,
            Self::Compares("<=", bound) => value <= *bound,
            Self::Compares(_, bound) => value == *bound,
            Self::Is(text) => text.parse() == Ok(value),
            Self::Contains(_) | Self::IsAbsent => false,
        }
    }
}

struct Scanner<'t> {
    rest: &'t str,
}

impl Scanner<'_> {
    fn clause(&mut self) -> Result<Clause, StripeError> {
        self.skip_spaces();
        let negated = self.take("-");
        let field = self.field()?;
        let operator = [">=", "<=", ":", "~", ">", "<"]
            .into_iter()
            .find(|operator| self.take(operator));
        let test = match operator {
            None => return Err(refused("a field must be followed by :, ~, >, <, >= or <=")),
            Some("~") => Test::Contains(self.quoted()?),
            Some(":") if self.take_word("null") => Test::IsAbsent,
            Some(":") if self.rest.starts_with(['\'', '"']) => Test::Is(self.quoted()?),
            Some(operator) => Test::Compares(operator, self.number()?),
        };
        Ok(Clause { negated, field, test })
    }

    fn field(&mut self) -> Result<Field, StripeError> {
        if self.take("metadata[") {
            let key = self.quoted()?;
            if !self.take("]") {
                return Err(refused("metadata['key'] lacks its closing bracket"));
            }
            return Ok(Field::Metadata(key));
        }
        let name: String = self
            .rest
            .chars()
            .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
            .collect();
        self.take(&name);
        match name.as_str() {
            "status" => Ok(Field::Status),
            "currency" => Ok(Field::Currency),
            "amount" => Ok(Field::Amount),
            "created" => Ok(Field::Created),
            other => Err(refused(&format!(
                "Field `{other}` is an unsupported search field for resource `payment_intents`"
            ))),
        }
    }

    /// A text in single or double quotes; a backslash takes the next character as it is.
    fn quoted(&mut self) -> Result<String, StripeError> {
        let mut chars = self.rest.char_indices();
        let Some((_, quote @ ('\'' | '"'))) = chars.next() else {
            return Err(refused("a value must be quoted"));
        };
        let mut text = String::new();
        let mut escaped = false;
        for (index, c) in chars {
            if escaped {
                text.push(c);
                escaped = false;
            } else if c == '\\' {
                escaped = true;
            } else if c == quote {
                self.rest = self.rest.get(index + 1..).unwrap_or_default();
                return Ok(text);
            } else {
                text.push(c);
            }
        }
        Err(refused("a quoted value does not end"))
    }

    fn number(&mut self) -> Result<i64, StripeError> {
        let digits: String = self
            .rest
            .chars()
            .take_while(|c| c.is_ascii_digit() || *c == '-')
            .collect();
        self.take(&digits);
        digits
            .parse()
            .map_err(|_| refused("expected a number or a quoted text"))
    }

    fn take(&mut self, prefix: &str) -> bool {
        match self.rest.strip_prefix(prefix) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Like `take`, but only if the word ends there.
    fn take_word(&mut self, word: &str) -> bool {
        let ends = self
            .rest
            .strip_prefix(word)
            .is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric()));
        ends && self.take(word)
    }

    fn skip_spaces(&mut self) {
        self.rest = self.rest.trim_start();
    }
}

fn refused(why: &str) -> StripeError {
    StripeError::invalid(format!("We were unable to parse your search query: {why}.")).param("query")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::psp::payment_intent::State;

    fn intent() -> PaymentIntent {
        PaymentIntent {
            id: "pi_1".to_owned(),
            amount: 500,
            currency: "usd".to_owned(),
            metadata: [("payment_no".to_owned(), "pay_1'x".to_owned())].into(),
            description: None,
            receipt_email: None,
            return_url: None,
            payment_method: None,
            created: 1_700_000_000,
            session: None,
            state: State::Succeeded,
            refunds: Vec::new(),
            amount_refunded: 0,
            charges: Vec::new(),
        }
    }

    #[test]
    fn queries_match_as_stripes_documentation_says() {
        for (query, expected) in [
            (r"metadata['payment_no']:'pay_1\'x'", true),
            (r#"metadata["payment_no"]:"pay_1'x""#, true),
            (r"metadata['payment_no']:'pay_2'", false),
            (r"-metadata['payment_no']:'pay_2'", true),
            (r"metadata['order']:null", true),
            (r"-metadata['payment_no']:null", true),
            (r"metadata['payment_no']~'PAY'", true),
            (r"status:'succeeded' AND amount>499", true),
            (r"status:'succeeded' amount>500", false),
            (r"amount>=500 AND amount<=500 AND amount:500", true),
            (r"status:'canceled' OR currency:'USD'", true),
            (r"created<1", false),
        ] {
            assert_eq!(
                Query::parse(query).unwrap().matches(&intent()),
                expected,
                "{query}"
            );
        }
    }

    #[test]
    fn what_is_no_query_is_refused() {
        for query in [
            "",
            "status",
            "status:",
            "status:'a' OR amount>1 AND amount>2",
            "metadata['a:'b'",
            "metadata['a']:'b",
            "secret:'x'",
            "status:'a' AND",
        ] {
            assert!(Query::parse(query).is_err(), "{query}");
        }
    }
}

#[cfg(test)]
mod laws {
    use proptest::prelude::*;

    use super::Query;

    proptest! {
        #[test]
        fn no_query_is_too_strange(text in "\\PC{0,60}") {
            let _ = Query::parse(&text);
        }

        #[test]
        fn queries_made_of_the_languages_parts_do_no_harm(
            parts in proptest::collection::vec(
                prop::sample::select(vec!["metadata['a']", ":", "'b'", " AND ", " OR ", "-", "amount", ">", "5", "~", "null", "\\", "é"]),
                0..12,
            )
        ) {
            let _ = Query::parse(&parts.concat());
        }
    }
}

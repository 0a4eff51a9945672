//! Stripe's form encoding: `metadata[order]=7`, `line_items[0][price_data][currency]=usd`, `expand[]=latest_charge`.
//!
//! A parameter that the endpoint does not know is refused, as Stripe does; one that it knows and the simulator has no
//! use for is accepted and ignored.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::error::StripeError;

const MAX_PAIRS: usize = 500;
const MAX_DEPTH: usize = 6;
const MAX_METADATA_KEYS: usize = 50;
const MAX_METADATA_KEY_CHARS: usize = 40;
const MAX_METADATA_VALUE_CHARS: usize = 500;

/// The parameters of one request, or a nested part of them. Lists are maps with the index as key, `[]` counts up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Params {
    /// Where this part hangs, as the client wrote it; empty at the top.
    path: String,
    nodes: BTreeMap<String, Node>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    Text(String),
    Nested(Params),
}

pub(super) type Metadata = BTreeMap<String, String>;

impl Params {
    pub(super) fn parse(encoded: &[u8]) -> Result<Self, StripeError> {
        let mut params = Self::default();
        for (index, (name, value)) in url::form_urlencoded::parse(encoded).enumerate() {
            if index >= MAX_PAIRS {
                return Err(StripeError::invalid(format!(
                    "Too many parameters: at most {MAX_PAIRS} are accepted."
                )));
            }
            params.insert(&name, value.into_owned())?;
        }
        Ok(params)
    }

    fn insert(&mut self, name: &str, value: String) -> Result<(), StripeError> {
        let segments = segments(name).ok_or_else(|| StripeError::unknown_parameter(name))?;
        let mut place = self;
        let (last, parents) = segments
            .split_last()
            .ok_or_else(|| StripeError::unknown_parameter(name))?;
        for segment in parents {
            let key = place.key_for(segment);
            let path = place.name_of(&key);
            let node = place.nodes.entry(key).or_insert_with(|| {
                Node::Nested(Self {
                    path,
                    nodes: BTreeMap::new(),
                })
            });
            match node {
                Node::Nested(nested) => place = nested,
                Node::Text(_) => return Err(StripeError::invalid_parameter(name, "Invalid object")),
            }
        }
        let key = place.key_for(last);
        place.nodes.insert(key, Node::Text(value));
        Ok(())
    }

    /// `[]` appends; the width keeps the keys in order up to the bound of pairs.
    fn key_for(&self, segment: &str) -> String {
        if segment.is_empty() {
            format!("{:03}", self.nodes.len())
        } else {
            segment.to_owned()
        }
    }

    fn name_of(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}[{key}]", self.path)
        }
    }

    /// Refuses every parameter that is not listed.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), StripeError> {
        match self.nodes.keys().find(|key| !known.contains(&key.as_str())) {
            Some(key) => Err(StripeError::unknown_parameter(&self.name_of(key))),
            None => Ok(()),
        }
    }

    pub(super) fn text(&self, key: &str) -> Result<Option<&str>, StripeError> {
        match self.nodes.get(key) {
            None => Ok(None),
            Some(Node::Text(text)) if text.is_empty() => {
                Err(StripeError::empty_parameter(&self.name_of(key)))
            }
            Some(Node::Text(text)) => Ok(Some(text)),
            Some(Node::Nested(_)) => Err(StripeError::invalid_parameter(
                &self.name_of(key),
                "Invalid string",
            )),
        }
    }

    pub(super) fn required(&self, key: &str) -> Result<&str, StripeError> {
        self.text(key)?
            .ok_or_else(|| StripeError::missing_parameter(&self.name_of(key)))
    }

    pub(super) fn integer(&self, key: &str) -> Result<Option<i64>, StripeError> {
        self.text(key)?
            .map(|text| {
                text.parse().map_err(|_| {
                    StripeError::invalid(format!("Invalid integer: {text}"))
                        .code("parameter_invalid_integer")
                        .param(&self.name_of(key))
                })
            })
            .transpose()
    }

    pub(super) fn required_integer(&self, key: &str) -> Result<i64, StripeError> {
        self.integer(key)?
            .ok_or_else(|| StripeError::missing_parameter(&self.name_of(key)))
    }

    pub(super) fn flag(&self, key: &str) -> Result<Option<bool>, StripeError> {
        match self.text(key)? {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(other) => {
                Err(StripeError::invalid(format!("Invalid boolean: {other}")).param(&self.name_of(key)))
            }
        }
    }

    pub(super) fn nested(&self, key: &str) -> Result<Option<&Params>, StripeError> {
        match self.nodes.get(key) {
            None => Ok(None),
            Some(Node::Nested(nested)) => Ok(Some(nested)),
            Some(Node::Text(_)) => Err(StripeError::invalid_parameter(
                &self.name_of(key),
                "Invalid object",
            )),
        }
    }

    pub(super) fn required_nested(&self, key: &str) -> Result<&Params, StripeError> {
        self.nested(key)?
            .ok_or_else(|| StripeError::missing_parameter(&self.name_of(key)))
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.nodes.contains_key(key)
    }

    /// Nested parts of a list such as `line_items[0][quantity]`, in order.
    pub(super) fn items(&self, key: &str) -> Result<Vec<&Params>, StripeError> {
        let Some(list) = self.nested(key)? else {
            return Ok(Vec::new());
        };
        list.nodes
            .keys()
            .map(|index| list.required_nested(index))
            .collect()
    }

    /// Texts of a list such as `payment_method_types[]`, in order.
    pub(super) fn texts(&self, key: &str) -> Result<Vec<String>, StripeError> {
        let Some(list) = self.nested(key)? else {
            return Ok(Vec::new());
        };
        list.nodes
            .keys()
            .map(|index| list.required(index).map(str::to_owned))
            .collect()
    }

    /// `metadata[…]` with Stripe's bounds; an empty value unsets its key, which at creation means that it is absent.
    pub(super) fn metadata(&self, key: &str) -> Result<Metadata, StripeError> {
        let Some(nested) = self.nested(key)? else {
            return Ok(Metadata::new());
        };
        let mut metadata = Metadata::new();
        for (name, node) in &nested.nodes {
            let Node::Text(value) = node else {
                return Err(StripeError::invalid_parameter(
                    &nested.name_of(name),
                    "Invalid string",
                ));
            };
            if name.chars().count() > MAX_METADATA_KEY_CHARS
                || value.chars().count() > MAX_METADATA_VALUE_CHARS
            {
                let bound = format!(
                    "Metadata keys can have up to {MAX_METADATA_KEY_CHARS} characters, and values up to {MAX_METADATA_VALUE_CHARS} characters."
                );
                return Err(StripeError::invalid(bound).param(&nested.name_of(name)));
            }
            if !value.is_empty() {
                metadata.insert(name.clone(), value.clone());
            }
        }
        if metadata.len() > MAX_METADATA_KEYS {
            let bound = format!("You can have up to {MAX_METADATA_KEYS} metadata keys.");
            return Err(StripeError::invalid(bound).param(key));
        }
        Ok(metadata)
    }

    /// A text that is equal for equal parameters, whatever their order on the wire.
    pub(super) fn fingerprint(&self) -> String {
        let mut text = String::new();
        self.write_fingerprint(&mut text);
        text
    }

    fn write_fingerprint(&self, text: &mut String) {
        for (key, node) in &self.nodes {
            match node {
                Node::Text(value) => {
                    let _ = write!(text, "{:?}={value:?}&", self.name_of(key));
                }
                Node::Nested(nested) => nested.write_fingerprint(text),
            }
        }
    }
}

/// `a[b][]` → `["a", "b", ""]`; `None` if the brackets do not match or nest too deep.
fn segments(name: &str) -> Option<Vec<&str>> {
    let Some((head, rest)) = name.split_once('[') else {
        return (!name.is_empty() && !name.contains(']')).then(|| vec![name]);
    };
    let inner = rest.strip_suffix(']')?;
    let mut segments = vec![head];
    segments.extend(inner.split("]["));
    let well_formed = !head.is_empty()
        && segments.len() <= MAX_DEPTH
        && segments.iter().all(|segment| !segment.contains(['[', ']']));
    well_formed.then_some(segments)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(encoded: &str) -> Params {
        Params::parse(encoded.as_bytes()).unwrap()
    }

    #[test]
    fn nested_keys_and_lists_are_read() {
        let params = parse(
            "amount=500&metadata[payment_no]=pay_1&line_items[0][price_data][unit_amount]=5&expand[]=a&expand[]=b&metadata%5Bx%5D=y",
        );
        assert_eq!(params.required_integer("amount").unwrap(), 500);
        assert_eq!(
            params
                .metadata("metadata")
                .unwrap()
                .get("payment_no")
                .map(String::as_str),
            Some("pay_1")
        );
        assert_eq!(params.metadata("metadata").unwrap().len(), 2);
        assert_eq!(params.texts("expand").unwrap(), ["a", "b"]);
        let items = params.items("line_items").unwrap();
        let price = items[0].required_nested("price_data").unwrap();
        assert_eq!(price.required_integer("unit_amount").unwrap(), 5);
    }

    #[test]
    fn what_is_missing_empty_unknown_or_malformed_is_named() {
        let params = parse("amount=ten&line_items[0][foo]=1&description=");
        assert_eq!(
            params.required("currency").unwrap_err().param.as_deref(),
            Some("currency")
        );
        assert_eq!(
            params.integer("amount").unwrap_err().code,
            Some("parameter_invalid_integer")
        );
        assert_eq!(
            params.text("description").unwrap_err().code,
            Some("parameter_invalid_empty")
        );
        let item = params.items("line_items").unwrap()[0]
            .only(&["quantity"])
            .unwrap_err();
        assert_eq!(item.param.as_deref(), Some("line_items[0][foo]"));
        for malformed in ["a[b=1", "[a]=1", "a]=1", "a[b]c=1", "a[1][2][3][4][5][6]=1"] {
            assert!(Params::parse(malformed.as_bytes()).is_err(), "{malformed}");
        }
        assert!(Params::parse(b"a=1&a[b]=2").is_err(), "a value cannot have parts");
    }

    #[test]
    fn the_fingerprint_ignores_the_order_on_the_wire() {
        assert_eq!(
            parse("a=1&b[c]=2").fingerprint(),
            parse("b[c]=2&a=1").fingerprint()
        );
        assert_ne!(
            parse("a=1&b[c]=2").fingerprint(),
            parse("a=1&b[c]=3").fingerprint()
        );
        assert_ne!(
            parse("a=1&b=2").fingerprint(),
            parse("a=1%22%26%22b%22%3D%222").fingerprint()
        );
    }
}

#[cfg(test)]
mod laws {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_input_is_too_strange(encoded in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Params::parse(&encoded);
        }

        #[test]
        fn what_was_encoded_is_read(pairs in proptest::collection::btree_map("[a-z]{1,8}", "\\PC{1,20}", 0..10)) {
            let mut encoder = url::form_urlencoded::Serializer::new(String::new());
            for (key, value) in &pairs {
                encoder.append_pair(&format!("metadata[{key}]"), value);
            }
            let params = Params::parse(encoder.finish().as_bytes()).unwrap();
            prop_assert_eq!(params.metadata("metadata").unwrap(), pairs);
        }
    }
}

//! Bounds what a few bytes may claim to be, before they are decoded.
//!
//! Avro's arrays and maps say how many items follow, and an item may take no bytes at all: six bytes are two billion nulls. A
//! record that holds itself may nest as deep as it has bytes, and a stack that overflows takes the process along. Neither
//! is our topics' own, but decoding uses the writer's schema, and whoever may register one decides what is in it.

use std::collections::{HashMap, HashSet};

use apache_avro::Schema;
use apache_avro::schema::{InnerDecimalSchema, Name, ResolvedSchema, UuidSchema};

/// Values within values. Ours are three deep.
const MAX_DEPTH: usize = 64;

/// What the decoder may allocate for one value. A length that is claimed is allocated before its bytes are there.
pub(crate) const MAX_VALUE_BYTES: usize = 16 * 1024 * 1024;

/// Why bytes are not decoded.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum BoundsError {
    #[error("the event's arrays and maps have more than {0} items")]
    TooManyItems(usize),
    #[error("the event's values are nested deeper than {MAX_DEPTH}")]
    TooDeep,
    #[error("the event's bytes end, or contradict the schema")]
    Malformed,
}

/// Whether a schema allows for collections, or for records within themselves. Only then is there anything to bound.
pub(crate) fn nests(schema: &Schema) -> bool {
    let Ok(resolved) = ResolvedSchema::new(schema) else {
        return true;
    };
    schema_nests(schema, resolved.get_names(), &mut HashSet::new())
}

fn schema_nests<'s>(
    schema: &'s Schema,
    names: &HashMap<Name, &'s Schema>,
    within: &mut HashSet<&'s Name>,
) -> bool {
    match schema {
        Schema::Array(_) | Schema::Map(_) => true,
        Schema::Union(union) => union
            .variants()
            .iter()
            .any(|variant| schema_nests(variant, names, within)),
        Schema::Record(record) => {
            if !within.insert(&record.name) {
                return true;
            }
            let nests = record
                .fields
                .iter()
                .any(|field| schema_nests(&field.schema, names, within));
            within.remove(&record.name);
            nests
        }
        Schema::Ref { name } => names
            .get(name)
            .is_none_or(|schema| schema_nests(schema, names, within)),
        _ => false,
    }
}

/// Walks over a body without building anything, and stops at the first bound that it breaks.
pub(crate) fn check(schema: &Schema, body: &[u8], max_items: usize) -> Result<(), BoundsError> {
    let resolved = ResolvedSchema::new(schema).map_err(|_| BoundsError::Malformed)?;
    let mut walk = Walk {
        names: resolved.get_names(),
        rest: body,
        items: 0,
        max_items,
    };
    walk.value(schema, 0)
}

struct Walk<'a> {
    names: &'a HashMap<Name, &'a Schema>,
    rest: &'a [u8],
    items: usize,
    max_items: usize,
}

impl Walk<'_> {
    fn value(&mut self, schema: &Schema, depth: usize) -> Result<(), BoundsError> {
        if depth > MAX_DEPTH {
            return Err(BoundsError::TooDeep);
        }
        match schema {
            Schema::Null => Ok(()),
            Schema::Boolean => self.skip(1),
            Schema::Int
            | Schema::Long
            | Schema::Enum(_)
            | Schema::Date
            | Schema::TimeMillis
            | Schema::TimeMicros
            | Schema::TimestampMillis
            | Schema::TimestampMicros
            | Schema::TimestampNanos
            | Schema::LocalTimestampMillis
            | Schema::LocalTimestampMicros
            | Schema::LocalTimestampNanos => self.long().map(drop),
            Schema::Float => self.skip(4),
            Schema::Double => self.skip(8),
            Schema::Bytes
            | Schema::String
            | Schema::BigDecimal
            | Schema::Uuid(UuidSchema::Bytes | UuidSchema::String) => self.bytes(),
            Schema::Fixed(fixed) | Schema::Duration(fixed) | Schema::Uuid(UuidSchema::Fixed(fixed)) => {
                self.skip(fixed.size)
            }
            Schema::Decimal(decimal) => match &decimal.inner {
                InnerDecimalSchema::Bytes => self.bytes(),
                InnerDecimalSchema::Fixed(fixed) => self.skip(fixed.size),
            },
            Schema::Array(array) => self.blocks(|walk| walk.value(&array.items, depth + 1)),
            Schema::Map(map) => self.blocks(|walk| {
                walk.bytes()?;
                walk.value(&map.types, depth + 1)
            }),
            Schema::Union(union) => {
                let variant = usize::try_from(self.long()?).ok();
                let schema = variant.and_then(|variant| union.variants().get(variant));
                self.value(schema.ok_or(BoundsError::Malformed)?, depth + 1)
            }
            Schema::Record(record) => record
                .fields
                .iter()
                .try_for_each(|field| self.value(&field.schema, depth + 1)),
            Schema::Ref { name } => {
                let schema = self.names.get(name).copied();
                self.value(schema.ok_or(BoundsError::Malformed)?, depth)
            }
        }
    }

    /// The blocks of an array or a map: a count of items each, and with a negative one how many bytes they take.
    fn blocks(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<(), BoundsError>,
    ) -> Result<(), BoundsError> {
        loop {
            let count = self.long()?;
            if count == 0 {
                return Ok(());
            }
            if count < 0 {
                self.long()?;
            }
            let count = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
            self.items = self.items.saturating_add(count);
            if self.items > self.max_items {
                return Err(BoundsError::TooManyItems(self.max_items));
            }
            for _ in 0..count {
                item(self)?;
            }
        }
    }

    fn bytes(&mut self) -> Result<(), BoundsError> {
        let length = self.long()?;
        self.skip(usize::try_from(length).map_err(|_| BoundsError::Malformed)?)
    }

    fn skip(&mut self, bytes: usize) -> Result<(), BoundsError> {
        self.rest = self.rest.get(bytes..).ok_or(BoundsError::Malformed)?;
        Ok(())
    }

    /// A number in Avro's zig-zag encoding, of at most ten bytes.
    fn long(&mut self) -> Result<i64, BoundsError> {
        let mut encoded: u64 = 0;
        for shift in (0..70).step_by(7) {
            let (byte, rest) = self.rest.split_first().ok_or(BoundsError::Malformed)?;
            self.rest = rest;
            encoded |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte & 0x80 == 0 {
                return Ok((encoded >> 1).cast_signed() ^ -((encoded & 1).cast_signed()));
            }
        }
        Err(BoundsError::Malformed)
    }
}

#[cfg(test)]
mod tests {
    use apache_avro::types::Value;
    use apache_avro::writer::datum::GenericDatumWriter;
    use proptest::prelude::*;
    use schemas::catalogue::TOPICS;

    use super::*;

    fn of(fields: &str) -> Schema {
        Schema::parse_str(&format!(
            r#"{{"type": "record", "name": "R", "fields": [{{"name": "a", "type": "string"}}, {fields}]}}"#
        ))
        .unwrap()
    }

    fn array(items: &str) -> Schema {
        of(&format!(
            r#"{{"name": "b", "type": {{"type": "array", "items": {items}}}}}"#
        ))
    }

    /// Behind the string "x": one block of so many items.
    fn block(count: i64) -> Vec<u8> {
        let mut bytes = vec![2, b'x'];
        let mut rest = (count << 1) ^ (count >> 63);
        while rest & !0x7f != 0 {
            bytes.push(u8::try_from(rest & 0x7f).unwrap() | 0x80);
            rest >>= 7;
        }
        bytes.push(u8::try_from(rest).unwrap());
        bytes
    }

    #[test]
    fn a_few_bytes_that_claim_billions_of_items_are_refused_at_once() {
        let bomb = block(1 << 31);
        assert!(bomb.len() < 8);
        for items in [
            r#""null""#,
            r#""long""#,
            r#"{"type": "fixed", "name": "F", "size": 0}"#,
        ] {
            assert_eq!(
                check(&array(items), &bomb, 10),
                Err(BoundsError::TooManyItems(10))
            );
        }
        let map = of(r#"{"name": "b", "type": {"type": "map", "values": "null"}}"#);
        assert_eq!(check(&map, &bomb, 10), Err(BoundsError::TooManyItems(10)));
    }

    #[test]
    fn items_count_together_over_blocks_and_collections() {
        let mut body = block(6);
        body.push(12);
        body.push(0);
        assert_eq!(
            check(&array(r#""null""#), &body, 11),
            Err(BoundsError::TooManyItems(11))
        );
        assert_eq!(check(&array(r#""null""#), &body, 12), Ok(()));
    }

    #[test]
    fn what_is_nested_too_deep_is_refused_before_the_stack_is() {
        let chain = Schema::parse_str(
            r#"{"type": "record", "name": "Node", "fields": [{"name": "next", "type": ["null", "Node"]}]}"#,
        )
        .unwrap();
        assert!(nests(&chain));
        assert_eq!(check(&chain, &vec![2; 1_000_000], 10), Err(BoundsError::TooDeep));
        assert_eq!(check(&chain, &[2, 2, 0], 10), Ok(()));
    }

    #[test]
    fn our_own_events_hold_nothing_that_has_to_be_bounded() {
        for topic in TOPICS {
            assert!(!nests(topic.avro()), "{}", topic.name);
        }
        assert!(nests(&array(r#""null""#)));
    }

    proptest! {
        #[test]
        fn what_avro_itself_writes_is_walked_to_its_end(
            strings in prop::collection::vec(".{0,9}", 0..20),
            number in any::<i64>(),
            fraction in any::<f64>(),
        ) {
            let schema = of(
                r#"{"name": "b", "type": {"type": "array", "items": "string"}},
                   {"name": "c", "type": ["null", "long"]},
                   {"name": "d", "type": {"type": "map", "values": "double"}}"#,
            );
            let items = strings.len() * 2;
            let value = Value::Record(vec![
                ("a".into(), Value::String("x".into())),
                ("b".into(), Value::Array(strings.iter().cloned().map(Value::String).collect())),
                ("c".into(), Value::Union(1, Box::new(Value::Long(number)))),
                ("d".into(), Value::Map((0..strings.len()).map(|key| (key.to_string(), Value::Double(fraction))).collect())),
            ]);
            let writer = GenericDatumWriter::builder(&schema).build().unwrap();
            let body = writer.write_value_to_vec(value).unwrap();
            prop_assert_eq!(check(&schema, &body, items), Ok(()));
            if items > 0 {
                prop_assert_eq!(check(&schema, &body, items - 1), Err(BoundsError::TooManyItems(items - 1)));
            }
            if let Some((_, cut)) = body.split_last() {
                prop_assert_eq!(check(&schema, cut, items), Err(BoundsError::Malformed));
            }
        }

        #[test]
        fn any_bytes_are_walked_without_a_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
            for topic in TOPICS {
                let _ = check(topic.avro(), &body, 10);
            }
            let _ = check(&array(r#""string""#), &body, 10);
        }
    }
}

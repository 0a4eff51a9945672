//! `jiff::Timestamp` as Avro's `timestamp-micros`: a `long` of microseconds since 1970-01-01T00:00:00Z.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serializer};

pub(crate) fn serialize<S: Serializer>(instant: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_i64(instant.as_microsecond())
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    Timestamp::from_microsecond(i64::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

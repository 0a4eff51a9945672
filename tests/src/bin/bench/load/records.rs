//! The records of the drain: 512 bytes of payload, 200,000 keys, six headers. The same number makes the same record.

use schemas::PaymentNo;
use uuid::Uuid;

/// How many aggregates they belong to.
pub(crate) const KEYS: u64 = 200_000;
const PAYLOAD_BYTES: usize = 512;
/// So much of the payload is the same in all: an Avro event is part identifiers, part words.
const WORDS: &[u8; 32] = b"processing succeeded EUR stripe ";

/// A record, as a producer or the outbox takes it.
pub(crate) struct Record {
    pub(crate) key: String,
    pub(crate) sequence: i64,
    pub(crate) headers: [(&'static str, String); 6],
    pub(crate) payload: Vec<u8>,
}

/// The record of this number.
pub(crate) fn record(number: u64) -> Record {
    let aggregate = number % KEYS;
    let key =
        PaymentNo::from_uuid(Uuid::from_u64_pair(0x0190_0000_0000_7000, 1 << 63 | aggregate)).to_string();
    let sequence = number / KEYS + 1;
    let headers = [
        ("ce_id", Uuid::from_u64_pair(mixed(number), number).to_string()),
        ("ce_type", "payment.succeeded".to_owned()),
        ("ce_source", "payment-gateway".to_owned()),
        ("ce_time", "2026-01-01T00:00:00.123456Z".to_owned()),
        ("ce_subject", key.clone()),
        ("ce_sequence", sequence.to_string()),
    ];
    Record {
        key,
        sequence: i64::try_from(sequence).unwrap_or(i64::MAX),
        headers,
        payload: payload(number),
    }
}

/// Half noise and half words, so that lz4 has about as much to do as with events.
fn payload(number: u64) -> Vec<u8> {
    let mut payload = vec![0, 0, 0, 0, 1];
    let mut word = number;
    while payload.len() < PAYLOAD_BYTES {
        for _ in 0..4 {
            word = mixed(word);
            payload.extend_from_slice(&word.to_be_bytes());
        }
        payload.extend_from_slice(WORDS);
    }
    payload.truncate(PAYLOAD_BYTES);
    payload
}

/// `SplitMix64`: numbers that do not compress.
fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_makes_the_same_record_and_another_number_another() {
        let (one, again, next) = (record(7), record(7), record(7 + KEYS));
        assert_eq!(one.payload, again.payload);
        assert_eq!(one.payload.len(), PAYLOAD_BYTES);
        assert_eq!(one.key, next.key);
        assert_eq!((one.sequence, next.sequence), (1, 2));
        assert_ne!(one.payload, next.payload);
        assert_ne!(one.headers, next.headers);
    }
}

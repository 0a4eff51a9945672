//! Encoded bytes: equal to the golden files, readable by older and newer versions, and nothing else than what the schema says.

use std::path::PathBuf;

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use schemas::codec::{CodecError, decode, decode_as, encode, frame, unframe};
use schemas::payment::{FailureCode, PaymentEvent, PaymentEventType, PaymentStatus, RefundStatus};
use schemas::settlement::{SettlementEvent, SettlementStatus};
use schemas::withdrawal::{WithdrawalEvent, WithdrawalFailureCode, WithdrawalStatus};
use schemas::{DomainEvent, Event};

use crate::samples;

fn golden(name: &str, contents: &[u8]) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("golden")
        .join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, contents).unwrap();
    }
    let expected = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    assert_eq!(
        contents, expected,
        "{name} changed: subscribers hold records that were written before"
    );
}

fn round_trip<E: DomainEvent + PartialEq + std::fmt::Debug>(name: &str, event: &E) {
    let body = encode(event).unwrap();
    let back: E = decode_as(E::topic().avro(), &body).unwrap();
    assert_eq!(&back, event);
    golden(&format!("{name}.avro"), &body);
    let described = serde_json::json!({ "topic": E::topic().name, "event": event });
    golden(&format!("{name}.json"), format!("{described:#}\n").as_bytes());
}

#[test]
fn every_sample_reads_back_and_its_bytes_are_the_golden_ones() {
    round_trip("payment.created", &samples::payment_created());
    round_trip("refund.failed", &samples::refund_failed());
    round_trip("settlement.created", &samples::settlement_created());
    round_trip("settlement.processing", &samples::settlement_processing());
    round_trip("withdrawal.created", &samples::withdrawal_created());
    round_trip("withdrawal.returned", &samples::withdrawal_returned());
}

/// What the schema calls its fields, and what the Rust type does, in the same order.
fn same_fields<E: DomainEvent>(event: &E) {
    let Schema::Record(record) = E::topic().avro() else {
        panic!("no record")
    };
    let body = encode(event).unwrap();
    let reader = GenericDatumReader::builder(E::topic().avro()).build().unwrap();
    let Value::Record(written) = reader.read_value(&mut body.as_slice()).unwrap() else {
        panic!("no record")
    };
    let names: Vec<_> = written.into_iter().map(|(name, _)| name).collect();
    assert_eq!(
        names,
        record.fields.iter().map(|f| f.name.clone()).collect::<Vec<_>>()
    );
    let json = serde_json::to_value(event).unwrap();
    let mut of_type: Vec<_> = json.as_object().unwrap().keys().cloned().collect();
    let mut of_schema = names;
    of_type.sort();
    of_schema.sort();
    assert_eq!(
        of_type,
        of_schema,
        "a field of the Rust type and of the schema of {} differ",
        E::topic().name
    );
}

#[test]
fn types_and_schemas_have_the_same_fields() {
    same_fields::<PaymentEvent>(&samples::refund_failed());
    same_fields::<SettlementEvent>(&samples::settlement_processing());
    same_fields::<WithdrawalEvent>(&samples::withdrawal_returned());
}

fn symbols_of(schema: &str, name: &str) -> Vec<String> {
    fn find(value: &serde_json::Value, name: &str) -> Option<Vec<String>> {
        match value {
            serde_json::Value::Object(o) if o.get("type") == Some(&"enum".into()) && o["name"] == name => {
                Some(
                    o["symbols"]
                        .as_array()
                        .unwrap()
                        .iter()
                        .map(|s| s.as_str().unwrap().to_owned())
                        .collect(),
                )
            }
            serde_json::Value::Object(o) => o.values().find_map(|v| find(v, name)),
            serde_json::Value::Array(a) => a.iter().find_map(|v| find(v, name)),
            _ => None,
        }
    }
    find(&serde_json::from_str(schema).unwrap(), name).unwrap_or_else(|| panic!("no enum {name}"))
}

#[test]
fn types_and_schemas_have_the_same_symbols() {
    let words = |all: &[&'static str]| all.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
    macro_rules! same {
        ($event:ty, $($enum:ident),+) => {$(
            let ours: Vec<_> = $enum::ALL.iter().map(|s| s.as_str()).collect();
            assert_eq!(words(&ours), symbols_of(<$event>::topic().schema, stringify!($enum)));
        )+};
    }
    same!(PaymentEvent, PaymentStatus, RefundStatus, FailureCode);
    same!(SettlementEvent, SettlementStatus);
    same!(WithdrawalEvent, WithdrawalStatus, WithdrawalFailureCode);
}

#[test]
fn every_status_and_event_type_survives_the_wire() {
    for status in PaymentStatus::ALL {
        for event_type in PaymentEventType::ALL {
            let event = PaymentEvent {
                old_status: Some(*status),
                new_status: *status,
                event_type: *event_type,
                ..samples::payment_created()
            };
            let back: PaymentEvent =
                decode_as(PaymentEvent::topic().avro(), &encode(&event).unwrap()).unwrap();
            assert_eq!(back, event);
        }
    }
}

#[test]
fn a_record_of_a_newer_writer_is_read_without_what_we_do_not_know() {
    let newer = PaymentEvent::topic()
        .schema
        .replace(r#""pending","#, r#""pending", "disputed","#)
        .replacen(
            r#""fields": ["#,
            r#""fields": [{"name":"risk","type":["null",{"type":"array","items":"string"}],"default":null,"doc":"new"},"#,
            1,
        );
    let newer = Schema::parse_str(&newer).unwrap();
    let sample = samples::refund_failed();
    let ours = GenericDatumReader::builder(PaymentEvent::topic().avro())
        .build()
        .unwrap();
    let body = encode(&sample).unwrap();
    let Value::Record(mut fields) = ours.read_value(&mut body.as_slice()).unwrap() else {
        panic!("no record")
    };
    let set = |fields: &mut Vec<(String, Value)>, name: &str, value: Value| {
        fields.iter_mut().find(|(n, _)| n == name).unwrap().1 = value;
    };
    set(
        &mut fields,
        "event_type",
        Value::String("payment.disputed".into()),
    );
    set(&mut fields, "old_status", Value::Union(0, Box::new(Value::Null)));
    set(&mut fields, "new_status", Value::Enum(1, "disputed".into()));
    set(&mut fields, "refund", Value::Union(0, Box::new(Value::Null)));
    set(
        &mut fields,
        "failure_code",
        Value::Union(0, Box::new(Value::Null)),
    );
    let risk = Value::Union(1, Box::new(Value::Array(vec![Value::String("velocity".into())])));
    fields.insert(0, ("risk".into(), risk));
    let writer = apache_avro::writer::datum::GenericDatumWriter::builder(&newer)
        .build()
        .unwrap();
    let body = writer.write_value_to_vec(Value::Record(fields)).unwrap();

    let event = decode("payments.payment.v1", &newer, &body).unwrap();

    assert!(event.is_unknown());
    let Event::Payment(event) = event else {
        panic!("no payment")
    };
    assert_eq!(event.new_status, PaymentStatus::Unknown);
    assert_eq!((event.payment_no, event.sequence), (sample.payment_no, 300));
}

#[test]
fn bytes_that_contradict_the_schema_are_refused() {
    let body = encode(&samples::payment_created()).unwrap();
    let schema = PaymentEvent::topic().avro();
    for cut in 0..body.len() {
        assert!(
            decode_as::<PaymentEvent>(schema, &body[..cut]).is_err(),
            "{cut} of {} bytes were enough",
            body.len()
        );
    }
    let longer = [body.as_slice(), &[0]].concat();
    assert!(matches!(
        decode_as::<PaymentEvent>(schema, &longer),
        Err(CodecError::TrailingBytes(1))
    ));
    assert!(matches!(
        decode("payments.other.v1", schema, &body),
        Err(CodecError::UnknownTopic(_))
    ));
}

#[test]
fn the_frame_is_the_confluent_one() {
    assert_eq!(frame(258, b"x"), [0, 0, 0, 1, 2, b'x']);
    assert_eq!(unframe(&[0, 0, 0, 1, 2, b'x']).unwrap(), (258, b"x".as_slice()));
    for bad in [&[][..], &[0, 0, 0, 1], &[1, 0, 0, 1, 2, 3]] {
        assert!(
            matches!(unframe(bad), Err(CodecError::NotFramed { .. })),
            "{bad:?} passed for a frame"
        );
    }
}

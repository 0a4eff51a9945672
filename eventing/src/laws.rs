//! Laws about bytes that anyone may have written: each holds whatever they are.
//!
//! The fuzz targets (`fuzz/`) look for bytes that break one, and a test runs the bytes they have found so far. Nobody else calls
//! this. A law that is broken panics.

use schemas::catalogue::TOPICS;
use schemas::{DomainEvent, Event, codec};

use crate::consumer::envelope::Envelope;
use crate::headers::{CloudEvent, RecordHeaders, stored_to_kafka};

/// Headers: what can be read can be written, and reads back the same, in every form that they take.
pub fn headers(bytes: &[u8]) {
    let Ok(headers) = RecordHeaders::from_bytes(bytes) else {
        assert!(
            stored_to_kafka(bytes).is_err(),
            "a producer accepts what nobody can read"
        );
        return;
    };
    let stored = headers.to_bytes().ok();
    let again = stored.as_deref().map(RecordHeaders::from_bytes);
    assert_eq!(again, Some(Ok(headers.clone())), "stored headers read back");
    // Names are C strings to the client, which ends them at the first zero.
    if headers.iter().all(|(name, _)| !name.contains('\0')) {
        let kafka = stored_to_kafka(bytes).ok();
        let again = kafka.map(|kafka| RecordHeaders::from_kafka(Some(kafka.as_borrowed())));
        assert_eq!(again, Some(Ok(headers.clone())), "a record's headers read back");
    }
    if let Ok(event) = CloudEvent::from_headers(&headers) {
        let again = CloudEvent::from_headers(&event.to_headers());
        assert_eq!(again, Ok(event), "a cloud event's attributes read back");
    }
    if let Ok(envelope) = Envelope::from_headers(&headers) {
        let written = envelope.write(&headers, "group", None);
        let again = Envelope::from_headers(&written);
        assert_eq!(
            again,
            Ok(envelope),
            "what the runtime knows of a record reads back"
        );
    }
}

/// Framing: what can be taken apart is put together again.
pub fn framing(bytes: &[u8]) {
    if let Ok((schema_id, body)) = codec::unframe(bytes) {
        assert_eq!(codec::frame(schema_id, body), bytes);
    }
}

/// Events: a body is refused, or is an event that has bytes, which decode to the same event. The first byte chooses the topic.
pub fn event(bytes: &[u8]) {
    let Some((choice, body)) = bytes.split_first() else {
        return;
    };
    let Some(topic) = TOPICS.get(usize::from(*choice) % TOPICS.len()) else {
        return;
    };
    match codec::decode(topic.name, topic.avro(), body) {
        Ok(Event::Payment(event)) => decodes_again(&*event),
        Ok(Event::Settlement(event)) => decodes_again(&*event),
        Ok(Event::Withdrawal(event)) => decodes_again(&*event),
        Err(_) => {}
    }
}

fn decodes_again<E: DomainEvent + PartialEq + std::fmt::Debug>(event: &E) {
    let again = codec::encode(event).and_then(|body| codec::decode_as::<E>(E::topic().avro(), &body));
    assert!(
        again.as_ref().is_ok_and(|again| again == event),
        "{event:?} becomes {again:?}"
    );
}

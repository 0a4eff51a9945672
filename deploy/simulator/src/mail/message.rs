//! One received message, parsed when it arrives.

use mail_parser::MessageParser;
use serde::Serialize;

use crate::clock;

#[derive(Debug, Clone, Serialize)]
#[expect(clippy::struct_field_names, reason = "Message-ID is the header's name")]
pub(crate) struct Message {
    /// Counts up in arrival order.
    pub(crate) id: u64,
    pub(crate) received_at: jiff::Timestamp,
    /// The envelope's sender.
    pub(crate) from: String,
    /// The envelope's recipients, in lower case.
    pub(crate) to: Vec<String>,
    /// Without angle brackets.
    pub(crate) message_id: Option<String>,
    pub(crate) subject: Option<String>,
    pub(crate) text: Option<String>,
    pub(crate) html: Option<String>,
    /// Name and raw value, as they came.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) size_bytes: usize,
    #[serde(skip)]
    pub(crate) source: String,
}

impl Message {
    pub(super) fn parse(id: u64, from: &str, to: &[String], raw: &[u8]) -> Self {
        let parsed = MessageParser::default().parse(raw);
        let parsed = parsed.as_ref();
        let body = |text: Option<std::borrow::Cow<'_, str>>| text.map(std::borrow::Cow::into_owned);
        Self {
            id,
            received_at: clock::now(),
            from: from.to_owned(),
            to: to.iter().map(|address| address.to_lowercase()).collect(),
            message_id: parsed.and_then(|message| message.message_id()).map(str::to_owned),
            subject: parsed.and_then(|message| message.subject()).map(str::to_owned),
            text: parsed
                .filter(|message| message.text_body_count() > 0)
                .and_then(|message| body(message.body_text(0))),
            html: parsed
                .filter(|message| message.html_bodies().any(mail_parser::MessagePart::is_text_html))
                .and_then(|message| body(message.body_html(0))),
            headers: parsed.map_or_else(Vec::new, |message| {
                message
                    .headers_raw()
                    .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
                    .collect()
            }),
            size_bytes: raw.len(),
            source: String::from_utf8_lossy(raw).into_owned(),
        }
    }
}

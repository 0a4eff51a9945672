//! A notice as a mail.

use askama::Template;
use jiff::Timestamp;
use lettre::message::header::{Header, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::{Address, Message};
use schemas::NotificationNo;

use super::wording::{Detail, wording};
use crate::domain::contact::Contact;
use crate::domain::facts::Facts;
use crate::domain::notice::{NoticeType, Recipient};

/// What goes into one mail.
pub struct Mail<'a> {
    /// The notice's number, which makes the `Message-ID`.
    pub notification_no: NotificationNo,
    /// When the notice was written: the mail's date, the same at every attempt.
    pub created_at: Timestamp,
    /// What it is about.
    pub notice_type: NoticeType,
    /// Who reads it.
    pub recipient: Recipient,
    /// What it tells.
    pub facts: &'a Facts,
    /// Names and words that only the gateway knows.
    pub contact: &'a Contact,
    /// Who it is from.
    pub from: &'a Mailbox,
    /// Where it goes.
    pub to: &'a Address,
}

/// A mail that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// A template failed.
    #[error("the mail's template failed")]
    Template(#[from] askama::Error),
    /// The parts do not make a message.
    #[error("the mail's parts make no message")]
    Message(#[from] lettre::error::Error),
}

#[derive(Template)]
#[template(path = "mail.txt")]
struct Plain<'a> {
    opening: &'a str,
    details: &'a [Detail],
    notification_no: NotificationNo,
}

#[derive(Template)]
#[template(path = "mail.html")]
struct Html<'a> {
    subject: &'a str,
    opening: &'a str,
    details: &'a [Detail],
    notification_no: NotificationNo,
}

/// Nobody's answering machine should answer (RFC 3834).
#[derive(Clone)]
struct AutoSubmitted;

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}

/// The mail, headers and all, as it is sent.
pub fn compose(mail: &Mail<'_>) -> Result<Vec<u8>, MailError> {
    let mut words = wording(mail.notice_type, mail.recipient, mail.facts, mail.contact);
    words.subject = words.subject.replace(|c: char| c.is_control(), " ");
    let notification_no = mail.notification_no;
    let plain = Plain {
        opening: &words.opening,
        details: &words.details,
        notification_no,
    }
    .render()?;
    let html = Html {
        subject: &words.subject,
        opening: &words.opening,
        details: &words.details,
        notification_no,
    };
    let html = html.render()?;
    let message = Message::builder()
        .from(mail.from.clone())
        .to(Mailbox::new(None, mail.to.clone()))
        .subject(words.subject)
        .date(mail.created_at.into())
        .message_id(Some(message_id(notification_no, mail.from)))
        .header(AutoSubmitted)
        .multipart(MultiPart::alternative_plain_html(plain, html))?;
    Ok(message.formatted())
}

fn message_id(notification_no: NotificationNo, from: &Mailbox) -> String {
    format!("<{notification_no}@{}>", from.email.domain())
}

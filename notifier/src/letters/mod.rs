//! What notices say: mails in plain text and HTML, webhooks in JSON. Rendered for one attempt, and then forgotten.

mod mail;
mod webhook;
mod wording;

pub use mail::{Mail, MailError, compose};
pub use webhook::body;

#[cfg(test)]
mod tests;

//! Those we talk to: the gateway for contacts, the SMTP relay, merchants' endpoints.

pub mod contacts;
pub mod smtp;
pub mod webhooks;

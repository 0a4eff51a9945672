//! Why a record was not applied, and whose fault that is.
//!
//! What a newcomer gets wrong: `retry` is for what may go right later although this service works, such as another service
//! that does not answer. What is wrong with this service itself (its database, most of all) is not the record's fault: that is
//! `infrastructure`, which holds the record in place and counts no attempt.

mod database;
mod fingerprint;

use std::borrow::Cow;
use std::error::Error;
use std::fmt;

pub(crate) use fingerprint::fingerprint;

use crate::outbox::AppendError;

/// The longest message that is kept, in characters. Enough to recognise an error, and the header stays small.
const MAX_MESSAGE_CHARS: usize = 512;

type Cause = Box<dyn Error + Send + Sync>;

/// Why a handler did not apply an event. Only the runtime decides what follows: offsets, delays and topics are its own.
#[derive(Debug)]
pub struct Failure {
    kind: Kind,
    class: Cow<'static, str>,
    cause: Cause,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It may go right later: to the next retry tier.
    Retry,
    /// It will never go right as things are: to the dead letters.
    Dead,
    /// It is not the record's fault: held in place.
    Infrastructure,
}

impl Failure {
    /// It may go right later: the record goes to the group's next retry tier, and after the last one to the dead letters.
    ///
    /// The cause's text ends up in headers, logs and operators' lists, so it must not hold personal data.
    pub fn retry(cause: impl Into<Cause>) -> Self {
        Self::new(Kind::Retry, "retry", cause.into())
    }

    /// It will never go right as things are: the record goes to the dead letters at once. `class` is a stable `snake_case` word
    /// by which operators select what to replay.
    pub fn dead(class: &'static str, cause: impl Into<Cause>) -> Self {
        Self::new(Kind::Dead, class, cause.into())
    }

    /// This service's own infrastructure failed: the record is held in place and tried again, and no attempt is counted.
    pub fn infrastructure(cause: impl Into<Cause>) -> Self {
        Self::new(Kind::Infrastructure, "infrastructure", cause.into())
    }

    /// Names the class of a failure: a stable `snake_case` word by which operators select what to replay.
    #[must_use]
    pub fn class(mut self, class: &'static str) -> Self {
        self.class = Cow::Borrowed(class);
        self
    }

    fn new(kind: Kind, class: &'static str, cause: Cause) -> Self {
        Self {
            kind,
            class: Cow::Borrowed(class),
            cause,
        }
    }

    /// A statement of the runtime's own failed, in which nothing of the record can be wrong.
    pub(crate) fn bookkeeping(error: sqlx::Error) -> Self {
        Self::new(Kind::Infrastructure, "database", Box::new(error))
    }

    /// It took too long, for which a database that does not answer may be the reason.
    pub(crate) fn is_overdue(&self) -> bool {
        self.kind == Kind::Retry && matches!(&*self.class, "deadline" | "database")
    }

    /// It met another transaction: a deadlock, a lock that was not given in time, a serialization failure.
    pub(crate) fn is_lost_race(&self) -> bool {
        self.database_error().is_some_and(database::is_lost_race)
    }

    /// An earlier statement had failed, and the transaction was not rolled back.
    pub(crate) fn met_aborted_transaction(&self) -> bool {
        self.database_error()
            .is_some_and(database::is_aborted_transaction)
    }

    fn database_error(&self) -> Option<&sqlx::Error> {
        let cause: &(dyn Error + 'static) = &*self.cause;
        std::iter::successors(Some(cause), |error| (*error).source())
            .find_map(|error| error.downcast_ref::<sqlx::Error>())
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// What would follow from it, in a word.
    pub(crate) fn kind_name(&self) -> &'static str {
        match self.kind {
            Kind::Retry => "retry",
            Kind::Dead => "dead",
            Kind::Infrastructure => "infrastructure",
        }
    }

    /// A failure as it was written into a table or a header earlier.
    pub(crate) fn recorded(class: String, message: String) -> Self {
        Self {
            kind: Kind::Dead,
            class: Cow::Owned(class),
            cause: message.into(),
        }
    }

    pub(crate) fn class_name(&self) -> &str {
        &self.class
    }

    /// The cause with its causes, bounded, in one line, without what looks like a mail address.
    pub(crate) fn message(&self) -> String {
        let mut text = String::new();
        let mut next: Option<&(dyn Error + 'static)> = Some(&*self.cause);
        while let Some(error) = next {
            let database = error.downcast_ref::<sqlx::Error>();
            let part = database.map_or_else(|| error.to_string(), database::describe);
            // Many errors repeat their source in their own text.
            if !text.contains(&part) {
                if !text.is_empty() {
                    text.push_str(": ");
                }
                text.push_str(&part);
            }
            // What is below a database's error are the server's own words, which quote values.
            next = error.source().filter(|_| database.is_none());
        }
        bounded(&text)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.class, self.message())
    }
}

impl From<sqlx::Error> for Failure {
    /// Connections, shutdown, resources, lost races, and what only a deployment can have broken are infrastructure; a statement
    /// that took longer than the handler may is tried again; anything else is the record's or the handler's fault.
    fn from(error: sqlx::Error) -> Self {
        Self::new(database::kind(&error), "database", Box::new(error))
    }
}

impl From<AppendError> for Failure {
    /// As the database error in it says; an event that cannot be encoded is the record's or the handler's fault.
    fn from(error: AppendError) -> Self {
        let kind = std::iter::successors(Some(&error as &(dyn Error + 'static)), |error| (*error).source())
            .find_map(|error| error.downcast_ref::<sqlx::Error>())
            .map_or(Kind::Dead, database::kind);
        Self::new(kind, "outbox", Box::new(error))
    }
}

fn bounded(text: &str) -> String {
    let words = text.split_whitespace().map(|word| {
        if word.contains('@') {
            Cow::Borrowed("[redacted]")
        } else {
            Cow::Borrowed(word)
        }
    });
    let mut line = String::new();
    for word in words {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&word);
    }
    line.chars()
        .filter(|c| !c.is_control())
        .take(MAX_MESSAGE_CHARS)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the rate is missing")]
    struct Missing(#[source] sqlx::Error);

    #[test]
    fn a_message_is_one_bounded_line_of_the_causes_without_addresses() {
        assert_eq!(
            Failure::retry("no\n  contact\tfor a@b.example").message(),
            "no contact for [redacted]"
        );
        assert_eq!(
            Failure::retry("ä".repeat(600)).message().chars().count(),
            MAX_MESSAGE_CHARS
        );
        let nested = Failure::dead("rate", Missing(sqlx::Error::RowNotFound));
        assert_eq!(
            nested.to_string(),
            "rate: the rate is missing: a row that was expected is not there"
        );
    }

    #[test]
    fn a_message_does_not_repeat_what_the_server_quotes() {
        #[derive(Debug, thiserror::Error)]
        #[error("decoding a.b@example failed")]
        struct Quoting;
        let error = sqlx::Error::Decode(Box::new(Quoting));
        assert_eq!(Failure::from(error).message(), "a value cannot be decoded");
    }

    #[test]
    fn connections_are_infrastructure_and_missing_rows_are_not() {
        assert_eq!(
            Failure::from(sqlx::Error::PoolTimedOut).kind(),
            Kind::Infrastructure
        );
        assert_eq!(Failure::from(sqlx::Error::RowNotFound).kind(), Kind::Dead);
    }
}

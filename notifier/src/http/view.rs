//! Notifications as JSON.

use jiff::Timestamp;
use schemas::{EventId, MerchantId, NotificationNo};
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::facts::Facts;
use crate::domain::notice::{Channel, NoticeType, Status};
use crate::domain::reason::Reason;
use crate::store::notices::{Attempt, Notice};

/// A notification: one event told to one recipient over one channel.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NotificationView {
    /// Its number: also the webhook's `webhook-id`, and part of the mail's `Message-ID`.
    #[schema(value_type = String, example = "ntf_01jd8m0z5xe9crk8x1y1y5f3ak")]
    notification_no: NotificationNo,
    /// What it is about.
    r#type: NoticeType,
    /// How urgent it is.
    priority: &'static str,
    /// How it goes.
    channel: Channel,
    /// The role that gets it: `customer`, `merchant`, or `approver-1` and so on.
    #[schema(example = "merchant")]
    recipient: String,
    /// What is kept of the address that it was last sent to.
    #[schema(example = "a***@e***.com")]
    masked_recipient: Option<String>,
    /// How it stands.
    status: Status,
    /// Why it failed, or was suppressed.
    reason: Option<Reason>,
    /// How often it was tried.
    attempt_count: u32,
    /// When it is tried next, while it is pending.
    next_attempt_at: Option<Timestamp>,
    /// Whose it is.
    #[schema(value_type = String)]
    merchant_id: MerchantId,
    /// The event it tells of.
    #[schema(value_type = String)]
    event_id: EventId,
    /// That event's type.
    #[schema(example = "payment.succeeded")]
    event_type: String,
    /// When that event happened.
    occurred_at: Timestamp,
    /// What that event said; the same as `data` of the webhook.
    #[schema(value_type = Object)]
    data: Facts,
    /// When the notification was made.
    created_at: Timestamp,
    /// When it changed last.
    updated_at: Timestamp,
    /// When its destination last took it.
    sent_at: Option<Timestamp>,
}

impl From<Notice> for NotificationView {
    fn from(notice: Notice) -> Self {
        Self {
            notification_no: notice.notification_no,
            r#type: notice.notice_type,
            priority: notice.notice_type.priority(),
            channel: notice.channel,
            recipient: notice.recipient.to_string(),
            masked_recipient: notice.masked_recipient,
            status: notice.status,
            reason: notice.reason,
            attempt_count: notice.attempts,
            next_attempt_at: notice.due_at,
            merchant_id: notice.merchant_id,
            event_id: notice.event_id,
            event_type: notice.event_type,
            occurred_at: notice.occurred_at,
            data: notice.facts,
            created_at: notice.created_at,
            updated_at: notice.updated_at,
            sent_at: notice.sent_at,
        }
    }
}

/// A notification with its attempts.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NotificationWithAttempts {
    #[serde(flatten)]
    notification: NotificationView,
    /// The latest attempts, in the order in which they were made.
    attempts: Vec<AttemptView>,
}

impl NotificationWithAttempts {
    pub(super) fn new(notice: Notice, attempts: Vec<Attempt>) -> Self {
        Self {
            notification: notice.into(),
            attempts: attempts.into_iter().map(AttemptView::from).collect(),
        }
    }
}

/// One attempt at a notification.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AttemptView {
    /// Which one, from 1.
    attempt: u32,
    /// When it began.
    started_at: Timestamp,
    /// When it ended; null while it is under way.
    finished_at: Option<Timestamp>,
    /// `delivered`, `refused` (for good), `failed` (an answer, but no success), `not_sent` or `unknown` (it may have arrived).
    #[schema(example = "delivered")]
    outcome: Option<String>,
    /// Why it is not `delivered`.
    reason: Option<Reason>,
    /// The status of the answer, HTTP or SMTP.
    answer_code: Option<i32>,
}

impl From<Attempt> for AttemptView {
    fn from(attempt: Attempt) -> Self {
        let Attempt {
            attempt,
            started_at,
            finished_at,
            outcome,
            reason,
            answer_code,
        } = attempt;
        Self {
            attempt,
            started_at,
            finished_at,
            outcome,
            reason,
            answer_code,
        }
    }
}

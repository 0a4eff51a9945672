//! Reading notices and their attempts, and making one due again.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use schemas::{EventId, MerchantId, NotificationNo};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::{StoreError, count, read};
use crate::domain::facts::Facts;
use crate::domain::notice::{Channel, NoticeType, Recipient, Status};
use crate::domain::reason::Reason;

/// A notice as lists and pages show it.
#[derive(Debug, Clone)]
pub struct Notice {
    /// Its number; also the `webhook-id`, and part of the `Message-ID`.
    pub notification_no: NotificationNo,
    /// What it is about.
    pub notice_type: NoticeType,
    /// How it goes.
    pub channel: Channel,
    /// Who gets it.
    pub recipient: Recipient,
    /// What is kept of the recipient's address.
    pub masked_recipient: Option<String>,
    /// How it stands.
    pub status: Status,
    /// Why it failed or was suppressed.
    pub reason: Option<Reason>,
    /// All attempts ever.
    pub attempts: u32,
    /// When it is tried next.
    pub due_at: Option<Timestamp>,
    /// Whose it is.
    pub merchant_id: MerchantId,
    /// The event it tells of.
    pub event_id: EventId,
    /// That event's type.
    pub event_type: String,
    /// When that event happened.
    pub occurred_at: Timestamp,
    /// What that event said.
    pub facts: Facts,
    /// When the notice was written.
    pub created_at: Timestamp,
    /// When anything about it changed last.
    pub updated_at: Timestamp,
    /// When the destination last took it.
    pub sent_at: Option<Timestamp>,
}

/// One attempt at a notice.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// Which one, from 1.
    pub attempt: u32,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// What it came to: see [`crate::domain::outcome::Outcome::as_str`].
    pub outcome: Option<String>,
    /// Why it is not `delivered`.
    pub reason: Option<Reason>,
    /// The status of the answer.
    pub answer_code: Option<i32>,
}

/// Whose notices may be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Viewer {
    /// Everything.
    Staff,
    /// What is this merchant's, and not for staff only.
    Merchant(MerchantId),
}

impl Viewer {
    fn merchant(self) -> Option<Uuid> {
        match self {
            Self::Staff => None,
            Self::Merchant(merchant_id) => Some(merchant_id.uuid()),
        }
    }
}

/// What a list is narrowed to.
#[derive(Debug, Clone, Copy)]
pub struct Filter {
    /// Of this merchant.
    pub merchant_id: Option<MerchantId>,
    /// Of this type.
    pub notice_type: Option<NoticeType>,
    /// In this status.
    pub status: Option<Status>,
    /// Older than this one.
    pub before: Option<NotificationNo>,
}

struct Row {
    id: NotificationNo,
    r#type: String,
    channel: String,
    recipient: String,
    masked_recipient: Option<String>,
    status: String,
    reason: Option<String>,
    attempts: i32,
    due_at: Option<jiff_sqlx::Timestamp>,
    merchant_id: MerchantId,
    event_id: Uuid,
    event_type: String,
    occurred_at: jiff_sqlx::Timestamp,
    facts: serde_json::Value,
    created_at: jiff_sqlx::Timestamp,
    updated_at: jiff_sqlx::Timestamp,
    sent_at: Option<jiff_sqlx::Timestamp>,
}

impl TryFrom<Row> for Notice {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            notification_no: row.id,
            notice_type: read(&row.r#type)?,
            channel: read(&row.channel)?,
            recipient: read(&row.recipient)?,
            masked_recipient: row.masked_recipient,
            status: read(&row.status)?,
            reason: row.reason.as_deref().map(read).transpose()?,
            attempts: count(row.attempts),
            due_at: row.due_at.map(jiff_sqlx::Timestamp::to_jiff),
            merchant_id: row.merchant_id,
            event_id: EventId::from_uuid(row.event_id),
            event_type: row.event_type,
            occurred_at: row.occurred_at.to_jiff(),
            facts: serde_json::from_value(row.facts)?,
            created_at: row.created_at.to_jiff(),
            updated_at: row.updated_at.to_jiff(),
            sent_at: row.sent_at.map(jiff_sqlx::Timestamp::to_jiff),
        })
    }
}

/// The newest notices that `viewer` may see and `filter` lets through.
pub async fn list(
    pool: &PgPool,
    viewer: Viewer,
    filter: &Filter,
    limit: i64,
) -> Result<Vec<Notice>, StoreError> {
    let rows = sqlx::query_as!(
        Row,
        r#"
        select id as "id: NotificationNo", type, channel, recipient, masked_recipient, status, reason, attempts, due_at,
            merchant_id as "merchant_id: MerchantId", event_id, event_type, occurred_at, facts, created_at,
            updated_at, sent_at
        from notifications
        where ($1::uuid is null or (merchant_id = $1 and type <> $2))
          and ($3::uuid is null or merchant_id = $3)
          and ($4::text is null or type = $4)
          and ($5::text is null or status = $5)
          and ($6::uuid is null or id < $6)
        order by id desc limit $7
        "#,
        viewer.merchant(),
        STAFF_ONLY.as_str(),
        filter.merchant_id.map(MerchantId::uuid),
        filter.notice_type.map(NoticeType::as_str),
        filter.status.map(Status::as_str),
        filter.before.map(NotificationNo::uuid),
        limit,
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter().map(Notice::try_from).collect()
}

/// The one type that [`NoticeType::is_for_staff_only`].
const STAFF_ONLY: NoticeType = NoticeType::SettlementApproval;

/// The notice with this number, if `viewer` may see it.
pub async fn find(
    connection: &mut PgConnection,
    viewer: Viewer,
    notification_no: NotificationNo,
) -> Result<Option<Notice>, StoreError> {
    let row = sqlx::query_as!(
        Row,
        r#"
        select id as "id: NotificationNo", type, channel, recipient, masked_recipient, status, reason, attempts, due_at,
            merchant_id as "merchant_id: MerchantId", event_id, event_type, occurred_at, facts, created_at,
            updated_at, sent_at
        from notifications
        where id = $1 and ($2::uuid is null or (merchant_id = $2 and type <> $3))
        "#,
        notification_no.uuid(),
        viewer.merchant(),
        STAFF_ONLY.as_str(),
    )
    .fetch_optional(connection)
    .await?;
    row.map(Notice::try_from).transpose()
}

/// The newest attempts at a notice, in the order they were made.
pub async fn attempts(
    connection: &mut PgConnection,
    notification_no: NotificationNo,
    limit: u32,
) -> Result<Vec<Attempt>, StoreError> {
    let rows = sqlx::query!(
        r#"
        select attempt, started_at, finished_at, outcome, reason, answer_code
        from attempts where notification_id = $1 order by attempt desc limit $2
        "#,
        notification_no.uuid(),
        i64::from(limit),
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .rev()
        .map(|row| {
            Ok(Attempt {
                attempt: count(row.attempt),
                started_at: row.started_at.to_jiff(),
                finished_at: row.finished_at.map(jiff_sqlx::Timestamp::to_jiff),
                outcome: row.outcome,
                reason: row.reason.as_deref().map(read).transpose()?,
                answer_code: row.answer_code,
            })
        })
        .collect()
}

/// Makes a notice that is at rest due again, with a whole schedule of attempts before it. Returns whether it was at rest.
pub async fn rearm(
    connection: &mut PgConnection,
    notification_no: NotificationNo,
    from: Status,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let rearmed = sqlx::query!(
        r#"
        update notifications
        set status = 'pending', reason = null, round_attempts = 0, due_at = $3, queued_at = $3, updated_at = $3
        where id = $1 and status = $2 and status <> 'pending'
        "#,
        notification_no.uuid(),
        from.as_str(),
        now.to_sqlx() as _,
    )
    .execute(connection)
    .await?;
    Ok(rearmed.rows_affected() == 1)
}

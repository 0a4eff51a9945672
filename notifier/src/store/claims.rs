//! The schedule: who has something due, taking it on, and saying what became of it.
//!
//! A claim is a lease. It moves `due_at` to the lease's end and leaves its id in the row; every later write repeats that
//! id, so a worker that lost its lease can no longer change the notice. Nothing here waits for another replica.

use eventing::dead_letters::Source;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use schemas::{MerchantId, NotificationNo};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::{StoreError, count, read};
use crate::domain::facts::Facts;
use crate::domain::notice::{Channel, NoticeType, Recipient, State};
use crate::domain::outcome::Outcome;
use crate::domain::reason::Reason;
use crate::domain::shares::Share;

/// A notice that this worker holds until `lease_ends_at`.
#[derive(Debug, Clone)]
pub struct Claim {
    /// The lease's own id.
    pub claim_id: Uuid,
    /// Until when nobody else takes it.
    pub lease_ends_at: Timestamp,
    /// Which notice.
    pub notification_no: NotificationNo,
    /// The record that it was written for.
    pub source: Source,
    /// The event's type, e.g. `payment.succeeded`.
    pub event_type: String,
    /// The event's id.
    pub event_id: Uuid,
    /// When the event happened.
    pub occurred_at: Timestamp,
    /// When the notice was written.
    pub created_at: Timestamp,
    /// Since when it waits.
    pub queued_at: Timestamp,
    /// Whose notice it is.
    pub merchant_id: MerchantId,
    /// What it is about.
    pub notice_type: NoticeType,
    /// How it goes.
    pub channel: Channel,
    /// Who gets it.
    pub recipient: Recipient,
    /// What it says.
    pub facts: Facts,
    /// How many attempts this round has had.
    pub round_attempts: u32,
    /// The last attempt has no outcome: its worker is gone, and nobody knows whether it was sent.
    pub is_last_attempt_open: bool,
}

/// When the next pending notice of `channel` is due; none if there is none.
pub async fn next_due_at(pool: &PgPool, channel: Channel) -> Result<Option<Timestamp>, StoreError> {
    let due_at = sqlx::query_scalar!(
        r#"select min(due_at) from notifications where status = 'pending' and channel = $1"#,
        channel.as_str(),
    )
    .fetch_one(pool)
    .await?;
    Ok(due_at.map(jiff_sqlx::Timestamp::to_jiff))
}

/// Merchants with something due on `channel`, in the order of their ids behind `after`, `except` left out. Its cost
/// grows with the merchants that have something pending, not with what they have.
pub async fn waiting_merchants(
    pool: &PgPool,
    channel: Channel,
    after: MerchantId,
    except: &[Uuid],
    now: Timestamp,
    limit: u32,
) -> Result<Vec<MerchantId>, StoreError> {
    let merchants = sqlx::query_scalar!(
        r#"
        with recursive merchants as (
            (select merchant_id from notifications
             where status = 'pending' and channel = $1 and merchant_id > $2
             order by merchant_id limit 1)
            union all
            select (select next.merchant_id from notifications as next
                    where next.status = 'pending' and next.channel = $1 and next.merchant_id > merchants.merchant_id
                    order by next.merchant_id limit 1)
            from merchants where merchants.merchant_id is not null
        )
        select merchant_id as "merchant_id!: MerchantId" from merchants
        where merchant_id is not null and merchant_id <> all ($3)
          and exists (select from notifications as due
                      where due.status = 'pending' and due.channel = $1
                        and due.merchant_id = merchants.merchant_id and due.due_at <= $4)
        limit $5
        "#,
        channel.as_str(),
        after.uuid(),
        except,
        now.to_sqlx() as _,
        i64::from(limit),
    )
    .fetch_all(pool)
    .await?;
    Ok(merchants)
}

struct Row {
    id: NotificationNo,
    event_id: Uuid,
    event_type: String,
    topic: String,
    topic_partition: i32,
    topic_offset: i64,
    occurred_at: jiff_sqlx::Timestamp,
    created_at: jiff_sqlx::Timestamp,
    queued_at: jiff_sqlx::Timestamp,
    merchant_id: MerchantId,
    r#type: String,
    recipient: String,
    facts: serde_json::Value,
    round_attempts: i32,
    is_last_attempt_open: bool,
}

/// Takes on what is due of each share, oldest first, until `lease_ends_at`. A row that this version cannot read is
/// logged and left to its lease: it must not hold up the others.
pub async fn claim(
    pool: &PgPool,
    channel: Channel,
    shares: &[Share],
    now: Timestamp,
    lease_ends_at: Timestamp,
) -> Result<Vec<Claim>, StoreError> {
    let claim_id = Uuid::now_v7();
    let (merchants, rooms): (Vec<Uuid>, Vec<i64>) = shares
        .iter()
        .map(|share| (share.merchant_id.uuid(), i64::from(share.room)))
        .unzip();
    let rows = sqlx::query_as!(
        Row,
        r#"
        with due as (
            select picked.id
            from unnest($1::uuid[], $2::bigint[]) as share (merchant_id, room)
            cross join lateral (
                select id from notifications
                where status = 'pending' and channel = $3 and merchant_id = share.merchant_id and due_at <= $4
                order by due_at limit share.room
                for update skip locked
            ) as picked
        )
        update notifications as claimed
        set claim_id = $5, due_at = $6
        from due where claimed.id = due.id
        returning claimed.id as "id: NotificationNo", event_id, event_type, topic, topic_partition, topic_offset,
            occurred_at, created_at, queued_at, merchant_id as "merchant_id: MerchantId", type, recipient, facts,
            round_attempts,
            exists (select from attempts where notification_id = claimed.id and outcome is null)
                as "is_last_attempt_open!"
        "#,
        &merchants,
        &rooms,
        channel.as_str(),
        now.to_sqlx() as _,
        claim_id,
        lease_ends_at.to_sqlx() as _,
    )
    .fetch_all(pool)
    .await?;
    let readable = rows.into_iter().filter_map(|row| {
        let notification_no = row.id;
        claimed(row, channel, claim_id, lease_ends_at)
            .inspect_err(|error| tracing::error!(%notification_no, %error, "a notification is not delivered"))
            .ok()
    });
    Ok(readable.collect())
}

fn claimed(
    row: Row,
    channel: Channel,
    claim_id: Uuid,
    lease_ends_at: Timestamp,
) -> Result<Claim, StoreError> {
    Ok(Claim {
        claim_id,
        lease_ends_at,
        notification_no: row.id,
        source: Source {
            topic: row.topic,
            partition: row.topic_partition,
            offset: row.topic_offset,
        },
        event_type: row.event_type,
        event_id: row.event_id,
        occurred_at: row.occurred_at.to_jiff(),
        created_at: row.created_at.to_jiff(),
        queued_at: row.queued_at.to_jiff(),
        merchant_id: row.merchant_id,
        notice_type: read(&row.r#type)?,
        channel,
        recipient: read(&row.recipient)?,
        facts: serde_json::from_value(row.facts)?,
        round_attempts: count(row.round_attempts),
        is_last_attempt_open: row.is_last_attempt_open,
    })
}

/// Lets a claim go without an attempt; it is due again at `due_at`. A claim that was lost stays lost.
pub async fn release(pool: &PgPool, claim: &Claim, due_at: Timestamp) -> Result<(), StoreError> {
    sqlx::query!(
        r#"update notifications set claim_id = null, due_at = $3 where id = $1 and claim_id = $2"#,
        claim.notification_no.uuid(),
        claim.claim_id,
        due_at.to_sqlx() as _,
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Writes down that an attempt begins, before anything is sent, and that an earlier one without outcome is unknown.
/// Returns the attempt's number, or none if the lease was lost.
pub async fn begin_attempt(pool: &PgPool, claim: &Claim, now: Timestamp) -> Result<Option<u32>, StoreError> {
    let mut tx = pool.begin().await?;
    let attempt = sqlx::query_scalar!(
        r#"
        update notifications
        set attempts = attempts + 1, round_attempts = round_attempts + 1, updated_at = $3
        where id = $1 and claim_id = $2
        returning attempts
        "#,
        claim.notification_no.uuid(),
        claim.claim_id,
        now.to_sqlx() as _,
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(attempt) = attempt else { return Ok(None) };
    close_open_attempt(&mut tx, claim.notification_no, now).await?;
    sqlx::query!(
        r#"insert into attempts (notification_id, attempt, started_at) values ($1, $2, $3)"#,
        claim.notification_no.uuid(),
        attempt,
        now.to_sqlx() as _,
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(Some(count(attempt)))
}

async fn close_open_attempt(
    tx: &mut PgConnection,
    notification_no: NotificationNo,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query!(
        r#"
        update attempts set finished_at = $2, outcome = 'unknown', reason = $3
        where notification_id = $1 and outcome is null
        "#,
        notification_no.uuid(),
        now.to_sqlx() as _,
        Reason::WorkerLost.as_str(),
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Writes down what `attempt` came to.
pub async fn finish_attempt(
    tx: &mut PgConnection,
    claim: &Claim,
    attempt: u32,
    outcome: &Outcome,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query!(
        r#"
        update attempts set finished_at = $3, outcome = $4, reason = $5, answer_code = $6
        where notification_id = $1 and attempt = $2 and outcome is null
        "#,
        claim.notification_no.uuid(),
        i32::try_from(attempt).unwrap_or(i32::MAX),
        now.to_sqlx() as _,
        outcome.as_str(),
        outcome.reason().map(Reason::as_str),
        outcome.code().map(i32::from),
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Ends a claim: the notice is now in `state`, and its recipient, if anyone was written to, looks like `masked_recipient`.
/// Returns whether the lease still held; if not, nothing is changed.
pub async fn settle(
    tx: &mut PgConnection,
    claim: &Claim,
    state: &State,
    masked_recipient: Option<&str>,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let (due_at, sent_at, reason) = match *state {
        State::Pending { due_at } => (Some(due_at.to_sqlx()), None, None),
        State::Sent { sent_at } => (None, Some(sent_at.to_sqlx()), None),
        State::Failed { reason } | State::Suppressed { reason } => (None, None, Some(reason.as_str())),
    };
    let settled = sqlx::query!(
        r#"
        update notifications
        set claim_id = null, status = $3, due_at = $4, sent_at = coalesce($5, sent_at), reason = $6,
            masked_recipient = $7, updated_at = $8
        where id = $1 and claim_id = $2
        "#,
        claim.notification_no.uuid(),
        claim.claim_id,
        state.status().as_str(),
        due_at as _,
        sent_at as _,
        reason,
        masked_recipient,
        now.to_sqlx() as _,
    )
    .execute(&mut *tx)
    .await?;
    if settled.rows_affected() == 0 {
        return Ok(false);
    }
    close_open_attempt(tx, claim.notification_no, now).await?;
    Ok(true)
}

//! The worker's side of a withdrawal: when to look at it, who is looking, and since when the bank may know of it.
//!
//! A claim expires, so that a replica that dies leaves nothing undone. It only saves work: what must not happen twice is
//! guarded by the withdrawal's row lock and by the bank's idempotency key.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use schemas::ids::WithdrawalNo;
use sqlx::PgConnection;
use uuid::Uuid;

use super::StoreError;

/// A withdrawal to look at, claimed by this worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Job {
    /// Which.
    pub withdrawal_no: WithdrawalNo,
    /// How often it was looked at since it last changed.
    pub attempts: i32,
    /// When an order may first have reached the bank.
    pub first_posted_at: Option<Timestamp>,
}

/// Claims up to `limit` withdrawals that are due and that no other replica is at, until `claimed_until`.
pub async fn claim(
    connection: &mut PgConnection,
    claim: Uuid,
    now: Timestamp,
    claimed_until: Timestamp,
    limit: i64,
) -> Result<Vec<Job>, StoreError> {
    let rows = sqlx::query!(
        "update withdrawals set claim = $1, claimed_until = $3
         where id in (
             select id from withdrawals
             where due_at <= $2 and (claimed_until is null or claimed_until <= $2)
             order by due_at limit $4
             for update skip locked
         )
         returning id, attempts, first_posted_at",
        claim,
        now.to_sqlx() as _,
        claimed_until.to_sqlx() as _,
        limit,
    )
    .fetch_all(connection)
    .await?;
    let job = |row: (Uuid, i32, Option<jiff_sqlx::Timestamp>)| Job {
        withdrawal_no: WithdrawalNo::from_uuid(row.0),
        attempts: row.1,
        first_posted_at: row.2.map(jiff_sqlx::Timestamp::to_jiff),
    };
    Ok(rows
        .into_iter()
        .map(|row| job((row.id, row.attempts, row.first_posted_at)))
        .collect())
}

/// Notes, before a request leaves, that the bank may know of the withdrawal from now on. The first time counts.
pub async fn note_posting(
    connection: &mut PgConnection,
    withdrawal_no: WithdrawalNo,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query!(
        "update withdrawals set first_posted_at = coalesce(first_posted_at, $2) where id = $1",
        withdrawal_no.uuid(),
        now.to_sqlx() as _,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Takes the note back: it is proven that the request did not leave.
pub async fn withdraw_posting(
    connection: &mut PgConnection,
    withdrawal_no: WithdrawalNo,
    noted_at: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query!(
        "update withdrawals set first_posted_at = null where id = $1 and first_posted_at = $2",
        withdrawal_no.uuid(),
        noted_at.to_sqlx() as _,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Ends this worker's claim: look again at `due_at`, or never. Nothing happens if the claim had expired and is another's.
pub async fn finish(
    connection: &mut PgConnection,
    claim: Uuid,
    withdrawal_no: WithdrawalNo,
    due_at: Option<Timestamp>,
) -> Result<(), StoreError> {
    sqlx::query!(
        "update withdrawals set claim = null, claimed_until = null, attempts = attempts + 1, due_at = $3
         where id = $1 and claim = $2",
        withdrawal_no.uuid(),
        claim,
        due_at.map(ToSqlx::to_sqlx) as _,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Schedules the next look at a withdrawal that has just changed; `None` if there is nothing left to do.
pub async fn reschedule(
    connection: &mut PgConnection,
    withdrawal_no: WithdrawalNo,
    due_at: Option<Timestamp>,
) -> Result<(), StoreError> {
    sqlx::query!(
        "update withdrawals set due_at = $2, attempts = 0 where id = $1",
        withdrawal_no.uuid(),
        due_at.map(ToSqlx::to_sqlx) as _,
    )
    .execute(connection)
    .await?;
    Ok(())
}

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::PgPool;

use super::handler::Replay;
use super::record::Place;

/// Whether this copy of a replayed letter is the one that counts: the first that asked is.
///
/// The same copy may ask again, because it is read again after a crash. A letter that fails again travels on as a further
/// attempt, and of that one as well the first copy counts.
pub(crate) async fn claim(
    pool: &PgPool,
    group: &str,
    replay: &Replay,
    attempt: u32,
    copy: &Place,
    now: Timestamp,
) -> Result<bool, sqlx::Error> {
    let copy = copy.to_string();
    let counts = sqlx::query_scalar!(
        "insert into eventing.replay_claims as claim (consumer_group, job_id, letter, attempt, copy, claimed_at)
         values ($1, $2, $3, $4, $5, $6)
         on conflict on constraint replay_claims_pkey do update set claimed_at = claim.claimed_at
         returning copy",
        group,
        replay.job,
        replay.letter,
        i32::try_from(attempt).unwrap_or(i32::MAX),
        copy,
        now.to_sqlx() as _,
    )
    .fetch_one(pool)
    .await?;
    Ok(counts == copy)
}

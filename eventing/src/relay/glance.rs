//! The outbox at a glance, for the gauges.

use jiff::Timestamp;
use sqlx::PgExecutor;

use super::floor::Floor;
use crate::outbox::Lane;

/// The depth is counted up to here: beyond, the exact figure tells nobody anything, and counting would take long.
const DEPTH_BOUND: i64 = 100_000;

/// How much there is to do in some lanes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Glance {
    /// Rows not yet published, blocked ones included; counted up to [`DEPTH_BOUND`].
    pub(super) depth: i64,
    pub(super) oldest_at: Option<Timestamp>,
    pub(super) set_aside: i64,
}

/// Looks how much there is to do.
pub(super) async fn glance(db: impl PgExecutor<'_>, lanes: &[(Lane, Floor)]) -> sqlx::Result<Glance> {
    let numbers: Vec<i16> = lanes.iter().map(|(lane, _)| lane.number()).collect();
    let seqs: Vec<i64> = lanes.iter().map(|(_, floor)| floor.seq).collect();
    let releases: Vec<i64> = lanes.iter().map(|(_, floor)| floor.releases).collect();
    let found = sqlx::query!(
        r#"with start as (
               select asked.lane, case when lanes.releases = asked.releases then asked.seq else 0 end as seq
               from unnest($1::smallint[], $2::bigint[], $3::bigint[]) as asked (lane, seq, releases)
               join eventing.outbox_lanes as lanes using (lane)
           )
           select
               (select count(*) from (
                   select from start cross join lateral (
                       select from eventing.outbox as row
                       where row.lane = start.lane and row.seq > start.seq order by row.seq limit $4
                   ) as waiting limit $4
               ) as counted) as "depth!",
               (select count(*) from eventing.outbox_blocked where lane = any ($1)) as "blocked!",
               least(
                   (select min(first.created_at) from start cross join lateral (
                       select row.created_at from eventing.outbox as row
                       where row.lane = start.lane and row.seq > start.seq order by row.seq limit 1
                   ) as first),
                   (select min(created_at) from eventing.outbox_blocked where lane = any ($1))
               ) as oldest_at,
               (select count(*) from eventing.outbox_set_aside where lane = any ($1)) as "set_aside!""#,
        &numbers,
        &seqs,
        &releases,
        DEPTH_BOUND,
    )
    .fetch_one(db)
    .await?;
    Ok(Glance {
        depth: found.depth + found.blocked,
        oldest_at: found.oldest_at.map(jiff_sqlx::Timestamp::to_jiff),
        set_aside: found.set_aside,
    })
}

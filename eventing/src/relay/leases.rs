//! Who relays which lane: leases in `eventing.outbox_lanes`, which run out by the database's clock.
//!
//! Every replica's relay has a name of its own, [`renew`]s its leases, and knows from the [`census`] how many others there are,
//! hence what its [`share`] is. One that has more gives lanes up, one that has less takes lanes that nobody holds. Nobody
//! takes a lane that is held: a replica that joins waits for the others to make room.
//!
//! What a newcomer gets wrong: a lease protects no row. A relay may believe in a lease that ran out long ago, because its
//! process was paused or its connection cut. So each statement that changes rows of a lane ([`mark`], and its like) checks owner
//! and epoch itself, and holds the lane's row meanwhile with a lock that keeps the lane from being taken (`for key share`; the
//! migration says why it does not keep it from being renewed).

use std::time::Duration;

use sqlx::PgExecutor;
use sqlx::postgres::types::PgInterval;
use uuid::Uuid;

use crate::outbox::{LANES, Lane};

/// How long a lease lasts. A dead relay's lanes are free after so long, and another one looks every [`RENEW_EVERY`].
pub const LEASE: Duration = Duration::from_secs(3);
/// How often leases are renewed, and lanes taken and given up. A statement may be late several times before a lease runs out.
pub const RENEW_EVERY: Duration = Duration::from_millis(700);
/// A relay that was not heard of for so long leaves no trace.
const FORGOTTEN_AFTER: Duration = Duration::from_mins(1);
/// The channel on which a sleeping relay hears of events.
pub const EVENTS_CHANNEL: &str = "eventing_outbox";
/// The channel on which relays hear that lanes became free, or that they should make room.
pub const LANES_CHANNEL: &str = "eventing_outbox_lanes";

/// The right to relay a lane, as long as nobody has taken it since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Which lane.
    pub lane: Lane,
    /// How often the lane was taken, this time included.
    pub epoch: i64,
}

/// Who is alive and what is free, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Census {
    /// The relays that are alive, in the order of their names.
    pub relays: Vec<Uuid>,
    /// How many lanes nobody holds.
    pub without_owner: usize,
}

/// How many lanes a relay is to have: all relays the same, and the first ones one more if that leaves a rest.
///
/// One that is not alive has no share.
pub fn share(relays: &[Uuid], relay: Uuid) -> usize {
    let Some(rank) = relays.iter().position(|alive| *alive == relay) else {
        return 0;
    };
    LANES / relays.len() + usize::from(rank < LANES % relays.len())
}

/// Shows that the relay is alive, and renews its leases in the same statement. Returns those that hold.
///
/// A lease that ran out and that nobody took holds on: no other relay has touched the lane.
pub async fn renew(
    db: impl PgExecutor<'_>,
    relay: Uuid,
    leases: &[Lease],
    lasting: Duration,
) -> sqlx::Result<Vec<Lease>> {
    let (lanes, epochs): (Vec<i16>, Vec<i64>) = leases
        .iter()
        .map(|lease| (lease.lane.number(), lease.epoch))
        .unzip();
    let renewed = sqlx::query!(
        "with alive as (
             insert into eventing.outbox_relays (relay, expires_at) values ($1, clock_timestamp() + $4)
             on conflict (relay) do update set expires_at = excluded.expires_at
         ), forgotten as (
             delete from eventing.outbox_relays where expires_at < clock_timestamp() - $5::interval and relay <> $1
         )
         update eventing.outbox_lanes as lanes set expires_at = clock_timestamp() + $4
         from unnest($2::smallint[], $3::bigint[]) as held (lane, epoch)
         where lanes.lane = held.lane and lanes.epoch = held.epoch and lanes.owner = $1
         returning lanes.lane, lanes.epoch",
        relay,
        &lanes,
        &epochs,
        interval(lasting),
        interval(FORGOTTEN_AFTER),
    )
    .fetch_all(db)
    .await?;
    Ok(renewed
        .into_iter()
        .filter_map(|row| lease(row.lane, row.epoch))
        .collect())
}

/// Looks who is alive and what is free.
pub async fn census(db: impl PgExecutor<'_>) -> sqlx::Result<Census> {
    let found = sqlx::query!(
        r#"select array(select relay from eventing.outbox_relays where expires_at > clock_timestamp() order by relay) as "relays!",
                  (select count(*) from eventing.outbox_lanes
                   where owner is null or expires_at <= clock_timestamp()) as "without_owner!""#,
    )
    .fetch_one(db)
    .await?;
    Ok(Census {
        relays: found.relays,
        without_owner: usize::try_from(found.without_owner).unwrap_or_default(),
    })
}

/// Takes up to `count` lanes that nobody holds, except those in `but`.
///
/// It waits for nobody: a lane in which a statement of its last owner is still at work is left for the next time.
pub async fn take(
    db: impl PgExecutor<'_>,
    relay: Uuid,
    count: usize,
    but: &[Lane],
    lasting: Duration,
) -> sqlx::Result<Vec<Lease>> {
    let but: Vec<i16> = but.iter().map(|lane| lane.number()).collect();
    let taken = sqlx::query!(
        "update eventing.outbox_lanes as lanes
         set owner = $1, epoch = epoch + 1, expires_at = clock_timestamp() + $4, asleep = false
         from (
             select lane from eventing.outbox_lanes
             where (owner is null or expires_at <= clock_timestamp()) and lane <> all ($3)
             order by lane
             limit $2
             for update skip locked
         ) as free
         where lanes.lane = free.lane
         returning lanes.lane, lanes.epoch",
        relay,
        i64::try_from(count).unwrap_or(i64::MAX),
        &but,
        interval(lasting),
    )
    .fetch_all(db)
    .await?;
    Ok(taken
        .into_iter()
        .filter_map(|row| lease(row.lane, row.epoch))
        .collect())
}

/// Gives a lane back, if it is still ours, and tells the other relays.
pub async fn give_back(db: impl PgExecutor<'_>, relay: Uuid, lease: Lease) -> sqlx::Result<()> {
    sqlx::query!(
        "with given as (
             update eventing.outbox_lanes set owner = null, asleep = false
             where lane = $1 and owner = $2 and epoch = $3
             returning lane
         )
         select pg_notify($4, '') from given",
        lease.lane.number(),
        relay,
        lease.epoch,
        LANES_CHANNEL,
    )
    .fetch_all(db)
    .await?;
    Ok(())
}

/// Gives everything back that a relay still has, and its place among those alive.
pub async fn leave(db: impl PgExecutor<'_>, relay: Uuid) -> sqlx::Result<()> {
    sqlx::query!(
        "with given as (
             update eventing.outbox_lanes set owner = null, asleep = false where owner = $1
         ), gone as (
             delete from eventing.outbox_relays where relay = $1
         )
         select pg_notify($2, '')",
        relay,
        LANES_CHANNEL,
    )
    .fetch_all(db)
    .await?;
    Ok(())
}

/// Tells the other relays that there is one more, so that they make room.
pub(super) async fn announce(db: impl PgExecutor<'_>) -> sqlx::Result<()> {
    sqlx::query!("select pg_notify($1, '')", LANES_CHANNEL)
        .fetch_all(db)
        .await?;
    Ok(())
}

/// Says whether a relay's lanes want to be notified of events.
pub(super) async fn set_asleep(db: impl PgExecutor<'_>, relay: Uuid, is_asleep: bool) -> sqlx::Result<()> {
    sqlx::query!(
        "update eventing.outbox_lanes set asleep = $2 where owner = $1 and asleep <> $2",
        relay,
        is_asleep,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Wakes the relays of these lanes that are asleep, wherever they are.
pub(super) async fn notify(db: impl PgExecutor<'_>, lanes: &[Lane]) -> sqlx::Result<()> {
    let lanes: Vec<i16> = lanes.iter().map(|lane| lane.number()).collect();
    sqlx::query!(
        "select pg_notify($1, lane::text) from eventing.outbox_lanes where lane = any ($2) and asleep",
        EVENTS_CHANNEL,
        &lanes,
    )
    .fetch_all(db)
    .await?;
    Ok(())
}

/// Marks rows of a lane as published, which is to delete them. Returns how many were still there: none once the lease is over.
pub async fn mark(
    db: impl PgExecutor<'_>,
    relay: Uuid,
    lease: Lease,
    published: &[i64],
) -> sqlx::Result<u64> {
    let marked = sqlx::query!(
        "with lease as materialized (
             select from eventing.outbox_lanes where lane = $1 and owner = $2 and epoch = $3 for key share
         )
         delete from eventing.outbox where lane = $1 and seq = any ($4) and exists (select from lease)",
        lease.lane.number(),
        relay,
        lease.epoch,
        published,
    )
    .execute(db)
    .await?;
    Ok(marked.rows_affected())
}

/// Whether a lease still holds.
pub(super) async fn holds(db: impl PgExecutor<'_>, relay: Uuid, lease: Lease) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (
               select from eventing.outbox_lanes where lane = $1 and owner = $2 and epoch = $3
           ) as "holds!""#,
        lease.lane.number(),
        relay,
        lease.epoch,
    )
    .fetch_one(db)
    .await
}

fn lease(lane: i16, epoch: i64) -> Option<Lease> {
    Lane::numbered(lane).map(|lane| Lease { lane, epoch })
}

fn interval(duration: Duration) -> PgInterval {
    PgInterval {
        months: 0,
        days: 0,
        microseconds: i64::try_from(duration.as_micros()).unwrap_or(i64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_fair_and_leave_no_lane_out() {
        for count in 1..=12_u128 {
            let relays: Vec<Uuid> = (0..count).map(Uuid::from_u128).collect();
            let shares: Vec<usize> = relays.iter().map(|relay| share(&relays, *relay)).collect();
            let (least, most) = (shares.iter().min().unwrap(), shares.iter().max().unwrap());
            assert_eq!(
                (shares.iter().sum::<usize>(), most - least <= 1),
                (LANES, true),
                "{shares:?}"
            );
        }
        assert_eq!(share(&[], Uuid::nil()), 0);
    }
}

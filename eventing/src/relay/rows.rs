//! What an active relay does with the outbox's rows.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;

use super::floor::Floor;
use super::leader::{Leader, LeaderError, in_time};

/// A committed event that is not known to be on its topic.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) seq: i64,
    pub(super) topic: String,
    pub(super) key: String,
    pub(super) payload: Vec<u8>,
    pub(super) headers: Vec<u8>,
    pub(super) created_at: Timestamp,
    /// An earlier row of its aggregate is set aside.
    pub(super) blocked: bool,
}

/// The outbox at a glance.
#[derive(Clone, Copy, Debug)]
pub(super) struct Glance {
    /// Rows not yet published, blocked ones included; counted up to [`DEPTH_BOUND`].
    pub(super) depth: i64,
    pub(super) oldest_at: Option<Timestamp>,
    pub(super) set_aside: i64,
}

/// The depth is counted up to here: beyond, the exact figure tells nobody anything, and counting would take long.
const DEPTH_BOUND: i64 = 100_000;

impl Leader {
    /// The first rows in their order: at most `limit`, and no more once they are `max_bytes` together.
    ///
    /// It starts from the bottom every time and sees whatever is committed, so a row that commits late is not missed; the
    /// floor only spares it what cannot come back. Rows of an aggregate are numbered in the order of their commits (they are inserted under its lock), so whichever of them
    /// one snapshot shows are its first unsent ones, without a gap.
    pub(super) async fn read(
        &mut self,
        limit: i64,
        max_bytes: i64,
        held_topics: &[String],
        floor: Floor,
    ) -> Result<Vec<Row>, LeaderError> {
        let statement = sqlx::query!(
            r#"select seq as "seq!", topic as "topic!", key as "key!", payload as "payload!", headers as "headers!",
                      created_at as "created_at!", blocked as "blocked!"
               from (
                   select *,
                          exists (
                              select from eventing.outbox_set_aside as aside
                              where aside.topic = candidate.topic and aside.key = candidate.key
                          ) as blocked,
                          sum(octet_length(payload) + octet_length(headers))
                              over (order by seq rows between unbounded preceding and 1 preceding) as bytes_before
                   from eventing.outbox as candidate
                   where topic <> all ($1)
                     and seq > case (select releases from eventing.outbox_releases where only_row) when $4 then $5::bigint else 0 end
                   order by seq
                   limit $2
               ) as batch
               where coalesce(bytes_before, 0) < $3
               order by seq"#,
            held_topics,
            limit,
            max_bytes,
            floor.releases,
            floor.seq,
        )
        .fetch_all(&mut self.0);
        let rows = in_time(statement).await?;
        Ok(rows
            .into_iter()
            .map(|row| Row {
                seq: row.seq,
                topic: row.topic,
                key: row.key,
                payload: row.payload,
                headers: row.headers,
                created_at: row.created_at.to_jiff(),
                blocked: row.blocked,
            })
            .collect())
    }

    /// Marks rows as published, which is to delete them. Returns how many were still there.
    pub(super) async fn mark(&mut self, published: &[i64]) -> Result<u64, LeaderError> {
        let statement =
            sqlx::query!("delete from eventing.outbox where seq = any ($1)", published).execute(&mut self.0);
        Ok(in_time(statement).await?.rows_affected())
    }

    /// Sets a row aside, which blocks its aggregate until an operator decides.
    pub(super) async fn set_aside(
        &mut self,
        row: &Row,
        reason: &str,
        now: Timestamp,
    ) -> Result<(), LeaderError> {
        let statement = sqlx::query!(
            "with taken as (
                 delete from eventing.outbox where seq = $1 returning *
             ), blocked as (
                 insert into eventing.outbox_blocked (seq, topic, key, sequence, payload, headers, created_at)
                 select seq, topic, key, sequence, payload, headers, created_at from taken
             )
             insert into eventing.outbox_set_aside (seq, topic, key, reason, set_aside_at)
             select seq, topic, key, $2, $3 from taken",
            row.seq,
            reason,
            now.to_sqlx() as _,
        )
        .execute(&mut self.0);
        in_time(statement).await?;
        Ok(())
    }

    /// Takes rows of blocked aggregates out of the way.
    ///
    /// The lock on the mark makes this and an operator's decision exclude each other: a row that is taken here finds its
    /// way back with the others, and once they went back no row of theirs is taken any more.
    pub(super) async fn take_blocked(&mut self, seqs: &[i64]) -> Result<(), LeaderError> {
        let statement = sqlx::query!(
            "with aside as (
                 select topic, key from eventing.outbox_set_aside
                 where (topic, key) in (select topic, key from eventing.outbox where seq = any ($1))
                 for share
             ), taken as (
                 delete from eventing.outbox as row using aside
                 where row.seq = any ($1) and row.topic = aside.topic and row.key = aside.key
                 returning row.*
             )
             insert into eventing.outbox_blocked (seq, topic, key, sequence, payload, headers, created_at)
             select seq, topic, key, sequence, payload, headers, created_at from taken",
            seqs,
        )
        .execute(&mut self.0);
        in_time(statement).await?;
        Ok(())
    }

    /// Looks how much there is to do.
    pub(super) async fn glance(&mut self, floor: Floor) -> Result<Glance, LeaderError> {
        let statement = sqlx::query!(
            r#"with start as (
                   select case (select releases from eventing.outbox_releases where only_row)
                              when $1 then $2::bigint else 0 end as seq
               )
               select
                   (select count(*) from (
                       select from eventing.outbox where seq > (select seq from start) limit $3
                   ) as counted) as "depth!",
                   (select count(*) from eventing.outbox_blocked) as "blocked!",
                   least(
                       (select created_at from eventing.outbox where seq > (select seq from start) order by seq limit 1),
                       (select min(created_at) from eventing.outbox_blocked)
                   ) as oldest_at,
                   (select count(*) from eventing.outbox_set_aside) as "set_aside!""#,
            floor.releases,
            floor.seq,
            DEPTH_BOUND,
        )
        .fetch_one(&mut self.0);
        let found = in_time(statement).await?;
        Ok(Glance {
            depth: found.depth + found.blocked,
            oldest_at: found.oldest_at.map(jiff_sqlx::Timestamp::to_jiff),
            set_aside: found.set_aside,
        })
    }
}

//! What the owner of a lane does with its rows.

use std::collections::HashSet;

use futures::TryStreamExt as _;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::PgConnection;
use uuid::Uuid;

use super::connection::{ConnectionError, in_time};
use super::floor::Floor;
use super::leases::{self, Lease};

/// A committed event that is not known to be on its topic.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) seq: i64,
    pub(super) topic: String,
    pub(super) key: String,
    pub(super) payload: Vec<u8>,
    pub(super) headers: Vec<u8>,
    pub(super) created_at: Timestamp,
}

/// What one read found.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) rows: Vec<Row>,
    /// A bound was reached, so there may be more.
    pub(super) is_cut: bool,
}

impl Batch {
    /// Keeps the first row of each aggregate, and answers those behind them, in their order.
    ///
    /// Until the first one is acknowledged, no other of its aggregate may be under way: of a producer that it has not met a broker
    /// takes whatever sequence comes first. With several requests under way the first one may get lost, as it does when a
    /// partition's leader changes, and the one behind it be taken in its place. Once one is acknowledged, the partition has
    /// met the producer, and refuses a gap.
    pub(super) fn split_off_behind(&mut self) -> Vec<Row> {
        let mut met = HashSet::with_capacity(self.rows.len());
        let is_first: Vec<bool> = self.rows.iter().map(|row| met.insert(row.aggregate())).collect();
        let mut is_first = is_first.into_iter();
        let (first, behind) = std::mem::take(&mut self.rows)
            .into_iter()
            .partition(|_| is_first.next().unwrap_or(false));
        self.rows = first;
        behind
    }
}

/// What bounds one read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) rows: usize,
    /// No further row is kept once those before are so many bytes together.
    pub(super) bytes: usize,
}

impl Row {
    fn bytes(&self) -> usize {
        self.payload.len() + self.headers.len() + self.key.len()
    }

    pub(super) fn aggregate(&self) -> (&str, &str) {
        (&self.topic, &self.key)
    }
}

/// A lane's rows, as long as the lease holds.
#[derive(Debug)]
pub(super) struct Rows {
    connection: PgConnection,
    relay: Uuid,
    lease: Lease,
}

impl Rows {
    pub(super) fn new(connection: PgConnection, relay: Uuid, lease: Lease) -> Self {
        Self {
            connection,
            relay,
            lease,
        }
    }

    pub(super) async fn close(self) {
        super::connection::close(self.connection).await;
    }

    /// The first rows of the lane in their order.
    ///
    /// It starts from the bottom every time and sees whatever is committed, so a row that commits late is not missed; the
    /// floor only spares it what cannot come back. Rows of an aggregate are numbered in the order of their commits (they are
    /// inserted under its lock), so whichever of them one snapshot shows are its first unsent ones, without a gap. Without the
    /// lease there are none, which spares others our duplicates. Those that `were_sent` are passed over.
    pub(super) async fn read(
        &mut self,
        bounds: Bounds,
        held_topics: &[String],
        floor: Floor,
        were_sent: &[i64],
    ) -> Result<Batch, ConnectionError> {
        let mut found = sqlx::query!(
            "select seq, topic, key, payload, headers, created_at
             from eventing.outbox
             where lane = $1
               and seq > (
                   select case when releases = $4 then $5::bigint else 0 end
                   from eventing.outbox_lanes as lanes
                   where lanes.lane = $1 and owner = $2 and epoch = $3
               )
               and topic <> all ($6)
             order by seq
             limit $7",
            self.lease.lane.number(),
            self.relay,
            self.lease.epoch,
            floor.releases,
            floor.seq,
            held_topics,
            i64::try_from(bounds.rows + were_sent.len()).unwrap_or(i64::MAX),
        )
        .fetch(&mut self.connection);
        let mut batch = Batch::default();
        let mut bytes = 0;
        in_time(async {
            while let Some(row) = found.try_next().await? {
                // The rest is read and dropped, which is rare, and bounds our memory without a sum over every batch.
                if bytes >= bounds.bytes {
                    batch.is_cut = true;
                } else if !were_sent.contains(&row.seq) {
                    let row = Row {
                        seq: row.seq,
                        topic: row.topic,
                        key: row.key,
                        payload: row.payload,
                        headers: row.headers,
                        created_at: row.created_at.to_jiff(),
                    };
                    bytes += row.bytes();
                    batch.rows.push(row);
                }
            }
            Ok(())
        })
        .await?;
        batch.is_cut |= batch.rows.len() >= bounds.rows;
        Ok(batch)
    }

    /// Marks rows as published, which is to delete them. Returns how many were still there: none once the lease is over.
    pub(super) async fn mark(&mut self, published: &[i64]) -> Result<u64, ConnectionError> {
        in_time(leases::mark(
            &mut self.connection,
            self.relay,
            self.lease,
            published,
        ))
        .await
    }

    pub(super) async fn is_ours(&mut self) -> Result<bool, ConnectionError> {
        in_time(leases::holds(&mut self.connection, self.relay, self.lease)).await
    }

    /// Sets a row aside, which blocks its aggregate until an operator decides. Tells whether the lease allowed it.
    pub(super) async fn set_aside(
        &mut self,
        row: &Row,
        reason: &str,
        now: Timestamp,
    ) -> Result<bool, ConnectionError> {
        let statement = sqlx::query!(
            "with lease as materialized (
                 select from eventing.outbox_lanes where lane = $1 and owner = $2 and epoch = $3 for key share
             ), taken as (
                 delete from eventing.outbox where lane = $1 and seq = $4 and exists (select from lease) returning *
             ), blocked as (
                 insert into eventing.outbox_blocked (lane, seq, topic, key, sequence, payload, headers, created_at)
                 select lane, seq, topic, key, sequence, payload, headers, created_at from taken
             )
             insert into eventing.outbox_set_aside (lane, seq, topic, key, reason, set_aside_at)
             select lane, seq, topic, key, $5, $6 from taken",
            self.lease.lane.number(),
            self.relay,
            self.lease.epoch,
            row.seq,
            reason,
            now.to_sqlx() as _,
        )
        .execute(&mut self.connection);
        Ok(in_time(statement).await?.rows_affected() > 0)
    }

    /// Whether any aggregate of the lane is blocked.
    pub(super) async fn is_any_blocked(&mut self) -> Result<bool, ConnectionError> {
        let statement = sqlx::query_scalar!(
            r#"select exists (select from eventing.outbox_set_aside where lane = $1) as "any!""#,
            self.lease.lane.number(),
        )
        .fetch_one(&mut self.connection);
        in_time(statement).await
    }

    /// Which of these rows belong to blocked aggregates.
    pub(super) async fn blocked_among(&mut self, rows: &[Row]) -> Result<Vec<i64>, ConnectionError> {
        let seqs: Vec<i64> = rows.iter().map(|row| row.seq).collect();
        let topics: Vec<String> = rows.iter().map(|row| row.topic.clone()).collect();
        let keys: Vec<String> = rows.iter().map(|row| row.key.clone()).collect();
        let statement = sqlx::query_scalar!(
            r#"select row.seq as "seq!"
               from unnest($1::bigint[], $2::text[], $3::text[]) as row (seq, topic, key)
               join eventing.outbox_set_aside as aside on aside.topic = row.topic and aside.key = row.key"#,
            &seqs,
            &topics,
            &keys,
        )
        .fetch_all(&mut self.connection);
        in_time(statement).await
    }

    /// Takes rows of blocked aggregates out of the way.
    ///
    /// The lock on the mark makes this and an operator's decision exclude each other: a row that is taken here finds its
    /// way back with the others, and once they went back no row of theirs is taken any more.
    pub(super) async fn take_blocked(&mut self, seqs: &[i64]) -> Result<(), ConnectionError> {
        let statement = sqlx::query!(
            "with lease as materialized (
                 select from eventing.outbox_lanes where lane = $1 and owner = $2 and epoch = $3 for key share
             ), aside as (
                 select topic, key from eventing.outbox_set_aside
                 where (topic, key) in (select topic, key from eventing.outbox where lane = $1 and seq = any ($4))
                   and exists (select from lease)
                 for share
             ), taken as (
                 delete from eventing.outbox as row using aside
                 where row.lane = $1 and row.seq = any ($4) and row.topic = aside.topic and row.key = aside.key
                 returning row.*
             )
             insert into eventing.outbox_blocked (lane, seq, topic, key, sequence, payload, headers, created_at)
             select lane, seq, topic, key, sequence, payload, headers, created_at from taken",
            self.lease.lane.number(),
            self.relay,
            self.lease.epoch,
            seqs,
        )
        .execute(&mut self.connection);
        in_time(statement).await?;
        Ok(())
    }
}

//! The ceilings of the consumers: the same rows into the same tables, without Kafka, decoding and promises.

use std::time::Instant;

use anyhow::Result;
use eventing::consumer::CopiedRows;
use schemas::DomainEvent as _;
use schemas::payment::PaymentEvent;
use serde_json::json;
use sqlx::{Acquire as _, PgConnection, PgPool};
use tokio::task::JoinSet;

use super::{Place, found, ready, runtime};
use crate::commands::consume::{BATCH_ROWS, WORKERS};
use crate::load::events::event;
use crate::load::tables::{self, Booked};

/// Rows of one transaction.
const UNNEST_ROWS: usize = 500;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[arg(long)]
    kind: Kind,
    #[arg(long)]
    events: u64,
}

/// Which ceiling.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Kind {
    /// UNNEST of 500 rows with their watermarks, on as many connections as the group has workers.
    Unnest,
    /// Binary COPY on one connection.
    Copy,
}

impl Arguments {
    pub(super) fn run(self, place: &Place) -> Result<()> {
        let runtime = runtime("ceiling")?;
        let events = (0..self.events)
            .map(|number| event(number, self.events))
            .collect::<Result<Vec<_>>>()?;
        let seconds = match self.kind {
            Kind::Unnest => {
                let pool = runtime.block_on(place.pool(u32::try_from(WORKERS)?))?;
                let shares = shares(events);
                ready()?;
                let begun = Instant::now();
                runtime.block_on(unnest(&pool, shares))?;
                begun.elapsed()
            }
            Kind::Copy => {
                let pool = runtime.block_on(place.pool(1))?;
                ready()?;
                let begun = Instant::now();
                runtime.block_on(copy(&pool, &events))?;
                begun.elapsed()
            }
        };
        found(&json!({ "seconds": seconds.as_secs_f64() }))
    }
}

/// Each connection has aggregates of its own, as each worker has.
fn shares(events: Vec<PaymentEvent>) -> Vec<Vec<PaymentEvent>> {
    let mut shares: Vec<Vec<PaymentEvent>> = (0..WORKERS).map(|_| Vec::new()).collect();
    for event in events {
        // The last bits of the aggregate's number.
        let share = usize::from(event.payment_no.uuid().as_bytes()[15]) % WORKERS;
        shares[share].push(event);
    }
    shares
}

async fn unnest(pool: &PgPool, shares: Vec<Vec<PaymentEvent>>) -> Result<()> {
    let mut connections = JoinSet::new();
    for share in shares {
        let pool = pool.clone();
        connections.spawn(async move {
            let mut connection = pool.acquire().await?;
            for batch in share.chunks(UNNEST_ROWS) {
                book(&mut connection, batch).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = connections.join_next().await {
        done??;
    }
    Ok(())
}

/// Rows and watermarks in one transaction.
async fn book(connection: &mut PgConnection, batch: &[PaymentEvent]) -> Result<()> {
    let mut rows = Booked::default();
    let mut watermarks = std::collections::BTreeMap::new();
    for event in batch {
        rows.push(event);
        watermarks.insert(event.aggregate_key(), event.sequence);
    }
    let (keys, sequences): (Vec<String>, Vec<i64>) = watermarks.into_iter().unzip();
    let mut tx = connection.begin().await?;
    rows.insert(&mut tx).await?;
    sqlx::query(
        "insert into watermark_ceiling select * from unnest($1::text[], $2::bigint[])
         on conflict (key) do update set last_sequence = excluded.last_sequence",
    )
    .bind(keys)
    .bind(sequences)
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(())
}

async fn copy(pool: &PgPool, events: &[PaymentEvent]) -> Result<()> {
    let mut connection = pool.acquire().await?;
    let mut offset = 0;
    for batch in events.chunks(BATCH_ROWS) {
        let mut rows = CopiedRows::default();
        for event in batch {
            let place = tables::Place {
                partition: 0,
                offset,
                recorded_at: event.occurred_at,
            };
            tables::widen(&mut rows, event, place)?;
            offset += 1;
        }
        let mut copy = connection
            .copy_in_raw("copy wide from stdin (format binary)")
            .await?;
        copy.send(rows.into_bytes()).await?;
        copy.finish().await?;
    }
    Ok(())
}

//! What the statistics are added up from.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::PgPool;

use crate::domain::scope::Scope;
use crate::domain::stats::{Group, Interval};
use schemas::MerchantId;

/// Which payments to count, by when they were first seen.
#[derive(Debug, Clone)]
pub struct Window {
    /// First instant.
    pub start: Timestamp,
    /// First instant behind it.
    pub end: Timestamp,
    /// Width of the series' intervals.
    pub interval: Interval,
    /// Only this channel.
    pub channel: Option<String>,
}

/// The payments of a scope and window, grouped.
pub async fn groups(pool: &PgPool, scope: Scope, window: &Window) -> Result<Vec<Group>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select (extract(epoch from date_bin(make_interval(secs => $4), first_seen_at, timestamptz 'epoch'))::bigint
                      * 1000) as "start_ms!",
                  channel, currency, status, count(*) as "payments!", sum(amount)::text as "amount!",
                  sum(amount_refunded)::text as "amount_refunded!"
           from payments
           where ($1::uuid is null or merchant_id = $1)
             and first_seen_at >= $2 and first_seen_at < $3
             and ($5::text is null or channel = $5)
           group by 1, 2, 3, 4"#,
        scope.merchant().map(MerchantId::uuid),
        window.start.to_sqlx() as _,
        window.end.to_sqlx() as _,
        f64::from(i32::try_from(window.interval.seconds()).unwrap_or(i32::MAX)),
        window.channel,
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Group {
                start_ms: row.start_ms,
                channel: row.channel,
                currency: row.currency,
                status: row.status,
                payments: row.payments,
                amount: wide(&row.amount)?,
                amount_refunded: wide(&row.amount_refunded)?,
            })
        })
        .collect()
}

/// A sum of bigints, which PostgreSQL gives as numeric.
fn wide(sum: &str) -> Result<i128, sqlx::Error> {
    sum.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))
}

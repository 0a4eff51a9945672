use jiff::Timestamp;
use jiff_sqlx::{Timestamp as SqlxTimestamp, ToSqlx as _};
use sqlx::PgConnection;

use crate::consumer::record::Record;
use crate::consumer::watermarks::Key;

/// An event that has to wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parking<'a> {
    pub(crate) key: Key<'a>,
    pub(crate) sequence: i64,
    pub(crate) record: &'a Record,
}

/// Parks events of locked aggregates in one statement. One that is parked already stays as it is.
pub(crate) async fn park_all(
    tx: &mut PgConnection,
    group: &str,
    parkings: &[Parking<'_>],
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    let records = || parkings.iter().map(|parking| parking.record);
    let places = || records().map(|record| &record.place);
    let headers = records().map(|record| record.headers.readable.to_bytes());
    let headers: Vec<Vec<u8>> = headers
        .collect::<Result<_, _>>()
        .map_err(|error| sqlx::Error::Encode(Box::new(error)))?;
    let recorded_at: Vec<SqlxTimestamp> = records().map(|record| record.recorded_at.to_sqlx()).collect();
    let tiers: Vec<i32> = records()
        .map(|record| i32::try_from(record.tier).unwrap_or(i32::MAX))
        .collect();
    sqlx::query!(
        "insert into eventing.parked (consumer_group, topic, key, sequence, read_topic, read_partition, read_offset, tier,
             recorded_at, record_key, payload, headers, parked_at)
         select $1, p.topic, p.key, p.sequence, p.read_topic, p.read_partition, p.read_offset, p.tier,
             p.recorded_at, p.record_key, p.payload, p.headers, $13
         from unnest($2::text[], $3::text[], $4::bigint[], $5::text[], $6::integer[], $7::bigint[], $8::integer[],
             $9::timestamptz[], $10::bytea[], $11::bytea[], $12::bytea[])
             as p (topic, key, sequence, read_topic, read_partition, read_offset, tier, recorded_at, record_key, payload, headers)
         on conflict on constraint parked_pkey do nothing",
        group,
        &parkings.iter().map(|parking| parking.key.0).collect::<Vec<_>>() as _,
        &parkings.iter().map(|parking| parking.key.1).collect::<Vec<_>>() as _,
        &parkings.iter().map(|parking| parking.sequence).collect::<Vec<_>>(),
        &places().map(|place| &*place.topic).collect::<Vec<_>>() as _,
        &places().map(|place| place.partition).collect::<Vec<_>>(),
        &places().map(|place| place.offset).collect::<Vec<_>>(),
        &tiers,
        &recorded_at as _,
        &records().map(|record| record.key.as_deref()).collect::<Vec<_>>() as _,
        &records().map(|record| record.payload.as_deref()).collect::<Vec<_>>() as _,
        &headers,
        now.to_sqlx() as _,
    )
    .execute(tx)
    .await?;
    Ok(())
}

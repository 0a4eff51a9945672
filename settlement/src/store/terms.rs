//! Terms by merchant and time.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use schemas::ids::MerchantId;
use sqlx::PgConnection;

use super::{StoreError, corrupt};
use crate::domain::terms::Terms;

const TABLE: &str = "merchant_terms";

/// Terms that somebody set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TermsVersion {
    /// The price.
    pub terms: Terms,
    /// From when on, up to the next version.
    pub valid_from: Timestamp,
    /// The token subject of whoever set them.
    pub set_by: String,
    /// When they were set.
    pub set_at: Timestamp,
}

/// The terms in force for a merchant at that instant, if any were ever set for it.
pub async fn in_force(
    connection: &mut PgConnection,
    merchant_id: MerchantId,
    at: Timestamp,
) -> Result<Option<Terms>, StoreError> {
    let row = sqlx::query!(
        "select basis_points, fixed_minor from merchant_terms
         where merchant_id = $1 and valid_from <= $2
         order by valid_from desc, id desc limit 1",
        merchant_id.uuid(),
        at.to_sqlx() as _,
    )
    .fetch_optional(connection)
    .await?;
    row.map(|row| terms(row.basis_points, row.fixed_minor))
        .transpose()
}

/// Every version for a merchant, the latest first; at most `limit`.
pub async fn history(
    connection: &mut PgConnection,
    merchant_id: MerchantId,
    limit: i64,
) -> Result<Vec<TermsVersion>, StoreError> {
    let rows = sqlx::query!(
        "select basis_points, fixed_minor, valid_from, set_by, set_at from merchant_terms
         where merchant_id = $1 order by valid_from desc, id desc limit $2",
        merchant_id.uuid(),
        limit,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(TermsVersion {
                terms: terms(row.basis_points, row.fixed_minor)?,
                valid_from: row.valid_from.to_jiff(),
                set_by: row.set_by,
                set_at: row.set_at.to_jiff(),
            })
        })
        .collect()
}

/// Adds a version.
pub async fn add(
    connection: &mut PgConnection,
    merchant_id: MerchantId,
    version: &TermsVersion,
) -> Result<(), StoreError> {
    sqlx::query!(
        "insert into merchant_terms (merchant_id, valid_from, basis_points, fixed_minor, set_by, set_at)
         values ($1, $2, $3, $4, $5, $6)",
        merchant_id.uuid(),
        version.valid_from.to_sqlx() as _,
        i32::from(version.terms.basis_points()),
        version.terms.fixed_minor(),
        version.set_by,
        version.set_at.to_sqlx() as _,
    )
    .execute(connection)
    .await?;
    Ok(())
}

fn terms(basis_points: i32, fixed_minor: i64) -> Result<Terms, StoreError> {
    Terms::new(i64::from(basis_points), fixed_minor).map_err(|error| corrupt(TABLE, error))
}

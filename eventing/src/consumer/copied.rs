//! Many rows at once into a table whose unique key tells a repeated event, for the `flush` of an unordered group.
//!
//! COPY is several times as fast as any INSERT, and knows no `on conflict`. So rows are copied straight into the table, and when
//! one of them was there before, the same rows once more into a temporary table and from there, without those, into the table.
//! Repeated events come in a row (a member has died, a topic is read again), and an attempt that is cut off leaves dead rows
//! behind, so the next batches take the second way at once.

mod rows;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

pub use rows::{CopiedRows, TooLong};

use super::shortcut::Shortcut;

/// A table that rows are copied into. Its names are written into statements as they are, so they come from the program.
#[derive(Debug)]
pub struct CopiedInto {
    table: &'static str,
    /// The columns that each row has, in their order, separated by commas.
    columns: &'static str,
    /// Straight into the table.
    shortcut: Shortcut,
}

impl CopiedInto {
    /// The columns of a table, in the order of the rows' values. The others get their defaults.
    pub const fn new(table: &'static str, columns: &'static str) -> Self {
        Self {
            table,
            columns,
            shortcut: Shortcut::new(),
        }
    }

    /// Writes what is new of the rows, and answers how many that are. Rows that meet a unique key of the table, or of one
    /// another, are left out.
    pub async fn write(&self, tx: &mut PgConnection, rows: CopiedRows) -> Result<u64, sqlx::Error> {
        let bytes = rows.into_bytes();
        if self.shortcut.looks_open() {
            let mut attempt = tx.begin().await?;
            match copy(&mut attempt, self.table, self.columns, &bytes).await {
                Ok(copied) => {
                    attempt.commit().await?;
                    return Ok(copied);
                }
                Err(error) if is_unique_violation(&error) => attempt.rollback().await?,
                Err(error) => return Err(error),
            }
            self.shortcut.was_none();
        }
        self.write_staged(tx, &bytes).await
    }

    async fn write_staged(&self, tx: &mut PgConnection, bytes: &[u8]) -> Result<u64, sqlx::Error> {
        let (table, columns) = (self.table, self.columns);
        // It goes with the transaction, because a connection of a pool is everybody's.
        let create = format!(
            "create temporary table copied_rows on commit drop as select {columns} from {table} with no data"
        );
        sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut *tx).await?;
        copy(tx, "copied_rows", columns, bytes).await?;
        let insert = format!(
            "insert into {table} ({columns}) select {columns} from copied_rows on conflict do nothing; \
             drop table copied_rows"
        );
        let inserted = sqlx::raw_sql(AssertSqlSafe(insert)).execute(tx).await?;
        Ok(inserted.rows_affected())
    }
}

async fn copy(
    connection: &mut PgConnection,
    table: &str,
    columns: &str,
    bytes: &[u8],
) -> Result<u64, sqlx::Error> {
    let statement = format!("copy {table} ({columns}) from stdin (format binary)");
    let mut copy = connection.copy_in_raw(&statement).await?;
    copy.send(bytes).await?;
    copy.finish().await
}

fn is_unique_violation(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .is_some_and(sqlx::error::DatabaseError::is_unique_violation)
}

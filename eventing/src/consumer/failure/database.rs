use super::Kind;

/// Whose fault a database error is.
pub(super) fn kind(error: &sqlx::Error) -> Kind {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::BeginFailed => Kind::Infrastructure,
        sqlx::Error::Database(error) => error.code().map_or(Kind::Dead, |code| kind_of_state(&code)),
        _ => Kind::Dead,
    }
}

/// Whether a statement failed because of what another transaction did at the same time.
pub(super) fn is_lost_race(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(error) = error else {
        return false;
    };
    matches!(error.code().as_deref(), Some("40001" | "40P01" | "55P03"))
}

/// Whether a statement was refused because an earlier one of its transaction had failed.
pub(super) fn is_aborted_transaction(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(error) if error.code().as_deref() == Some("25P02"))
}

/// Whose fault an SQLSTATE is (PostgreSQL's appendix A).
fn kind_of_state(state: &str) -> Kind {
    match state {
        // Cancelled: the statement timeout is the handler's deadline.
        "57014" => Kind::Retry,
        // Lost a race, or waited too long for a lock: serialization failure, deadlock, lock not available.
        "40001" | "40P01" | "55P03"
        // A standby after a failover, or an idle transaction that was ended.
        | "25006" | "25P03"
        // A role, database, schema, table, column or function is missing, or a privilege: a deployment broke that, and every
        // record would fail.
        | "3D000" | "3F000" | "42P01" | "42703" | "42883" | "42501" => Kind::Infrastructure,
        _ => match state.get(..2) {
            // Connection; login; resources; shutdown and the like; the server's own system.
            Some("08" | "28" | "53" | "57" | "58" | "XX") => Kind::Infrastructure,
            _ => Kind::Dead,
        },
    }
}

/// What went wrong, without values: PostgreSQL quotes input in some of its messages.
pub(super) fn describe(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(error) => {
            let mut text = format!("postgresql error {}", error.code().unwrap_or_default());
            if let Some(constraint) = error.constraint() {
                text = format!("{text}, constraint {constraint}");
            }
            if let Some(table) = error.table() {
                text = format!("{text}, table {table}");
            }
            text
        }
        sqlx::Error::RowNotFound => "a row that was expected is not there".to_owned(),
        sqlx::Error::ColumnDecode { index, .. } => format!("column {index} cannot be decoded"),
        sqlx::Error::Decode(_) => "a value cannot be decoded".to_owned(),
        sqlx::Error::Encode(_) => "a value cannot be encoded".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_sorted_by_whose_fault_they_are() {
        for (state, kind) in [
            ("08006", Kind::Infrastructure),
            ("28000", Kind::Infrastructure),
            ("40001", Kind::Infrastructure),
            ("42P01", Kind::Infrastructure),
            ("53300", Kind::Infrastructure),
            ("55P03", Kind::Infrastructure),
            ("57P01", Kind::Infrastructure),
            ("57014", Kind::Retry),
            ("22003", Kind::Dead),
            ("23505", Kind::Dead),
            ("23514", Kind::Dead),
            ("25P02", Kind::Dead),
            ("42601", Kind::Dead),
        ] {
            assert_eq!(kind_of_state(state), kind, "{state}");
        }
    }
}

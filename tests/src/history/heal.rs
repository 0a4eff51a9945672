//! Waits until everything that was committed has come to its end.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::check::given_up;
use super::collect;
use super::model::Kind;
use super::operator::Operator;
use super::stage::{Stage, WRITERS, database_of};

/// As long as something moves, it is waited for; so long after the last move it is not.
const STANDSTILL: Duration = Duration::from_secs(90);
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Afterwards: what is applied once too often comes late.
const LINGER: Duration = Duration::from_secs(3);

/// What is left to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    outbox: i64,
    ordered: i64,
    unordered: i64,
    letters: usize,
    /// Records that are no events, and are in no letter of a group. Not known before there is nothing else.
    strays: Option<usize>,
}

impl Left {
    fn is_nothing(&self) -> bool {
        self.outbox == 0
            && self.ordered <= 0
            && self.unordered <= 0
            && self.strays.is_none_or(|left| left == 0)
    }
}

/// Waits for the end, and answers what never came to it.
pub async fn until_quiet(stage: &Stage, operators: &mut [Operator; 2]) -> Result<Option<String>> {
    let mut last: Option<Left> = None;
    let mut moved = Instant::now();
    loop {
        for operator in operators.iter_mut() {
            if let Err(error) = operator.attend(stage).await {
                stage.timeline.note(format!("the operator failed: {error:#}"));
            }
        }
        let left = left(stage, operators.iter().map(|operator| operator.decided).sum()).await?;
        if left.is_nothing() {
            tokio::time::sleep(LINGER).await;
            return Ok(None);
        }
        if last.as_ref() != Some(&left) {
            stage.timeline.note(format!(
                "left: {} in the outbox, {} and {} to apply, {} to announce; {} letters looked after",
                left.outbox,
                left.ordered,
                left.unordered,
                left.strays.map_or("some".to_owned(), |left| left.to_string()),
                left.letters
            ));
            moved = Instant::now();
        }
        if moved.elapsed() > STANDSTILL {
            return Ok(Some(format!(
                "nothing moved for {} s, and there is left: {left:?}",
                STANDSTILL.as_secs()
            )));
        }
        last = Some(left);
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn left(stage: &Stage, letters: usize) -> Result<Left> {
    let writers = stage.pool(WRITERS).await?;
    let outbox = sqlx::query_scalar("select count(*) from eventing.outbox")
        .fetch_one(&writers)
        .await?;
    let committed: Vec<(String, i64)> = sqlx::query_as("select key, sequence from committed")
        .fetch_all(&writers)
        .await?;
    let wanted = committed
        .iter()
        .filter(|(key, sequence)| !given_up(stage.seed(), key, *sequence))
        .count();
    let wanted = i64::try_from(wanted)?;
    let applied = async |kind| {
        let pool = stage.pool(database_of(kind)).await?;
        let applied: i64 = sqlx::query_scalar("select count(distinct event_id) from applied")
            .fetch_one(&pool)
            .await?;
        anyhow::Ok(applied)
    };
    let mut left = Left {
        outbox,
        ordered: wanted - applied(Kind::Ordered).await?,
        unordered: wanted - applied(Kind::Unordered).await?,
        letters,
        strays: None,
    };
    if left.is_nothing() {
        left.strays = Some(collect::unannounced(stage.brokers()).await?);
    }
    Ok(left)
}

//! Sorts rows out by whether their topic exists.

use std::collections::HashSet;
use std::time::Instant;

use super::{PublishError, Session};
use crate::relay::publisher::{Publisher, Refusal};
use crate::relay::rows::Row;
use crate::relay::topics::Verdict;

impl Session<'_> {
    /// Keeps the rows whose topic exists or is given up, and refuses the first row of each aggregate of the latter.
    pub(super) async fn sort_out(
        &mut self,
        publisher: &Publisher,
        rows: Vec<Row>,
    ) -> Result<(Vec<Row>, Vec<Refusal>), PublishError> {
        let new: HashSet<&str> = rows.iter().map(|row| row.topic.as_str()).collect();
        let new = new
            .into_iter()
            .filter(|topic| self.topics.is_due(topic, Instant::now()));
        let new: Vec<String> = new.map(str::to_owned).collect();
        self.ask_for(publisher, new).await?;

        let now = Instant::now();
        let rows: Vec<Row> = rows
            .into_iter()
            .filter(|row| self.topics.verdict(&row.topic, now) != Verdict::Hold)
            .collect();
        let mut blocked = HashSet::new();
        let refused = rows
            .iter()
            .enumerate()
            .filter(|(_, row)| self.topics.verdict(&row.topic, now) == Verdict::Refuse)
            .filter(|(_, row)| blocked.insert(row.aggregate()))
            .map(|(index, row)| Refusal {
                index,
                reason: format!("topic {} does not exist", self.shared.kafka.topic(&row.topic)),
            })
            .collect();
        Ok((rows, refused))
    }

    pub(super) async fn ask_for_held_topics(&mut self, publisher: &Publisher) -> Result<(), PublishError> {
        let now = Instant::now();
        let due = self
            .topics
            .held(now)
            .into_iter()
            .filter(|topic| self.topics.is_due(topic, now))
            .collect();
        self.ask_for(publisher, due).await
    }

    async fn ask_for(&mut self, publisher: &Publisher, topics: Vec<String>) -> Result<(), PublishError> {
        for topic in topics {
            let exists = publisher.topic_exists(&topic).await?;
            if !exists {
                tracing::warn!(topic, "the outbox holds rows for a topic that does not exist");
            }
            self.topics.learn(&topic, exists, Instant::now());
        }
        Ok(())
    }
}

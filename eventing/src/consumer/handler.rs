use std::future::Future;

use jiff::Timestamp;
use schemas::Event;
use sqlx::PgConnection;
use uuid::Uuid;

use super::failure::Failure;

/// What a consumer group does with its events.
///
/// The runtime takes what waits for a worker, up to [`ConsumerGroup::batch`](super::ConsumerGroup::batch) records, and runs them
/// as one micro-batch: `prepare` for each of them, several at once; then, in one transaction, `apply` for each in order, and
/// `flush` once. A handler writes where that suits it:
///
/// | kind | `Rows` | `apply` | `flush` |
/// |---|---|---|---|
/// | per record | `()` | runs its own SQL | left out |
/// | collecting | what it gathers, such as a `Vec` a table | runs what SQL it must, and pushes rows | writes them, one statement a table |
/// | batch | the same | pushes, and nothing else | COPY, or whatever takes them all at once |
///
/// # What it may rely on
///
/// - **All or nothing.** What a batch wrote is committed with the runtime's own bookkeeping, or rolled back. So `apply` and `flush`
///   neither commit nor roll back, and call nothing over the network; savepoints are fine. Nothing but `tx` and `rows` may
///   remember that they were called.
/// - **Once.** In an ordered group each event's writes are committed once, after those of its aggregate's earlier events, which may
///   be in the same batch: rows that those only pushed are not in the database yet. In an unordered group an event may come
///   again and in any order, and the handler's own unique keys have to tell.
/// - **Blame.** What `prepare` or `apply` fails with is that record's failure. The others are applied all the same: the batch is
///   rolled back, and those before and those behind it run again without it. What `flush` (or a deferred constraint) fails with
///   has no record's name on it, so the batch is bisected until it has. A failure that is nobody's fault
///   ([`Failure::infrastructure`]) holds the batch in place.
/// - **Deadlines.** Each call has the group's `handler_deadline` and may panic: both are a failure of that call.
///
/// # What it has to do
///
/// Bear repetition: any step may be called again for the same event, after a rollback, a crash or a rebalance. And touch rows
/// that several events share (a total, a merchant) in one order, because batches run side by side: sort them in `flush`. Batches
/// that meet in a deadlock are cut in two and run again, which is right, but slow.
pub trait Handler: Send + Sync + 'static {
    /// What `prepare` hands to `apply`; `()` when nothing is read from the network.
    type Prepared: Send + Sync;

    /// What `apply` gathers for `flush`, empty at a batch's beginning; `()` when `apply` writes everything itself.
    type Rows: Default + Send;

    /// Whether `prepare` has anything to read. Before it does, an ordered group looks up which events' turn it will most likely
    /// be, so that nothing is read for the others; for `false` it is called for all of them, and that statement is saved.
    const PREPARES: bool = true;

    /// Reads from the network what `apply` needs. It changes nothing, and runs outside any transaction: possibly before earlier
    /// events of the aggregate are applied, and once for several calls of `apply`.
    fn prepare(&self, delivery: &Delivery) -> impl Future<Output = Result<Self::Prepared, Failure>> + Send;

    /// Applies one event: writes to the database, or pushes what is to be written into `rows`.
    fn apply(
        &self,
        tx: &mut PgConnection,
        rows: &mut Self::Rows,
        delivery: &Delivery,
        prepared: &Self::Prepared,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Writes what was gathered, after the batch's last `apply` and before its commit.
    fn flush(
        &self,
        tx: &mut PgConnection,
        rows: Self::Rows,
    ) -> impl Future<Output = Result<(), Failure>> + Send {
        let _ = (tx, rows);
        async { Ok(()) }
    }
}

/// An event as a handler gets it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Delivery {
    /// What happened. Never of a type that this version does not know, and never a withheld one.
    pub event: Event,
    /// The domain topic, also when the record came through a retry tier.
    pub topic: String,
    /// The partition of the original record on that topic.
    pub partition: i32,
    /// The offset of the original record on that topic.
    pub offset: i64,
    /// Kafka's timestamp of the original record.
    pub recorded_at: Timestamp,
    /// The aggregate's id.
    pub key: String,
    /// The event's number within its aggregate: dense, from 1.
    pub sequence: i64,
    /// Which attempt this is; 1 at first.
    pub attempt: u32,
    /// Set when an operator replays a dead letter.
    pub replay: Option<Replay>,
}

impl Delivery {
    /// A first delivery of `event`, for a handler's own tests.
    pub fn sample(topic: impl Into<String>, event: Event) -> Self {
        Self {
            topic: topic.into(),
            partition: 0,
            offset: 0,
            recorded_at: event.occurred_at(),
            key: event.aggregate_key(),
            sequence: event.sequence(),
            attempt: 1,
            replay: None,
            event,
        }
    }
}

/// Which replay a record belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replay {
    /// The job in which an operator asked for it.
    pub job: Uuid,
    /// The dead letter's id: its partition and offset on the dead-letter topic, as in `3-17`.
    pub letter: String,
}

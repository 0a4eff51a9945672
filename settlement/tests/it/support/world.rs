//! The service as a test has it.

use std::sync::Arc;

use eventing::{Clock, Outbox, SchemaRegistry};
use jiff::SignedDuration;
use platform::client::{Client, Settings};
use schemas::catalogue::{self, TOPICS};
use schemas::codec;
use schemas::ids::MerchantId;
use settlement::clients::bank::Bank;
use settlement::consumers::payment_events::PaymentEvents;
use settlement::domain::terms::Terms;
use settlement::http::{self, App};
use settlement::payouts::{Payouts, Schedule};
use sqlx::Row as _;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::address;
use super::bank::API_KEY;
use super::database::Database;
use super::issuers::Issuers;
use super::outside::Outside;

pub(crate) const WEBHOOK_SECRET: &str = "bwhsec_test";

/// Now, in every test, until it moves the clock.
pub(crate) const NOW: &str = "2026-03-10T12:00:00Z";

pub(crate) struct World {
    pub(crate) database: Database,
    pub(crate) outside: Outside,
    pub(crate) clock: Clock,
    pub(crate) handler: PaymentEvents,
    pub(crate) payouts: Payouts,
    pub(crate) app: axum::Router,
    pub(crate) merchant_id: MerchantId,
}

impl World {
    pub(crate) async fn new() -> Self {
        let (database, outside) = tokio::join!(Database::create(), Outside::start());
        let clock = Clock::stopped_at(NOW.parse().unwrap());
        let terms = Terms::new(290, 30).unwrap();
        let registry = registry(&database).await;
        let outbox = Outbox::load("settlement", &registry, clock.clone())
            .await
            .unwrap();
        let payouts = payouts(&database, &outbox, &clock, &outside.bank_url());
        let app = http::public(App {
            pool: database.pool.clone(),
            outbox,
            clock: clock.clone(),
            payouts: payouts.clone(),
            tokens: Issuers::verifier(&outside.url, &clock),
            default_terms: terms,
            webhook_secret: Arc::new(WEBHOOK_SECRET.into()),
        });
        let app = platform::http::guard(app, platform::config::Limits::default());
        let handler = PaymentEvents::new(clock.clone(), terms);
        Self {
            database,
            outside,
            clock,
            handler,
            payouts,
            app,
            merchant_id: MerchantId::generate(),
        }
    }

    /// The worker of another replica, or one that calls another bank.
    pub(crate) async fn other_worker(&self, bank: &Url) -> Payouts {
        let registry = registry(&self.database).await;
        let outbox = Outbox::load("settlement", &registry, self.clock.clone())
            .await
            .unwrap();
        payouts(&self.database, &outbox, &self.clock, bank)
    }

    /// One round of the payout worker.
    pub(crate) async fn work(&self) {
        self.payouts.round(&CancellationToken::new()).await.unwrap();
    }

    /// Lets time pass, and the worker do what is due then.
    pub(crate) async fn work_after(&self, pause: SignedDuration) {
        self.clock.advance(pause);
        self.work().await;
    }

    /// What the world was told about an aggregate: sequence and event type.
    pub(crate) async fn told(&self, key: &str) -> Vec<(i64, &'static str)> {
        let rows =
            sqlx::query("select topic, sequence, payload from eventing.outbox where key = $1 order by seq")
                .bind(key)
                .fetch_all(&self.database.pool)
                .await
                .unwrap();
        let told = |row: &sqlx::postgres::PgRow| {
            let topic: String = row.get("topic");
            let payload: Vec<u8> = row.get("payload");
            let (_, body) = codec::unframe(&payload).unwrap();
            let event = codec::decode(&topic, catalogue::topic(&topic).unwrap().avro(), body).unwrap();
            (row.get("sequence"), event.event_type())
        };
        rows.iter().map(told).collect()
    }

    pub(crate) async fn count(&self, question: &'static str) -> i64 {
        sqlx::query_scalar(question)
            .fetch_one(&self.database.pool)
            .await
            .unwrap()
    }

    /// What must hold whatever happened.
    pub(crate) async fn assert_books_are_in_order(&self) {
        let unbalanced = "select count(*) from (
            select 1 from ledger_entries group by transaction_id, currency having sum(amount) <> 0) wrong";
        assert_eq!(
            self.count(unbalanced).await,
            0,
            "transactions that do not balance"
        );
        // What is owed is what no settlement has taken, or one has that was not executed.
        let astray = "select count(*) from (
            select merchant_id, currency, sum(amount) from ledger_entries
            where account = 'merchant_payable' group by 1, 2
            except
            select entry.merchant_id, entry.currency,
                coalesce(sum(entry.amount) filter (where line.settlement_no is null or settlement.withdrawal_no is null), 0)
            from ledger_entries entry join settlement_lines line on line.entry_id = entry.id
            left join settlements settlement on settlement.id = line.settlement_no group by 1, 2) wrong";
        assert_eq!(
            self.count(astray).await,
            0,
            "payables that no settlement explains"
        );
        let wrong_sums = "select count(*) from settlements where status <> 'rejected' and net_amount <> (
            select -sum(entry.amount) from settlement_lines line join ledger_entries entry on entry.id = line.entry_id
            where line.settlement_no = settlements.id)";
        assert_eq!(
            self.count(wrong_sums).await,
            0,
            "settlements whose lines do not come to their net"
        );
        let gaps = "select count(*) from (
            select topic, key from eventing.outbox group by topic, key
            having min(sequence) <> 1 or max(sequence) <> count(*)) wrong";
        assert_eq!(self.count(gaps).await, 0, "aggregates whose events have gaps");
    }
}

fn payouts(database: &Database, outbox: &Outbox, clock: &Clock, bank: &Url) -> Payouts {
    let client = Client::new("bank", Settings::default()).unwrap();
    let bank = Bank::new(client, bank, API_KEY.into()).unwrap();
    let schedule = Schedule::new(SignedDuration::from_secs(1), SignedDuration::from_secs(40));
    Payouts::new(
        database.pool.clone(),
        outbox.clone(),
        clock.clone(),
        bank,
        schedule,
    )
}

/// A client of the real registry, which knows our schemas.
async fn registry(database: &Database) -> SchemaRegistry {
    static REGISTERED: OnceCell<()> = OnceCell::const_new();
    let base = address("TEST_SCHEMA_REGISTRY_URL");
    REGISTERED.get_or_init(|| register_schemas(&base)).await;
    SchemaRegistry::new(&base, database.pool.clone()).unwrap()
}

/// As a deployment does ahead of time.
async fn register_schemas(base: &str) {
    #[expect(clippy::disallowed_methods, reason = "a test talks to the registry directly")]
    let http = reqwest::Client::new();
    for topic in TOPICS {
        let answer = http
            .post(format!("{base}/subjects/{}/versions", topic.subject()))
            .header("content-type", "application/vnd.schemaregistry.v1+json")
            .body(serde_json::json!({"schema": topic.schema}).to_string())
            .send()
            .await
            .unwrap();
        assert!(
            answer.status().is_success(),
            "{}: {}",
            topic.name,
            answer.text().await.unwrap()
        );
    }
}

//! The pages about dead letters, on a real topic and a real database.

use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use eventing::dead_letters::Desk;
use eventing::{Clock, KafkaSettings};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::util::Timeout;

use crate::auth::Issuer;
use crate::browser::{Browser, desk, listener_with};
use crate::database::TestDatabase;

const PAGES: &str = "/dead-letters/settlement";
const TOPIC: &str = "settlement.dlq";
const FINGERPRINT: &str = "4f1c9e0b4f1c9e0b";
const HOSTILE: &str = "</td><script>alert('x')</script> \" & <b onmouseover=alert(1)>";
const SOON: Duration = Duration::from_secs(20);

/// A group that has dead letters, and the listener that shows them.
struct Night {
    database: TestDatabase,
    kafka: KafkaSettings,
    writer: FutureProducer,
    desk: Desk,
    routes: Router,
    _issuer: Issuer,
}

impl Night {
    async fn falls() -> Self {
        let database = TestDatabase::create().await;
        let pool = database.pool();
        eventing::MIGRATOR.run(&pool).await.unwrap();
        let brokers = std::env::var("TEST_KAFKA_BROKERS")
            .expect("TEST_KAFKA_BROKERS must name a Kafka for tests; deploy/test sets it");
        let mut kafka = KafkaSettings::new(brokers);
        kafka.topic_prefix = format!("test-{}.", uuid::Uuid::new_v4().simple());
        create_topic(&kafka).await;
        let (issuer, clock) = (Issuer::start().await, Clock::system());
        let desk = desk(pool, kafka.clone(), clock.clone());
        Self {
            routes: listener_with("127.0.0.1:41013", &issuer, desk.clone(), clock),
            database,
            writer: kafka.client("test-writer").create().unwrap(),
            kafka,
            desk,
            _issuer: issuer,
        }
    }

    /// Writes a letter such as a consumer of the group does.
    async fn letter(&self, key: &str, offset: &str, message: &str) {
        let failed_at = Clock::system().now().to_string();
        let history = format!("1 {failed_at} 0 constraint {FINGERPRINT}");
        let headers = [
            ("ce_type", "refund.created"),
            ("ce_sequence", "4"),
            ("eventing-original-topic", "payments.payment.v1"),
            ("eventing-original-partition", "7"),
            ("eventing-original-offset", offset),
            ("eventing-original-timestamp", &failed_at),
            ("eventing-group", "settlement"),
            ("eventing-attempt", "1"),
            ("eventing-first-failed-at", &failed_at),
            ("eventing-error-class", "constraint"),
            ("eventing-fingerprint", FINGERPRINT),
            ("eventing-message", message),
            ("eventing-history", &history),
        ];
        let headers = headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(Header {
                key,
                value: Some(*value),
            })
        });
        let topic = self.kafka.topic(TOPIC);
        let record = FutureRecord::to(&topic)
            .key(key)
            .payload(message)
            .headers(headers);
        self.writer.send(record, Timeout::After(SOON)).await.unwrap();
    }

    /// As serving replicas do all the time.
    async fn index(&self) {
        self.desk.refresh().await.unwrap();
    }

    /// Has a replica of this version serve the group.
    async fn serves(&self, version: &str) {
        sqlx::query(
            "insert into eventing.dead_letter_replicas (consumer_group, owner, handler_version, seen_at)
             values ('settlement', 'replica', $1, clock_timestamp())",
        )
        .bind(version)
        .execute(&self.database.pool())
        .await
        .unwrap();
    }

    async fn serves_no_more(&self) {
        sqlx::query("delete from eventing.dead_letter_replicas")
            .execute(&self.database.pool())
            .await
            .unwrap();
    }

    fn browser(&self) -> Browser {
        Browser::new(&self.routes)
    }

    async fn ends(self) {
        drop((self.desk, self.routes));
        self.database.drop().await;
    }
}

async fn create_topic(kafka: &KafkaSettings) {
    let name = kafka.topic(TOPIC);
    let admin: AdminClient<DefaultClientContext> = kafka.client("test-admin").create().unwrap();
    let topic = NewTopic::new(&name, 1, TopicReplication::Fixed(1));
    let options = AdminOptions::new().operation_timeout(Some(SOON));
    for created in admin.create_topics([&topic], &options).await.unwrap() {
        created.unwrap();
    }
}

/// Nobody serves the group here: the job waits, says so, and does what it is told.
async fn a_job_nobody_works_on(browser: &mut Browser, job: &str, by: &[(&str, &str)]) {
    let page = browser.get(job).await;
    assert!(
        page.text.contains("No replica serves this group"),
        "{}",
        page.text
    );
    assert!(page.text.contains("http-equiv=\"refresh\""), "{}", page.text);
    let still = browser.get(&format!("{job}?still=yes")).await;
    assert!(!still.text.contains("http-equiv=\"refresh\""), "{}", still.text);
    assert!(
        still.text.contains("value=\"Ada &#60;ops&#62;\""),
        "the name is kept: {}",
        still.text
    );
    for (change, state) in [
        ("pause", "paused"),
        ("resume", "running"),
        ("cancel", "cancelled"),
    ] {
        let done = browser
            .post(&format!("{job}/{change}"), &still.form_token(), by)
            .await;
        assert_eq!(done.location(), job, "{change}: {}", done.text);
        let page = browser.get(job).await;
        assert!(
            page.text.contains(&format!("class=\"state {state}\">{state}<")),
            "{change}: {}",
            page.text
        );
    }
    let audit = browser.get(&format!("{PAGES}/audit")).await;
    for told in [
        "Ada &#60;ops&#62;",
        "the cause is &#34;gone&#34;",
        ">replay<",
        ">pause<",
        ">resume<",
        ">cancel<",
    ] {
        assert!(audit.text.contains(told), "{told}: {}", audit.text);
    }
    let jobs = browser.get(&format!("{PAGES}/jobs")).await;
    assert!(jobs.text.contains("cancelled"), "{}", jobs.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_are_shown_as_text_wherever_they_appear() {
    let night = Night::falls().await;
    night.letter(HOSTILE, "90210", HOSTILE).await;
    night.index().await;
    let mut browser = night.browser();
    for path in [
        "/",
        PAGES,
        &format!("{PAGES}/letters"),
        &format!("{PAGES}/letters?fingerprint={FINGERPRINT}&state=new"),
        &format!("{PAGES}/letters/0-0"),
    ] {
        let page = browser.get(path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}: {}", page.text);
        assert!(
            !page.text.contains("<script") && !page.text.contains("<b "),
            "{path}: {}",
            page.text
        );
        if path != "/" {
            assert!(page.text.contains("&#60;script&#62;"), "{path}: {}", page.text);
        }
    }
    let filtered = browser.get(&format!("{PAGES}/letters?state=replayed")).await;
    assert!(filtered.text.contains("No letter matches"), "{}", filtered.text);
    let wrong = browser.get(&format!("{PAGES}/letters?since=yesterday")).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    for nothing in [
        "/letters/0-99",
        "/letters/x",
        "/jobs/018f0000-0000-7000-8000-000000000000",
        "/plans/x",
    ] {
        let page = browser.get(&format!("{PAGES}{nothing}")).await;
        assert_eq!(page.status, StatusCode::NOT_FOUND, "{nothing}: {}", page.text);
    }
    let export = browser.get(&format!("{PAGES}/export?format=csv")).await;
    assert_eq!(export.headers["content-type"], "text/csv; charset=utf-8");
    assert!(export.text.contains(FINGERPRINT), "{}", export.text);
    night.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_list_goes_on_where_the_page_before_ended() {
    let night = Night::falls().await;
    for number in 0..103 {
        night
            .letter(&format!("key-{number:03}"), &number.to_string(), "no")
            .await;
    }
    night.index().await;
    let mut browser = night.browser();
    let first = browser
        .get(&format!("{PAGES}/letters?fingerprint={FINGERPRINT}"))
        .await;
    assert!(
        first.text.contains("key-102") && !first.text.contains("key-002"),
        "{}",
        first.text
    );
    let (before, _) = first.text.split_once("\" rel=\"next\"").unwrap();
    let (_, next) = before.rsplit_once("href=\"").unwrap();
    let second = browser.get(&next.replace("&#38;", "&")).await;
    assert!(
        second.text.contains("key-002") && !second.text.contains("key-102"),
        "{}",
        second.text
    );
    assert!(!second.text.contains("rel=\"next\""), "{}", second.text);
    night.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_is_planned_and_begins_only_with_a_name_and_a_reason() {
    let night = Night::falls().await;
    night.letter("pay_1", "1", "no").await;
    night.index().await;
    let mut browser = night.browser();
    let form = format!("{PAGES}/replay/new?fingerprint={FINGERPRINT}");
    let fields = [("fingerprint", FINGERPRINT), ("rate", "fast"), ("canary", "1")];
    let wrong = browser
        .submit(&form, &format!("{PAGES}/replay/new"), &fields)
        .await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        wrong.text.contains("expected a whole number") && wrong.text.contains(FINGERPRINT),
        "{}",
        wrong.text
    );

    let fields = [("fingerprint", FINGERPRINT), ("rate", "50"), ("canary", "1")];
    let made = browser
        .submit(&form, &format!("{PAGES}/replay/new"), &fields)
        .await;
    let plan = made.location();
    let page = browser.get(&plan).await;
    assert!(page.text.contains("Plan: replay 1 letter"), "{}", page.text);
    let start = format!("{plan}/start");
    for (fields, wanted) in [
        (vec![("reason", "why not")], "say who decides this"),
        (vec![("operator", "ada")], "say why"),
    ] {
        let refused = browser.post(&start, &page.form_token(), &fields).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(
            refused.text.contains(wanted) && refused.text.contains("Plan: replay"),
            "{}",
            refused.text
        );
    }
    let none = browser.get(&format!("{PAGES}/audit")).await;
    assert!(none.text.contains("Nothing was done"), "{}", none.text);

    // One more letter, and the plan is another one: that is said, and the new plan is started instead.
    night.letter("pay_2", "2", "no").await;
    night.index().await;
    night.serves("another-release").await;
    let others = [
        "2 letters match now, not 1 as planned",
        "the handler is another-release now, not ",
    ];
    let looked_at_again = browser.get(&plan).await;
    for change in others {
        assert!(looked_at_again.text.contains(change), "{}", looked_at_again.text);
    }
    let by = [("operator", "Ada <ops>"), ("reason", "the cause is \"gone\"")];
    let changed = browser.post(&start, &page.form_token(), &by).await;
    assert_eq!(changed.status, StatusCode::CONFLICT, "{}", changed.text);
    for change in others {
        assert!(changed.text.contains(change), "{}", changed.text);
    }
    assert!(
        changed.text.contains("Plan: replay 2 letters"),
        "{}",
        changed.text
    );
    assert!(
        changed.text.contains("the cause is &#34;gone&#34;"),
        "what was typed stays: {}",
        changed.text
    );
    let (_, rest) = changed
        .text
        .split_once(&format!("action=\"{PAGES}/plans/"))
        .unwrap();
    let start = format!("{PAGES}/plans/{}", rest.split('"').next().unwrap());
    let started = browser.post(&start, &changed.form_token(), &by).await;
    let job = started.location();
    assert!(job.starts_with(&format!("{PAGES}/jobs/")), "{job}");
    let again = browser.post(&start, &changed.form_token(), &by).await;
    assert_eq!(
        again.status,
        StatusCode::UNPROCESSABLE_ENTITY,
        "once: {}",
        again.text
    );

    night.serves_no_more().await;
    a_job_nobody_works_on(&mut browser, &job, &by).await;
    night.ends().await;
}

use eventing::consumer::ConsumerGroup;
use eventing::dead_letters::State;
use schemas::PaymentNo;
use schemas::catalogue::PAYMENTS;

use crate::consuming::script::{Act, Script};
use crate::consuming::stage::{Stage, TIERS, unordered};
use crate::support::{broker, eventually, metrics};

/// A process that dies between writing a letter and committing the offset of its record writes it again.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_letter_of_one_failure_is_a_copy_that_is_not_counted_nor_acted_upon() {
    let stage = Stage::new(unordered()).await;
    let payment_no = PaymentNo::generate();
    let script = Script::by_unique_key();
    script.on(&payment_no, 1, &[Act::Dead]);
    stage.send_next(payment_no, 1).await;
    let member = stage.start(script.clone());
    let letter = stage.letters(1).await.remove(0);
    stage
        .send_record(
            &stage.group.dead_letter_topic(),
            letter.raw_key.as_deref(),
            letter.raw_value.as_deref(),
            &letter.headers,
        )
        .await;

    let listed = stage.listed().await;
    assert_eq!(listed.len(), 2);
    assert_eq!(
        (&listed[0]["state"], &listed[1]["state"]),
        (&"copy".into(), &"new".into())
    );
    assert_eq!(listed[0]["copy_of"], listed[1]["id"]);
    let groups = stage.desk().groups().await.unwrap();
    assert_eq!(
        (groups.len(), groups[0].letters, groups[0].new),
        (1, 1, 1),
        "{groups:?}"
    );
    let copy = listed[0]["id"].as_str().unwrap();
    let refused = stage.operate(&["replay", copy]).await.unwrap_err();
    let reason = format!(
        "letter {copy} is a copy of letter {}",
        listed[1]["id"].as_str().unwrap()
    );
    assert_eq!(refused.to_string(), reason);

    stage.operate(&["replay", "--all"]).await.unwrap();
    stage.until_count("noted", 1).await;
    assert_eq!(script.calls().len(), 2);
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_is_built_anew_leaves_what_was_done_alone() {
    let stage = Stage::new(unordered()).await;
    let script = Script::by_unique_key();
    for _ in 0..3 {
        let payment_no = PaymentNo::generate();
        script.on(&payment_no, 1, &[Act::Dead]);
        stage.send_next(payment_no, 1).await;
    }
    let member = stage.start(script);
    stage.letters(3).await;
    let before = stage.listed().await;
    let id = |letter: usize| before[letter]["id"].as_str().unwrap().to_owned();
    stage.operate(&["discard", &id(0)]).await.unwrap();
    stage.operate(&["replay", &id(1)]).await.unwrap();

    let said = stage.operate(&["reindex"]).await.unwrap();
    assert_eq!(said, "the index was built anew: 3 letters\n");
    assert_eq!(stage.in_state(State::Discarded).await, 1);
    assert_eq!(stage.in_state(State::Replayed).await, 1);
    assert_eq!(stage.in_state(State::New).await, 1);
    let groups = stage.desk().groups().await.unwrap();
    assert_eq!(groups.len(), 1, "{groups:?}");
    let counted = &groups[0];
    assert_eq!(
        (counted.letters, counted.new, counted.replayed, counted.discarded),
        (3, 1, 1, 1)
    );

    // The member's own reading of the topic notices, and goes on.
    let payment_no = PaymentNo::generate();
    eventually("the index follows", async || {
        stage.desk().behind().await.unwrap() == 0
    })
    .await;
    stage
        .send_record(
            &stage.group.dead_letter_topic(),
            Some(payment_no.to_string().as_bytes()),
            Some(b"?"),
            &eventing::headers::RecordHeaders::new(),
        )
        .await;
    eventually("the serving replica takes it up", async || {
        stage.count("eventing.dead_letters").await == 4
    })
    .await;
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_to_which_nothing_was_done_are_measured() {
    metrics::collect();
    let name = format!("group-{}", uuid::Uuid::new_v4().simple());
    let stage = Stage::new(ConsumerGroup::unordered(&name, [PAYMENTS.name]).tiers(TIERS)).await;
    let script = Script::by_unique_key();
    for _ in 0..4 {
        let payment_no = PaymentNo::generate();
        script.on(&payment_no, 1, &[Act::Dead]);
        stage.send_next(payment_no, 1).await;
    }
    let member = stage.start(script.clone());
    stage.letters(4).await;
    let listed = stage.listed().await;
    let id = |letter: usize| listed[letter]["id"].as_str().unwrap().to_owned();
    stage.operate(&["discard", &id(0)]).await.unwrap();
    stage.operate(&["replay", &id(1)]).await.unwrap();
    member.stop().await;

    // It counts when it begins to serve.
    let member = stage.start(script);
    let group = format!("group=\"{name}\"");
    eventually("two are shown as open", async || {
        metrics::shows("eventing_dead_letters_open", &[&group], "2")
    })
    .await;
    member.stop().await;
}

/// Retention is without end unless someone sets it, or deletes records.
#[tokio::test(flavor = "multi_thread")]
async fn letters_that_are_no_longer_on_their_topic_are_counted_no_more_and_what_was_done_is_kept() {
    let stage = Stage::new(unordered()).await;
    let script = Script::by_unique_key();
    let dies = async || {
        let payment_no = PaymentNo::generate();
        script.on(&payment_no, 1, &[Act::Dead]);
        stage.send_next(payment_no, 1).await;
    };
    let member = stage.start(script.clone());
    for _ in 0..3 {
        dies().await;
    }
    stage.letters(3).await;
    stage.operate(&["discard", "--all"]).await.unwrap();
    broker::delete_records(&stage.kafka, &stage.group.dead_letter_topic()).await;
    eventually("they are forgotten", async || stage.listed().await.is_empty()).await;
    assert!(stage.desk().groups().await.unwrap().is_empty());
    assert_eq!(stage.count("eventing.dead_letter_states").await, 3);

    dies().await;
    eventually("there is another", async || stage.listed().await.len() == 1).await;
    let groups = stage.desk().groups().await.unwrap();
    assert_eq!(
        (groups[0].letters, groups[0].new, groups[0].discarded),
        (1, 1, 0),
        "{groups:?}"
    );
    member.stop().await;
}

/// What anyone may write onto the topic.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_no_group_wrote_can_be_seen_and_discarded_but_not_replayed() {
    let stage = Stage::new(unordered()).await;
    let headers = eventing::headers::RecordHeaders::new();
    let topic = stage.group.dead_letter_topic();
    stage
        .send_record(&topic, Some(b"=cmd()"), Some(b"?"), &headers)
        .await;
    let listed = stage.listed().await;
    assert_eq!(listed[0]["error_class"], "unknown");
    let refused = stage
        .operate(&["replay", listed[0]["id"].as_str().unwrap()])
        .await
        .unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("was not written by a consumer group"),
        "{refused}"
    );
    let csv = stage.dead_letters(&["export", "--format", "csv"]).await.unwrap();
    assert!(csv.lines().nth(1).unwrap().contains(",'=cmd(),"), "{csv}");
    stage.operate(&["discard", "--all"]).await.unwrap();
    assert_eq!(stage.in_state(State::Discarded).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_holds_each_letter_with_its_event() {
    let stage = Stage::new(unordered()).await;
    let script = Script::by_unique_key();
    let payment_no = PaymentNo::generate();
    script.on(&payment_no, 1, &[Act::Dead]);
    stage.send_next(payment_no, 1).await;
    let member = stage.start(script);
    stage.letters(1).await;
    member.stop().await;
    let lines = stage.dead_letters(&["export"]).await.unwrap();
    let line: serde_json::Value = serde_json::from_str(lines.trim_end()).unwrap();
    assert_eq!(line["event"]["payment_no"], payment_no.to_string());
    assert_eq!(line["state"], "new");
    let csv = stage
        .dead_letters(&["export", "--format", "csv", "--state", "new"])
        .await
        .unwrap();
    assert_eq!(csv.lines().count(), 2, "{csv}");
    assert!(csv.starts_with("id,state,died_at,"), "{csv}");
}

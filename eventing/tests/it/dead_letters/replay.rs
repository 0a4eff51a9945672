use eventing::dead_letters::{Error, JobState};
use schemas::PaymentNo;

use crate::consuming::script::{Act, Script};
use crate::consuming::stage::{Stage, ordered, unordered};
use crate::support::eventually;

#[tokio::test(flavor = "multi_thread")]
async fn a_replayed_letter_is_applied_and_what_waited_behind_it_follows() {
    let stage = Stage::new(ordered()).await;
    let payment_no = PaymentNo::generate();
    let script = Script::default();
    script.on(&payment_no, 2, &[Act::Dead]);
    for sequence in 1..=4 {
        stage.send_next(payment_no, sequence).await;
    }
    let member = stage.start(script.clone());
    stage.letters(1).await;
    stage.until_count("eventing.parked", 2).await;

    let said = stage.operate(&["replay", "--all"]).await.unwrap();
    assert!(said.contains("sent again"), "{said}");
    stage.until_applied(payment_no, &[1, 2, 3, 4]).await;
    assert_eq!(stage.listed().await[0]["state"], "replayed");

    let replayed = script
        .calls()
        .into_iter()
        .find(|call| call.replay.is_some())
        .unwrap();
    let job: (uuid::Uuid, String, String, bool) =
        sqlx::query_as("select id, operator, reason, finished_at is not null from eventing.dead_letter_jobs")
            .fetch_one(&stage.pool)
            .await
            .unwrap();
    assert_eq!(
        job,
        (
            replayed.replay.unwrap().job,
            "alice".into(),
            "a test".into(),
            true
        )
    );

    let again = stage.operate(&["replay", "--all"]).await.unwrap_err();
    assert_eq!(again.to_string(), "no letter matches; nothing was done");
    member.stop().await;
}

/// After a crash a job cannot know whether a letter was sent, and sends it again.
#[tokio::test(flavor = "multi_thread")]
async fn a_letter_that_was_sent_twice_is_handled_once_per_job() {
    let stage = Stage::new(unordered()).await;
    let payment_no = PaymentNo::generate();
    let script = Script::by_unique_key();
    script.on(&payment_no, 1, &[Act::Dead, Act::Dead]);
    stage.send_next(payment_no, 1).await;
    let member = stage.start(script.clone());
    stage.letters(1).await;

    stage.operate(&["replay", "--all"]).await.unwrap();
    stage.letters(2).await;
    let sent = stage.retried(1, 1).await.remove(0);
    let key = payment_no.to_string();
    stage
        .send_record(
            &stage.group.retry_topic(1),
            Some(key.as_bytes()),
            Some(&sent.value),
            &sent.headers,
        )
        .await;

    // Something behind both copies on the same partition of the tier is handled.
    stage.operate(&["replay", "--all"]).await.unwrap();
    stage.until_count("noted", 1).await;
    assert_eq!(script.calls().len(), 3, "the first time, once per job");
    assert_eq!(stage.letters(2).await.len(), 2);
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_was_cut_off_goes_on_as_the_same_job() {
    let stage = Stage::new(unordered()).await;
    let script = Script::by_unique_key();
    for _ in 0..3 {
        let payment_no = PaymentNo::generate();
        script.on(&payment_no, 1, &[Act::Dead]);
        stage.send_next(payment_no, 1).await;
    }
    let member = stage.start(script.clone());
    stage.letters(3).await;
    stage.operate(&["replay", "--all"]).await.unwrap();
    stage.until_count("noted", 3).await;

    // As a replica that dies after it sent everything and before it noted the last two.
    let forget = "update eventing.dead_letter_job_letters set state = 'sending', done_at = null where ctid in
                      (select ctid from eventing.dead_letter_job_letters limit 2)";
    sqlx::query(forget).execute(&stage.pool).await.unwrap();
    let running = "update eventing.dead_letter_jobs
                   set state = 'running', done = done - 2, finished_at = null, owner = 'dead', epoch = epoch + 1,
                       lease_until = clock_timestamp() + interval '1 second'";
    sqlx::query(running).execute(&stage.pool).await.unwrap();
    assert_eq!(stage.retried(1, 5).await.len(), 5, "two were sent again");
    let job = stage.only_job().await;
    eventually("the job is finished", async || {
        stage.desk().job(job).await.unwrap().state == JobState::Finished
    })
    .await;
    let job = stage.desk().job(job).await.unwrap();
    assert_eq!((job.letters, job.done, job.handled), (3, 3, 3), "{job:?}");
    assert!(
        stage
            .listed()
            .await
            .iter()
            .all(|letter| letter["state"] == "replayed")
    );
    assert_eq!(
        script.calls().len(),
        6,
        "and their second copies were not handled"
    );
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_that_fails_again_names_its_earlier_life() {
    let stage = Stage::new(ordered()).await;
    let payment_no = PaymentNo::generate();
    let script = Script::default();
    script.on(&payment_no, 1, &[Act::Dead, Act::Dead]);
    stage.send_next(payment_no, 1).await;
    let member = stage.start(script);
    stage.letters(1).await;
    let first = stage.listed().await[0]["id"].as_str().unwrap().to_owned();
    stage.operate(&["replay", &first]).await.unwrap();
    stage.letters(2).await;

    let listed = stage.listed().await;
    let second = listed.iter().find(|letter| letter["state"] == "new").unwrap();
    let shown = stage
        .dead_letters(&["show", second["id"].as_str().unwrap()])
        .await
        .unwrap();
    assert!(
        shown.contains(&format!("earlier_letters:\n  {first}\n")),
        "{shown}"
    );
    assert_eq!(shown.matches("class never").count(), 2, "{shown}");

    stage
        .operate(&["replay", "--key", &payment_no.to_string()])
        .await
        .unwrap();
    stage.until_applied(payment_no, &[1]).await;
    assert!(
        stage
            .listed()
            .await
            .iter()
            .all(|letter| letter["state"] == "replayed")
    );
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_needs_letters_that_are_there() {
    let stage = Stage::new(ordered()).await;
    let refused = stage.operate(&["replay", "0-5"]).await.unwrap_err();
    assert!(
        matches!(&refused, Error::NotFound(reason) if reason.contains("no dead letter 0-5")),
        "{refused}"
    );
    let refused = stage.operate(&["replay"]).await.unwrap_err();
    assert!(refused.to_string().contains("--fingerprint"), "{refused}");
    eventually("nothing is written down", async || {
        stage.count("eventing.dead_letter_jobs").await == 0
    })
    .await;
}

/// The relay sends at least once, also what waits behind a letter.
#[tokio::test(flavor = "multi_thread")]
async fn a_duplicate_of_an_event_that_waits_behind_a_letter_is_applied_once() {
    let stage = Stage::new(ordered()).await;
    let payment_no = PaymentNo::generate();
    let script = Script::default();
    script.on(&payment_no, 1, &[Act::Dead]);
    let mut events = Vec::new();
    for sequence in 1..=3 {
        events.push(stage.send_next(payment_no, sequence).await);
    }
    let member = stage.start(script.clone());
    stage.letters(1).await;
    stage.until_count("eventing.parked", 2).await;
    // Behind the duplicates comes something whose parking shows that they were read.
    stage.send_all(&events[1..]).await;
    stage.send_next(payment_no, 4).await;
    stage.until_count("eventing.parked", 3).await;

    stage.operate(&["replay", "--all"]).await.unwrap();
    stage.until_applied(payment_no, &[1, 2, 3, 4]).await;
    stage.send_all(&events).await;
    stage.send_next(payment_no, 5).await;
    stage.until_applied(payment_no, &[1, 2, 3, 4, 5]).await;
    stage.until_count("eventing.parked", 0).await;
    assert_eq!(stage.letters(1).await.len(), 1);
    member.stop().await;
}

/// Each typed `replay` of their own, at once, and some letters match both.
#[tokio::test(flavor = "multi_thread")]
async fn two_operators_who_replay_overlapping_letters_have_each_applied_once() {
    let stage = Stage::new(unordered()).await;
    // Nothing in what it writes would tell a second time.
    let script = Script::default();
    let mut payments = Vec::new();
    for _ in 0..12 {
        let payment_no = PaymentNo::generate();
        script.on(&payment_no, 1, &[Act::Dead]);
        stage.send_next(payment_no, 1).await;
        payments.push(payment_no);
    }
    let member = stage.start(script.clone());
    stage.letters(12).await;
    let ids: Vec<String> = stage
        .listed()
        .await
        .iter()
        .map(|letter| letter["id"].as_str().unwrap().to_owned())
        .collect();
    let named: Vec<&str> = [
        &["replay", "--yes"][..],
        &ids.iter().map(String::as_str).collect::<Vec<_>>()[..8],
    ]
    .concat();
    let all = ["replay", "--yes", "--all"];
    let (one, other) = tokio::join!(stage.operate(&named), stage.operate(&all));
    // Whoever comes second has the rest; there may be none, or a letter that was named is gone.
    assert!(one.is_ok() || other.is_ok(), "{one:?} {other:?}");
    if other.is_err() {
        stage.operate(&all).await.unwrap();
    }
    stage.until_count("applied", 12).await;
    for payment_no in payments {
        assert_eq!(stage.applied_of(payment_no).await, [1]);
    }
    let desk = stage.desk();
    eventually("both jobs are at their end", async || {
        let jobs = desk.jobs(None, 10).await.unwrap().rows;
        let letters: u64 = jobs.iter().map(|job| job.handled).sum();
        letters == 12 && jobs.iter().all(|job| job.state == JobState::Finished)
    })
    .await;
    assert_eq!(stage.count("applied").await, 12);
    member.stop().await;
}

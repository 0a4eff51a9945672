//! Jobs: planned, watched, paused, resumed, cancelled, and kept apart.

use eventing::Clock;
use eventing::dead_letters::{
    Action, Changed, Decision, Error, Filter, Job, JobState, Pace, Plan, Selection, Start, State,
};
use jiff::{SignedDuration, Timestamp};
use schemas::PaymentNo;
use uuid::Uuid;

use crate::consuming::script::{Act, Script};
use crate::consuming::stage::{Stage, unordered};
use crate::support::broker::Record;
use crate::support::eventually;

pub(super) fn by(operator: &str) -> Decision {
    Decision::new(operator, "a test").unwrap()
}

impl Stage {
    /// Letters of as many payments, which fail as `acts` say, in a group that serves.
    async fn dead(&self, script: &Script, count: usize, acts: &[Act]) -> Vec<PaymentNo> {
        let mut payments = Vec::new();
        for _ in 0..count {
            let payment_no = PaymentNo::generate();
            script.on(&payment_no, 1, acts);
            self.send_next(payment_no, 1).await;
            payments.push(payment_no);
        }
        payments
    }

    pub(super) async fn plan(&self, action: Action, selection: &Selection, pace: Pace) -> Plan {
        self.desk().refresh().await.unwrap();
        self.desk().plan(action, selection, pace).await.unwrap()
    }

    pub(super) async fn begin(&self, plan: &Plan) -> Job {
        match self
            .desk()
            .start(plan.id, &by("alice"), Changed::Refuse)
            .await
            .unwrap()
        {
            Start::Started(job) => *job,
            Start::Changed { changes, .. } => panic!("{changes:?}"),
        }
    }

    pub(super) async fn until_state(&self, job: Uuid, state: JobState) -> Job {
        eventually(&format!("the job is {state:?}"), async || {
            self.desk().job(job).await.unwrap().state == state
        })
        .await;
        self.desk().job(job).await.unwrap()
    }

    pub(super) async fn in_state(&self, state: State) -> usize {
        self.desk().refresh().await.unwrap();
        let filter = Filter {
            state: Some(state),
            ..Default::default()
        };
        self.desk()
            .letters(&filter, None, 1_000)
            .await
            .unwrap()
            .rows
            .len()
    }
}

/// One letter a second, so that a test can act in between.
const SLOW: Pace = Pace { rate: 1, canary: 0 };

#[tokio::test(flavor = "multi_thread")]
async fn a_job_can_be_paused_resumed_and_cancelled_and_what_it_did_not_come_to_is_new_again() {
    let stage = Stage::new(unordered()).await;
    let script = Script::by_unique_key();
    stage.dead(&script, 6, &[Act::Dead]).await;
    let member = stage.start(script.clone());
    stage.letters(6).await;
    let desk = stage.desk();
    let plan = stage.plan(Action::Replay, &Selection::all(), SLOW).await;
    let job = stage.begin(&plan).await.id;
    eventually("it has sent one", async || desk.job(job).await.unwrap().done >= 1).await;

    let paused = desk.pause(job, &by("bob")).await.unwrap();
    assert_eq!(paused.state, JobState::Paused);
    eventually("what was under way is handled", async || {
        let job = desk.job(job).await.unwrap();
        job.owner.is_none() && job.in_flight == 0
    })
    .await;
    let paused = desk.job(job).await.unwrap();
    assert!(paused.done < 6, "{paused:?}");
    assert_eq!(paused.handled, paused.done);
    let refused = desk.pause(job, &by("bob")).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        format!("job {job} is paused: there is nothing to pause")
    );

    desk.resume(job, &by("bob")).await.unwrap();
    eventually("it goes on", async || {
        desk.job(job).await.unwrap().done > paused.done
    })
    .await;
    desk.cancel(job, &by("bob")).await.unwrap();
    let cancelled = stage.until_state(job, JobState::Cancelled).await;
    eventually("its letters are settled", async || {
        desk.job(job).await.unwrap().in_flight == 0
    })
    .await;
    let done = desk.job(job).await.unwrap().done;
    assert!(done < 6, "{cancelled:?}");
    assert_eq!(stage.in_state(State::Replayed).await as u64, done);
    assert_eq!(stage.in_state(State::New).await as u64, 6 - done);
    assert_eq!(script.calls().len() as u64, 6 + done, "nothing was handled twice");

    let audit = desk.audit(None, 10).await.unwrap().rows;
    let actions: Vec<&str> = audit.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(actions, ["cancel", "resume", "pause", "replay"]);
    assert!(audit.iter().all(|entry| entry.job == Some(job)), "{audit:?}");
    assert_eq!(
        (
            audit[3].operator.as_str(),
            audit[3].reason.as_str(),
            audit[3].letters
        ),
        ("alice", "a test", 6)
    );
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_is_in_the_audit_log_before_it_begins_and_goes_no_faster_than_its_rate() {
    let stage = Stage::new(unordered()).await;
    let script = Script::by_unique_key();
    stage.dead(&script, 4, &[Act::Dead]).await;
    let member = stage.start(script);
    stage.letters(4).await;
    let plan = stage.plan(Action::Replay, &Selection::all(), SLOW).await;
    let begun_at = Clock::system().now();
    stage.begin(&plan).await;

    let sent = stage.retried(1, 4).await;
    let sent_at = |record: &Record| -> Timestamp {
        let due_at_once = record.headers.text("eventing-not-before").unwrap();
        due_at_once.parse().unwrap()
    };
    let (first, last) = (
        sent.iter().map(sent_at).min().unwrap(),
        sent.iter().map(sent_at).max().unwrap(),
    );
    // Counted from before the job began, because a busy machine may send the first one late and the others in time.
    let took = last.duration_since(begun_at);
    assert!(took >= SignedDuration::from_secs(3), "{took}");
    let audit = stage.desk().audit(None, 10).await.unwrap().rows;
    assert_eq!(audit.len(), 1);
    assert!(audit[0].at <= first, "{audit:?} {first}");
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_that_fails_again_stops_the_job_before_the_others_are_sent() {
    let stage = Stage::new(unordered()).await;
    let script = Script::by_unique_key();
    let payments = stage.dead(&script, 5, &[Act::Dead, Act::Dead]).await;
    let member = stage.start(script.clone());
    stage.letters(5).await;
    let pace = Pace {
        canary: 2,
        ..Pace::default()
    };
    let plan = stage.plan(Action::Replay, &Selection::all(), pace).await;
    let job = stage.begin(&plan).await.id;

    let stopped = stage.until_state(job, JobState::Stopped).await;
    assert_eq!(
        (stopped.letters, stopped.done, stopped.canary_letters),
        (5, 2, 2),
        "{stopped:?}"
    );
    assert!(
        stopped
            .note
            .as_deref()
            .unwrap()
            .ends_with("of the canary failed again"),
        "{stopped:?}"
    );
    assert_eq!(stage.in_state(State::Taken).await, 3);

    // The cause is gone, and the operator knows better.
    for payment_no in payments {
        script.on(&payment_no, 1, &[]);
    }
    stage.desk().resume(job, &by("bob")).await.unwrap();
    let finished = stage.until_state(job, JobState::Finished).await;
    assert_eq!(finished.done, 5);
    stage.until_count("noted", 3).await;
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_that_is_handled_lets_the_others_go() {
    let stage = Stage::new(unordered()).await;
    let script = Script::by_unique_key();
    stage.dead(&script, 4, &[Act::Dead]).await;
    let member = stage.start(script.clone());
    stage.letters(4).await;
    let pace = Pace {
        canary: 1,
        ..Pace::default()
    };
    let plan = stage.plan(Action::Replay, &Selection::all(), pace).await;
    let job = stage.begin(&plan).await.id;
    let finished = stage.until_state(job, JobState::Finished).await;
    assert_eq!(
        (finished.done, finished.canary_letters, finished.canary_outcomes),
        (4, 1, 1)
    );
    stage.until_count("noted", 4).await;
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_of_one_job_are_left_out_of_another_or_refused_by_name() {
    let stage = Stage::new(unordered()).await;
    let script = Script::by_unique_key();
    stage.dead(&script, 4, &[Act::Dead]).await;
    let member = stage.start(script.clone());
    stage.letters(4).await;
    let desk = stage.desk();
    let [mine, theirs] = [
        stage.plan(Action::Replay, &Selection::all(), SLOW).await,
        stage
            .plan(Action::Replay, &Selection::all(), Pace::default())
            .await,
    ];
    let job = stage.begin(&mine).await.id;

    // Bob planned the same letters at the same time.
    let (alice, bob) = (by("alice"), by("bob"));
    let started = desk.start(theirs.id, &bob, Changed::Refuse).await.unwrap();
    let Start::Changed { plan, changes } = started else {
        panic!("{started:?}")
    };
    assert!(plan.letters < 4, "{plan:?}");
    assert!(
        changes[0].ends_with("letters match now, not 4 as planned"),
        "{changes:?}"
    );
    assert!(plan.left_out[0].reason.contains(&job.to_string()), "{plan:?}");
    let again = desk.start(mine.id, &alice, Changed::Accept).await.unwrap_err();
    assert!(
        matches!(&again, Error::Refused(reason) if reason.contains("started already")),
        "{again}"
    );
    let taken = desk
        .letters(&Filter::default(), None, 10)
        .await
        .unwrap()
        .rows
        .into_iter()
        .find(|letter| letter.state == State::Taken)
        .unwrap();
    let named = Selection::Ids(vec![taken.id]);
    let refused = desk.plan(Action::Discard, &named, SLOW).await.unwrap_err();
    assert!(
        refused.to_string().contains(&format!("belongs to job {job}")),
        "{refused}"
    );

    stage.until_state(job, JobState::Finished).await;
    stage.until_count("noted", 4).await;
    assert_eq!(script.calls().len(), 8, "each letter once");
    member.stop().await;
}

/// Both have looked at the same letters before either began: the database lets each letter go to one of them.
#[tokio::test(flavor = "multi_thread")]
async fn two_that_start_at_once_never_share_a_letter() {
    let stage = Stage::new(unordered()).await;
    let script = Script::by_unique_key();
    stage.dead(&script, 20, &[Act::Dead]).await;
    let member = stage.start(script.clone());
    stage.letters(20).await;
    let mut plans = Vec::new();
    for _ in 0..4 {
        plans.push(
            stage
                .plan(Action::Replay, &Selection::all(), Pace::default())
                .await
                .id,
        );
    }
    let desk = stage.desk();
    let starting = plans.into_iter().map(|plan| {
        let desk = desk.clone();
        async move { desk.start(plan, &by("someone"), Changed::Accept).await }
    });
    let started = futures::future::join_all(starting).await;
    let taken: u64 = started
        .into_iter()
        .filter_map(|started| match started {
            Ok(Start::Started(job)) => Some(job.letters),
            _ => None,
        })
        .sum();
    assert_eq!(taken, 20);
    stage.until_count("noted", 20).await;
    eventually("all jobs are finished", async || {
        let jobs = desk.jobs(None, 10).await.unwrap().rows;
        jobs.iter()
            .all(|job| job.state == JobState::Finished && job.in_flight == 0)
    })
    .await;
    assert_eq!(script.calls().len(), 40, "each letter once");
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_says_what_changed_before_it_is_started() {
    let stage = Stage::new(unordered().version("1")).await;
    let script = Script::by_unique_key();
    stage.dead(&script, 1, &[Act::Dead]).await;
    let member = stage.start(script.clone());
    stage.letters(1).await;
    let dry = stage
        .dead_letters(&["replay", "--all", "--dry-run", "--json"])
        .await
        .unwrap();
    let plan: Plan = serde_json::from_str(&dry).unwrap();
    assert_eq!(
        (plan.letters, plan.handler_version.as_str(), plan.serving),
        (1, "1", 1)
    );
    assert_eq!(stage.count("eventing.dead_letter_jobs").await, 0);
    member.stop().await;

    let newer = stage.start_as(unordered().version("2"), script.clone());
    stage.dead(&script, 1, &[Act::Dead]).await;
    stage.letters(2).await;
    let id = plan.id.to_string();
    let refused = stage.operate(&["replay", "--plan", &id]).await.unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("2 letters match now, not 1 as planned"),
        "{refused}"
    );
    assert!(
        refused
            .to_string()
            .contains("the handler is 2 now, not 1 as planned"),
        "{refused}"
    );
    assert_eq!(stage.count("eventing.dead_letter_jobs").await, 0);
    assert_eq!(stage.count("eventing.dead_letter_audit").await, 0);

    let said = stage.operate(&["replay", "--plan", &id, "--yes"]).await.unwrap();
    assert!(said.contains("2 of 2 letters sent again: 2 handled"), "{said}");
    newer.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_waits_for_a_replica_and_says_so_and_a_discard_needs_none() {
    let stage = Stage::new(unordered()).await;
    let script = Script::by_unique_key();
    stage.dead(&script, 2, &[Act::Dead]).await;
    let member = stage.start(script.clone());
    stage.letters(2).await;
    member.stop().await;

    let ids: Vec<String> = stage
        .listed()
        .await
        .iter()
        .map(|letter| letter["id"].as_str().unwrap().to_owned())
        .collect();
    let said = stage.operate(&["replay", &ids[0]]).await.unwrap();
    assert!(said.contains("no replica of group group serves"), "{said}");
    let said = stage.operate(&["discard", &ids[1]]).await.unwrap();
    assert!(said.contains("finished, 1 of 1 letters discarded"), "{said}");

    let member = stage.start(script.clone());
    stage.until_count("noted", 1).await;
    member.stop().await;
}

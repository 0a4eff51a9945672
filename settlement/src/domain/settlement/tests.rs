use proptest::prelude::*;
use schemas::ids::WithdrawalNo;

use super::*;

const ALICE: &str = "staff_alice";
const BOB: &str = "staff_bob";

fn now() -> Timestamp {
    Timestamp::from_second(1_770_000_000).unwrap()
}

fn totals() -> Totals {
    Totals {
        gross_minor: 10_000,
        refund_minor: 1_000,
        fee_minor: 320,
        returned_minor: 0,
        entry_count: 3,
        carried_over_count: 1,
    }
}

fn open(totals: Totals) -> Result<(Settlement, SettlementEvent), SettlementError> {
    let scope = Scope {
        merchant_id: MerchantId::generate(),
        currency: Currency::parse("EUR").unwrap(),
        cycle: Cycle::Daily,
        period: Period::parse("2026-01-31", "2026-01-31").unwrap(),
    };
    Settlement::open(SettlementNo::generate(), scope, totals, ALICE.to_owned(), now())
}

fn decision(by: &str) -> Decision {
    Decision {
        by: by.to_owned(),
        name: None,
        comments: None,
        at: now(),
    }
}

fn execution() -> Execution {
    Execution {
        by: ALICE.to_owned(),
        at: now(),
        withdrawal_no: WithdrawalNo::generate(),
    }
}

fn act(settlement: Settlement, action: Action) -> Result<(Settlement, SettlementEvent), SettlementError> {
    match action {
        Action::Approve => settlement.approve(decision(BOB)),
        Action::Reject => settlement.reject(decision(BOB)),
        Action::Execute => settlement.execute(execution()),
        Action::Complete => settlement.complete(now()),
        Action::Fail => settlement.fail(WithdrawalFailureCode::AccountClosed, now()),
    }
}

const ACTIONS: [Action; 5] = [
    Action::Approve,
    Action::Reject,
    Action::Execute,
    Action::Complete,
    Action::Fail,
];

#[test]
fn a_settlement_goes_from_approval_to_payout_and_tells_each_step() {
    let (settlement, created) = open(totals()).unwrap();
    assert_eq!((created.sequence, created.old_status), (1, None));
    assert_eq!((created.net_amount, created.withdrawal_no), (8_680, None));

    let (settlement, approved) = settlement.approve(decision(BOB)).unwrap();
    let (settlement, processing) = settlement.execute(execution()).unwrap();
    let (settlement, completed) = settlement.complete(now()).unwrap();

    let told = [created, approved, processing.clone(), completed];
    let types: Vec<_> = told.iter().map(|event| event.event_type.as_str()).collect();
    assert_eq!(
        types,
        [
            "settlement.created",
            "settlement.approved",
            "settlement.processing",
            "settlement.completed"
        ]
    );
    assert_eq!(
        processing.withdrawal_no,
        settlement
            .state
            .execution()
            .map(|execution| execution.withdrawal_no)
    );
    assert!(processing.withdrawal_no.is_some());
}

#[test]
fn whoever_created_a_settlement_does_not_approve_it() {
    let (settlement, _) = open(totals()).unwrap();
    assert_eq!(
        settlement.approve(decision(ALICE)),
        Err(SettlementError::CreatorApproves)
    );
}

#[test]
fn whoever_created_a_settlement_may_withdraw_it() {
    let (settlement, _) = open(totals()).unwrap();
    assert_eq!(
        settlement.reject(decision(ALICE)).unwrap().0.state.status(),
        SettlementStatus::Rejected
    );
}

#[test]
fn a_net_of_zero_or_less_is_refused_and_so_is_nothing() {
    let even = Totals {
        refund_minor: 9_680,
        ..totals()
    };
    assert_eq!(
        open(even).unwrap_err(),
        SettlementError::NetNotPositive { net_minor: 0 }
    );
    let owing = Totals {
        refund_minor: 10_000,
        ..totals()
    };
    assert_eq!(
        open(owing).unwrap_err(),
        SettlementError::NetNotPositive { net_minor: -320 }
    );
    assert_eq!(open(Totals::default()).unwrap_err(), SettlementError::Nothing);
}

#[test]
fn sums_beyond_64_bits_are_refused() {
    let huge = Totals {
        gross_minor: i64::MAX,
        returned_minor: i64::MAX,
        ..totals()
    };
    assert_eq!(open(huge).unwrap_err(), SettlementError::Overflow(TotalsOverflow));
}

fn allowed(status: SettlementStatus, action: Action) -> bool {
    matches!(
        (status, action),
        (
            SettlementStatus::PendingApproval,
            Action::Approve | Action::Reject
        ) | (SettlementStatus::Approved, Action::Execute)
            | (SettlementStatus::Processing, Action::Complete | Action::Fail)
    )
}

proptest! {
    /// Whatever is tried in whatever order: only the steps of the table happen, each adds exactly one to the sequence and
    /// tells where it came from, and a refused one says what the settlement is.
    #[test]
    fn only_the_steps_of_the_table_happen(tries in prop::collection::vec(prop::sample::select(&ACTIONS), 0..12)) {
        let (mut settlement, _) = open(totals()).unwrap();
        for action in tries {
            let before = settlement.clone();
            let status = before.state.status();
            match act(settlement, action) {
                Ok((after, event)) => {
                    prop_assert!(allowed(status, action));
                    prop_assert_eq!(event.sequence, before.sequence + 1);
                    prop_assert_eq!(after.sequence, event.sequence);
                    prop_assert_eq!(event.old_status, Some(status));
                    prop_assert_eq!(event.new_status, after.state.status());
                    prop_assert_ne!(event.new_status, status);
                    prop_assert_eq!(after.net, before.net);
                    settlement = after;
                }
                Err(error) => {
                    prop_assert!(!allowed(status, action));
                    prop_assert_eq!(error, SettlementError::NotNow { action, status });
                    settlement = before;
                }
            }
        }
    }
}

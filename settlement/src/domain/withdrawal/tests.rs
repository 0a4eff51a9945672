use proptest::prelude::*;
use schemas::money::Currency;

use super::*;
use crate::domain::ledger::Account;

fn now() -> Timestamp {
    Timestamp::from_second(1_770_000_000).unwrap()
}

fn eur(minor: i64) -> Money {
    Money::new(minor, Currency::parse("EUR").unwrap())
}

fn payout(id: &str) -> PayoutId {
    PayoutId::parse(id).unwrap()
}

fn report(status: PayoutStatus) -> Report {
    Report {
        payout_id: payout("po_1"),
        amount: eur(8_680),
        status,
    }
}

const FAILED: PayoutStatus = PayoutStatus::Failed(WithdrawalFailureCode::AccountClosed);
const RETURNED: PayoutStatus = PayoutStatus::Returned(WithdrawalFailureCode::ReturnedByBank);

fn pending() -> Withdrawal {
    let (withdrawal, event, _) = Withdrawal::open(
        WithdrawalNo::generate(),
        SettlementNo::generate(),
        MerchantId::generate(),
        eur(8_680),
        now(),
    )
    .unwrap();
    assert_eq!((event.sequence, event.old_status), (1, None));
    withdrawal
}

fn processing() -> Withdrawal {
    pending().start(now()).unwrap().0
}

fn moved(reported: Reported) -> Moved {
    match reported {
        Reported::Moved(moved) => *moved,
        other => panic!("expected a step, got {other:?}"),
    }
}

fn after(status: PayoutStatus) -> Withdrawal {
    moved(processing().report(&report(status), now()).unwrap()).withdrawal
}

fn kinds(moved: &Moved) -> Vec<&'static str> {
    moved
        .postings
        .iter()
        .map(|posting| posting.fact().kind())
        .collect()
}

#[test]
fn a_completed_payout_completes_the_settlement() {
    let step = moved(
        processing()
            .report(&report(PayoutStatus::Completed), now())
            .unwrap(),
    );
    assert_eq!(step.event.event_type.as_str(), "withdrawal.completed");
    assert_eq!(
        (step.event.sequence, step.settlement),
        (3, SettlementEnd::Completed)
    );
    assert_eq!(kinds(&step), ["payout_completed"]);
}

#[test]
fn a_failed_payout_is_owed_again_and_fails_the_settlement() {
    let step = moved(processing().report(&report(FAILED), now()).unwrap());
    assert_eq!(
        step.event.failure_code,
        Some(WithdrawalFailureCode::AccountClosed)
    );
    assert_eq!(
        step.settlement,
        SettlementEnd::Failed(WithdrawalFailureCode::AccountClosed)
    );
    assert_eq!(kinds(&step), ["payout_failed"]);
}

#[test]
fn a_payout_that_comes_back_later_is_owed_again_and_leaves_the_settlement_alone() {
    let step = moved(
        after(PayoutStatus::Completed)
            .report(&report(RETURNED), now())
            .unwrap(),
    );
    assert_eq!(step.event.event_type.as_str(), "withdrawal.returned");
    assert_eq!(step.settlement, SettlementEnd::Unchanged);
    assert_eq!(kinds(&step), ["payout_returned"]);
}

#[test]
fn a_return_that_overtakes_the_completion_books_both_and_fails_the_settlement() {
    let step = moved(processing().report(&report(RETURNED), now()).unwrap());
    assert_eq!(
        step.settlement,
        SettlementEnd::Failed(WithdrawalFailureCode::ReturnedByBank)
    );
    assert_eq!(kinds(&step), ["payout_completed", "payout_returned"]);
    let late = step
        .withdrawal
        .report(&report(PayoutStatus::Completed), now())
        .unwrap();
    assert_eq!(late, Reported::Nothing, "the completion that was overtaken");
}

#[test]
fn the_first_answer_teaches_the_banks_name_and_tells_nobody() {
    let accepted = processing()
        .report(&report(PayoutStatus::Processing), now())
        .unwrap();
    let Reported::Accepted(withdrawal) = accepted else {
        panic!("expected acceptance, got {accepted:?}")
    };
    assert_eq!(withdrawal.state.payout_id(), Some(&payout("po_1")));
    assert_eq!(withdrawal.sequence, 2);
    assert_eq!(
        withdrawal
            .report(&report(PayoutStatus::Processing), now())
            .unwrap(),
        Reported::Nothing
    );
}

#[test]
fn a_refused_order_fails_unless_the_bank_is_known_to_have_it() {
    let step = moved(processing().reject(now()).unwrap());
    assert_eq!(step.event.failure_code, Some(WithdrawalFailureCode::BankRejected));
    assert_eq!(kinds(&step), ["payout_failed"]);
    let Reported::Accepted(known) = processing()
        .report(&report(PayoutStatus::Processing), now())
        .unwrap()
    else {
        panic!("expected acceptance")
    };
    assert_eq!(known.reject(now()).unwrap(), Reported::Nothing);
    assert_eq!(
        after(PayoutStatus::Completed).reject(now()).unwrap(),
        Reported::Nothing
    );
}

fn conflict(reported: Reported) -> ConflictKind {
    match reported {
        Reported::Conflicting(withdrawal, kind) => {
            assert_eq!(withdrawal.conflict, Some(Conflict { kind, at: now() }));
            kind
        }
        other => panic!("expected a conflict, got {other:?}"),
    }
}

#[test]
fn what_contradicts_is_a_conflict_and_changes_no_state() {
    let other_amount = Report {
        amount: eur(1),
        ..report(PayoutStatus::Completed)
    };
    assert_eq!(
        conflict(processing().report(&other_amount, now()).unwrap()),
        ConflictKind::OtherAmount
    );
    let other_payout = Report {
        payout_id: payout("po_2"),
        ..report(PayoutStatus::Completed)
    };
    assert_eq!(
        conflict(
            after(PayoutStatus::Completed)
                .report(&other_payout, now())
                .unwrap()
        ),
        ConflictKind::OtherPayout
    );
    let never_ordered = pending().report(&report(PayoutStatus::Completed), now()).unwrap();
    assert_eq!(conflict(never_ordered), ConflictKind::NeverOrdered);
    let paid_after_all = after(FAILED)
        .report(&report(PayoutStatus::Completed), now())
        .unwrap();
    assert_eq!(conflict(paid_after_all), ConflictKind::PaidAfterFailing);
    let failed_after_all = after(PayoutStatus::Completed)
        .report(&report(FAILED), now())
        .unwrap();
    assert_eq!(conflict(failed_after_all), ConflictKind::FailedAfterPaying);
}

#[test]
fn a_withdrawal_is_started_once() {
    assert_eq!(
        processing().start(now()),
        Err(NotPending(WithdrawalStatus::Processing))
    );
}

#[test]
fn a_payouts_id_is_short_and_visible() {
    assert!(PayoutId::parse("").is_err());
    assert!(PayoutId::parse("po 1").is_err());
    assert!(PayoutId::parse(&"p".repeat(129)).is_err());
}

fn any_status() -> impl Strategy<Value = PayoutStatus> {
    prop::sample::select(vec![
        PayoutStatus::Processing,
        PayoutStatus::Completed,
        FAILED,
        RETURNED,
    ])
}

proptest! {
    /// However often and in whatever order the bank reports: the money in transit ends up in exactly one place, every step
    /// adds one to the sequence, and what was reported before changes nothing when it is repeated.
    #[test]
    fn no_order_of_reports_books_a_payout_twice(reports in prop::collection::vec(any_status(), 0..12)) {
        let mut withdrawal = processing();
        let mut transit = -withdrawal.amount.minor;
        let mut payable = 0_i64;
        for status in reports {
            let sequence = withdrawal.sequence;
            match withdrawal.clone().report(&report(status), now()).unwrap() {
                Reported::Nothing => {}
                Reported::Accepted(accepted) => withdrawal = accepted,
                Reported::Conflicting(marked, _) => {
                    prop_assert_eq!(&marked.state, &withdrawal.state);
                    withdrawal = marked;
                }
                Reported::Moved(step) => {
                    prop_assert_eq!(step.event.sequence, sequence + 1);
                    for entry in step.postings.iter().flat_map(Posting::entries) {
                        if entry.account == Account::PayoutsInTransit { transit += entry.minor; }
                        if entry.account == Account::MerchantPayable { payable += entry.minor; }
                    }
                    withdrawal = step.withdrawal;
                }
            }
            let again = withdrawal.clone().report(&report(status), now()).unwrap();
            prop_assert!(!matches!(again, Reported::Moved(_)));
            prop_assert!(transit == 0 || transit == -withdrawal.amount.minor);
            prop_assert!(payable == 0 || payable == -withdrawal.amount.minor);
        }
        let owed_again = matches!(withdrawal.state.status(), WithdrawalStatus::Failed | WithdrawalStatus::Returned);
        prop_assert_eq!(payable != 0, owed_again);
    }
}

//! What must happen in the cases that matter most.

use schemas::ids::{PaymentNo, RefundNo};
use schemas::money::{Currency, Money};
use schemas::payment::{FailureCode, PaymentEventType, PaymentStatus};

use super::{AMOUNT, direct, eur, event_of, now, payment, seen, succeeded};
use crate::domain::Closing;
use crate::domain::observation::Outcome;
use crate::domain::psp::{ConflictKind, PspPayment, PspRefund, PspRefundStatus, PspStatus};
use crate::domain::refund::{NewRefund, RefundError};
use crate::domain::work::{Absence, Attempts, Step};

#[test]
fn a_payment_begins_with_event_one() {
    let payment = direct();
    assert_eq!((payment.sequence, payment.status()), (1, PaymentStatus::Pending));
}

#[test]
fn a_late_success_is_a_conflict_and_moves_no_money() {
    for closed in [
        direct().fail(FailureCode::CardDeclined, now()),
        direct().cancel(now()),
        direct().expire(now()),
    ] {
        let closed = closed.unwrap().0;
        let (after, outcome) = closed
            .clone()
            .observe(&seen(&closed, PspStatus::Succeeded), now());
        assert!(
            matches!(&outcome, Outcome::Conflict(c) if c.kind == ConflictKind::LateSuccess),
            "{outcome:?}"
        );
        assert_eq!(after, closed);
    }
}

#[test]
fn a_second_object_that_charged_is_a_conflict() {
    let payment = succeeded();
    let mut other = seen(&payment, PspStatus::Succeeded);
    other.objects.intent = Some("pi_2".to_owned());
    let (_, outcome) = payment.clone().observe(&other, now());
    assert!(
        matches!(&outcome, Outcome::Conflict(c) if c.kind == ConflictKind::SecondCharge),
        "{outcome:?}"
    );
    other.status = PspStatus::Cancelled;
    assert_eq!(payment.observe(&other, now()).1, Outcome::Noted);
}

#[test]
fn what_is_not_what_we_asked_for_is_not_applied() {
    let payment = direct();
    let wrong_amount = PspPayment {
        amount: eur(AMOUNT - 1),
        ..seen(&payment, PspStatus::Succeeded)
    };
    let usd = Money::new(AMOUNT, Currency::parse("USD").unwrap());
    let wrong_currency = PspPayment {
        amount: usd,
        ..seen(&payment, PspStatus::Succeeded)
    };
    let wrong_payment = PspPayment {
        payment_no: Some(PaymentNo::generate()),
        ..seen(&payment, PspStatus::Succeeded)
    };
    let nobodys = PspPayment {
        payment_no: None,
        ..seen(&payment, PspStatus::Succeeded)
    };
    for (seen, kind) in [
        (wrong_amount, ConflictKind::WrongAmount),
        (wrong_currency, ConflictKind::WrongAmount),
        (wrong_payment, ConflictKind::WrongPayment),
        (nobodys, ConflictKind::WrongPayment),
    ] {
        let (after, outcome) = payment.clone().observe(&seen, now());
        assert!(
            matches!(&outcome, Outcome::Conflict(c) if c.kind == kind),
            "{outcome:?}"
        );
        assert_eq!(after, payment);
    }
}

#[test]
fn a_declined_attempt_is_final_only_where_we_named_the_method() {
    let declined = PspStatus::Unpaid(Some(FailureCode::InsufficientFunds));
    let (failed, _) = direct().observe(&seen(&direct(), declined.clone()), now());
    assert_eq!(
        failed.status(),
        PaymentStatus::Pending,
        "another payment's decline was taken for this one's"
    );

    let payment = direct();
    let (failed, outcome) = payment.clone().observe(&seen(&payment, declined.clone()), now());
    assert_eq!(failed.status(), PaymentStatus::Failed);
    assert_eq!(
        event_of(outcome).unwrap().failure_code,
        Some(FailureCode::InsufficientFunds)
    );

    let hosted = super::payment(None);
    let (waiting, outcome) = hosted.clone().observe(&seen(&hosted, declined), now());
    assert_eq!(
        (waiting.status(), outcome),
        (PaymentStatus::Pending, Outcome::Noted)
    );
}

#[test]
fn the_psps_cancellation_is_ours_for_the_reason_we_gave() {
    let cases = [
        (direct(), PaymentStatus::Cancelled),
        (direct().ask_to_close(Closing::Cancel), PaymentStatus::Cancelled),
        (direct().ask_to_close(Closing::Expire), PaymentStatus::Expired),
        (
            direct()
                .ask_to_close(Closing::Expire)
                .ask_to_close(Closing::Cancel),
            PaymentStatus::Expired,
        ),
        (payment(None), PaymentStatus::Expired),
        (
            payment(None).ask_to_close(Closing::Cancel),
            PaymentStatus::Cancelled,
        ),
    ];
    for (payment, expected) in cases {
        let (after, _) = payment
            .clone()
            .observe(&seen(&payment, PspStatus::Cancelled), now());
        assert_eq!(after.status(), expected);
    }
}

#[test]
fn a_refund_takes_no_more_than_what_is_left() {
    let wish = |amount| NewRefund {
        refund_no: RefundNo::generate(),
        amount,
        reason: None,
    };
    let (payment, first, event) = succeeded().refund(wish(Some(600)), now()).unwrap();
    assert_eq!(event.event_type, PaymentEventType::RefundCreated);
    assert_eq!(
        payment.clone().refund(wish(Some(401)), now()),
        Err(RefundError::AboveRest { rest: eur(400) })
    );
    let (payment, second, _) = payment.refund(wish(None), now()).unwrap();
    assert_eq!(second.amount, eur(400));
    assert_eq!(
        payment.clone().refund(wish(None), now()),
        Err(RefundError::AboveRest { rest: eur(0) })
    );

    let (payment, _, event) = payment.refund_succeeded(first, now()).unwrap();
    assert_eq!(
        (event.new_status, event.amount_refunded),
        (PaymentStatus::PartiallyRefunded, 600)
    );
    let (payment, _, event) = payment
        .refund_failed(second, FailureCode::Rejected, now())
        .unwrap();
    assert_eq!(
        (event.new_status, event.amount_refunded),
        (PaymentStatus::PartiallyRefunded, 600)
    );
    assert_eq!(payment.refundable(), eur(400));
    assert!(matches!(
        direct().refund(wish(None), now()),
        Err(RefundError::NotCharged { .. })
    ));
}

#[test]
fn a_refund_that_fails_after_it_succeeded_is_a_conflict() {
    let wish = NewRefund {
        refund_no: RefundNo::generate(),
        amount: None,
        reason: None,
    };
    let (payment, refund, _) = succeeded().refund(wish, now()).unwrap();
    let mut seen = PspRefund {
        id: "re_1".to_owned(),
        refund_no: Some(refund.refund_no),
        amount: refund.amount,
        status: PspRefundStatus::Succeeded,
    };
    let (payment, refund, _) = payment.observe_refund(refund, &seen, now());
    seen.status = PspRefundStatus::Failed(FailureCode::ProcessingError);
    let (_, after, outcome) = payment.observe_refund(refund.clone(), &seen, now());
    assert!(
        matches!(&outcome, Outcome::Conflict(c) if c.kind == ConflictKind::RefundContradicted),
        "{outcome:?}"
    );
    assert_eq!(after, refund);
}

#[test]
fn a_post_is_repeated_only_while_the_psp_remembers_its_key() {
    let hours = |hours| now() + jiff::SignedDuration::from_hours(hours);
    let posted_at = |hour| Attempts {
        count: 2,
        posted_at: hours(hour),
    };
    let payment = direct();
    assert_eq!(
        payment.next_step(),
        Step::Search,
        "posted before it was asked for"
    );
    assert_eq!(payment.absence(posted_at(0), hours(19)), Absence::Post);
    assert_eq!(
        payment.absence(posted_at(19), hours(20) - jiff::SignedDuration::from_secs(1)),
        Absence::Post
    );
    assert_eq!(payment.absence(posted_at(20), hours(20)), Absence::Wait);
    assert_eq!(payment.absence(posted_at(20), hours(21)), Absence::Final);

    // To be closed: posting again would charge.
    let closing = payment.ask_to_close(Closing::Cancel);
    assert_eq!(closing.absence(posted_at(0), hours(0)), Absence::Wait);
    assert_eq!(closing.absence(posted_at(0), hours(1)), Absence::Final);

    // A page that was made and lost charges as long as it lives.
    let hosted = super::payment(None).ask_to_close(Closing::Expire);
    assert_eq!(hosted.absence(posted_at(0), hours(1)), Absence::Post);
    assert_eq!(hosted.absence(posted_at(19), hours(30)), Absence::Wait);
    assert_eq!(hosted.absence(posted_at(19), hours(44)), Absence::Final);
}

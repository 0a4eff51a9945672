//! The laws of payments and refunds, held against whatever can be thrown at them.

use jiff::Timestamp;
use proptest::prelude::*;
use schemas::ids::{CustomerRef, MerchantId, PaymentNo, RefundNo};
use schemas::money::{Currency, Money};
use schemas::payment::{FailureCode, PaymentEvent, PaymentEventType, PaymentStatus};

use super::observation::Outcome;
use super::psp::{ConflictKind, PspObjects, PspPayment, PspRefund, PspRefundStatus, PspStatus};
use super::refund::{NewRefund, RefundError};
use super::work::{Absence, Attempts, Step};
use super::*;

const AMOUNT: i64 = 1000;

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

fn eur(minor: i64) -> Money {
    Money::new(minor, Currency::parse("EUR").unwrap())
}

fn payment(payment_method: Option<&str>) -> Payment {
    let new = NewPayment {
        payment_no: PaymentNo::generate(),
        merchant_id: MerchantId::generate(),
        order_no: OrderNo::parse("order-1").unwrap(),
        customer_ref: CustomerRef::generate(),
        amount: eur(AMOUNT),
        payment_method: payment_method.map(|method| PaymentMethod::parse(method).unwrap()),
        details: Details::default(),
    };
    Payment::create(new, now()).0
}

fn direct() -> Payment {
    payment(Some("pm_card_visa"))
}

fn seen(payment: &Payment, status: PspStatus) -> PspPayment {
    PspPayment {
        objects: PspObjects {
            intent: Some("pi_1".to_owned()),
            ..PspObjects::default()
        },
        payment_no: Some(payment.payment_no),
        amount: payment.amount,
        status,
    }
}

fn succeeded() -> Payment {
    direct().succeed("pi_1".to_owned(), now()).unwrap().0
}

fn statuses() -> impl Strategy<Value = PspStatus> {
    prop_oneof![
        Just(PspStatus::Unpaid(None)),
        Just(PspStatus::Unpaid(Some(FailureCode::CardDeclined))),
        Just(PspStatus::Processing),
        Just(PspStatus::RequiresAction {
            redirect_url: "https://psp.example/3ds".to_owned()
        }),
        Just(PspStatus::Succeeded),
        Just(PspStatus::Cancelled),
    ]
}

/// Anything that can happen to a payment.
#[derive(Debug, Clone)]
enum Happening {
    Process,
    RequireAction,
    Succeed,
    Fail,
    Cancel,
    Expire,
    AskToClose(Closing),
    Observe(PspStatus, &'static str),
    Refund(Option<i64>),
    RefundSeen(prop::sample::Index, PspRefundStatus),
    RefundSucceeded(prop::sample::Index),
    RefundFailed(prop::sample::Index),
}

fn happenings() -> impl Strategy<Value = Happening> {
    let refund_statuses = prop_oneof![
        Just(PspRefundStatus::Pending),
        Just(PspRefundStatus::Succeeded),
        Just(PspRefundStatus::Failed(FailureCode::ProcessingError)),
    ];
    prop_oneof![
        1 => Just(Happening::Process),
        1 => Just(Happening::RequireAction),
        3 => Just(Happening::Succeed),
        1 => Just(Happening::Fail),
        1 => Just(Happening::Cancel),
        1 => Just(Happening::Expire),
        1 => prop_oneof![Just(Closing::Cancel), Just(Closing::Expire)].prop_map(Happening::AskToClose),
        4 => (statuses(), prop::sample::select(vec!["pi_1", "pi_2"])).prop_map(|(s, id)| Happening::Observe(s, id)),
        6 => prop::option::of(-10..=AMOUNT + 10).prop_map(Happening::Refund),
        3 => (any::<prop::sample::Index>(), refund_statuses).prop_map(|(i, s)| Happening::RefundSeen(i, s)),
        3 => any::<prop::sample::Index>().prop_map(Happening::RefundSucceeded),
        3 => any::<prop::sample::Index>().prop_map(Happening::RefundFailed),
    ]
}

/// A payment, its refunds, and what was told of them.
struct World {
    payment: Payment,
    refunds: Vec<Refund>,
}

impl World {
    fn happen(&mut self, happening: Happening) -> Option<PaymentEvent> {
        let payment = self.payment.clone();
        let transition = match happening {
            Happening::Process => payment.process(now()),
            Happening::RequireAction => payment.require_action("https://psp.example".to_owned(), now()),
            Happening::Succeed => payment.succeed("pi_1".to_owned(), now()),
            Happening::Fail => payment.fail(FailureCode::CardDeclined, now()),
            Happening::Cancel => payment.cancel(now()),
            Happening::Expire => payment.expire(now()),
            Happening::AskToClose(closing) => {
                self.payment = payment.ask_to_close(closing);
                return None;
            }
            Happening::Observe(status, intent) => {
                let mut seen = seen(&payment, status);
                seen.objects.intent = Some(intent.to_owned());
                let (payment, outcome) = payment.observe(&seen, now());
                self.payment = payment;
                return event_of(outcome);
            }
            Happening::Refund(amount) => return self.refund(amount),
            Happening::RefundSeen(index, status) => return self.observe_refund(index, status),
            Happening::RefundSucceeded(index) => return self.settle(index, true),
            Happening::RefundFailed(index) => return self.settle(index, false),
        };
        let (payment, event) = transition.ok()?;
        self.payment = payment;
        Some(event)
    }

    fn refund(&mut self, amount: Option<i64>) -> Option<PaymentEvent> {
        let new = NewRefund {
            refund_no: RefundNo::generate(),
            amount,
            reason: None,
        };
        let (payment, refund, event) = self.payment.clone().refund(new, now()).ok()?;
        self.payment = payment;
        self.refunds.push(refund);
        Some(event)
    }

    fn observe_refund(
        &mut self,
        index: prop::sample::Index,
        status: PspRefundStatus,
    ) -> Option<PaymentEvent> {
        let index = index.index(self.refunds.len().max(1));
        let refund = self.refunds.get_mut(index)?;
        let seen = PspRefund {
            id: format!("re_{}", refund.refund_no),
            refund_no: Some(refund.refund_no),
            amount: refund.amount,
            status,
        };
        let (payment, after, outcome) = self.payment.clone().observe_refund(refund.clone(), &seen, now());
        (self.payment, *refund) = (payment, after);
        event_of(outcome)
    }

    fn settle(&mut self, index: prop::sample::Index, is_paid: bool) -> Option<PaymentEvent> {
        let index = index.index(self.refunds.len().max(1));
        let refund = self.refunds.get_mut(index)?;
        let (payment, before) = (self.payment.clone(), refund.clone());
        let settled = if is_paid {
            payment.refund_succeeded(before, now())
        } else {
            payment.refund_failed(before, FailureCode::Rejected, now())
        };
        let (payment, after, event) = settled.ok()?;
        (self.payment, *refund) = (payment, after);
        Some(event)
    }

    fn sum(&self, is_counted: impl Fn(&Refund) -> bool) -> i64 {
        self.refunds
            .iter()
            .filter(|refund| is_counted(refund))
            .map(|refund| refund.amount.minor)
            .sum()
    }
}

fn event_of(outcome: Outcome) -> Option<PaymentEvent> {
    match outcome {
        Outcome::Changed(event) => Some(*event),
        Outcome::Noted | Outcome::Conflict(_) => None,
    }
}

proptest! {
    #[test]
    fn whatever_happens_the_laws_hold(
        is_hosted in any::<bool>(),
        happenings in prop::collection::vec(happenings(), 1..60),
    ) {
        let payment = payment((!is_hosted).then_some("pm_card_visa"));
        let mut world = World { payment, refunds: Vec::new() };
        for happening in happenings {
            let (before, refunds_before) = (world.payment.clone(), world.refunds.clone());
            let event = world.happen(happening);
            let after = &world.payment;

            // Refunds never exceed the charge, and the charge's books are the sum over them.
            if let PaymentState::Success(charge) = &after.state {
                prop_assert!(charge.refunded >= 0 && charge.reserved >= 0);
                prop_assert!(charge.refunded + charge.reserved <= AMOUNT);
                prop_assert_eq!(charge.refunded, world.sum(|refund| refund.state == RefundState::Succeeded));
                prop_assert_eq!(charge.reserved, world.sum(Refund::is_open));
            }
            // A final state stays.
            if !before.is_open() {
                prop_assert_eq!(
                    std::mem::discriminant(&before.state), std::mem::discriminant(&after.state)
                );
                prop_assert!(after.closing.is_none());
            }
            for (was, is) in refunds_before.iter().zip(&world.refunds) {
                prop_assert!(was.is_open() || was.state == is.state);
            }
            // An event exists exactly for a change of state, and tells of it.
            if let Some(event) = event {
                    prop_assert_eq!(event.sequence, before.sequence + 1);
                    prop_assert_eq!(after.sequence, event.sequence);
                    prop_assert_eq!(event.old_status, Some(before.status()));
                    prop_assert_eq!(event.new_status, after.status());
                    prop_assert_eq!(event.amount_refunded, after.amount_refunded());
                    prop_assert!(event.old_status != Some(event.new_status) || event.refund.is_some());
            } else {
                prop_assert_eq!(before.sequence, after.sequence);
                prop_assert_eq!(before.state, after.state.clone());
            }
        }
    }

    #[test]
    fn hearing_something_again_changes_nothing(
        is_hosted in any::<bool>(),
        heard in prop::collection::vec(statuses(), 1..8),
    ) {
        let mut payment = payment((!is_hosted).then_some("pm_card_visa"));
        for status in heard {
            let seen = seen(&payment, status);
            let (once, _) = payment.observe(&seen, now());
            let (twice, outcome) = once.clone().observe(&seen, now());
            prop_assert!(event_of(outcome).is_none());
            prop_assert_eq!(&once, &twice);
            payment = once;
        }
    }

    /// What one object of the PSP goes through ends the same, in whatever order and however often we hear of it.
    #[test]
    fn the_order_in_which_things_are_heard_does_not_matter(
        ends in prop::sample::select(vec![
            PspStatus::Succeeded,
            PspStatus::Unpaid(Some(FailureCode::CardDeclined)),
            PspStatus::Cancelled,
        ]),
        heard in Just(vec![0_usize, 0, 1, 2, 2, 3, 3]).prop_shuffle(),
    ) {
        let redirect_url = "https://psp.example/3ds".to_owned();
        let history =
            [PspStatus::Unpaid(None), PspStatus::Processing, PspStatus::RequiresAction { redirect_url }, ends.clone()];
        let mut payment = direct();
        for index in heard {
            let (after, outcome) = payment.clone().observe(&seen(&payment, history[index].clone()), now());
            prop_assert!(!matches!(outcome, Outcome::Conflict(_)), "{outcome:?}");
            payment = after;
        }
        let expected = match ends {
            PspStatus::Succeeded => PaymentStatus::Success,
            PspStatus::Cancelled => PaymentStatus::Cancelled,
            _ => PaymentStatus::Failed,
        };
        prop_assert_eq!(payment.status(), expected);
    }
}

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

    let hosted = self::payment(None);
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
    let hosted = self::payment(None).ask_to_close(Closing::Expire);
    assert_eq!(hosted.absence(posted_at(0), hours(1)), Absence::Post);
    assert_eq!(hosted.absence(posted_at(19), hours(30)), Absence::Wait);
    assert_eq!(hosted.absence(posted_at(19), hours(44)), Absence::Final);
}

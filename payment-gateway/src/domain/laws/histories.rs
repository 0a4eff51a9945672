//! Whatever happens, in whatever order.

use proptest::prelude::*;
use schemas::ids::RefundNo;
use schemas::payment::{FailureCode, PaymentEvent, PaymentStatus};

use super::{AMOUNT, direct, event_of, now, payment, seen};
use crate::domain::observation::Outcome;
use crate::domain::psp::{PspRefund, PspRefundStatus, PspStatus};
use crate::domain::refund::NewRefund;
use crate::domain::{Closing, Payment, PaymentState, Refund, RefundState};

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

//! The laws of payments and refunds, held against whatever can be thrown at them.

mod histories;
mod stories;

use jiff::Timestamp;
use schemas::ids::{CustomerRef, MerchantId, PaymentNo};
use schemas::money::{Currency, Money};
use schemas::payment::PaymentEvent;

use super::observation::Outcome;
use super::psp::{PspObjects, PspPayment, PspStatus};
use super::{Details, NewPayment, OrderNo, Payment, PaymentMethod};

pub(super) const AMOUNT: i64 = 1000;

pub(super) fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

pub(super) fn eur(minor: i64) -> Money {
    Money::new(minor, Currency::parse("EUR").unwrap())
}

pub(super) fn payment(payment_method: Option<&str>) -> Payment {
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

pub(super) fn direct() -> Payment {
    payment(Some("pm_card_visa"))
}

pub(super) fn seen(payment: &Payment, status: PspStatus) -> PspPayment {
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

pub(super) fn succeeded() -> Payment {
    direct().succeed("pi_1".to_owned(), now()).unwrap().0
}

pub(super) fn event_of(outcome: Outcome) -> Option<PaymentEvent> {
    match outcome {
        Outcome::Changed(event) => Some(*event),
        Outcome::Noted | Outcome::Conflict(_) => None,
    }
}

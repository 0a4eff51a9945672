//! What is booked for one payment, and whether the next event of it fits.
//!
//! The consumer delivers a payment's events once and in order, so that an event that does not fit is not late: it contradicts
//! what was booked. It is refused here, becomes a dead letter, and holds back the rest of that payment until a person looked.

use jiff::Timestamp;
use schemas::{
    ids::{MerchantId, PaymentNo, RefundNo},
    money::Money,
};

use crate::domain::{
    ledger::{Fact, LedgerError, Posting, Refund},
    terms::Terms,
};

/// A payment's bookings so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentBooks {
    payment_no: PaymentNo,
    charge: Option<Charge>,
    refunds: Vec<BookedRefund>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Charge {
    merchant_id: MerchantId,
    amount: Money,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct BookedRefund {
    refund_no: RefundNo,
    minor: i64,
    state: RefundState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RefundState {
    Held,
    Released,
    Paid,
}

/// One booking, as the ledger has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Booked {
    /// What it is.
    pub step: BookedStep,
    /// For whom.
    pub merchant_id: MerchantId,
    /// The charge or the refund as a whole.
    pub amount: Money,
}

/// What a booking of a payment can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BookedStep {
    /// The charge.
    Charge,
    /// A refund's amount is held.
    Held(RefundNo),
    /// A refund's hold was released.
    Released(RefundNo),
    /// A refund was paid.
    Paid(RefundNo),
}

/// What the event at hand says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// `payment.succeeded`, with the terms in force at that time.
    Succeeded(Terms),
    /// `refund.created`.
    RefundCreated(RefundNo),
    /// `refund.failed`.
    RefundFailed(RefundNo),
    /// `refund.succeeded`.
    RefundSucceeded(RefundNo),
}

/// How an event contradicts what is booked.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Contradiction {
    /// A payment is charged once.
    #[error("the payment is already charged")]
    ChargedTwice,
    /// A refund of nothing.
    #[error("a refund of a payment without a charge")]
    NotCharged,
    /// The payment belongs to somebody else.
    #[error("the payment is booked for another merchant")]
    OtherMerchant,
    /// A refund is in the charge's currency.
    #[error("the payment is booked in another currency")]
    OtherCurrency,
    /// The refund's amount changed on the way.
    #[error("the refund is booked over {booked} minor units, and the event says {event}")]
    OtherAmount {
        /// As it was held.
        booked: i64,
        /// As it is now told.
        event: i64,
    },
    /// All refunds together exceed the charge.
    #[error("the refunds of the payment exceed its charge by {excess} minor units")]
    RefundedTooMuch {
        /// How much too much.
        excess: i64,
    },
    /// A refund is held once.
    #[error("the refund is already held")]
    HeldTwice,
    /// A refund ends that never began.
    #[error("the refund was never held")]
    NeverHeld,
    /// A refund ends once.
    #[error("the refund is already released or paid")]
    ResolvedTwice,
    /// The amounts cannot be booked at all.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl PaymentBooks {
    /// Reads the bookings of `payment_no` in the order in which they were made.
    pub fn replay(payment_no: PaymentNo, history: impl IntoIterator<Item = Booked>) -> Self {
        let mut books = Self {
            payment_no,
            charge: None,
            refunds: Vec::new(),
        };
        for booked in history {
            books.record(booked);
        }
        books
    }

    fn record(&mut self, booked: Booked) {
        match booked.step {
            BookedStep::Charge => {
                self.charge = Some(Charge {
                    merchant_id: booked.merchant_id,
                    amount: booked.amount,
                });
            }
            BookedStep::Held(refund_no) => {
                self.refunds.push(BookedRefund {
                    refund_no,
                    minor: booked.amount.minor,
                    state: RefundState::Held,
                });
            }
            BookedStep::Released(refund_no) => self.resolve(refund_no, RefundState::Released),
            BookedStep::Paid(refund_no) => self.resolve(refund_no, RefundState::Paid),
        }
    }

    fn resolve(&mut self, refund_no: RefundNo, state: RefundState) {
        for refund in self
            .refunds
            .iter_mut()
            .filter(|refund| refund.refund_no == refund_no)
        {
            refund.state = state;
        }
    }

    /// The posting of the payment's next event, or why there is none.
    pub fn post(
        &self,
        step: Step,
        merchant_id: MerchantId,
        amount: Money,
        occurred_at: Timestamp,
    ) -> Result<Posting, Contradiction> {
        let fact = match step {
            Step::Succeeded(terms) => self.charge(terms)?,
            Step::RefundCreated(refund_no) => self.hold(refund_no, merchant_id, amount)?,
            Step::RefundFailed(refund_no) => {
                Fact::RefundReleased(self.held(refund_no, merchant_id, amount)?)
            }
            Step::RefundSucceeded(refund_no) => {
                Fact::RefundPaid(self.held(refund_no, merchant_id, amount)?)
            }
        };
        Ok(Posting::new(fact, merchant_id, amount, occurred_at)?)
    }

    fn charge(&self, terms: Terms) -> Result<Fact, Contradiction> {
        match self.charge {
            Some(_) => Err(Contradiction::ChargedTwice),
            None => Ok(Fact::Charge {
                payment_no: self.payment_no,
                terms,
            }),
        }
    }

    fn hold(
        &self,
        refund_no: RefundNo,
        merchant_id: MerchantId,
        amount: Money,
    ) -> Result<Fact, Contradiction> {
        let charge = self.check_charge(merchant_id, amount)?;
        if self.refunds.iter().any(|refund| refund.refund_no == refund_no) {
            return Err(Contradiction::HeldTwice);
        }
        let live = self
            .refunds
            .iter()
            .filter(|refund| refund.state != RefundState::Released);
        let refunded = live.fold(amount.minor, |sum, refund| sum.saturating_add(refund.minor));
        if refunded > charge.amount.minor {
            return Err(Contradiction::RefundedTooMuch {
                excess: refunded.saturating_sub(charge.amount.minor),
            });
        }
        Ok(Fact::RefundHeld(self.refund(refund_no)))
    }

    fn held(
        &self,
        refund_no: RefundNo,
        merchant_id: MerchantId,
        amount: Money,
    ) -> Result<Refund, Contradiction> {
        self.check_charge(merchant_id, amount)?;
        let refund = self.refunds.iter().find(|refund| refund.refund_no == refund_no);
        let refund = refund.ok_or(Contradiction::NeverHeld)?;
        if refund.state != RefundState::Held {
            return Err(Contradiction::ResolvedTwice);
        }
        if refund.minor != amount.minor {
            return Err(Contradiction::OtherAmount {
                booked: refund.minor,
                event: amount.minor,
            });
        }
        Ok(self.refund(refund_no))
    }

    fn check_charge(&self, merchant_id: MerchantId, amount: Money) -> Result<Charge, Contradiction> {
        let charge = self.charge.ok_or(Contradiction::NotCharged)?;
        if charge.merchant_id != merchant_id {
            return Err(Contradiction::OtherMerchant);
        }
        if charge.amount.currency != amount.currency {
            return Err(Contradiction::OtherCurrency);
        }
        Ok(charge)
    }

    fn refund(&self, refund_no: RefundNo) -> Refund {
        Refund {
            payment_no: self.payment_no,
            refund_no,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use schemas::money::Currency;

    use super::*;
    use crate::domain::ledger::Account;

    const CHARGED: i64 = 1_000;

    fn eur(minor: i64) -> Money {
        Money::new(minor, Currency::parse("EUR").unwrap())
    }

    /// The books together with their balances, as the ledger would have them.
    struct Book {
        merchant_id: MerchantId,
        payment_no: PaymentNo,
        history: Vec<Booked>,
        balances: std::collections::HashMap<Account, i64>,
    }

    impl Book {
        fn charged() -> Self {
            let mut book = Self {
                merchant_id: MerchantId::generate(),
                payment_no: PaymentNo::generate(),
                history: Vec::new(),
                balances: std::collections::HashMap::new(),
            };
            book.take(Step::Succeeded(Terms::new(290, 30).unwrap()), CHARGED)
                .unwrap();
            book
        }

        fn take(&mut self, step: Step, minor: i64) -> Result<(), Contradiction> {
            let books = PaymentBooks::replay(self.payment_no, self.history.iter().copied());
            let posting = books.post(step, self.merchant_id, eur(minor), Timestamp::UNIX_EPOCH)?;
            for entry in posting.entries() {
                *self.balances.entry(entry.account).or_default() += entry.minor;
            }
            let step = match step {
                Step::Succeeded(_) => BookedStep::Charge,
                Step::RefundCreated(no) => BookedStep::Held(no),
                Step::RefundFailed(no) => BookedStep::Released(no),
                Step::RefundSucceeded(no) => BookedStep::Paid(no),
            };
            self.history.push(Booked {
                step,
                merchant_id: self.merchant_id,
                amount: eur(minor),
            });
            Ok(())
        }

        fn balance(&self, account: Account) -> i64 {
            self.balances.get(&account).copied().unwrap_or_default()
        }
    }

    #[test]
    fn a_refund_holds_releases_and_holds_again() {
        let mut book = Book::charged();
        let (first, second) = (RefundNo::generate(), RefundNo::generate());
        book.take(Step::RefundCreated(first), 1_000).unwrap();
        assert_eq!(
            book.take(Step::RefundCreated(second), 1),
            Err(Contradiction::RefundedTooMuch { excess: 1 })
        );
        book.take(Step::RefundFailed(first), 1_000).unwrap();
        book.take(Step::RefundCreated(second), 400).unwrap();
        book.take(Step::RefundSucceeded(second), 400).unwrap();

        assert_eq!(book.balance(Account::PspReceivable), 600);
        assert_eq!(book.balance(Account::RefundsHeld), 0);
        assert_eq!(book.balance(Account::Fees), -59, "the fee is not given back");
        assert_eq!(book.balance(Account::MerchantPayable), -(600 - 59));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut book = Book::charged();
        let no = RefundNo::generate();
        let terms = Terms::new(0, 0).unwrap();
        assert_eq!(
            book.take(Step::Succeeded(terms), CHARGED),
            Err(Contradiction::ChargedTwice)
        );
        assert_eq!(
            book.take(Step::RefundSucceeded(no), 10),
            Err(Contradiction::NeverHeld)
        );
        book.take(Step::RefundCreated(no), 10).unwrap();
        assert_eq!(
            book.take(Step::RefundCreated(no), 10),
            Err(Contradiction::HeldTwice)
        );
        assert_eq!(
            book.take(Step::RefundSucceeded(no), 11),
            Err(Contradiction::OtherAmount {
                booked: 10,
                event: 11
            })
        );
        book.take(Step::RefundSucceeded(no), 10).unwrap();
        assert_eq!(
            book.take(Step::RefundFailed(no), 10),
            Err(Contradiction::ResolvedTwice)
        );

        book.merchant_id = MerchantId::generate();
        assert_eq!(
            book.take(Step::RefundCreated(RefundNo::generate()), 1),
            Err(Contradiction::OtherMerchant)
        );
        let uncharged = PaymentBooks::replay(PaymentNo::generate(), []);
        let refund = Step::RefundCreated(RefundNo::generate());
        assert_eq!(
            uncharged.post(refund, book.merchant_id, eur(1), Timestamp::UNIX_EPOCH),
            Err(Contradiction::NotCharged)
        );
    }

    #[derive(Clone, Copy, Debug)]
    enum Try {
        Create,
        Fail,
        Succeed,
    }

    proptest! {
        /// Whatever comes: all accounts together are zero, what is held is what is under way, and the PSP never owes less
        /// than nothing for one payment.
        #[test]
        fn no_sequence_of_refunds_unbalances_a_payment(
            tries in prop::collection::vec(
                (0..4_usize, 1..700_i64, prop::sample::select(vec![Try::Create, Try::Fail, Try::Succeed])), 0..20),
        ) {
            let refunds: Vec<RefundNo> = (0..4).map(|_| RefundNo::generate()).collect();
            let amounts = [300, 700, 500, 200];
            let mut book = Book::charged();
            for (place, _, what) in tries {
                let step = match what {
                    Try::Create => Step::RefundCreated(refunds[place]),
                    Try::Fail => Step::RefundFailed(refunds[place]),
                    Try::Succeed => Step::RefundSucceeded(refunds[place]),
                };
                let _refused_or_not = book.take(step, amounts[place]);
                prop_assert_eq!(book.balances.values().sum::<i64>(), 0);
                prop_assert!(book.balance(Account::RefundsHeld) <= 0);
                prop_assert!(book.balance(Account::PspReceivable) + book.balance(Account::RefundsHeld) >= 0);
            }
        }
    }
}

//! Double entry: which accounts a fact moves.
//!
//! A posting is a list of transfers, each of which debits one account and credits another with the same amount, so that it
//! sums to zero by construction. A debit is positive and a credit negative: what a merchant is owed is a negative balance of
//! `merchant_payable`. The table of postings is in the crate's README.

use jiff::Timestamp;
use schemas::{
    ids::{MerchantId, PaymentNo, RefundNo, WithdrawalNo},
    money::Money,
};

use crate::domain::terms::{Terms, TermsError};

/// Where money is, from the platform's point of view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Account {
    /// What the PSP has collected and owes the platform (an asset).
    PspReceivable,
    /// What the platform owes a merchant (a liability).
    MerchantPayable,
    /// What refunds under way will take (a liability).
    RefundsHeld,
    /// What the platform has earned (revenue).
    Fees,
    /// What the bank was told to pay and has not confirmed (a liability).
    PayoutsInTransit,
    /// What has left the platform's bank account (an asset).
    Bank,
}

impl Account {
    /// Every account.
    pub const ALL: [Self; 6] = [
        Self::PspReceivable,
        Self::MerchantPayable,
        Self::RefundsHeld,
        Self::Fees,
        Self::PayoutsInTransit,
        Self::Bank,
    ];

    /// Its name in the database and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::PspReceivable => "psp_receivable",
            Self::MerchantPayable => "merchant_payable",
            Self::RefundsHeld => "refunds_held",
            Self::Fees => "fees",
            Self::PayoutsInTransit => "payouts_in_transit",
            Self::Bank => "bank",
        }
    }
}

/// What an entry on `merchant_payable` is to the settlement that takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Component {
    /// The whole amount of a charge.
    Charge,
    /// The fee of a charge.
    Fee,
    /// A refund that is held, or one whose hold was released.
    Refund,
    /// An earlier payout that failed or came back.
    ReturnedPayout,
}

impl Component {
    /// Its name in the database and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Charge => "charge",
            Self::Fee => "fee",
            Self::Refund => "refund",
            Self::ReturnedPayout => "returned_payout",
        }
    }

    /// The component of that name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Charge, Self::Fee, Self::Refund, Self::ReturnedPayout]
            .into_iter()
            .find(|component| component.name() == name)
    }
}

/// What happened, and to which object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact {
    /// A payment succeeded, at these terms.
    Charge {
        /// The payment.
        payment_no: PaymentNo,
        /// The terms in force when it succeeded.
        terms: Terms,
    },
    /// A refund was asked for: its amount is no longer paid out.
    RefundHeld(Refund),
    /// A refund failed: its amount is owed to the merchant again.
    RefundReleased(Refund),
    /// A refund succeeded: the PSP takes its amount out of what it owes.
    RefundPaid(Refund),
    /// The bank is about to be told to pay.
    Payout(WithdrawalNo),
    /// The bank has paid.
    PayoutCompleted(WithdrawalNo),
    /// The bank has refused, or could not pay.
    PayoutFailed(WithdrawalNo),
    /// A payout that had left the bank came back.
    PayoutReturned(WithdrawalNo),
}

/// A refund and the payment it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refund {
    /// The payment.
    pub payment_no: PaymentNo,
    /// The refund.
    pub refund_no: RefundNo,
}

impl Fact {
    /// Its name in the database.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Charge { .. } => "charge",
            Self::RefundHeld(_) => "refund_held",
            Self::RefundReleased(_) => "refund_released",
            Self::RefundPaid(_) => "refund_paid",
            Self::Payout(_) => "payout",
            Self::PayoutCompleted(_) => "payout_completed",
            Self::PayoutFailed(_) => "payout_failed",
            Self::PayoutReturned(_) => "payout_returned",
        }
    }

    /// The payment it concerns.
    pub fn payment_no(&self) -> Option<PaymentNo> {
        match self {
            Self::Charge { payment_no, .. } => Some(*payment_no),
            Self::RefundHeld(refund) | Self::RefundReleased(refund) | Self::RefundPaid(refund) => {
                Some(refund.payment_no)
            }
            Self::Payout(_) | Self::PayoutCompleted(_) | Self::PayoutFailed(_) | Self::PayoutReturned(_) => {
                None
            }
        }
    }

    /// The refund it concerns.
    pub fn refund_no(&self) -> Option<RefundNo> {
        match self {
            Self::RefundHeld(refund) | Self::RefundReleased(refund) | Self::RefundPaid(refund) => {
                Some(refund.refund_no)
            }
            Self::Charge { .. }
            | Self::Payout(_)
            | Self::PayoutCompleted(_)
            | Self::PayoutFailed(_)
            | Self::PayoutReturned(_) => None,
        }
    }

    /// The payout it concerns.
    pub fn withdrawal_no(&self) -> Option<WithdrawalNo> {
        match self {
            Self::Payout(no)
            | Self::PayoutCompleted(no)
            | Self::PayoutFailed(no)
            | Self::PayoutReturned(no) => Some(*no),
            Self::Charge { .. } | Self::RefundHeld(_) | Self::RefundReleased(_) | Self::RefundPaid(_) => None,
        }
    }

    /// The terms that price it.
    pub fn terms(&self) -> Option<Terms> {
        match self {
            Self::Charge { terms, .. } => Some(*terms),
            Self::RefundHeld(_)
            | Self::RefundReleased(_)
            | Self::RefundPaid(_)
            | Self::Payout(_)
            | Self::PayoutCompleted(_)
            | Self::PayoutFailed(_)
            | Self::PayoutReturned(_) => None,
        }
    }

    fn transfers(&self, amount: Money) -> Result<Vec<Transfer>, LedgerError> {
        use Account::{Bank, Fees, MerchantPayable, PayoutsInTransit, PspReceivable, RefundsHeld};
        let whole = |debit, credit, component| Transfer {
            debit,
            credit,
            minor: amount.minor,
            component,
        };
        Ok(match self {
            Self::Charge { terms, .. } => {
                let mut transfers = vec![whole(PspReceivable, MerchantPayable, Some(Component::Charge))];
                let fee = terms.fee_minor(amount)?;
                if fee > 0 {
                    let component = Some(Component::Fee);
                    transfers.push(Transfer {
                        debit: MerchantPayable,
                        credit: Fees,
                        minor: fee,
                        component,
                    });
                }
                transfers
            }
            Self::RefundHeld(_) => vec![whole(MerchantPayable, RefundsHeld, Some(Component::Refund))],
            Self::RefundReleased(_) => vec![whole(RefundsHeld, MerchantPayable, Some(Component::Refund))],
            Self::RefundPaid(_) => vec![whole(RefundsHeld, PspReceivable, None)],
            // The debit that empties a settlement's lines is not itself for a settlement to take.
            Self::Payout(_) => vec![whole(MerchantPayable, PayoutsInTransit, None)],
            Self::PayoutCompleted(_) => vec![whole(PayoutsInTransit, Bank, None)],
            Self::PayoutFailed(_) => vec![whole(
                PayoutsInTransit,
                MerchantPayable,
                Some(Component::ReturnedPayout),
            )],
            Self::PayoutReturned(_) => vec![whole(Bank, MerchantPayable, Some(Component::ReturnedPayout))],
        })
    }
}

/// The same amount out of one account and into another.
struct Transfer {
    debit: Account,
    credit: Account,
    minor: i64,
    /// What its side on `merchant_payable`, if any, is to a settlement.
    component: Option<Component>,
}

impl Transfer {
    fn entries(&self) -> [Entry; 2] {
        let entry = |account, minor| Entry {
            account,
            minor,
            component: self.component.filter(|_| account == Account::MerchantPayable),
        };
        [entry(self.debit, self.minor), entry(self.credit, -self.minor)]
    }
}

/// One signed movement on one account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The account.
    pub account: Account,
    /// Minor units: a debit is positive, a credit negative, and it is never zero.
    pub minor: i64,
    /// Set if a settlement is to take it.
    pub component: Option<Component>,
}

/// A fact as it is booked: at least two entries that sum to zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posting {
    fact: Fact,
    merchant_id: MerchantId,
    amount: Money,
    occurred_at: Timestamp,
    entries: Vec<Entry>,
}

/// Why a fact cannot be booked.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum LedgerError {
    /// Facts move positive amounts; direction is the accounts' matter.
    #[error("an amount in the ledger is positive, and this one is {0}")]
    NotPositive(i64),
    /// The charge's fee cannot be computed.
    #[error(transparent)]
    Fee(#[from] TermsError),
}

impl Posting {
    /// Books `fact` over `amount` for `merchant_id`.
    pub fn new(
        fact: Fact,
        merchant_id: MerchantId,
        amount: Money,
        occurred_at: Timestamp,
    ) -> Result<Self, LedgerError> {
        if amount.minor <= 0 {
            return Err(LedgerError::NotPositive(amount.minor));
        }
        let entries = fact
            .transfers(amount)?
            .iter()
            .flat_map(Transfer::entries)
            .collect();
        Ok(Self {
            fact,
            merchant_id,
            amount,
            occurred_at,
            entries,
        })
    }

    /// What happened.
    pub fn fact(&self) -> &Fact {
        &self.fact
    }

    /// On whose behalf.
    pub fn merchant_id(&self) -> MerchantId {
        self.merchant_id
    }

    /// The fact's amount, positive.
    pub fn amount(&self) -> Money {
        self.amount
    }

    /// When it happened, outside of this ledger.
    pub fn occurred_at(&self) -> Timestamp {
        self.occurred_at
    }

    /// Its movements, which sum to zero.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use schemas::money::Currency;

    use super::*;

    fn any_fact() -> impl Strategy<Value = Fact> {
        let refund = Refund {
            payment_no: PaymentNo::generate(),
            refund_no: RefundNo::generate(),
        };
        let (payment_no, withdrawal_no) = (PaymentNo::generate(), WithdrawalNo::generate());
        prop_oneof![
            (0..=10_000_i64, 0..100_000_i64).prop_map(move |(share, fixed)| Fact::Charge {
                payment_no,
                terms: Terms::new(share, fixed).unwrap()
            }),
            prop::sample::select(vec![
                Fact::RefundHeld(refund),
                Fact::RefundReleased(refund),
                Fact::RefundPaid(refund),
                Fact::Payout(withdrawal_no),
                Fact::PayoutCompleted(withdrawal_no),
                Fact::PayoutFailed(withdrawal_no),
                Fact::PayoutReturned(withdrawal_no),
            ]),
        ]
    }

    fn post(fact: Fact, minor: i64) -> Posting {
        let amount = Money::new(minor, Currency::parse("EUR").unwrap());
        Posting::new(fact, MerchantId::generate(), amount, Timestamp::UNIX_EPOCH).unwrap()
    }

    #[test]
    fn a_charge_without_a_fee_has_no_entry_of_zero() {
        let payment_no = PaymentNo::generate();
        let free = post(
            Fact::Charge {
                payment_no,
                terms: Terms::new(0, 0).unwrap(),
            },
            100,
        );
        assert_eq!(free.entries().len(), 2);
    }

    #[test]
    fn an_amount_of_zero_or_less_is_not_booked() {
        let amount = Money::new(0, Currency::parse("EUR").unwrap());
        let fact = Fact::Payout(WithdrawalNo::generate());
        let refused = Posting::new(fact, MerchantId::generate(), amount, Timestamp::UNIX_EPOCH);
        assert_eq!(refused, Err(LedgerError::NotPositive(0)));
    }

    proptest! {
        #[test]
        fn every_posting_sums_to_zero_and_moves_something(fact in any_fact(), minor in 1..i64::MAX / 4) {
            let posting = post(fact, minor);
            let sum: i128 = posting.entries().iter().map(|entry| i128::from(entry.minor)).sum();
            prop_assert_eq!(sum, 0);
            prop_assert!(posting.entries().iter().all(|entry| entry.minor != 0));
            prop_assert!(posting.entries().iter().all(
                |entry| entry.component.is_none() || entry.account == Account::MerchantPayable
            ));
        }
    }
}

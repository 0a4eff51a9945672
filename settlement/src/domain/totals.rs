//! What a settlement's lines come to.

use crate::domain::ledger::Component;

/// The sums of a settlement, in minor units of its currency. Refunds and fees are positive here although they reduce the net.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Charges.
    pub gross_minor: i64,
    /// Refunds held, less those released. Negative if more were released than held.
    pub refund_minor: i64,
    /// Fees of the charges.
    pub fee_minor: i64,
    /// Earlier payouts that failed or came back.
    pub returned_minor: i64,
    /// Lines in all.
    pub entry_count: i64,
    /// Lines from before the period.
    pub carried_over_count: i64,
}

/// The lines of one component, summed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ComponentSum {
    /// Which component.
    pub component: Component,
    /// The sum of its entries on `merchant_payable`: a credit to the merchant is negative there.
    pub payable_minor: i64,
    /// How many.
    pub entry_count: i64,
    /// How many of them from before the period.
    pub carried_over_count: i64,
}

/// A sum beyond 64 bits.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the settlement's amounts do not fit into 64 bits")]
pub struct TotalsOverflow;

impl Totals {
    /// Adds up the components of one settlement.
    pub fn of(sums: impl IntoIterator<Item = ComponentSum>) -> Result<Self, TotalsOverflow> {
        sums.into_iter()
            .try_fold(Self::default(), Self::with)
            .ok_or(TotalsOverflow)
    }

    fn with(mut self, sum: ComponentSum) -> Option<Self> {
        let (total, minor) = match sum.component {
            Component::Charge => (&mut self.gross_minor, sum.payable_minor.checked_neg()?),
            Component::Refund => (&mut self.refund_minor, sum.payable_minor),
            Component::Fee => (&mut self.fee_minor, sum.payable_minor),
            Component::ReturnedPayout => (&mut self.returned_minor, sum.payable_minor.checked_neg()?),
        };
        *total = total.checked_add(minor)?;
        self.entry_count = self.entry_count.checked_add(sum.entry_count)?;
        self.carried_over_count = self.carried_over_count.checked_add(sum.carried_over_count)?;
        Some(self)
    }

    /// What the merchant is paid; a settlement needs it to be positive.
    pub fn net_minor(&self) -> Result<i64, TotalsOverflow> {
        self.gross_minor
            .checked_sub(self.refund_minor)
            .and_then(|rest| rest.checked_sub(self.fee_minor))
            .and_then(|rest| rest.checked_add(self.returned_minor))
            .ok_or(TotalsOverflow)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(component: Component, payable_minor: i64) -> ComponentSum {
        ComponentSum {
            component,
            payable_minor,
            entry_count: 1,
            carried_over_count: 0,
        }
    }

    #[test]
    fn the_net_is_what_the_lines_owe_the_merchant() {
        let lines = [
            sum(Component::Charge, -10_000),
            sum(Component::Fee, 320),
            sum(Component::Refund, 2_500),
            sum(Component::ReturnedPayout, -700),
        ];
        let totals = Totals::of(lines).unwrap();
        assert_eq!(totals.net_minor().unwrap(), 7_880);
        assert_eq!(
            totals.net_minor().unwrap(),
            -lines.iter().map(|line| line.payable_minor).sum::<i64>()
        );
        assert_eq!(totals.entry_count, 4);
    }

    #[test]
    fn refunds_that_were_released_later_add_to_the_net() {
        let totals = Totals::of([sum(Component::Charge, -100), sum(Component::Refund, -50)]).unwrap();
        assert_eq!((totals.refund_minor, totals.net_minor().unwrap()), (-50, 150));
    }

    #[test]
    fn overflow_is_an_error_and_not_another_amount() {
        let huge = [sum(Component::Charge, i64::MIN + 1), sum(Component::Charge, -1)];
        assert_eq!(Totals::of(huge), Err(TotalsOverflow));
        assert_eq!(
            Totals::of([sum(Component::Charge, i64::MIN)]),
            Err(TotalsOverflow)
        );
    }
}

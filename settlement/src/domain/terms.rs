//! What a charge costs the merchant: a share in basis points plus a fixed part.

use schemas::money::Money;

/// Basis points in a whole.
const BASIS_POINTS: i128 = 10_000;

/// The price of a charge. It is not given back when the charge is refunded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    basis_points: u16,
    fixed_minor: i64,
}

/// Why terms or a fee are impossible.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TermsError {
    /// More than the whole charge, or less than nothing.
    #[error("basis_points must be between 0 and 10000, and is {0}")]
    BasisPoints(i64),
    /// Negative, or beyond any sensible price.
    #[error("fixed_minor must be between 0 and {max}, and is {0}", max = Terms::MAX_FIXED_MINOR)]
    FixedMinor(i64),
    /// The fee of this charge is beyond 64 bits.
    #[error("the fee of a charge of {0} minor units does not fit into 64 bits")]
    Overflow(i64),
}

impl Terms {
    /// The highest fixed part, in minor units; it only keeps a slip of the keyboard out of the ledger.
    pub const MAX_FIXED_MINOR: i64 = 1_000_000_000;

    /// Terms of `basis_points` hundredths of a percent plus `fixed_minor` minor units of the charge's currency.
    pub fn new(basis_points: i64, fixed_minor: i64) -> Result<Self, TermsError> {
        let share = u16::try_from(basis_points)
            .ok()
            .filter(|share| i128::from(*share) <= BASIS_POINTS)
            .ok_or(TermsError::BasisPoints(basis_points))?;
        if !(0..=Self::MAX_FIXED_MINOR).contains(&fixed_minor) {
            return Err(TermsError::FixedMinor(fixed_minor));
        }
        Ok(Self {
            basis_points: share,
            fixed_minor,
        })
    }

    /// The share of the charge, in hundredths of a percent.
    pub fn basis_points(self) -> u16 {
        self.basis_points
    }

    /// The fixed part, in minor units of the charge's currency.
    pub fn fixed_minor(self) -> i64 {
        self.fixed_minor
    }

    /// The fee of one charge, rounded half up to a minor unit. It may exceed a small charge.
    pub fn fee_minor(self, charge: Money) -> Result<i64, TermsError> {
        let share = i128::from(charge.minor) * i128::from(self.basis_points);
        let rounded = (share + BASIS_POINTS / 2).div_euclid(BASIS_POINTS);
        i64::try_from(rounded + i128::from(self.fixed_minor)).map_err(|_| TermsError::Overflow(charge.minor))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use schemas::money::Currency;

    use super::*;

    fn eur(minor: i64) -> Money {
        Money {
            minor,
            currency: Currency::parse("EUR").unwrap(),
        }
    }

    #[test]
    fn a_half_is_rounded_up() {
        let terms = Terms::new(150, 0).unwrap();
        assert_eq!(terms.fee_minor(eur(33)).unwrap(), 0, "0.495");
        assert_eq!(terms.fee_minor(eur(100)).unwrap(), 2, "1.5");
        assert_eq!(terms.fee_minor(eur(99)).unwrap(), 1, "1.485");
        assert_eq!(terms.fee_minor(eur(234)).unwrap(), 4, "3.51");
    }

    #[test]
    fn the_fixed_part_comes_on_top_and_may_exceed_the_charge() {
        assert_eq!(Terms::new(290, 30).unwrap().fee_minor(eur(10_000)).unwrap(), 320);
        assert_eq!(Terms::new(290, 30).unwrap().fee_minor(eur(1)).unwrap(), 30);
    }

    #[test]
    fn terms_out_of_range_are_refused() {
        assert_eq!(Terms::new(10_001, 0), Err(TermsError::BasisPoints(10_001)));
        assert_eq!(Terms::new(-1, 0), Err(TermsError::BasisPoints(-1)));
        assert_eq!(Terms::new(0, -1), Err(TermsError::FixedMinor(-1)));
    }

    #[test]
    fn a_fee_beyond_64_bits_is_an_error() {
        let terms = Terms::new(10_000, Terms::MAX_FIXED_MINOR).unwrap();
        assert_eq!(
            terms.fee_minor(eur(i64::MAX)),
            Err(TermsError::Overflow(i64::MAX))
        );
    }

    proptest! {
        #[test]
        fn the_share_is_off_by_half_a_unit_at_most_and_never_below_a_half(
            minor in 1..i64::MAX / 2, basis_points in 0..=10_000_i64,
        ) {
            let fee = i128::from(Terms::new(basis_points, 0).unwrap().fee_minor(eur(minor)).unwrap());
            let exact = i128::from(minor) * i128::from(basis_points);
            let error = fee * BASIS_POINTS - exact;
            prop_assert!(-BASIS_POINTS / 2 < error && error <= BASIS_POINTS / 2);
        }

        #[test]
        fn a_larger_charge_never_costs_less(
            minor in 1..1_000_000_000_i64, more in 0..1_000_000_i64,
            basis_points in 0..=10_000_i64, fixed in 0..1_000_i64,
        ) {
            let terms = Terms::new(basis_points, fixed).unwrap();
            prop_assert!(terms.fee_minor(eur(minor)).unwrap() <= terms.fee_minor(eur(minor + more)).unwrap());
        }
    }
}

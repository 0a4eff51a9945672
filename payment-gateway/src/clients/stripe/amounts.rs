//! Amounts in Stripe's units, which differ from ISO 4217's for some currencies.
//!
//! Figures from Stripe's "Supported currencies": zero-decimal ones, three-decimal ones (whose last digit must be 0), and two
//! that ISO counts in whole units but Stripe in hundredths for compatibility.

use schemas::money::{Currency, Money};

const ZERO_DECIMAL: [&str; 15] = [
    "BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF",
];
const THREE_DECIMAL: [&str; 5] = ["BHD", "JOD", "KWD", "OMR", "TND"];
const TWO_DECIMAL_ALTHOUGH_ISO_HAS_NONE: [&str; 2] = ["ISK", "UGX"];

/// Stripe takes at most eight digits.
pub const MAX_AMOUNT: i64 = 99_999_999;

/// Why an amount cannot be charged through Stripe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// Stripe does not count this currency as ISO does, and not otherwise that we know of.
    #[error("{0} is not supported by the channel")]
    Currency(Currency),
    /// More precise than Stripe's unit.
    #[error("an amount in {currency} has to be a multiple of {step} minor units")]
    Precision {
        /// In which currency.
        currency: Currency,
        /// Smallest step, in our minor units.
        step: i64,
    },
    /// More than Stripe takes.
    #[error("expected at most {max} minor units")]
    TooLarge {
        /// The most, in our minor units.
        max: i64,
    },
}

/// How our minor units turn into Stripe's: times `up`, divided by `down`; amounts are multiples of `step`.
struct Scale {
    up: i64,
    down: i64,
    step: i64,
}

fn scale(currency: Currency) -> Result<Scale, AmountError> {
    let code = currency.code();
    let plain = |step| Scale { up: 1, down: 1, step };
    match currency.exponent() {
        0 if ZERO_DECIMAL.contains(&code) => Ok(plain(1)),
        0 if TWO_DECIMAL_ALTHOUGH_ISO_HAS_NONE.contains(&code) => Ok(Scale {
            up: 100,
            down: 1,
            step: 1,
        }),
        2 if ZERO_DECIMAL.contains(&code) => Ok(Scale {
            up: 1,
            down: 100,
            step: 100,
        }),
        2 => Ok(plain(1)),
        3 if THREE_DECIMAL.contains(&code) => Ok(plain(10)),
        _ => Err(AmountError::Currency(currency)),
    }
}

/// The amount in Stripe's units.
pub fn to_stripe(money: Money) -> Result<i64, AmountError> {
    let Scale { up, down, step } = scale(money.currency)?;
    let max = (MAX_AMOUNT / up).saturating_mul(down);
    if money.minor > max {
        return Err(AmountError::TooLarge { max });
    }
    if money.minor % step != 0 {
        return Err(AmountError::Precision {
            currency: money.currency,
            step,
        });
    }
    Ok(money.minor / down * up)
}

/// The amount that Stripe states, its currency in lower case; none if we cannot express it.
pub fn from_stripe(amount: i64, currency: &str) -> Option<Money> {
    let currency = Currency::parse(&currency.to_ascii_uppercase()).ok()?;
    let Scale { up, down, .. } = scale(currency).ok()?;
    let minor = amount.checked_mul(down)?;
    (minor % up == 0).then(|| Money::new(minor / up, currency))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn money(minor: i64, code: &str) -> Money {
        Money::new(minor, Currency::parse(code).unwrap())
    }

    #[test]
    fn amounts_are_counted_as_stripe_counts_them() {
        for (minor, code, stripe) in [
            (1234, "EUR", 1234),
            (500, "JPY", 500),
            (500, "ISK", 50_000),
            (500, "UGX", 50_000),
            (12_300, "MGA", 123),
            (12_340, "KWD", 12_340),
        ] {
            assert_eq!(to_stripe(money(minor, code)), Ok(stripe), "{minor} {code}");
            assert_eq!(
                from_stripe(stripe, &code.to_lowercase()),
                Some(money(minor, code)),
                "{stripe} {code}"
            );
        }
    }

    #[test]
    fn what_stripe_cannot_charge_is_refused_before_it_is_asked() {
        assert_eq!(
            to_stripe(money(12_345, "KWD")),
            Err(AmountError::Precision {
                currency: Currency::parse("KWD").unwrap(),
                step: 10
            })
        );
        assert!(matches!(
            to_stripe(money(150, "MGA")),
            Err(AmountError::Precision { step: 100, .. })
        ));
        assert!(matches!(
            to_stripe(money(1000, "IQD")),
            Err(AmountError::Currency(_))
        ));
        assert_eq!(
            to_stripe(money(MAX_AMOUNT + 1, "EUR")),
            Err(AmountError::TooLarge { max: MAX_AMOUNT })
        );
        assert_eq!(
            to_stripe(money(i64::MAX, "ISK")),
            Err(AmountError::TooLarge { max: 999_999 })
        );
    }

    proptest! {
        #[test]
        fn what_goes_to_stripe_comes_back_the_same(
            minor in 1_i64..=MAX_AMOUNT,
            code in prop::sample::select(vec!["EUR", "USD", "JPY", "ISK", "MGA", "KWD", "UGX", "XOF"]),
        ) {
            let money = money(minor, code);
            if let Ok(stripe) = to_stripe(money) {
                prop_assert!(stripe > 0 && stripe <= MAX_AMOUNT);
                prop_assert_eq!(from_stripe(stripe, &code.to_lowercase()), Some(money));
            }
        }
    }
}

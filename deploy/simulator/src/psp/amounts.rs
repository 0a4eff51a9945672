//! Amounts and currencies as Stripe bounds them.

use super::error::StripeError;

/// Stripe accepts up to eight digits. It also has minimum amounts per currency, which are left out so that tests may
/// charge one cent.
const MAX_AMOUNT: i64 = 99_999_999;

/// Checks an amount in Stripe's unit of `currency`, which is in lower case.
pub(super) fn amount(amount: i64, currency: &str, param: &str) -> Result<i64, StripeError> {
    if amount < 1 {
        let message = "This value must be greater than or equal to 1.";
        return Err(StripeError::invalid(message)
            .code("parameter_invalid_integer")
            .param(param));
    }
    if amount > MAX_AMOUNT {
        let message = "Amount must be no more than $999,999.99 (or the equivalent in your currency)";
        return Err(StripeError::invalid(message)
            .code("amount_too_large")
            .param(param));
    }
    let step = step(currency);
    if amount % step != 0 {
        let message = format!("Invalid amount: amounts in {currency} must be divisible by {step}.");
        return Err(StripeError::invalid(message).param(param));
    }
    Ok(amount)
}

/// Two currencies without decimals are counted in hundredths for compatibility, and three decimals end in 0.
fn step(currency: &str) -> i64 {
    match currency {
        "isk" | "ugx" => 100,
        "bhd" | "jod" | "kwd" | "omr" | "tnd" => 10,
        _ => 1,
    }
}

/// Lower case, whatever the case in which it came.
pub(super) fn currency(code: &str, param: &str) -> Result<String, StripeError> {
    let lower = code.to_ascii_lowercase();
    if CURRENCIES.split_ascii_whitespace().any(|known| known == lower) {
        return Ok(lower);
    }
    let message =
        format!("Invalid currency: {lower}. Stripe currently supports these currencies: {CURRENCIES}");
    Err(StripeError::invalid(message).param(param))
}

/// The presentment currencies of Stripe's documentation.
const CURRENCIES: &str = "usd aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bhd bif bmd bnd bob brl bsd bwp \
    byn bzd cad cdf chf clp cny cop crc cve czk djf dkk dop dzd egp etb eur fjd fkp gbp gel gip gmd gnf gtq gyd hkd hnl \
    htg huf idr ils inr isk jmd jod jpy kes kgs khr kmf krw kwd kyd kzt lak lbp lkr lrd lsl mad mdl mga mkd mmk mnt mop \
    mur mvr mwk mxn myr mzn nad ngn nio nok npr nzd omr pab pen pgk php pkr pln pyg qar ron rsd rub rwf sar sbd scr sek \
    sgd shp sle sos srd std szl thb tjs tnd top try ttd twd tzs uah ugx uyu uzs vnd vuv wst xaf xcd xof xpf yer zar zmw";

/// For people: `12.34 EUR`, with as many decimals as Stripe gives the currency.
pub(crate) fn display(amount: i64, currency: &str) -> String {
    let lower = currency.to_ascii_lowercase();
    let exponent = match lower.as_str() {
        "bif" | "clp" | "djf" | "gnf" | "jpy" | "kmf" | "krw" | "mga" | "pyg" | "rwf" | "vnd" | "vuv"
        | "xaf" | "xof" | "xpf" => 0,
        "bhd" | "jod" | "kwd" | "omr" | "tnd" => 3,
        _ => 2,
    };
    let code = currency.to_ascii_uppercase();
    if exponent == 0 {
        return format!("{amount} {code}");
    }
    let unit = 10_i64.pow(exponent);
    let sign = if amount < 0 { "-" } else { "" };
    let (whole, part) = ((amount / unit).abs(), (amount % unit).abs());
    format!("{sign}{whole}.{part:0width$} {code}", width = exponent as usize)
}

#[cfg(test)]
mod tests {
    use super::{amount, display};

    #[test]
    fn amounts_are_whole_in_the_currencys_smallest_step() {
        assert!(amount(500, "isk", "amount").is_ok() && amount(550, "isk", "amount").is_err());
        assert!(amount(1230, "kwd", "amount").is_ok() && amount(1234, "kwd", "amount").is_err());
        assert!(amount(1, "jpy", "amount").is_ok() && amount(0, "jpy", "amount").is_err());
    }

    #[test]
    fn amounts_are_shown_with_the_currencys_decimals() {
        assert_eq!(display(1234, "eur"), "12.34 EUR");
        assert_eq!(display(5, "usd"), "0.05 USD");
        assert_eq!(display(-5, "usd"), "-0.05 USD");
        assert_eq!(display(500, "JPY"), "500 JPY");
        assert_eq!(display(1234, "kwd"), "1.234 KWD");
    }
}

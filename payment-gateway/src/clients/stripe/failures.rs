//! Stripe's reasons in our words. Codes only, never its texts.

use schemas::payment::FailureCode;

/// Why a card was declined, from the issuer's `decline_code`, else from Stripe's own `code`.
pub(super) fn decline(code: Option<&str>, decline_code: Option<&str>) -> FailureCode {
    decline_code
        .and_then(known)
        .or_else(|| code.and_then(known))
        .unwrap_or(FailureCode::CardDeclined)
}

fn known(code: &str) -> Option<FailureCode> {
    Some(match code {
        "insufficient_funds" | "withdrawal_count_limit_exceeded" | "card_velocity_exceeded" => {
            FailureCode::InsufficientFunds
        }
        "expired_card" => FailureCode::ExpiredCard,
        "incorrect_number"
        | "invalid_number"
        | "incorrect_cvc"
        | "invalid_cvc"
        | "invalid_expiry_month"
        | "invalid_expiry_year"
        | "incorrect_zip"
        | "invalid_account" => FailureCode::InvalidCard,
        "authentication_required"
        | "payment_intent_authentication_failure"
        | "authentication_not_handled" => FailureCode::AuthenticationFailed,
        "fraudulent" | "stolen_card" | "lost_card" | "pickup_card" | "merchant_blacklist"
        | "security_violation" => FailureCode::FraudSuspected,
        "processing_error" | "issuer_not_available" | "try_again_later" => FailureCode::ProcessingError,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_issuers_reason_counts_before_the_general_one() {
        assert_eq!(
            decline(Some("card_declined"), Some("insufficient_funds")),
            FailureCode::InsufficientFunds
        );
        assert_eq!(decline(Some("expired_card"), None), FailureCode::ExpiredCard);
        assert_eq!(
            decline(Some("card_declined"), Some("generic_decline")),
            FailureCode::CardDeclined
        );
        assert_eq!(decline(None, None), FailureCode::CardDeclined);
        assert_eq!(
            decline(Some("brand_new_code"), Some("another")),
            FailureCode::CardDeclined
        );
    }
}

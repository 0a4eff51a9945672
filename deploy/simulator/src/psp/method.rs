//! The test payment methods and what happens when they are charged.

use serde::{Deserialize, Serialize};

/// What the card's bank says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Succeeds,
    Declines(Decline),
    /// The cardholder has to confirm on the bank's page.
    RequiresAction,
    /// Answered `processing`, succeeds later.
    SucceedsLater,
}

/// What happens to refunds of such a charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum RefundVerdict {
    Succeeds,
    /// `pending` first, succeeds later.
    SucceedsLater,
    /// `succeeded` first, fails later, as real banks do with closed accounts.
    FailsLater,
}

/// A decline in Stripe's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_field_names, reason = "decline_code is Stripe's word")]
pub(super) struct Decline {
    pub(super) code: &'static str,
    pub(super) decline_code: Option<&'static str>,
    pub(super) message: &'static str,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct PaymentMethod {
    pub(super) id: &'static str,
    pub(super) brand: &'static str,
    pub(super) last4: &'static str,
    pub(super) verdict: Verdict,
    pub(super) refunds: RefundVerdict,
    /// How the hosted page calls it.
    pub(super) label: &'static str,
}

pub(super) const GENERIC_DECLINE: Decline = Decline {
    code: "card_declined",
    decline_code: Some("generic_decline"),
    message: "Your card was declined.",
};

pub(super) const AUTHENTICATION_FAILED: Decline = Decline {
    code: "payment_intent_authentication_failure",
    decline_code: None,
    message: "We are unable to authenticate your payment method. Please choose a different payment method and try again.",
};

const INSUFFICIENT_FUNDS: Decline = Decline {
    code: "card_declined",
    decline_code: Some("insufficient_funds"),
    message: "Your card has insufficient funds.",
};

const EXPIRED: Decline = Decline {
    code: "expired_card",
    decline_code: Some("expired_card"),
    message: "Your card has expired.",
};

const fn card(id: &'static str, last4: &'static str, verdict: Verdict, label: &'static str) -> PaymentMethod {
    PaymentMethod {
        id,
        brand: "visa",
        last4,
        verdict,
        refunds: RefundVerdict::Succeeds,
        label,
    }
}

/// All test methods. Names are Stripe's, save `pm_card_delayed`.
pub(super) const ALL: &[PaymentMethod] = &[
    card("pm_card_visa", "4242", Verdict::Succeeds, "Card that pays"),
    card(
        "pm_card_visa_chargeDeclined",
        "0002",
        Verdict::Declines(GENERIC_DECLINE),
        "Card that is declined",
    ),
    card(
        "pm_card_visa_chargeDeclinedInsufficientFunds",
        "9995",
        Verdict::Declines(INSUFFICIENT_FUNDS),
        "Card without funds",
    ),
    card(
        "pm_card_chargeDeclinedExpiredCard",
        "0069",
        Verdict::Declines(EXPIRED),
        "Card that expired",
    ),
    card(
        "pm_card_threeDSecure2Required",
        "3220",
        Verdict::RequiresAction,
        "Card whose bank asks for a confirmation (3-D Secure)",
    ),
    card(
        "pm_card_delayed",
        "3055",
        Verdict::SucceedsLater,
        "Bank debit that takes a moment",
    ),
    PaymentMethod {
        refunds: RefundVerdict::SucceedsLater,
        ..card(
            "pm_card_pendingRefund",
            "7726",
            Verdict::Succeeds,
            "Card that pays; refunds take a moment",
        )
    },
    PaymentMethod {
        refunds: RefundVerdict::FailsLater,
        ..card(
            "pm_card_refundFail",
            "5126",
            Verdict::Succeeds,
            "Card that pays; refunds fail later",
        )
    },
];

pub(super) fn find(id: &str) -> Option<&'static PaymentMethod> {
    ALL.iter().find(|method| method.id == id)
}

//! What the next customer buys, and how they pay.

use rand::seq::IndexedRandom as _;
use uuid::Uuid;

use super::settings::TrafficSettings;

/// So many different people buy again and again.
const CUSTOMERS: u32 = 50;

/// How a payment is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// The shop charges this test method at once.
    Charged(&'static str),
    /// The bank asks the customer, who confirms or does not.
    Confirmed { confirms: bool },
    /// The customer pays with this test method on the hosted page.
    HostedPage(&'static str),
    /// The customer opens the hosted page and leaves.
    Abandoned,
}

/// The rest of what a shop decides about a payment.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) order_no: String,
    pub(super) amount: i64,
    pub(super) currency: String,
    pub(super) customer_email: String,
    pub(super) way: Way,
    /// So much of it is given back.
    pub(super) refund: Option<i64>,
}

/// Of a hundred payments: how many are made in which way.
const WAYS: &[(u32, Way)] = &[
    (55, Way::Charged("pm_card_visa")),
    (8, Way::Charged("pm_card_visa_chargeDeclined")),
    (4, Way::Charged("pm_card_visa_chargeDeclinedInsufficientFunds")),
    (8, Way::Charged("pm_card_delayed")),
    (6, Way::Confirmed { confirms: true }),
    (2, Way::Confirmed { confirms: false }),
    (13, Way::HostedPage("pm_card_visa")),
    (2, Way::HostedPage("pm_card_threeDSecure2Required")),
    (2, Way::Abandoned),
];

const THREE_D_SECURE: &str = "pm_card_threeDSecure2Required";

impl Way {
    pub(super) fn payment_method(self) -> Option<&'static str> {
        match self {
            Self::Charged(method) => Some(method),
            Self::Confirmed { .. } => Some(THREE_D_SECURE),
            Self::HostedPage(_) | Self::Abandoned => None,
        }
    }

    fn random() -> Self {
        match WAYS.choose_weighted(&mut rand::rng(), |(weight, _)| *weight) {
            Ok((_, way)) => *way,
            Err(_) => Self::Charged("pm_card_visa"),
        }
    }
}

impl Plan {
    pub(super) fn random(settings: &TrafficSettings) -> Self {
        let amount = rand::random_range(100..=50_000);
        let currency = settings
            .currencies
            .choose(&mut rand::rng())
            .cloned()
            .unwrap_or_default();
        let refunded = rand::random_range(0..100) < settings.refund_percent;
        let whole = rand::random_range(0..2) == 0;
        Self {
            order_no: format!("demo-{}", Uuid::now_v7().simple()),
            amount,
            currency,
            customer_email: format!("customer{}@example.com", rand::random_range(1..=CUSTOMERS)),
            way: Way::random(),
            refund: refunded.then_some(if whole { amount } else { amount / 3 }),
        }
    }
}

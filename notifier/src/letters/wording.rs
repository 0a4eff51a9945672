//! The words of each mail. A template sets them; nothing here knows of HTML.

use schemas::Money;
use schemas::payment::FailureCode;
use schemas::withdrawal::{WithdrawalFailureCode, WithdrawalStatus};

use crate::domain::contact::Contact;
use crate::domain::facts::{Facts, PaymentFacts, RefundFacts, SettlementFacts, WithdrawalFacts};
use crate::domain::notice::{NoticeType, Recipient};

/// A mail before it is set.
pub(super) struct Wording {
    /// The subject line.
    pub subject: String,
    /// What happened, in one sentence or two.
    pub opening: String,
    /// The particulars.
    pub details: Vec<Detail>,
}

/// One particular.
pub(super) struct Detail {
    /// What it is.
    pub label: &'static str,
    /// What it is in this case.
    pub value: String,
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "numbers and references, of which a copy costs nothing"
)]
fn detail(label: &'static str, value: impl ToString) -> Detail {
    Detail {
        label,
        value: value.to_string(),
    }
}

/// What a mail of this type says to this recipient.
pub(super) fn wording(
    notice_type: NoticeType,
    recipient: Recipient,
    facts: &Facts,
    contact: &Contact,
) -> Wording {
    match facts {
        Facts::Payment(payment) => match recipient {
            Recipient::Customer => payment_for_customer(notice_type, payment, contact),
            Recipient::Merchant | Recipient::Approver(_) => payment_for_merchant(notice_type, payment),
        },
        Facts::Refund(refund) => match recipient {
            Recipient::Customer => refund_for_customer(refund, contact),
            Recipient::Merchant | Recipient::Approver(_) => refund_for_merchant(refund),
        },
        Facts::Settlement(settlement) => settled(notice_type, settlement, contact),
        Facts::Withdrawal(withdrawal) => withdrawn(withdrawal),
    }
}

/// The customer is not told why a payment failed: some of the reasons are not for them.
fn payment_for_customer(notice_type: NoticeType, payment: &PaymentFacts, contact: &Contact) -> Wording {
    let (amount, shop) = (payment.money(), &contact.merchant.name);
    let (subject, opening) = if notice_type == NoticeType::PaymentFailed {
        (
            format!("Your payment to {shop} did not go through"),
            format!("Your payment of {amount} to {shop} did not go through. You have not been charged."),
        )
    } else {
        (
            format!("Your payment to {shop}"),
            format!("Thank you. {shop} has received your payment of {amount}."),
        )
    };
    let mut details = vec![detail("Amount", amount), detail("Order", &payment.order_no)];
    details.extend(description(contact));
    details.push(detail("Payment", payment.payment_no));
    Wording {
        subject,
        opening,
        details,
    }
}

fn payment_for_merchant(notice_type: NoticeType, payment: &PaymentFacts) -> Wording {
    let (amount, order_no) = (payment.money(), &payment.order_no);
    let (subject, opening) = if notice_type == NoticeType::PaymentFailed {
        (
            format!("Payment failed: order {order_no}"),
            format!("The payment of {amount} for order {order_no} failed."),
        )
    } else {
        (
            format!("Payment received: {amount} for order {order_no}"),
            format!("The payment of {amount} for order {order_no} succeeded."),
        )
    };
    let mut details = vec![
        detail("Amount", amount),
        detail("Order", order_no),
        detail("Payment", payment.payment_no),
    ];
    details.extend(
        payment
            .failure_code
            .map(FailureCode::as_str)
            .map(|code| detail("Reason", words(code))),
    );
    Wording {
        subject,
        opening,
        details,
    }
}

fn refund_for_customer(refund: &RefundFacts, contact: &Contact) -> Wording {
    let (amount, shop) = (refund.money(), &contact.merchant.name);
    let mut details = vec![detail("Refund", amount), detail("Order", &refund.order_no)];
    details.extend(description(contact));
    details.push(detail("Payment", refund.payment_no));
    Wording {
        subject: format!("Your refund from {shop}"),
        opening: format!("{shop} has refunded {amount} to you. It can take your bank some days to show it."),
        details,
    }
}

fn refund_for_merchant(refund: &RefundFacts) -> Wording {
    let (amount, order_no) = (refund.money(), &refund.order_no);
    let in_all = Money::new(refund.payment_amount_refunded, refund.currency);
    let paid = Money::new(refund.payment_amount, refund.currency);
    Wording {
        subject: format!("Refunded: {amount} for order {order_no}"),
        opening: format!("The refund of {amount} for order {order_no} reached the customer."),
        details: vec![
            detail("Refund", amount),
            detail("Refunded in all", format!("{in_all} of {paid}")),
            detail("Order", order_no),
            detail("Refund number", refund.refund_no),
            detail("Payment", refund.payment_no),
        ],
    }
}

fn settled(notice_type: NoticeType, settlement: &SettlementFacts, contact: &Contact) -> Wording {
    let (net, shop) = (settlement.money(settlement.net_amount), &contact.merchant.name);
    let (subject, opening) = match notice_type {
        NoticeType::SettlementApproval => (
            format!("For your approval: settlement of {net} to {shop}"),
            format!(
                "A settlement of {net} to {shop} waits for the approval of somebody who did not create it."
            ),
        ),
        NoticeType::SettlementFailed => (
            format!("Settlement failed: {net}"),
            format!("The settlement of {net} could not be paid out. The amount is payable again."),
        ),
        NoticeType::SettlementComplete
        | NoticeType::PaymentSuccess
        | NoticeType::PaymentFailed
        | NoticeType::PaymentRefunded
        | NoticeType::WithdrawalComplete
        | NoticeType::WithdrawalFailed => (
            format!("Settlement paid: {net}"),
            format!("The settlement of {net} has been paid out."),
        ),
    };
    let mut details = vec![
        detail("Charges", settlement.money(settlement.gross_amount)),
        detail("Refunds", settlement.money(settlement.refund_amount)),
        detail("Fees", settlement.money(settlement.fee_amount)),
    ];
    if settlement.returned_amount != 0 {
        details.push(detail(
            "Earlier payouts that came back",
            settlement.money(settlement.returned_amount),
        ));
    }
    details.extend([
        detail("To be paid", net),
        detail("From", settlement.period_start),
        detail("Until", settlement.period_end),
        detail("Settlement", settlement.settlement_no),
    ]);
    details.extend(
        settlement
            .withdrawal_no
            .map(|withdrawal_no| detail("Withdrawal", withdrawal_no)),
    );
    if notice_type == NoticeType::SettlementApproval {
        details.push(detail("Merchant", settlement.merchant_id));
    }
    Wording {
        subject,
        opening,
        details,
    }
}

fn withdrawn(withdrawal: &WithdrawalFacts) -> Wording {
    let amount = withdrawal.money();
    let (subject, opening) = match withdrawal.status {
        WithdrawalStatus::Failed => (
            format!("Withdrawal failed: {amount}"),
            format!("The bank refused the withdrawal of {amount}. The amount is payable again."),
        ),
        WithdrawalStatus::Returned => (
            format!("Withdrawal returned: {amount}"),
            format!("The withdrawal of {amount} was paid and came back. The amount is payable again."),
        ),
        WithdrawalStatus::Completed
        | WithdrawalStatus::Pending
        | WithdrawalStatus::Processing
        | WithdrawalStatus::Unknown => (
            format!("Withdrawal paid: {amount}"),
            format!("The bank paid the withdrawal of {amount}."),
        ),
    };
    let mut details = vec![
        detail("Amount", amount),
        detail("Withdrawal", withdrawal.withdrawal_no),
        detail("Settlement", withdrawal.settlement_no),
    ];
    let code = withdrawal.failure_code.map(WithdrawalFailureCode::as_str);
    details.extend(code.map(|code| detail("Reason", words(code))));
    Wording {
        subject,
        opening,
        details,
    }
}

/// Somebody else's text: one line of it, so that it cannot pass for further particulars.
fn description(contact: &Contact) -> Option<Detail> {
    let description = contact.payment.as_ref()?.description.as_ref()?;
    Some(detail("Description", description.replace(char::is_control, " ")))
}

fn words(code: &str) -> String {
    code.to_lowercase().replace('_', " ")
}

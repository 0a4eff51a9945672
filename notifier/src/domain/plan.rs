//! Which notices an event calls for. The README's table is this file in words.

use schemas::Event;
use schemas::payment::{PaymentEvent, PaymentEventType};
use schemas::settlement::{SettlementEvent, SettlementEventType};
use schemas::withdrawal::{WithdrawalEvent, WithdrawalEventType};

use super::facts::{Facts, PaymentFacts, RefundFacts, SettlementFacts, WithdrawalFacts};
use super::notice::{Channel, NoticeType, Recipient};

/// The notices that one event calls for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What they are about.
    pub notice_type: NoticeType,
    /// What they say.
    pub facts: Facts,
    /// One notice each.
    pub targets: Vec<(Recipient, Channel)>,
}

/// An event that contradicts itself.
#[derive(Debug, thiserror::Error)]
#[error("expected a refund in a refund.* event, got none")]
pub struct RefundMissing;

/// What `event` calls for, with `approver_count` people who approve settlements. Nothing, for most events.
pub fn plan(event: &Event, approver_count: u16) -> Result<Option<Plan>, RefundMissing> {
    match event {
        Event::Payment(event) => for_payment(event),
        Event::Settlement(event) => Ok(for_settlement(event, approver_count)),
        Event::Withdrawal(event) => Ok(for_withdrawal(event)),
    }
}

fn for_payment(event: &PaymentEvent) -> Result<Option<Plan>, RefundMissing> {
    let (notice_type, facts) = match event.event_type {
        PaymentEventType::Succeeded => (
            NoticeType::PaymentSuccess,
            Facts::Payment(PaymentFacts::of(event)),
        ),
        PaymentEventType::Failed => (NoticeType::PaymentFailed, Facts::Payment(PaymentFacts::of(event))),
        PaymentEventType::RefundSucceeded => {
            let refund = event.refund.as_ref().ok_or(RefundMissing)?;
            (
                NoticeType::PaymentRefunded,
                Facts::Refund(RefundFacts::of(event, refund)),
            )
        }
        PaymentEventType::Created
        | PaymentEventType::Processing
        | PaymentEventType::RequiresAction
        | PaymentEventType::Cancelled
        | PaymentEventType::Expired
        | PaymentEventType::RefundCreated
        | PaymentEventType::RefundFailed
        | PaymentEventType::Withheld
        | PaymentEventType::Unknown => return Ok(None),
    };
    let mut targets = vec![(Recipient::Customer, Channel::Mail)];
    targets.extend(TO_MERCHANT);
    Ok(Some(Plan {
        notice_type,
        facts,
        targets,
    }))
}

const TO_MERCHANT: [(Recipient, Channel); 2] = [
    (Recipient::Merchant, Channel::Mail),
    (Recipient::Merchant, Channel::Webhook),
];

fn for_settlement(event: &SettlementEvent, approver_count: u16) -> Option<Plan> {
    let (notice_type, targets) = match event.event_type {
        SettlementEventType::Created => {
            let approvers = (1..=approver_count).map(|place| (Recipient::Approver(place), Channel::Mail));
            (NoticeType::SettlementApproval, approvers.collect())
        }
        SettlementEventType::Completed => (NoticeType::SettlementComplete, TO_MERCHANT.to_vec()),
        SettlementEventType::Failed => (NoticeType::SettlementFailed, TO_MERCHANT.to_vec()),
        SettlementEventType::Approved
        | SettlementEventType::Rejected
        | SettlementEventType::Processing
        | SettlementEventType::Withheld
        | SettlementEventType::Unknown => return None,
    };
    Some(Plan {
        notice_type,
        facts: Facts::Settlement(SettlementFacts::of(event)),
        targets,
    })
}

fn for_withdrawal(event: &WithdrawalEvent) -> Option<Plan> {
    let notice_type = match event.event_type {
        WithdrawalEventType::Completed => NoticeType::WithdrawalComplete,
        // Money that was paid and came back is not with the merchant either. `data.status` tells the two apart.
        WithdrawalEventType::Failed | WithdrawalEventType::Returned => NoticeType::WithdrawalFailed,
        WithdrawalEventType::Created
        | WithdrawalEventType::Processing
        | WithdrawalEventType::Withheld
        | WithdrawalEventType::Unknown => return None,
    };
    Some(Plan {
        notice_type,
        facts: Facts::Withdrawal(WithdrawalFacts::of(event)),
        targets: TO_MERCHANT.to_vec(),
    })
}

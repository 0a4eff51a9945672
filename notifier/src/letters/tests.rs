//! What people and merchants' programs read, in full.

use std::fmt::Write as _;

use jiff::Timestamp;
use mail_parser::MimeHeaders as _;
use schemas::payment::{FailureCode, PaymentStatus, RefundStatus};
use schemas::settlement::SettlementStatus;
use schemas::withdrawal::{WithdrawalFailureCode, WithdrawalStatus};
use schemas::{
    Currency, CustomerRef, MerchantId, NotificationNo, PaymentNo, RefundNo, SettlementNo, WithdrawalNo,
};
use uuid::Uuid;

use super::wording::wording;
use super::{Mail, body, compose};
use crate::domain::contact::{Contact, Customer, Merchant, Payment};
use crate::domain::facts::{Facts, PaymentFacts, RefundFacts, SettlementFacts, WithdrawalFacts};
use crate::domain::notice::{NoticeType, Recipient};

fn uuid(last: u128) -> Uuid {
    Uuid::from_u128(0x0195_5160_0000_7000_8000_0000_0000_0000 + last)
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn currency(code: &str) -> Currency {
    Currency::parse(code).unwrap()
}

fn payment(status: PaymentStatus, failure_code: Option<FailureCode>) -> Facts {
    Facts::Payment(PaymentFacts {
        payment_no: PaymentNo::from_uuid(uuid(1)),
        merchant_id: MerchantId::from_uuid(uuid(2)),
        order_no: "2026-0042".to_owned(),
        amount: 1234,
        currency: currency("EUR"),
        amount_refunded: 0,
        status,
        failure_code,
        customer_ref: Some(CustomerRef::from_uuid(uuid(3))),
        channel: "stripe".to_owned(),
    })
}

fn refund() -> Facts {
    Facts::Refund(RefundFacts {
        refund_no: RefundNo::from_uuid(uuid(4)),
        payment_no: PaymentNo::from_uuid(uuid(1)),
        merchant_id: MerchantId::from_uuid(uuid(2)),
        order_no: "2026-0042".to_owned(),
        amount: 500,
        currency: currency("JPY"),
        status: RefundStatus::Succeeded,
        payment_amount: 1500,
        payment_amount_refunded: 700,
        payment_status: PaymentStatus::PartiallyRefunded,
        customer_ref: Some(CustomerRef::from_uuid(uuid(3))),
    })
}

fn settlement(status: SettlementStatus) -> Facts {
    Facts::Settlement(SettlementFacts {
        settlement_no: SettlementNo::from_uuid(uuid(5)),
        merchant_id: MerchantId::from_uuid(uuid(2)),
        currency: currency("EUR"),
        gross_amount: 100_000,
        refund_amount: 1234,
        fee_amount: 2900,
        returned_amount: 500,
        net_amount: 96_366,
        status,
        period_start: at("2026-03-01T00:00:00Z"),
        period_end: at("2026-03-02T00:00:00Z"),
        entry_count: 12,
        withdrawal_no: (status == SettlementStatus::Completed).then(|| WithdrawalNo::from_uuid(uuid(6))),
    })
}

fn withdrawal(status: WithdrawalStatus, failure_code: Option<WithdrawalFailureCode>) -> Facts {
    Facts::Withdrawal(WithdrawalFacts {
        withdrawal_no: WithdrawalNo::from_uuid(uuid(6)),
        settlement_no: SettlementNo::from_uuid(uuid(5)),
        merchant_id: MerchantId::from_uuid(uuid(2)),
        amount: 96_366,
        currency: currency("EUR"),
        status,
        failure_code,
    })
}

/// Everything that is ever told.
fn notices() -> Vec<(NoticeType, Facts)> {
    vec![
        (NoticeType::PaymentSuccess, payment(PaymentStatus::Success, None)),
        (
            NoticeType::PaymentFailed,
            payment(PaymentStatus::Failed, Some(FailureCode::FraudSuspected)),
        ),
        (NoticeType::PaymentRefunded, refund()),
        (
            NoticeType::SettlementApproval,
            settlement(SettlementStatus::PendingApproval),
        ),
        (
            NoticeType::SettlementComplete,
            settlement(SettlementStatus::Completed),
        ),
        (NoticeType::SettlementFailed, settlement(SettlementStatus::Failed)),
        (
            NoticeType::WithdrawalComplete,
            withdrawal(WithdrawalStatus::Completed, None),
        ),
        (
            NoticeType::WithdrawalFailed,
            withdrawal(
                WithdrawalStatus::Failed,
                Some(WithdrawalFailureCode::AccountClosed),
            ),
        ),
        (
            NoticeType::WithdrawalFailed,
            withdrawal(
                WithdrawalStatus::Returned,
                Some(WithdrawalFailureCode::ReturnedByBank),
            ),
        ),
    ]
}

fn contact() -> Contact {
    Contact {
        merchant: Merchant {
            merchant_id: MerchantId::from_uuid(uuid(2)),
            name: "Fish & <Chips>".to_owned(),
            email: Some("owner@shop.example".to_owned()),
            notify_url: None,
            webhook_secret: "whsec_".to_owned(),
        },
        customer: Some(Customer {
            email: Some("alice@example.com".to_owned()),
            erased: false,
        }),
        payment: Some(Payment {
            payment_no: PaymentNo::from_uuid(uuid(1)),
            notify_url: None,
            description: Some("Two <b>large</b> portions\r\nBcc: everyone@example.com".to_owned()),
        }),
    }
}

#[test]
fn the_words_of_every_mail() {
    let mut all = String::new();
    for (notice_type, facts) in notices() {
        let recipients: &[Recipient] = match facts {
            Facts::Payment(_) | Facts::Refund(_) => &[Recipient::Customer, Recipient::Merchant],
            Facts::Settlement(_) if notice_type.is_for_staff_only() => &[Recipient::Approver(1)],
            Facts::Settlement(_) | Facts::Withdrawal(_) => &[Recipient::Merchant],
        };
        for recipient in recipients {
            let words = wording(notice_type, *recipient, &facts, &contact());
            writeln!(all, "== {} to the {recipient}", notice_type.as_str()).unwrap();
            writeln!(all, "Subject: {}\n{}", words.subject, words.opening).unwrap();
            for detail in words.details {
                writeln!(all, "  {}: {}", detail.label, detail.value.escape_debug()).unwrap();
            }
        }
    }
    insta::assert_snapshot!(all);
    assert!(!all.contains("cus_"), "a reference means nothing to its reader");
}

#[test]
fn the_bodies_of_every_webhook() {
    let bodies: Vec<serde_json::Value> = notices()
        .into_iter()
        .filter(|(notice_type, _)| !notice_type.is_for_staff_only())
        .map(|(notice_type, facts)| {
            let merchant_id = MerchantId::from_uuid(uuid(2));
            let occurred_at = at("2026-03-01T12:00:00.000001Z");
            let body = body(
                notice_type,
                "some.event",
                uuid(7),
                occurred_at,
                merchant_id,
                &facts,
            )
            .unwrap();
            serde_json::from_slice(&body).unwrap()
        })
        .collect();
    insta::assert_json_snapshot!(bodies);
}

/// Names and descriptions are other people's text: they must not become headers or markup.
#[test]
fn a_whole_mail_as_it_is_sent() {
    let (facts, contact) = (payment(PaymentStatus::Success, None), contact());
    let mail = Mail {
        notification_no: NotificationNo::from_uuid(uuid(8)),
        created_at: at("2026-03-01T12:00:05Z"),
        notice_type: NoticeType::PaymentSuccess,
        recipient: Recipient::Customer,
        facts: &facts,
        contact: &contact,
        from: &"Payments <no-reply@payments.example>".parse().unwrap(),
        to: &"alice@example.com".parse().unwrap(),
    };
    let raw = compose(&mail).unwrap();
    let message = mail_parser::MessageParser::default().parse(&raw).unwrap();
    assert!(message.bcc().is_none());
    let headers: Vec<String> = message
        .headers_raw()
        .map(|(name, value)| format!("{name}: {}", value.trim()))
        .collect();
    let headers = headers.join("\n");
    let boundary = message.content_type().unwrap().attribute("boundary").unwrap();
    let headers = headers.replace(boundary, "[boundary]");
    let (text, html) = (message.body_text(0).unwrap(), message.body_html(0).unwrap());
    insta::assert_snapshot!(format!("{headers}\n\n{text}\n\n{html}").replace('\r', ""));
}

//! A payment as its row holds it.

use std::collections::BTreeMap;

use schemas::ids::{CustomerRef, MerchantId, PaymentNo};
use schemas::money::{Currency, Money};
use schemas::payment::FailureCode;

use super::StoreError;
use crate::domain::psp::PspObjects;
use crate::domain::work::Attempts;
use crate::domain::{Charge, Closing, Details, OrderNo, Payment, PaymentMethod, PaymentState};

/// `jsonb` of texts. It has a name because PostgreSQL cuts column names, in which `query_as!` finds types, at 63 bytes.
pub(super) type Metadata = sqlx::types::Json<BTreeMap<String, String>>;

/// The columns that every reader of a payment reads.
#[derive(Debug)]
pub(super) struct PaymentRow {
    pub(super) id: PaymentNo,
    pub(super) merchant_id: MerchantId,
    pub(super) order_no: String,
    pub(super) customer_id: CustomerRef,
    pub(super) amount: i64,
    pub(super) currency: Currency,
    pub(super) payment_method: Option<String>,
    pub(super) description: Option<String>,
    pub(super) metadata: Metadata,
    pub(super) notify_url: Option<String>,
    pub(super) status: String,
    pub(super) psp_intent: Option<String>,
    pub(super) psp_session: Option<String>,
    pub(super) payment_url: Option<String>,
    pub(super) redirect_url: Option<String>,
    pub(super) failure_code: Option<String>,
    pub(super) closing: Option<String>,
    pub(super) paid_at: Option<jiff_sqlx::Timestamp>,
    pub(super) amount_refunded: i64,
    pub(super) amount_reserved: i64,
    pub(super) sequence: i64,
    pub(super) psp_attempts: i32,
    pub(super) psp_posted_at: jiff_sqlx::Timestamp,
    pub(super) created_at: jiff_sqlx::Timestamp,
    pub(super) updated_at: jiff_sqlx::Timestamp,
}

/// `select` of [`PaymentRow`]s; takes what follows `from payments`, and its arguments.
macro_rules! select_payments {
    ($tail:tt $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            crate::store::payment_row::PaymentRow,
            r#"select id as "id: schemas::ids::PaymentNo", merchant_id as "merchant_id: schemas::ids::MerchantId",
                      order_no, customer_id as "customer_id: schemas::ids::CustomerRef", amount,
                      currency as "currency: schemas::money::Currency", payment_method, description,
                      metadata as "metadata: crate::store::payment_row::Metadata", notify_url,
                      status, psp_intent, psp_session, payment_url, redirect_url, failure_code, closing, paid_at,
                      amount_refunded, amount_reserved, sequence, psp_attempts, psp_posted_at, created_at, updated_at
               from payments "# + $tail $(, $argument)*
        )
    };
}
pub(super) use select_payments;

impl PaymentRow {
    pub(super) fn attempts(&self) -> Attempts {
        Attempts {
            count: self.psp_attempts,
            posted_at: self.psp_posted_at.to_jiff(),
        }
    }

    fn state(&self) -> Result<PaymentState, StoreError> {
        Ok(match self.status.as_str() {
            "pending" => PaymentState::Pending,
            "processing" => PaymentState::Processing,
            "requires_action" => PaymentState::RequiresAction {
                redirect_url: self
                    .redirect_url
                    .clone()
                    .ok_or_else(|| self.corrupt("redirect_url"))?,
            },
            "success" | "partially_refunded" | "refunded" => PaymentState::Success(Charge {
                intent: self
                    .psp_intent
                    .clone()
                    .ok_or_else(|| self.corrupt("psp_intent"))?,
                paid_at: self.paid_at.ok_or_else(|| self.corrupt("paid_at"))?.to_jiff(),
                refunded: self.amount_refunded,
                reserved: self.amount_reserved,
            }),
            "failed" => PaymentState::Failed {
                code: failure_code(self.failure_code.as_deref())
                    .ok_or_else(|| self.corrupt("failure_code"))?,
            },
            "cancelled" => PaymentState::Cancelled,
            "expired" => PaymentState::Expired,
            _ => return Err(self.corrupt("status")),
        })
    }

    fn closing(&self) -> Result<Option<Closing>, StoreError> {
        match self.closing.as_deref() {
            None => Ok(None),
            Some("cancel") => Ok(Some(Closing::Cancel)),
            Some("expire") => Ok(Some(Closing::Expire)),
            Some(_) => Err(self.corrupt("closing")),
        }
    }

    fn corrupt(&self, column: &'static str) -> StoreError {
        StoreError::Corrupt {
            id: self.id.to_string(),
            column,
        }
    }
}

impl TryFrom<PaymentRow> for Payment {
    type Error = StoreError;

    fn try_from(row: PaymentRow) -> Result<Self, StoreError> {
        let payment_method = row
            .payment_method
            .as_deref()
            .map(PaymentMethod::parse)
            .transpose();
        Ok(Self {
            payment_no: row.id,
            merchant_id: row.merchant_id,
            order_no: OrderNo::parse(&row.order_no).map_err(|_| row.corrupt("order_no"))?,
            customer_ref: row.customer_id,
            amount: Money::new(row.amount, row.currency),
            payment_method: payment_method.map_err(|_| row.corrupt("payment_method"))?,
            closing: row.closing()?,
            state: row.state()?,
            sequence: row.sequence,
            created_at: row.created_at.to_jiff(),
            updated_at: row.updated_at.to_jiff(),
            details: Details {
                description: row.description,
                metadata: row.metadata.0,
                notify_url: row.notify_url,
            },
            psp: PspObjects {
                intent: row.psp_intent,
                session: row.psp_session,
                payment_url: row.payment_url,
            },
        })
    }
}

/// The failure code with this word.
pub(super) fn failure_code(word: Option<&str>) -> Option<FailureCode> {
    FailureCode::ALL
        .iter()
        .copied()
        .find(|code| Some(code.as_str()) == word)
}

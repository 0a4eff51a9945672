//! Charging, the hosted page, and asking what became of either.

use platform::breaker::Permit;
use platform::client::CallError;
use schemas::ids::PaymentNo;
use schemas::payment::FailureCode;

use super::objects::{CheckoutSession, List, PAYMENT_NO, PaymentIntent};
use super::reply::{self, Reply};
use super::{IDEMPOTENCY_KEY, Stripe, amounts, send};
use crate::domain::psp::PspPayment;
use crate::domain::{Payment, PaymentMethod};

impl Stripe {
    /// Charges the payment's method, or makes its hosted page, with the breaker's leave that the caller has or with its own. The same payment is never charged twice by this, as long as
    /// Stripe remembers the key.
    pub async fn post_payment(&self, payment: &Payment, permit: Option<Permit>) -> Reply<PspPayment> {
        let Ok(amount) = amounts::to_stripe(payment.amount) else {
            return Reply::Declined(FailureCode::Rejected);
        };
        let posted = match &payment.payment_method {
            Some(method) => self.post_intent(payment, method, amount, permit).await,
            None => self.post_session(payment, amount, permit).await,
        };
        posted.unwrap_or_else(|error| Reply::NotSent(error.into()))
    }

    async fn post_intent(
        &self,
        payment: &Payment,
        method: &PaymentMethod,
        amount: i64,
        permit: Option<Permit>,
    ) -> Result<Reply<PspPayment>, CallError> {
        let payment_no = payment.payment_no.to_string();
        let fields = [
            ("amount", amount.to_string()),
            ("currency", payment.amount.currency.code().to_ascii_lowercase()),
            ("confirm", "true".to_owned()),
            ("payment_method", method.as_str().to_owned()),
            ("return_url", self.returning(payment.payment_no)),
            ("metadata[payment_no]", payment_no.clone()),
        ];
        let request = self
            .post(&["payment_intents"])?
            .header(IDEMPOTENCY_KEY, payment_no)
            .form(fields);
        Ok(reply::read_charge(send(request, permit).await).and_then(PspPayment::try_from))
    }

    async fn post_session(
        &self,
        payment: &Payment,
        amount: i64,
        permit: Option<Permit>,
    ) -> Result<Reply<PspPayment>, CallError> {
        let payment_no = payment.payment_no.to_string();
        let return_url = self.returning(payment.payment_no);
        let fields = [
            ("mode", "payment".to_owned()),
            ("success_url", return_url.clone()),
            ("cancel_url", return_url),
            ("client_reference_id", payment_no.clone()),
            ("line_items[0][quantity]", "1".to_owned()),
            (
                "line_items[0][price_data][currency]",
                payment.amount.currency.code().to_ascii_lowercase(),
            ),
            ("line_items[0][price_data][unit_amount]", amount.to_string()),
            (
                "line_items[0][price_data][product_data][name]",
                format!("Order {}", payment.order_no),
            ),
            ("metadata[payment_no]", payment_no.clone()),
            ("payment_intent_data[metadata][payment_no]", payment_no.clone()),
        ];
        let request = self
            .post(&["checkout", "sessions"])?
            .header(IDEMPOTENCY_KEY, payment_no)
            .form(fields);
        Ok(reply::read::<CheckoutSession>(send(request, permit).await).and_then(PspPayment::try_from))
    }

    /// Looks a PaymentIntent up.
    pub async fn ask_intent(&self, id: &str) -> Reply<PspPayment> {
        match self.get(&["payment_intents", id]) {
            Ok(request) => reply::read::<PaymentIntent>(request.send().await).and_then(PspPayment::try_from),
            Err(error) => Reply::NotSent(error.into()),
        }
    }

    /// Looks a Checkout Session up.
    pub async fn ask_session(&self, id: &str) -> Reply<PspPayment> {
        match self.get(&["checkout", "sessions", id]) {
            Ok(request) => {
                reply::read::<CheckoutSession>(request.send().await).and_then(PspPayment::try_from)
            }
            Err(error) => Reply::NotSent(error.into()),
        }
    }

    /// Finds the PaymentIntents that say they are for this payment: usually one or none, the paid ones first.
    pub async fn search(&self, payment_no: PaymentNo) -> Reply<Vec<PspPayment>> {
        let query = format!("metadata['{PAYMENT_NO}']:'{payment_no}'");
        let request = match self.get(&["payment_intents", "search"]) {
            Ok(request) => request.query("query", &query).query("limit", "100"),
            Err(error) => return Reply::NotSent(error.into()),
        };
        reply::read::<List<PaymentIntent>>(request.send().await).and_then(|list| {
            let found = list
                .data
                .into_iter()
                .map(PspPayment::try_from)
                .collect::<Result<Vec<_>, _>>();
            found.map(|mut found| {
                found.sort_by_key(|payment| payment.status != crate::domain::psp::PspStatus::Succeeded);
                found
            })
        })
    }

    /// Has a PaymentIntent cancelled; the answer is how it is afterwards, cancelled or not.
    pub async fn cancel_intent(&self, id: &str) -> Reply<PspPayment> {
        let cancelled = match self.post(&["payment_intents", id, "cancel"]) {
            Ok(request) => reply::read::<PaymentIntent>(request.send().await).and_then(PspPayment::try_from),
            Err(error) => return Reply::NotSent(error.into()),
        };
        match cancelled {
            // It is past the point where it could be cancelled, or is cancelled already: look which.
            Reply::Declined(_) => self.ask_intent(id).await,
            Reply::Answered(_) | Reply::NotSent(_) | Reply::Unknown(_) => cancelled,
        }
    }

    /// Has a hosted page closed; the answer is how it is afterwards, closed or not.
    pub async fn expire_session(&self, id: &str) -> Reply<PspPayment> {
        let expired = match self.post(&["checkout", "sessions", id, "expire"]) {
            Ok(request) => {
                reply::read::<CheckoutSession>(request.send().await).and_then(PspPayment::try_from)
            }
            Err(error) => return Reply::NotSent(error.into()),
        };
        match expired {
            Reply::Declined(_) => self.ask_session(id).await,
            Reply::Answered(_) | Reply::NotSent(_) | Reply::Unknown(_) => expired,
        }
    }
}

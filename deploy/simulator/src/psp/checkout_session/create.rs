//! `POST /v1/checkout/sessions`

use axum::extract::State as Shared;
use axum::response::Response;
use serde_json::Value;

use super::{CheckoutSession, SessionState, render};
use crate::clock;
use crate::psp::behaviour::Operation;
use crate::psp::desk::Desk;
use crate::psp::endpoint::Call;
use crate::psp::error::StripeError;
use crate::psp::form::Params;
use crate::psp::settle::Due;
use crate::psp::{Psp, amounts, ids};

/// Stripe's parameters; those that the simulator has no use for are accepted and do nothing.
const KNOWN: &[&str] = &[
    "allow_promotion_codes",
    "automatic_tax",
    "billing_address_collection",
    "cancel_url",
    "client_reference_id",
    "currency",
    "customer",
    "customer_creation",
    "customer_email",
    "expand",
    "expires_at",
    "line_items",
    "locale",
    "metadata",
    "mode",
    "payment_intent_data",
    "payment_method_options",
    "payment_method_types",
    "phone_number_collection",
    "submit_type",
    "success_url",
    "ui_mode",
];

const MIN_LIFE_SECONDS: i64 = 30 * 60;
const MAX_LIFE_SECONDS: i64 = 24 * 3600;
/// Clients compute `expires_at` before the request travels, and in whole seconds.
const LIFE_SLACK_SECONDS: i64 = 60;

pub(super) async fn create(Shared(psp): Shared<Psp>, call: Call) -> Response {
    psp.change(Operation::Payment, call, perform).await
}

fn perform(desk: &mut Desk<'_>, params: &Params) -> Result<Value, StripeError> {
    params.only(KNOWN)?;
    if params.required("mode")? != "payment" {
        return Err(StripeError::invalid("The simulator offers only mode=payment.").param("mode"));
    }
    let now = clock::unix_seconds();
    let expires_at = expires_at(params, now)?;
    let (amount, currency, product) = total(params)?;
    let intent_data = params.nested("payment_intent_data")?.cloned().unwrap_or_default();
    intent_data.only(&[
        "capture_method",
        "description",
        "metadata",
        "receipt_email",
        "setup_future_usage",
        "shipping",
        "statement_descriptor",
        "statement_descriptor_suffix",
    ])?;
    let text = |key: &str| params.text(key).map(|text| text.map(str::to_owned));
    let session = CheckoutSession {
        id: ids::next("cs_test"),
        amount,
        currency,
        metadata: params.metadata("metadata")?,
        intent_metadata: intent_data.metadata("metadata")?,
        description: intent_data.text("description")?.map(str::to_owned),
        product,
        customer_email: text("customer_email")?,
        client_reference_id: text("client_reference_id")?,
        success_url: Some(params.required("success_url")?.to_owned()),
        cancel_url: text("cancel_url")?,
        created: now,
        expires_at,
        state: SessionState::Open,
        payment_intent: None,
        paid: false,
    };
    desk.due.push(Due::SessionExpiry {
        id: session.id.clone(),
        at_ms: expires_at.saturating_mul(1000),
    });
    desk.save_session(session.clone());
    Ok(render(&session, desk.settings))
}

fn expires_at(params: &Params, now: i64) -> Result<i64, StripeError> {
    let Some(expires_at) = params.integer("expires_at")? else {
        return Ok(now + MAX_LIFE_SECONDS);
    };
    let life = expires_at.saturating_sub(now);
    if (MIN_LIFE_SECONDS - LIFE_SLACK_SECONDS..=MAX_LIFE_SECONDS + LIFE_SLACK_SECONDS).contains(&life) {
        return Ok(expires_at);
    }
    let message = if life < MIN_LIFE_SECONDS {
        "The `expires_at` timestamp must be at least 30 minutes from Checkout Session creation."
    } else {
        "The `expires_at` timestamp must be less than 24 hours from Checkout Session creation."
    };
    Err(StripeError::invalid(message).param("expires_at"))
}

/// The sum over `line_items`, in the one currency of all, and the name of the first.
fn total(params: &Params) -> Result<(i64, String, String), StripeError> {
    let mut total: Option<(i64, String, String)> = None;
    for item in params.items("line_items")? {
        item.only(&["price_data", "quantity"])?;
        let price = item.required_nested("price_data")?;
        price.only(&["currency", "unit_amount", "product_data", "tax_behavior"])?;
        let product = price.required_nested("product_data")?;
        product.only(&["name", "description", "images", "metadata", "tax_code"])?;
        let name = product.required("name")?;
        let currency = amounts::currency(price.required("currency")?, "line_items[0][price_data][currency]")?;
        let unit_amount = price.required_integer("unit_amount")?;
        let quantity = item.integer("quantity")?.unwrap_or(1);
        let (sum, first_currency, first_name) = total.unwrap_or((0, currency.clone(), name.to_owned()));
        if first_currency != currency {
            return Err(
                StripeError::invalid("All line items must have the same currency.").param("line_items"),
            );
        }
        let sum = unit_amount
            .checked_mul(quantity)
            .and_then(|line| sum.checked_add(line))
            .unwrap_or(i64::MAX);
        total = Some((sum, first_currency, first_name));
    }
    let Some((sum, currency, name)) = total else {
        return Err(StripeError::missing_parameter("line_items"));
    };
    Ok((amounts::amount(sum, &currency, "line_items")?, currency, name))
}

//! `POST /v1/payment_intents`, with or without `confirm=true`.

use axum::extract::State as Shared;
use axum::response::Response;
use serde_json::Value;

use super::{PaymentIntent, State};
use crate::clock;
use crate::psp::behaviour::Operation;
use crate::psp::desk::Desk;
use crate::psp::endpoint::Call;
use crate::psp::error::StripeError;
use crate::psp::form::Params;
use crate::psp::{Psp, amounts, expand, ids, method};

/// Stripe's parameters; those that the simulator has no use for are accepted and do nothing.
const KNOWN: &[&str] = &[
    "amount",
    "application_fee_amount",
    "automatic_payment_methods",
    "capture_method",
    "confirm",
    "confirmation_method",
    "currency",
    "customer",
    "description",
    "error_on_requires_action",
    "expand",
    "mandate_data",
    "metadata",
    "off_session",
    "payment_method",
    "payment_method_options",
    "payment_method_types",
    "receipt_email",
    "return_url",
    "setup_future_usage",
    "shipping",
    "statement_descriptor",
    "statement_descriptor_suffix",
    "use_stripe_sdk",
];

pub(super) async fn create(Shared(psp): Shared<Psp>, call: Call) -> Response {
    psp.change(Operation::Payment, call, perform).await
}

fn perform(desk: &mut Desk<'_>, params: &Params) -> Result<Value, StripeError> {
    params.only(KNOWN)?;
    let intent = read(params)?;
    let expand = expand::read(params, &["latest_charge"])?;
    if params.flag("confirm")? == Some(true) {
        check_return_url(params)?;
        let Some(method) = params.text("payment_method")?.and_then(method::find) else {
            return Err(StripeError::invalid(
                "You cannot confirm this PaymentIntent because it's missing a payment method. Update the PaymentIntent with a payment method and then confirm it again.",
            )
            .code("payment_intent_unexpected_state"));
        };
        return super::confirm::charge(desk, intent, method, &expand);
    }
    let rendered = expand::intent(&intent, desk.settings, &expand);
    desk.save_intent(intent);
    Ok(rendered)
}

fn read(params: &Params) -> Result<PaymentIntent, StripeError> {
    let currency = amounts::currency(params.required("currency")?, "currency")?;
    let amount = amounts::amount(params.required_integer("amount")?, &currency, "amount")?;
    if !matches!(
        params.text("capture_method")?,
        None | Some("automatic" | "automatic_async")
    ) {
        return Err(
            StripeError::invalid("The simulator offers only automatic capture.").param("capture_method"),
        );
    }
    let payment_method = params.text("payment_method")?;
    if let Some(unknown) = payment_method.filter(|id| method::find(id).is_none()) {
        return Err(StripeError::no_such("PaymentMethod", unknown, "payment_method"));
    }
    Ok(PaymentIntent {
        id: ids::next("pi"),
        amount,
        currency,
        metadata: params.metadata("metadata")?,
        description: params.text("description")?.map(str::to_owned),
        receipt_email: params.text("receipt_email")?.map(str::to_owned),
        return_url: params.text("return_url")?.map(str::to_owned),
        payment_method: payment_method.map(str::to_owned),
        created: clock::unix_seconds(),
        session: None,
        state: payment_method.map_or(State::RequiresPaymentMethod, |_| State::RequiresConfirmation),
        refunds: Vec::new(),
        amount_refunded: 0,
        charges: Vec::new(),
    })
}

/// Since 2023 Stripe offers redirecting methods unless told otherwise, and then insists on a way back.
fn check_return_url(params: &Params) -> Result<(), StripeError> {
    let redirects_refused = match params.nested("automatic_payment_methods")? {
        Some(automatic) => automatic.text("allow_redirects")? == Some("never"),
        None => false,
    };
    if params.has("return_url") || redirects_refused || !params.texts("payment_method_types")?.is_empty() {
        return Ok(());
    }
    Err(StripeError::invalid(
        "This PaymentIntent is configured to accept payment methods enabled in your Dashboard. Because some of these payment methods might redirect your customer off of your page, you must provide a `return_url`. If you don't want to accept redirect-based payment methods, set `automatic_payment_methods[enabled]` to `true` and `automatic_payment_methods[allow_redirects]` to `never` when creating Setup Intents and Payment Intents.",
    )
    .param("return_url"))
}

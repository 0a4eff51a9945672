//! `/internal/v1` on the operations port, behind the service token: the one place that tells who somebody is.
//!
//! The notifier asks at each delivery, so that an erased customer is never written to and a changed address counts at once.

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use platform::http::{Json, Path, Query};
use schemas::ids::{CustomerRef, MerchantId, PaymentNo};
use serde::{Deserialize, Serialize};

use crate::error::Refusal;
use crate::http::App;
use crate::store::merchants::{self, SealedContact, StoredMerchant};

pub(super) fn routes() -> Router<App> {
    Router::new().route("/internal/v1/contacts/{merchant_id}", get(get_contacts))
}

/// About what.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct About {
    payment_no: Option<PaymentNo>,
}

#[derive(Serialize)]
struct Contacts {
    merchant: MerchantContact,
    customer: Option<CustomerContact>,
    payment: Option<PaymentContact>,
}

#[derive(Serialize)]
struct MerchantContact {
    merchant_id: MerchantId,
    name: String,
    email: String,
    notify_url: Option<String>,
    webhook_secret: String,
}

#[derive(Serialize)]
struct CustomerContact {
    customer_ref: CustomerRef,
    email: Option<String>,
    phone: Option<String>,
    erased: bool,
}

#[derive(Serialize)]
struct PaymentContact {
    payment_no: PaymentNo,
    order_no: String,
    notify_url: Option<String>,
    description: Option<String>,
}

async fn get_contacts(
    State(app): State<App>,
    Path(merchant_id): Path<MerchantId>,
    Query(about): Query<About>,
) -> Result<Json<Contacts>, Refusal> {
    let pool = &app.charging.pool;
    let merchant = merchants::get(pool, merchant_id)
        .await?
        .ok_or(Refusal::NotFound)?;
    let merchant = open_merchant(&app, merchant)?;
    let Some(payment_no) = about.payment_no else {
        return Ok(Json(Contacts {
            merchant,
            customer: None,
            payment: None,
        }));
    };
    let found = merchants::payment_contact(pool, merchant_id, payment_no)
        .await?
        .ok_or(Refusal::NotFound)?;
    let customer = found
        .customer
        .map(|sealed| open_customer(&app, sealed))
        .transpose()?;
    let payment = PaymentContact {
        payment_no,
        order_no: found.order_no,
        notify_url: found.notify_url,
        description: found.description,
    };
    Ok(Json(Contacts {
        merchant,
        customer,
        payment: Some(payment),
    }))
}

fn open_merchant(app: &App, merchant: StoredMerchant) -> Result<MerchantContact, Refusal> {
    let context = merchant.merchant_id.to_string();
    Ok(MerchantContact {
        merchant_id: merchant.merchant_id,
        webhook_secret: app
            .secrets
            .open_text(context.as_bytes(), &merchant.webhook_secret)?,
        name: merchant.name,
        email: merchant.email,
        notify_url: merchant.notify_url,
    })
}

fn open_customer(app: &App, sealed: SealedContact) -> Result<CustomerContact, Refusal> {
    let customer_ref = sealed.customer_ref;
    let email = sealed
        .email
        .map(|email| app.secrets.open_email(customer_ref, &email))
        .transpose()?;
    let phone = sealed
        .phone
        .map(|phone| app.secrets.open_phone(customer_ref, &phone))
        .transpose()?;
    Ok(CustomerContact {
        customer_ref,
        erased: email.is_none(),
        email,
        phone,
    })
}

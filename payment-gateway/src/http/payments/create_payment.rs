//! `POST /api/v1/payments`
//!
//! The payment and its first event are committed before the PSP hears of it; so there is no charge without a payment. The call
//! belongs to a task, not to the request: if the merchant goes away, or waits too long, it goes on.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use eventing::crash_point;
use platform::problem::ProblemDocument;
use schemas::ids::{CustomerRef, PaymentNo};
use sqlx::PgTransaction;
use tokio::task::JoinHandle;

use super::PaymentDocument;
use super::order::{CreatePayment, Order};
use crate::auth::SignedMerchant;
use crate::charging::{ChargingError, Leave};
use crate::domain::psp::PspObjects;
use crate::domain::{NewPayment, Payment};
use crate::error::Refusal;
use crate::http::App;
use crate::http::idempotency::{self, ANSWERED_WITHIN, Beginning};
use crate::store;
use crate::store::customers::SealedCustomer;
use crate::store::idempotency::{Answer, Scope};

/// Create a payment
///
/// Idempotent by `order_no`: the same contents give the existing payment (200), others 422. With an `Idempotency-Key`, the same
/// request gives the first answer again.
#[utoipa::path(
    post,
    path = "/api/v1/payments",
    tag = "payments",
    request_body = CreatePayment,
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters")),
    responses(
        (status = 201, description = "created; `status` tells how far it is", body = PaymentDocument),
        (status = 200, description = "the order has this payment already", body = PaymentDocument),
        (status = 409, description = "the first request with this key is being answered", body = ProblemDocument),
        (status = 422, description = "not acceptable", body = ProblemDocument),
        (status = 503, description = "the PSP cannot be reached, nothing was created", body = ProblemDocument),
    )
)]
pub(super) async fn create_payment(
    State(app): State<App>,
    merchant: SignedMerchant,
) -> Result<Response, Refusal> {
    let order = Order::parse(&merchant)?;
    let hash = order.hash()?;
    let scope = idempotency::scope(&merchant);
    // Twice, because a concurrent request with the same key or order may be faster: then there is something to find.
    for _ in 0..2 {
        if let Some(scope) = &scope {
            match idempotency::begin(&app, scope, &hash).await? {
                Beginning::First => {}
                Beginning::Answered(answer) => return Ok(idempotency::again(answer)),
                Beginning::Abandoned(id) => {
                    return resume(app, PaymentNo::from_uuid(id), scope.clone()).await;
                }
            }
        }
        if let Some(answer) = existing(&app, &order, &hash, scope.as_ref()).await? {
            return Ok(idempotency::again(answer));
        }
        let leave = app.charging.leave()?;
        if let Some(payment) = create(&app, &order, &hash, scope.as_ref()).await? {
            return charge_and_answer(app, payment, scope, leave).await;
        }
    }
    Err(Refusal::KeyInFlight)
}

/// The payment that the order has already.
async fn existing(
    app: &App,
    order: &Order,
    hash: &[u8],
    scope: Option<&Scope>,
) -> Result<Option<Answer>, Refusal> {
    let mut connection = app.charging.pool.acquire().await?;
    let found = store::payments::find_order(&mut connection, order.merchant_id, &order.order_no).await?;
    let Some((payment, first_hash)) = found else {
        return Ok(None);
    };
    if first_hash != hash {
        return Err(Refusal::OrderConflict);
    }
    if let Some(scope) = scope {
        let now = app.charging.clock.now();
        let id = payment.payment_no.uuid();
        let is_ours =
            store::idempotency::insert(&mut *connection, scope, hash, id, now, now + ANSWERED_WITHIN).await?;
        // Another request came with the key meanwhile; its answer must not become this one's.
        if !is_ours {
            return Err(Refusal::KeyInFlight);
        }
    }
    drop(connection);
    idempotency::keep(app, scope, StatusCode::OK, &PaymentDocument::from(payment))
        .await
        .map(Some)
}

/// Commits the payment, its first event, and the key; none of them if the order or the key is taken.
async fn create(
    app: &App,
    order: &Order,
    hash: &[u8],
    scope: Option<&Scope>,
) -> Result<Option<Payment>, Refusal> {
    let now = app.charging.clock.now();
    let mut tx = app.charging.pool.begin().await?;
    let new = NewPayment {
        payment_no: PaymentNo::generate(),
        merchant_id: order.merchant_id,
        order_no: order.order_no.clone(),
        customer_ref: customer(app, &mut tx, order).await?,
        amount: order.amount,
        payment_method: order.payment_method.clone(),
        details: order.details.clone(),
    };
    let (payment, event) = Payment::create(new, now);
    if let Some(scope) = scope {
        let id = payment.payment_no.uuid();
        if !store::idempotency::insert(&mut *tx, scope, hash, id, now, now + ANSWERED_WITHIN).await? {
            return Ok(None);
        }
    }
    // The row is its own lock: nobody else sees it before the commit.
    if !store::payments::insert(&mut tx, &payment, hash, app.charging.claimed_until(now)).await? {
        return Ok(None);
    }
    let appended = app.charging.outbox.append(&mut tx, &event).await?;
    crash_point("gateway.create.before_commit");
    tx.commit().await?;
    crash_point("gateway.create.after_commit");
    app.charging.outbox.committed(appended);
    Ok(Some(payment))
}

/// The merchant's customer with this address, new or known.
async fn customer(app: &App, tx: &mut PgTransaction<'_>, order: &Order) -> Result<CustomerRef, Refusal> {
    let digest = app.secrets.digest(&order.email);
    if let Some(known) = store::customers::find(&mut **tx, order.merchant_id, &digest).await? {
        if let Some(phone) = &order.phone {
            store::customers::set_phone(&mut **tx, known, &app.secrets.seal_phone(known, phone)?).await?;
        }
        return Ok(known);
    }
    let customer_ref = CustomerRef::generate();
    let phone = order
        .phone
        .as_ref()
        .map(|phone| app.secrets.seal_phone(customer_ref, phone))
        .transpose()?;
    let sealed = SealedCustomer {
        customer_ref,
        merchant_id: order.merchant_id,
        email_digest: &digest,
        email: &app.secrets.seal_email(customer_ref, &order.email)?,
        phone: phone.as_deref(),
    };
    if store::customers::insert(&mut **tx, &sealed, app.charging.clock.now()).await? {
        return Ok(customer_ref);
    }
    // Added by a concurrent request, which has committed: its row is visible to a new statement.
    let known = store::customers::find(&mut **tx, order.merchant_id, &digest).await?;
    known.ok_or(Refusal::NotFound)
}

async fn charge_and_answer(
    app: App,
    payment: Payment,
    scope: Option<Scope>,
    leave: Leave,
) -> Result<Response, Refusal> {
    let payment_no = payment.payment_no;
    let charging = app.charging.clone();
    let call = app
        .charging
        .tasks
        .own(async move { charging.charge(payment, leave).await });
    answer(app, payment_no, call, scope).await
}

/// Answers for a request that died after it created the payment.
async fn resume(app: App, payment_no: PaymentNo, scope: Scope) -> Result<Response, Refusal> {
    let payment = store::payments::get(&app.charging.pool, payment_no)
        .await?
        .ok_or(Refusal::NotFound)?;
    let is_unknown_to_psp = payment.is_open() && payment.psp == PspObjects::default();
    let call = match app.charging.room() {
        Ok(room) if is_unknown_to_psp => {
            let charging = app.charging.clone();
            app.charging.tasks.own(async move {
                let _room = room;
                charging.pursue(payment_no).await
            })
        }
        _ => app.charging.tasks.own(async move { Ok(payment) }),
    };
    answer(app, payment_no, call, Some(scope)).await
}

/// Waits for the call, as long as a merchant can be asked to, and keeps what is answered: in a task, since the merchant may be
/// gone before.
async fn answer(
    app: App,
    payment_no: PaymentNo,
    call: JoinHandle<Result<Payment, ChargingError>>,
    scope: Option<Scope>,
) -> Result<Response, Refusal> {
    let tasks = app.charging.tasks.clone();
    let answering = tasks.own(async move {
        let payment = match tokio::time::timeout(app.charging.terms.patience, call).await {
            Ok(payment) => payment??,
            Err(_) => app.charging.defer(payment_no).await?,
        };
        idempotency::keep(
            &app,
            scope.as_ref(),
            StatusCode::CREATED,
            &PaymentDocument::from(payment),
        )
        .await
    });
    Ok(idempotency::first(answering.await??))
}

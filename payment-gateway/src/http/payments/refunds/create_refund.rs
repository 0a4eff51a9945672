//! `POST /api/v1/payments/{payment_no}/refunds`
//!
//! The amount is reserved under the payment's lock before the PSP hears of it, so concurrent refunds never add up to more than
//! was charged.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use eventing::crash_point;
use platform::http::{Json, Path};
use platform::problem::ProblemDocument;
use schemas::ids::{PaymentNo, RefundNo};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio::task::JoinHandle;
use utoipa::ToSchema;

use super::{MAX_REFUNDS, RefundDocument};
use crate::auth::SignedMerchant;
use crate::charging::ChargingError;
use crate::domain::refund::NewRefund;
use crate::domain::text::bounded;
use crate::domain::{PaymentState, Refund};
use crate::error::Refusal;
use crate::http::App;
use crate::http::idempotency::{self, ANSWERED_WITHIN, Beginning};
use crate::http::payments::order::RawAmount;
use crate::store;
use crate::store::idempotency::Scope;

const MAX_REASON_CHARS: usize = 500;

/// A refund to be created.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateRefund {
    /// Minor units, above zero; all that is left if not given.
    #[schema(value_type = Option<i64>, minimum = 1)]
    #[serde(default)]
    amount: Option<RawAmount>,
    /// The merchant's own words; they stay here.
    reason: Option<String>,
}

/// A refund to be created, as it cannot be wrong.
struct Wish {
    amount: Option<i64>,
    reason: Option<String>,
    hash: Vec<u8>,
}

/// Refund a payment, in full or in part
#[utoipa::path(
    post,
    path = "/api/v1/payments/{payment_no}/refunds",
    tag = "refunds",
    request_body = CreateRefund,
    params(
        ("payment_no" = String, Path),
        ("Idempotency-Key" = String, Header, description = "1 to 255 visible ASCII characters"),
    ),
    responses(
        (status = 201, description = "created; `status` tells how far it is", body = RefundDocument),
        (status = 404, body = ProblemDocument),
        (status = 409, description = "not refundable, or the first request with this key is being answered",
         body = ProblemDocument),
        (status = 422, description = "not acceptable, or more than what is left", body = ProblemDocument),
        (status = 503, description = "the PSP cannot be reached, nothing was created", body = ProblemDocument),
    )
)]
pub(super) async fn create_refund(
    State(app): State<App>,
    Path(payment_no): Path<PaymentNo>,
    merchant: SignedMerchant,
) -> Result<Response, Refusal> {
    let wish = Wish::parse(&merchant)?;
    let scope = idempotency::scope(&merchant).ok_or(Refusal::KeyMissing)?;
    for _ in 0..2 {
        match idempotency::begin(&app, &scope, &wish.hash).await? {
            Beginning::First => {}
            Beginning::Answered(answer) => return Ok(idempotency::again(answer)),
            Beginning::Abandoned(id) => return resume(app, RefundNo::from_uuid(id), scope).await,
        }
        let leave = app.charging.leave()?;
        if let Some((refund, intent)) = reserve(&app, payment_no, &wish, &scope).await? {
            let (charging, waited_for) = (app.charging.clone(), refund.clone());
            let call = app
                .charging
                .tasks
                .own(async move { charging.pay_back(refund, intent, leave).await });
            return answer(app, waited_for, call, scope).await;
        }
    }
    Err(Refusal::KeyInFlight)
}

impl Wish {
    fn parse(merchant: &SignedMerchant) -> Result<Self, Refusal> {
        // A full refund needs no body.
        let body: &[u8] = if merchant.body.is_empty() {
            b"{}"
        } else {
            &merchant.body
        };
        let Json(raw) = Json::<CreateRefund>::from_bytes(body)?;
        let amount = raw.amount.map(RawAmount::positive).transpose()?;
        let reason = raw
            .reason
            .as_deref()
            .map(|reason| bounded(reason, MAX_REASON_CHARS))
            .transpose();
        let reason = reason
            .map_err(|error| Refusal::Text {
                field: "reason",
                error,
            })?
            .map(str::to_owned);
        let hash = Sha256::digest(serde_json::to_vec(&(amount, &reason))?).to_vec();
        Ok(Self { amount, reason, hash })
    }
}

/// Commits the reservation, its event, and the key; gives the refund and the charge, or nothing if the key is taken.
async fn reserve(
    app: &App,
    payment_no: PaymentNo,
    wish: &Wish,
    scope: &Scope,
) -> Result<Option<(Refund, String)>, Refusal> {
    let now = app.charging.clock.now();
    let mut tx = app.charging.pool.begin().await?;
    let locked = store::payments::lock_of(&mut tx, scope.merchant_id, payment_no).await?;
    let payment = locked.ok_or(Refusal::NotFound)?.payment;
    let old_sequence = payment.sequence;
    let new = NewRefund {
        refund_no: RefundNo::generate(),
        amount: wish.amount,
        reason: wish.reason.clone(),
    };
    let id = new.refund_no.uuid();
    if !store::idempotency::insert(&mut *tx, scope, &wish.hash, id, now, now + ANSWERED_WITHIN).await? {
        return Ok(None);
    }
    let (payment, refund, event) = payment.refund(new, now)?;
    crate::clients::stripe::amounts::to_stripe(refund.amount)?;
    if store::refunds::count(&mut *tx, payment_no).await? >= MAX_REFUNDS {
        return Err(Refusal::TooManyRefunds);
    }
    store::payments::update(&mut tx, &payment, old_sequence, now).await?;
    store::refunds::insert(&mut tx, &refund, app.charging.claimed_until(now)).await?;
    let appended = app.charging.outbox.append(&mut tx, &event).await?;
    crash_point("gateway.create.before_commit");
    tx.commit().await?;
    crash_point("gateway.create.after_commit");
    app.charging.outbox.committed(appended);
    let PaymentState::Success(charge) = payment.state else {
        return Err(Refusal::NotFound);
    };
    Ok(Some((refund, charge.intent)))
}

/// Answers for a request that died after it reserved the refund.
async fn resume(app: App, refund_no: RefundNo, scope: Scope) -> Result<Response, Refusal> {
    let known = store::refunds::get(&app.charging.pool, refund_no)
        .await?
        .ok_or(Refusal::NotFound)?;
    let (charging, refund) = (app.charging.clone(), known.refund.clone());
    let call = match app.charging.room() {
        Ok(room) if refund.is_open() => app.charging.tasks.own(async move {
            let _room = room;
            charging.pursue_refund(refund_no).await
        }),
        _ => app.charging.tasks.own(async move { Ok(refund) }),
    };
    answer(app, known.refund, call, scope).await
}

/// Waits for the call, as long as a merchant can be asked to, and keeps what is answered: in a task, since the merchant may be
/// gone before.
async fn answer(
    app: App,
    refund: Refund,
    call: JoinHandle<Result<Refund, ChargingError>>,
    scope: Scope,
) -> Result<Response, Refusal> {
    let tasks = app.charging.tasks.clone();
    let answering = tasks.own(async move {
        let refund = match tokio::time::timeout(app.charging.terms.patience, call).await {
            Ok(refund) => refund??,
            Err(_) => app.charging.defer_refund(&refund).await?,
        };
        idempotency::keep(
            &app,
            Some(&scope),
            StatusCode::CREATED,
            &RefundDocument::from(refund),
        )
        .await
    });
    Ok(idempotency::first(answering.await??))
}

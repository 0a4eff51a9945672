//! `GET /api/v1/staff/payments`

use axum::extract::State;
use jiff::{SignedDuration, Timestamp};
use platform::auth::Staff;
use platform::cursor::{Cursor, Limit, Page};
use platform::http::{Json, Query};
use platform::problem::ProblemDocument;
use schemas::ids::{MerchantId, PaymentNo, RefundNo};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::error::Refusal;
use crate::http::App;
use crate::store::stuck::{self, RecordedConflict, Stuck};

/// An outcome that is open for this long does not come by itself.
const STUCK_AFTER: SignedDuration = SignedDuration::from_mins(15);

/// Which payments.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListTrouble {
    /// `stuck`: the PSP's outcome is open for more than 15 minutes. `conflict`: the PSP contradicts what we hold as final.
    condition: Condition,
    /// Where the page begins: `next_cursor` of the page before.
    #[param(value_type = Option<String>)]
    cursor: Option<Cursor<(Timestamp, Uuid)>>,
    /// 1 to 100, 20 if not given.
    #[serde(default)]
    #[param(value_type = Option<u16>)]
    limit: Limit,
}

/// What is wrong.
#[derive(Debug, Clone, Copy, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Condition {
    /// The PSP's outcome stays open.
    Stuck,
    /// The PSP contradicts us.
    Conflict,
}

/// A payment that needs a person.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TroubleDocument {
    condition: Condition,
    #[schema(value_type = String)]
    payment_no: PaymentNo,
    /// If it is about a refund.
    #[schema(value_type = Option<String>)]
    refund_no: Option<RefundNo>,
    #[schema(value_type = String)]
    merchant_id: MerchantId,
    /// Ours; at a conflict, when it was seen.
    status: String,
    /// How often the PSP was asked.
    attempts: Option<i32>,
    #[schema(value_type = String, format = DateTime)]
    since: Timestamp,
    conflict: Option<ConflictDocument>,
    #[serde(skip)]
    position: (Timestamp, Uuid),
}

/// What the PSP says.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ConflictDocument {
    /// `late_success`, `second_charge`, `contradicted_success`, `wrong_amount`, `wrong_payment` or `refund_contradicted`.
    kind: String,
    psp_reference: String,
    psp_status: String,
    /// Minor units.
    psp_amount: Option<i64>,
    psp_currency: Option<String>,
}

/// List payments that need a person
#[utoipa::path(
    get,
    path = "/api/v1/staff/payments",
    tag = "staff",
    params(ListTrouble),
    responses((status = 200, body = Page<TroubleDocument>), (status = 403, body = ProblemDocument))
)]
pub(super) async fn list_trouble(
    State(app): State<App>,
    _staff: Staff,
    Query(query): Query<ListTrouble>,
) -> Result<Json<Page<TroubleDocument>>, Refusal> {
    let (pool, after, rows) = (
        &app.charging.pool,
        query.cursor.map(|cursor| cursor.0),
        query.limit.rows_to_read(),
    );
    let trouble: Vec<TroubleDocument> = match query.condition {
        Condition::Stuck => {
            let before = app.charging.clock.now() - STUCK_AFTER;
            stuck::stuck(pool, before, after, rows)
                .await?
                .into_iter()
                .map(TroubleDocument::from)
                .collect()
        }
        Condition::Conflict => stuck::conflicts(pool, after, rows)
            .await?
            .into_iter()
            .map(TroubleDocument::from)
            .collect(),
    };
    Ok(Json(Page::new(trouble, query.limit, |row| row.position)))
}

impl From<Stuck> for TroubleDocument {
    fn from(stuck: Stuck) -> Self {
        let id = stuck.refund_no.map_or(stuck.payment_no.uuid(), RefundNo::uuid);
        Self {
            condition: Condition::Stuck,
            payment_no: stuck.payment_no,
            refund_no: stuck.refund_no,
            merchant_id: stuck.merchant_id,
            status: stuck.status,
            attempts: Some(stuck.attempts),
            since: stuck.since,
            conflict: None,
            position: (stuck.since, id),
        }
    }
}

impl From<RecordedConflict> for TroubleDocument {
    fn from(recorded: RecordedConflict) -> Self {
        Self {
            condition: Condition::Conflict,
            payment_no: recorded.payment_no,
            refund_no: recorded.refund_no,
            merchant_id: recorded.merchant_id,
            status: recorded.our_status,
            attempts: None,
            since: recorded.observed_at,
            conflict: Some(ConflictDocument {
                kind: recorded.kind,
                psp_reference: recorded.psp_reference,
                psp_status: recorded.psp_status,
                psp_amount: recorded.amount,
                psp_currency: recorded.currency,
            }),
            position: (recorded.observed_at, recorded.id),
        }
    }
}

//! `PUT` and `GET /api/v1/merchants/{merchant_id}/terms`

use axum::extract::State;
use jiff::Timestamp;
use platform::auth::{Principal, Staff};
use platform::http::{Json, Path};
use platform::problem::ProblemDocument;
use schemas::ids::MerchantId;
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use utoipa::ToSchema;

use crate::domain::terms::Terms;
use crate::error::Refusal;
use crate::http::{App, OPERATOR};
use crate::store;
use crate::store::terms::TermsVersion;

/// How many versions are shown, the latest first.
const SHOWN_VERSIONS: i64 = 100;

/// What a charge costs from an instant on.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SetTerms {
    /// Share of the charge in hundredths of a percent, 0 to 10000.
    #[schema(example = 290)]
    basis_points: i64,
    /// Fixed part in minor units of the charge's currency.
    #[schema(example = 30)]
    fixed_minor: i64,
    /// RFC 3339 instant, now if not given, and not in the past: what was charged stays charged.
    valid_from: Option<String>,
}

/// A merchant's terms.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TermsDocument {
    #[schema(value_type = String)]
    merchant_id: MerchantId,
    /// Share of the charge in hundredths of a percent.
    basis_points: u16,
    /// Fixed part in minor units of the charge's currency.
    fixed_minor: i64,
    /// Whether nobody ever set terms for this merchant that are in force.
    is_default: bool,
    /// All that were set, the latest first; some may lie in the future.
    versions: Vec<TermsVersionDocument>,
}

/// Terms that somebody set.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TermsVersionDocument {
    /// Share of the charge in hundredths of a percent.
    basis_points: u16,
    /// Fixed part in minor units of the charge's currency.
    fixed_minor: i64,
    #[schema(value_type = String, format = DateTime)]
    valid_from: Timestamp,
    set_by: String,
    #[schema(value_type = String, format = DateTime)]
    set_at: Timestamp,
}

/// Set a merchant's terms
#[utoipa::path(
    put,
    path = "/api/v1/merchants/{merchant_id}/terms",
    tag = "terms",
    params(("merchant_id" = String, Path)),
    request_body = SetTerms,
    responses(
        (status = 200, body = TermsDocument),
        (status = 403, body = ProblemDocument),
        (status = 422, body = ProblemDocument),
    )
)]
pub(super) async fn set_terms(
    State(app): State<App>,
    Staff(operator): Staff,
    Path(merchant_id): Path<MerchantId>,
    Json(request): Json<SetTerms>,
) -> Result<Json<TermsDocument>, Refusal> {
    operator.require_role(OPERATOR)?;
    let now = app.clock.now();
    let terms = Terms::new(request.basis_points, request.fixed_minor)?;
    let valid_from = match &request.valid_from {
        None => now,
        Some(text) => text.parse().map_err(|_| Refusal::Instant("valid_from"))?,
    };
    if valid_from < now {
        return Err(Refusal::TermsInThePast);
    }
    let version = TermsVersion {
        terms,
        valid_from,
        set_by: operator.subject,
        set_at: now,
    };
    let mut tx = app.pool.begin().await?;
    store::terms::add(&mut tx, merchant_id, &version).await?;
    let document = document(&mut tx, merchant_id, app.default_terms, now).await?;
    tx.commit().await?;
    Ok(Json(document))
}

/// Show a merchant's terms
#[utoipa::path(
    get,
    path = "/api/v1/merchants/{merchant_id}/terms",
    tag = "terms",
    params(("merchant_id" = String, Path)),
    responses((status = 200, body = TermsDocument), (status = 404, body = ProblemDocument))
)]
pub(super) async fn show_terms(
    State(app): State<App>,
    caller: Principal,
    Path(merchant_id): Path<MerchantId>,
) -> Result<Json<TermsDocument>, Refusal> {
    if !caller.may_see(merchant_id) {
        return Err(Refusal::NotFound);
    }
    let mut connection = app.pool.acquire().await?;
    Ok(Json(
        document(&mut connection, merchant_id, app.default_terms, app.clock.now()).await?,
    ))
}

async fn document(
    connection: &mut PgConnection,
    merchant_id: MerchantId,
    default: Terms,
    now: Timestamp,
) -> Result<TermsDocument, Refusal> {
    let own = store::terms::in_force(connection, merchant_id, now).await?;
    let versions = store::terms::history(connection, merchant_id, SHOWN_VERSIONS).await?;
    let terms = own.unwrap_or(default);
    Ok(TermsDocument {
        merchant_id,
        basis_points: terms.basis_points(),
        fixed_minor: terms.fixed_minor(),
        is_default: own.is_none(),
        versions: versions.into_iter().map(TermsVersionDocument::from).collect(),
    })
}

impl From<TermsVersion> for TermsVersionDocument {
    fn from(version: TermsVersion) -> Self {
        Self {
            basis_points: version.terms.basis_points(),
            fixed_minor: version.terms.fixed_minor(),
            valid_from: version.valid_from,
            set_by: version.set_by,
            set_at: version.set_at,
        }
    }
}

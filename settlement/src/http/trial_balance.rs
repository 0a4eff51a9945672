//! `GET /api/v1/trial-balance`

use axum::extract::State;
use platform::auth::Staff;
use platform::http::Json;
use platform::problem::ProblemDocument;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::App;
use crate::error::Refusal;
use crate::store;
use crate::store::balances::AccountBalance;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(show_trial_balance))
}

/// Every account over all merchants: debits and credits are equal, or something is very wrong.
#[derive(Debug, Serialize, ToSchema)]
struct TrialBalance {
    /// Whether every currency is balanced.
    balanced: bool,
    currencies: Vec<CurrencyDocument>,
}

/// One currency.
#[derive(Debug, Serialize, ToSchema)]
struct CurrencyDocument {
    /// ISO 4217.
    currency: &'static str,
    /// Whether debits and credits are equal.
    balanced: bool,
    /// Sum of all debits, in minor units.
    debit: i64,
    /// Sum of all credits, in minor units.
    credit: i64,
    accounts: Vec<AccountDocument>,
}

/// One account, in minor units.
#[derive(Debug, Serialize, ToSchema)]
struct AccountDocument {
    account: String,
    debit: i64,
    credit: i64,
    /// Debits less credits.
    balance: i64,
}

/// Show the trial balance
#[utoipa::path(
    get,
    path = "/api/v1/trial-balance",
    tag = "balances",
    responses((status = 200, body = TrialBalance), (status = 403, body = ProblemDocument))
)]
async fn show_trial_balance(State(app): State<App>, _staff: Staff) -> Result<Json<TrialBalance>, Refusal> {
    let mut connection = app.pool.acquire().await?;
    let accounts = store::balances::trial_balance(&mut connection).await?;
    let currencies: Vec<CurrencyDocument> = accounts
        .chunk_by(|one, next| one.currency == next.currency)
        .filter_map(CurrencyDocument::of)
        .collect();
    let balanced = currencies.iter().all(|currency| currency.balanced);
    Ok(Json(TrialBalance { balanced, currencies }))
}

impl CurrencyDocument {
    /// The accounts of one currency; `None` if there are none.
    fn of(accounts: &[AccountBalance]) -> Option<Self> {
        let currency = accounts.first()?.currency.code();
        let debit = accounts
            .iter()
            .map(|account| account.debit_minor)
            .fold(0, i64::saturating_add);
        let credit = accounts
            .iter()
            .map(|account| account.credit_minor)
            .fold(0, i64::saturating_add);
        let accounts = accounts.iter().map(AccountDocument::from).collect();
        Some(Self {
            currency,
            balanced: debit == credit,
            debit,
            credit,
            accounts,
        })
    }
}

impl From<&AccountBalance> for AccountDocument {
    fn from(balance: &AccountBalance) -> Self {
        Self {
            account: balance.account.clone(),
            debit: balance.debit_minor,
            credit: balance.credit_minor,
            balance: balance.balance_minor,
        }
    }
}

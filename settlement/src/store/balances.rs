//! What the accounts come to: of one merchant, and of everybody.

use schemas::{ids::MerchantId, money::Currency};
use sqlx::PgConnection;

use super::{StoreError, corrupt};

/// Where a merchant stands in one currency, in minor units. Positive is owed to, or was paid to, the merchant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MerchantBalance {
    /// The currency.
    pub currency: Currency,
    /// Owed and not yet paid out, settled or not; negative if refunds exceed what is owed.
    pub payable_minor: i64,
    /// The part of it that no settlement has taken yet.
    pub unsettled_minor: i64,
    /// Kept back for refunds under way.
    pub refunds_held_minor: i64,
    /// Ordered at the bank and not confirmed.
    pub in_transit_minor: i64,
    /// Paid out by the bank, less what came back.
    pub paid_out_minor: i64,
    /// What the platform has earned.
    pub fees_minor: i64,
}

/// A merchant's balances by currency, in alphabetical order.
pub async fn of_merchant(
    connection: &mut PgConnection,
    merchant_id: MerchantId,
) -> Result<Vec<MerchantBalance>, StoreError> {
    let rows = sqlx::query!(
        r#"select
             entry.currency,
             coalesce(-sum(entry.amount) filter (where entry.account = 'merchant_payable'), 0)::bigint as "payable!",
             coalesce(-sum(entry.amount) filter (where entry.account = 'refunds_held'), 0)::bigint as "held!",
             coalesce(-sum(entry.amount) filter (where entry.account = 'payouts_in_transit'), 0)::bigint as "transit!",
             coalesce(-sum(entry.amount) filter (where entry.account = 'bank'), 0)::bigint as "paid_out!",
             coalesce(-sum(entry.amount) filter (where entry.account = 'fees'), 0)::bigint as "fees!",
             coalesce((
                 select -sum(owed.amount)
                 from settlement_lines line join ledger_entries owed on owed.id = line.entry_id
                 where line.merchant_id = $1 and line.currency = entry.currency and line.settlement_no is null
             ), 0)::bigint as "unsettled!"
         from ledger_entries entry where entry.merchant_id = $1
         group by entry.currency order by entry.currency"#,
        merchant_id.uuid(),
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(MerchantBalance {
                currency: parse(&row.currency)?,
                payable_minor: row.payable,
                unsettled_minor: row.unsettled,
                refunds_held_minor: row.held,
                in_transit_minor: row.transit,
                paid_out_minor: row.paid_out,
                fees_minor: row.fees,
            })
        })
        .collect()
}

/// One account in one currency, over all merchants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountBalance {
    /// The currency.
    pub currency: Currency,
    /// The account's name.
    pub account: String,
    /// The sum of its debits, in minor units.
    pub debit_minor: i64,
    /// The sum of its credits, in minor units, positive.
    pub credit_minor: i64,
    /// Debits less credits.
    pub balance_minor: i64,
}

/// Every account that was ever used, by currency and name.
pub async fn trial_balance(connection: &mut PgConnection) -> Result<Vec<AccountBalance>, StoreError> {
    let rows = sqlx::query!(
        r#"select
             currency, account,
             coalesce(sum(amount) filter (where amount > 0), 0)::bigint as "debit!",
             coalesce(-sum(amount) filter (where amount < 0), 0)::bigint as "credit!",
             sum(amount)::bigint as "balance!"
         from ledger_entries group by currency, account order by currency, account"#,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(AccountBalance {
                currency: parse(&row.currency)?,
                account: row.account,
                debit_minor: row.debit,
                credit_minor: row.credit,
                balance_minor: row.balance,
            })
        })
        .collect()
}

fn parse(code: &str) -> Result<Currency, StoreError> {
    Currency::parse(code).map_err(|error| corrupt("ledger_entries", error))
}

//! The books, as JSON for tests and as a page for people.

use askama::Template;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use serde_json::Value;

use super::World;
use crate::bank::Bank;
use crate::page;
use crate::psp::{Psp, amounts};

/// The page shows the newest; the JSON has all.
const SHOWN: usize = 200;

pub(super) async fn psp(State(psp): State<Psp>) -> Response {
    Json(psp.report()).into_response()
}

pub(super) async fn bank(State(bank): State<Bank>) -> Response {
    Json(bank.report()).into_response()
}

#[derive(Template)]
#[template(path = "books.html")]
struct BooksPage {
    payments: Vec<Line>,
    refunds: Vec<Line>,
    payouts: Vec<Line>,
}

struct Line {
    number: String,
    id: String,
    status: String,
    amount: String,
    refunded: String,
}

pub(super) async fn page(State(world): State<World>) -> Response {
    let psp = world.psp.report();
    let bank = world.bank.report();
    page::show(&BooksPage {
        payments: lines(&psp, "payments", "payment_no", "amount_charged"),
        refunds: lines(&psp, "refunds", "refund_no", "amount"),
        payouts: lines(&bank, "payouts", "withdrawal_no", "amount"),
    })
}

fn lines(book: &Value, name: &str, number: &str, amount: &str) -> Vec<Line> {
    let entries = book
        .get(name)
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    entries
        .iter()
        .rev()
        .take(SHOWN)
        .map(|entry| line(entry, number, amount))
        .collect()
}

fn line(entry: &Value, number: &str, amount: &str) -> Line {
    let text = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or("–").to_owned();
    let money = |key: &str| {
        let minor = entry.get(key).and_then(Value::as_i64).unwrap_or_default();
        if minor == 0 {
            String::new()
        } else {
            amounts::display(minor, &text("currency"))
        }
    };
    Line {
        number: text(number),
        id: text("id"),
        status: text("status"),
        amount: money(amount),
        refunded: money("amount_refunded"),
    }
}

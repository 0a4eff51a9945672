//! What the PSP does by itself: delayed payments and refunds arrive, sessions expire.

use super::books::Books;
use super::checkout_session::{self, SessionState};
use super::desk::Desk;
use super::payment_intent::State;
use super::refund::{self, RefundState};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Due {
    Payment { id: String, at_ms: i64 },
    Refund { id: String, at_ms: i64 },
    SessionExpiry { id: String, at_ms: i64 },
}

impl Due {
    pub(super) fn at_ms(&self) -> i64 {
        match self {
            Self::Payment { at_ms, .. } | Self::Refund { at_ms, .. } | Self::SessionExpiry { at_ms, .. } => {
                *at_ms
            }
        }
    }
}

/// What an earlier run left under way.
pub(super) fn unfinished(books: &Books) -> Vec<Due> {
    let payments = books.intents.iter().filter_map(|intent| match intent.state {
        State::Processing { settles_at_ms } => Some(Due::Payment {
            id: intent.id.clone(),
            at_ms: settles_at_ms,
        }),
        State::RequiresPaymentMethod
        | State::RequiresConfirmation
        | State::RequiresAction
        | State::Succeeded
        | State::Canceled { .. } => None,
    });
    let refunds = books.refunds.iter().filter_map(|refund| match refund.state {
        RefundState::Pending { settles_at_ms: at_ms }
        | RefundState::Succeeded {
            fails_at_ms: Some(at_ms),
        } => Some(Due::Refund {
            id: refund.id.clone(),
            at_ms,
        }),
        RefundState::Succeeded { fails_at_ms: None } | RefundState::Failed { .. } => None,
    });
    let sessions = books
        .sessions
        .iter()
        .filter(|session| session.state == SessionState::Open)
        .map(|session| Due::SessionExpiry {
            id: session.id.clone(),
            at_ms: session.expires_at.saturating_mul(1000),
        });
    payments.chain(refunds).chain(sessions).collect()
}

pub(super) fn happen(desk: &mut Desk<'_>, due: &Due) {
    match due {
        Due::Payment { id, .. } => payment_arrives(desk, id),
        Due::Refund { id, .. } => refund::come_due(desk, id),
        Due::SessionExpiry { id, .. } => {
            // It was completed or expired meanwhile, most often.
            let _ = checkout_session::expire(desk, id);
        }
    }
}

fn payment_arrives(desk: &mut Desk<'_>, id: &str) {
    let Some(mut intent) = desk.books.intents.get(id).cloned() else {
        return;
    };
    if !intent.settle() {
        return;
    }
    desk.save_intent(intent.clone());
    desk.intent_event("payment_intent.succeeded", &intent);
    let session = intent
        .session
        .as_deref()
        .and_then(|session| desk.books.sessions.get(session))
        .cloned();
    if let Some(mut session) = session {
        session.paid = true;
        desk.save_session(session.clone());
        desk.session_event("checkout.session.async_payment_succeeded", &session);
    }
}

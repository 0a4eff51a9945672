//! The HTTP side of a service: extractors whose refusals are problems, and the listeners with their limits.

mod extract;
mod layers;
mod limits;
pub mod operations;
mod problems;
mod server;
mod unread;

pub use extract::{Json, Path, Query, RawBody};
pub(crate) use operations::Internal;
pub(crate) use server::{Bounds, Listener, run};

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use tower_http::catch_panic::CatchPanicLayer;

use crate::config::Limits;

/// Puts around a service's routes what every request goes through, outermost first: an id, what nobody reads of the body,
/// trace and metrics, problems for whatever is refused, the bound on concurrency, the deadline, the bound on the body, and
/// panics.
pub fn guard(routes: Router, limits: Limits) -> Router {
    routes
        .layer(CatchPanicLayer::custom(problems::panicked))
        .layer(from_fn_with_state(limits, limits::bound_body))
        .layer(from_fn_with_state(limits, limits::bound_time))
        .layer(from_fn_with_state(
            limits::Concurrency::new(limits),
            limits::bound_concurrency,
        ))
        .layer(from_fn(problems::refusals))
        .layer(from_fn(layers::observe))
        .layer(from_fn(unread::discard))
        .layer(from_fn(layers::request_id))
}

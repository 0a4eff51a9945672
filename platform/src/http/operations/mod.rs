//! The operators' listener: health, metrics, pages for operators, and the service's internal endpoints.
//!
//! | what | on loopback | bound beyond loopback |
//! |---|---|---|
//! | `/health/live`, `/health/ready` | everybody | everybody, but why something is not well is told with a token only |
//! | `/metrics` | everybody | the service token, or a member of staff's |
//! | pages | everybody; the operator says who they are | a member of staff; the role `operator` to do anything |
//! | internal endpoints | the service token | the service token |

mod cookies;
mod door;
mod hosts;
mod internal;
mod keys;
mod page;
mod sign_in;
mod start_page;
mod watch;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use eventing::Clock;
use eventing::dead_letters::Desk;

pub(crate) use door::Visit;
pub use internal::Internal;
pub(crate) use page::{Count, Frame, message, show};

use self::door::Door;
use self::hosts::Hosts;
use self::keys::Keys;
use crate::auth::TokenVerifier;
use crate::config;
use crate::dead_letters_pages;
use crate::health::Health;
use crate::secrets::CipherError;

/// What the operators' listener shows, and whom it believes.
pub struct Operations {
    /// The service's name.
    pub service: &'static str,
    /// Where it listens: beyond loopback it asks for tokens.
    pub address: SocketAddr,
    /// Its section of the configuration.
    pub settings: config::Operations,
    /// How the components are.
    pub health: Health,
    /// Verifies the tokens of members of staff.
    pub tokens: TokenVerifier,
    /// The service's own internal endpoints.
    pub internal: Internal,
    /// The dead letters of its consumer groups.
    pub desks: Vec<Desk>,
    /// The clock.
    pub clock: Clock,
}

impl Operations {
    /// Everything that this listener answers.
    pub fn routes(self) -> Result<Router, CipherError> {
        let is_open = self.address.ip().to_canonical().is_loopback();
        let service = self.service;
        let service_token = Arc::new(self.settings.service_token.clone());
        let door = Arc::new(Door {
            service,
            hosts: Hosts::new(!is_open, self.settings.hosts),
            is_open,
            tokens: self.tokens,
            keys: Keys::derive(service, &service_token)?,
            clock: self.clock,
        });
        let desks: Arc<[Desk]> = self.desks.into();
        let start = start_page::Start::new(self.health.clone(), desks.clone());
        let pages = Router::new()
            .route("/", get(start_page::show).with_state(start))
            .merge(dead_letters_pages::routes(desks))
            .layer(from_fn_with_state(door.clone(), door::let_in));
        let signing = Router::new()
            .route("/sign-in", get(sign_in::show).post(sign_in::open))
            .route("/sign-out", post(sign_in::close))
            .with_state(door.clone());
        let pages = pages
            .merge(signing)
            .layer(from_fn_with_state(door.clone(), door::enter))
            .layer(from_fn_with_state(door.clone(), page::dress));
        let watched = watch::routes(self.health, door, service_token.clone());
        Ok(watched
            .merge(pages)
            .fallback_service(internal::routes(self.internal, service_token)))
    }
}
